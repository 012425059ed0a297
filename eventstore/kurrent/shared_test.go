package kurrent_test

import (
	"context"
	"errors"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"coffre/eventstore"
	"coffre/eventstore/kurrent"
	"coffre/eventstore/kurrent/form"
	"coffre/eventstore/memory"
	"coffre/eventstore/storetest"
)

// put appends n records, and returns where the last ones went.
func put(t *testing.T, s eventstore.Store, name eventstore.Stream, n int) (done eventstore.Appended) {
	t.Helper()
	for ; n > 0; n -= eventstore.MaxBatch {
		var err error
		batch := eventstore.Batch{Stream: name, Expected: eventstore.Any, Records: storetest.Records(min(n, eventstore.MaxBatch))}
		if done, err = s.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	return done
}

// On a server that others use as well, only the log's own categories are seen.
func TestOthersOnTheServer(t *testing.T) {
	inner := memory.New()
	address := serve(t, inner)
	s := opened(t, address, kurrent.Options{Categories: []string{"consent", "registry"}})
	if head, err := s.Head(t.Context()); err != nil || !head.IsZero() {
		t.Fatalf("head of nothing: %v, %v", head, err)
	}
	put(t, inner, "orders-1", 700)
	if head, err := s.Head(t.Context()); err != nil || !head.IsZero() {
		t.Fatalf("head where nothing is ours: %v, %v", head, err)
	}
	first := put(t, inner, "registry", 1)
	put(t, inner, "registryfoo-1", 1)
	put(t, inner, "consentx-1", 600)
	second := put(t, inner, "consent-1", 2)
	put(t, inner, "orders-1", 1500)
	for range 2 {
		if head, err := s.Head(t.Context()); err != nil || head != second.Position {
			t.Fatalf("head: %v, %v, want %v", head, err, second.Position)
		}
	}
	var got []eventstore.Position
	for after := (eventstore.Position{}); ; after = got[len(got)-1] {
		n := len(got)
		for r, err := range s.ReadAll(t.Context(), after, 1) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, r.Position)
		}
		if len(got) == n {
			break
		}
	}
	before := eventstore.Position{Commit: second.Position.Commit - 1, Prepare: second.Position.Prepare - 1}
	if len(got) != 3 || got[0] != first.Position || got[1] != before || got[2] != second.Position {
		t.Fatalf("ours lie at %v", got)
	}
	woken := make(chan error, 1)
	go func() { woken <- s.Wait(t.Context(), second.Position) }()
	put(t, inner, "orders-1", 1)
	third := put(t, inner, "consent-2", 1)
	if err := <-woken; err != nil {
		t.Fatal(err)
	}
	if head, err := s.Head(t.Context()); err != nil || head != third.Position {
		t.Fatalf("woken at %v, %v, want %v", head, err, third.Position)
	}
}

// silent is a store whose readers are never woken: a subscription over it stalls.
type silent struct{ eventstore.Store }

func (silent) Wait(ctx context.Context, _ eventstore.Position) error {
	<-ctx.Done()
	return ctx.Err()
}

// A subscription that has stalled without a word keeps nobody asleep.
func TestStalledSubscription(t *testing.T) {
	inner := memory.New()
	s := opened(t, serve(t, silent{inner}), kurrent.Options{})
	var after eventstore.Position
	for range 3 {
		woken := make(chan error, 1)
		go func() { woken <- s.Wait(t.Context(), after) }()
		at := put(t, inner, "consent-1", 1).Position
		if err := <-woken; err != nil {
			t.Fatal(err)
		}
		after = at
	}
}

// A stream that lost its beginning, or something in between, is damaged: whoever
// truncates one on the server is not obeyed.
func TestTruncatedStream(t *testing.T) {
	h, s := startHostile(t)
	for name, revisions := range map[string][]uint64{"beginning": {2, 3}, "middle": {0, 1, 3}} {
		h.set(func(req *streams.ReadReq, out streams.Streams_ReadServer) error {
			for _, revision := range revisions {
				r := storetest.Records(1)[0]
				r.Stream, r.Revision = "consent-1", eventstore.Revision(revision)
				data, metadata := form.Encode(&r)
				if err := out.Send(readEvent(func(e *streams.ReadResp_ReadEvent_RecordedEvent) {
					e.StreamRevision, e.Data, e.CustomMetadata, e.Metadata["type"] = revision, data, metadata, r.Type
				})); err != nil {
					return err
				}
			}
			return nil
		}, nil)
		n := 0
		var last error
		for r, err := range s.ReadStream(t.Context(), "consent-1", 0) {
			if last = err; err == nil {
				if n++; uint64(r.Revision) != uint64(n-1) {
					t.Errorf("%s: revision %d in place %d", name, r.Revision, n-1)
				}
			}
		}
		if corrupt, ok := errors.AsType[*eventstore.Corrupt](last); !ok || corrupt.Revision != eventstore.Revision(n) {
			t.Errorf("%s: %v after %d records", name, last, n)
		}
	}
}

// What the server would refuse for its size is refused before, and truly.
func TestServersLimit(t *testing.T) {
	inner := memory.New()
	s := opened(t, serve(t, inner), kurrent.Options{})
	large := storetest.Records(3)
	for i := range large {
		large[i].Sealed = make([]byte, 400<<10)
	}
	for _, e := range []eventstore.Expected{eventstore.NoStream, eventstore.Any} {
		if _, err := s.Append(t.Context(), eventstore.Batch{Stream: "consent-1", Expected: e, Records: large}); !errors.Is(err, eventstore.ErrTooLarge) {
			t.Errorf("expecting %d: %v", e, err)
		}
	}
	if head, err := inner.Head(t.Context()); err != nil || !head.IsZero() {
		t.Fatalf("%v, %v", head, err)
	}
	largest := storetest.Records(1)
	largest[0].Meta, largest[0].Clear, largest[0].Sealed = make([]byte, eventstore.MaxEvent), nil, nil // the form that costs most
	if _, err := s.Append(t.Context(), eventstore.Batch{Stream: "consent-1", Expected: eventstore.NoStream, Records: largest}); err != nil {
		t.Fatal(err)
	}
}

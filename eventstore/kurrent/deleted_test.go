package kurrent_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/kurrent"
	"coffre/eventstore/kurrent/kurrenttest"
	"coffre/eventstore/memory"
	"coffre/eventstore/storecopy"
	"coffre/eventstore/storetest"
)

// found collects what a store reports.
type found chan *eventstore.Corrupt

func (f found) report(c *eventstore.Corrupt) { f <- c }

// openFound opens a store that reports, with three streams of two records.
func openFound(t *testing.T, address string) (*kurrent.Store, found) {
	t.Helper()
	f := make(found, 100)
	options := ourCategories
	options.Report = f.report
	s, err := kurrent.Open(t.Context(), address, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, f
}

func appendTwo(t *testing.T, s eventstore.Store, name eventstore.Stream) {
	t.Helper()
	if _, err := s.Append(t.Context(), eventstore.Batch{Stream: name, Expected: eventstore.NoStream, Records: storetest.Records(2)}); err != nil {
		t.Fatal(err)
	}
}

// ends reads a stream and returns how many records came before it ended, and by what.
func ends(t *testing.T, s eventstore.Store, name eventstore.Stream) (n int, end error) {
	t.Helper()
	for _, err := range s.ReadStream(t.Context(), name, 0) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// all reads the log and returns the streams of its records.
func all(t *testing.T, s eventstore.Store) (streams []eventstore.Stream) {
	t.Helper()
	for r, err := range s.ReadAll(t.Context(), eventstore.Position{}, 1000) {
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, r.Stream)
	}
	return streams
}

// A stream that somebody deleted on the server is damage of that stream alone, told by
// name and place, for a process that was there and for one that starts later: it is never
// taken for absent and nothing is appended to it. All others are read, followed and
// appended to, whether or not a scavenge took the deleted records away.
func TestADeletedStreamIsDamagedAndOthersGoOn(t *testing.T) {
	for how, remove := range map[string]func(*kurrenttest.Server, string){
		"for good":            (*kurrenttest.Server).DeleteForGood,
		"for good, scavenged": func(o *kurrenttest.Server, s string) { o.DeleteForGood(s); o.Scavenge() },
		"softly":              (*kurrenttest.Server).DeleteSoftly,
		"softly, scavenged":   func(o *kurrenttest.Server, s string) { o.DeleteSoftly(s); o.Scavenge() },
	} {
		t.Run(how, func(t *testing.T) {
			o := kurrenttest.Start(t)
			address := o.Address
			s, f := openFound(t, address)
			for _, name := range []eventstore.Stream{"consent-1", "consent-2", "registry"} {
				appendTwo(t, s, name)
			}
			before, err := s.Head(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			remove(o, "consent-2")
			told := <-f
			if told.Stream != "consent-2" || told.Position.Compare(before) <= 0 {
				t.Errorf("told of %s at %v", told.Stream, told.Position)
			}
			for who, s := range map[string]*kurrent.Store{
				"who was there": s,
				"who starts now": func() *kurrent.Store {
					later, f := openFound(t, address)
					if again := <-f; *again != *told {
						t.Errorf("told of %+v, then of %+v", told, again)
					}
					return later
				}(),
				"whom nobody tells": open(t, address[len("esdb://"):len(address)-len("?tls=false")], ourCategories),
			} {
				var corrupt *eventstore.Corrupt
				if n, err := ends(t, s, "consent-2"); n != 0 || !errors.As(err, &corrupt) || corrupt.Stream != "consent-2" {
					t.Errorf("%s reads %d records of the deleted stream, then %v", who, n, err)
				}
				if who != "whom nobody tells" {
					for _, expected := range []eventstore.Expected{eventstore.NoStream, eventstore.Any, eventstore.Exact(1)} {
						b := eventstore.Batch{Stream: "consent-2", Expected: expected, Records: storetest.Records(1)}
						if _, err := s.Append(t.Context(), b); !errors.Is(err, eventstore.ErrIntegrity) {
							t.Errorf("%s appends to the deleted stream: %v", who, err)
						}
					}
				}
				if n, err := ends(t, s, "consent-1"); n != 2 || err != nil {
					t.Errorf("%s reads %d records of another stream, %v", who, n, err)
				}
				if n, err := ends(t, s, "consent-never"); n != 0 || err != nil {
					t.Errorf("%s reads %d records of a stream that never was, %v", who, n, err)
				}
				left := all(t, s)
				if fmt.Sprint(left[:2], left[len(left)-2:]) != "[consent-1 consent-1] [registry registry]" {
					t.Errorf("%s reads %v", who, left)
				}
				// The end of the log is its last record: nobody waits for a tombstone.
				if head, err := s.Head(t.Context()); err != nil || head != before {
					t.Errorf("%s sees the end at %v, want %v (%v)", who, head, before, err)
				}
			}
			appendTwo(t, s, "consent-3")
			if err := s.Wait(t.Context(), before); err != nil {
				t.Error(err)
			}
		})
	}
}

// Whoever waits behind the last record is not woken by a tombstone again and again.
func TestATombstoneWakesNobody(t *testing.T) {
	o := kurrenttest.Start(t)
	address := o.Address
	s, f := openFound(t, address)
	appendTwo(t, s, "consent-1")
	head, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o.DeleteForGood("consent-1")
	<-f
	ctx, cancel := context.WithCancel(t.Context())
	woken := make(chan error, 1)
	go func() { woken <- s.Wait(ctx, head) }()
	for range 3 { // looks at the end meanwhile
		if _, err := s.Head(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-woken; !errors.Is(err, context.Canceled) {
		t.Errorf("woken: %v", err)
	}
}

// What an operator lifted is read again.
func TestALiftedTruncationIsReadAgain(t *testing.T) {
	o := kurrenttest.Start(t)
	address := o.Address
	s, f := openFound(t, address)
	appendTwo(t, s, "consent-1")
	o.DeleteSoftly("consent-1")
	<-f
	if _, err := ends(t, s, "consent-1"); !errors.Is(err, eventstore.ErrIntegrity) {
		t.Fatal(err)
	}
	if p := prepare(t, address, kurrent.PrepareOptions{}); fmt.Sprint(p.Lifted) != "[consent-1]" {
		t.Fatalf("%+v", p)
	}
	all(t, s) // passes what lifted it
	if n, err := ends(t, s, "consent-1"); n != 2 || err != nil {
		t.Errorf("%d records, %v", n, err)
	}
}

// What was deleted for good and not yet scavenged is brought whole to another store.
func TestACopyBringsADeletedStreamBack(t *testing.T) {
	o := kurrenttest.Start(t)
	s, f := openFound(t, o.Address)
	for _, name := range []eventstore.Stream{"consent-1", "registry"} {
		appendTwo(t, s, name)
	}
	o.DeleteForGood("consent-1")
	<-f
	to := memory.New()
	if done, err := storecopy.Log(t.Context(), s, to, nil); err != nil || done.Leaves != 4 {
		t.Fatalf("%+v, %v", done, err)
	}
	if n, err := ends(t, to, "consent-1"); n != 2 || err != nil {
		t.Errorf("%d records, %v", n, err)
	}
}

// Preparing a server tells of streams that were deleted for good, which it cannot bring back.
func TestPrepareTellsOfDeletedStreams(t *testing.T) {
	o := kurrenttest.Start(t)
	address := o.Address
	s, _ := openFound(t, address)
	appendTwo(t, s, "consent-1")
	o.DeleteForGood("consent-1")
	if p := prepare(t, address, kurrent.PrepareOptions{}); fmt.Sprint(p.Deleted) != "[consent-1]" || p.Records != 2 || len(p.Doubts) == 0 {
		t.Errorf("%+v", p)
	}
}

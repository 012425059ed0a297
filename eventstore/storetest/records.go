package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore"
	"coffre/eventstore/proof"
)

const (
	stream1 = eventstore.Stream("consent-0198f6a0-0000-7000-8000-000000000001")
	stream2 = eventstore.Stream("document-0198f6a0-0000-7000-8000-000000000002")
)

// Records returns n new records, whose bytes tell them apart.
func Records(n int) []eventstore.Record {
	records := make([]eventstore.Record, n)
	for i := range records {
		id := uuid.New()
		records[i] = eventstore.Record{
			ID:     id,
			Type:   "storetest.happened/1",
			Time:   time.Now().UTC().Truncate(time.Microsecond),
			Meta:   []byte(`{"meta":"` + id.String() + `"}`),
			Clear:  []byte(`{"clear":"` + id.String() + `"}`),
			Sealed: append([]byte{0, 0xff}, id[:]...),
			Sum:    [32]byte{1}, // of nothing: no store may keep it
		}
	}
	return records
}

// Same tells whether two records are the same but for their position, which only
// has a meaning within one store.
func Same(a, b eventstore.Record) bool {
	return a.Stream == b.Stream && a.Revision == b.Revision && a.ID == b.ID && a.Type == b.Type && a.Time == b.Time &&
		bytes.Equal(a.Meta, b.Meta) && bytes.Equal(a.Clear, b.Clear) && bytes.Equal(a.Sealed, b.Sealed)
}

func open(t *testing.T, h Harness) eventstore.Store {
	t.Helper()
	s := h.Open(t)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func batch(s eventstore.Stream, e eventstore.Expected, records []eventstore.Record) eventstore.Batch {
	return eventstore.Batch{Stream: s, Expected: e, Records: records}
}

// mustAppend appends and checks what every fresh append answers.
func mustAppend(t *testing.T, s eventstore.Store, name eventstore.Stream, e eventstore.Expected, records []eventstore.Record) eventstore.Appended {
	t.Helper()
	done, err := s.Append(t.Context(), batch(name, e, records))
	if err != nil {
		t.Fatalf("append %d to %s expecting %d: %v", len(records), name, e, err)
	}
	if done.Repeated || int(done.Last-done.First) != len(records)-1 || done.Position.IsZero() {
		t.Fatalf("append %d answered %+v", len(records), done)
	}
	return done
}

// mustConflict appends and demands a *WrongRevision that tells the truth.
func mustConflict(t *testing.T, s eventstore.Store, name eventstore.Stream, e eventstore.Expected, records []eventstore.Record, actual eventstore.Revision) {
	t.Helper()
	done, err := s.Append(t.Context(), batch(name, e, records))
	wrong, ok := errors.AsType[*eventstore.WrongRevision](err)
	if !ok {
		t.Fatalf("append expecting %d answered %+v, %v, want *WrongRevision", e, done, err)
	}
	if *wrong != (eventstore.WrongRevision{Stream: name, Expected: e, Actual: actual}) {
		t.Fatalf("append expecting %d answered %+v, want revision %d", e, *wrong, actual)
	}
}

func readStream(t *testing.T, s eventstore.Store, name eventstore.Stream, from eventstore.Revision) []eventstore.Record {
	t.Helper()
	var got []eventstore.Record
	for r, err := range s.ReadStream(t.Context(), name, from) {
		if err != nil {
			t.Fatalf("read %s from %d: %v", name, from, err)
		}
		got = append(got, r)
	}
	for i, r := range got {
		if r.Stream != name || r.Revision != max(from, 0)+eventstore.Revision(i) {
			t.Fatalf("read %s from %d: record %d is %s@%d", name, from, i, r.Stream, r.Revision)
		}
	}
	return got
}

// readAll reads to the end in pages of limit and checks the order of positions.
func readAll(t *testing.T, s eventstore.Store, after eventstore.Position, limit int) []eventstore.Record {
	t.Helper()
	got, err := collect(t.Context(), s, after, limit)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// collect is readAll for goroutines, which may not end the test.
func collect(ctx context.Context, s eventstore.Store, after eventstore.Position, limit int) ([]eventstore.Record, error) {
	var got []eventstore.Record
	for {
		n := 0
		for r, err := range s.ReadAll(ctx, after, limit) {
			if err != nil {
				return got, fmt.Errorf("read after %v: %w", after, err)
			}
			if r.Position.Compare(after) <= 0 {
				return got, fmt.Errorf("read after %v yielded %v", after, r.Position)
			}
			after = r.Position
			got = append(got, r)
			n++
		}
		if n > limit {
			return got, fmt.Errorf("asked for %d records, got %d", limit, n)
		}
		if n == 0 {
			return got, nil
		}
	}
}

// mustBe demands that got is what was appended to name from revision first on.
func mustBe(t *testing.T, got []eventstore.Record, name eventstore.Stream, first eventstore.Revision, appended []eventstore.Record) {
	t.Helper()
	if len(got) != len(appended) {
		t.Fatalf("%s has %d records, want %d", name, len(got), len(appended))
	}
	for i, want := range appended {
		want.Stream, want.Revision = name, first+eventstore.Revision(i)
		if !Same(got[i], want) {
			t.Fatalf("%s@%d reads\n%+v, was appended as\n%+v", name, want.Revision, got[i], want)
		}
	}
}

// mustBeWhole checks what is true of every log at rest: reading all yields each
// stream's records in its order, and each stream reads as its part of the whole.
func mustBeWhole(t *testing.T, s eventstore.Store) []eventstore.Record {
	t.Helper()
	all := readAll(t, s, eventstore.Position{}, 100)
	perStream := map[eventstore.Stream][]eventstore.Record{}
	for i, r := range all {
		if (r.Sum != [32]byte{}) && r.Sum != proof.LeafHash(&r) {
			t.Fatalf("record %d of the log comes with another record's sum", i)
		}
		if want := eventstore.Revision(len(perStream[r.Stream])); r.Revision != want {
			t.Fatalf("reading all: %s@%d where %d is next", r.Stream, r.Revision, want)
		}
		perStream[r.Stream] = append(perStream[r.Stream], r)
	}
	for name, want := range perStream {
		got := readStream(t, s, name, 0)
		if len(got) != len(want) {
			t.Fatalf("%s reads %d records, the whole log has %d of it", name, len(got), len(want))
		}
		for i := range got {
			if !Same(got[i], want[i]) || got[i].Position != want[i].Position {
				t.Fatalf("%s@%d differs between the two ways of reading", name, i)
			}
		}
	}
	head, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var last eventstore.Position
	if len(all) > 0 {
		last = all[len(all)-1].Position
	}
	if head != last {
		t.Fatalf("head is %v, the last record is at %v", head, last)
	}
	return all
}

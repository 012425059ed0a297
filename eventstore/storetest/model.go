package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"coffre/eventstore"
	"coffre/eventstore/memory"
)

// model plays random histories against the store and against memory, and demands
// the same answers and the same reads. A history that fails is shrunk, and rapid
// prints the seed that plays it again.
func model(t *testing.T, h Harness) {
	m := &modelRun{store: h.Open(t), reference: memory.New()}
	t.Cleanup(func() { m.store.Close() })
	histories, steps := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		// Every history has streams of its own, so that one pair of stores serves all.
		histories++
		m.names = nil
		for i := range 3 {
			m.names = append(m.names, eventstore.Stream(fmt.Sprintf("history-%d-%d", histories, i)))
		}
		m.sent = nil
		storeFrom, err1 := m.store.Head(t.Context())
		referenceFrom, err2 := m.reference.Head(t.Context())
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) { steps++; m.append(t) },
			"repeat": func(t *rapid.T) { steps++; m.repeat(t) },
			"read":   m.read,
			"": func(t *rapid.T) {
				if err := m.compare(t.Context(), storeFrom, referenceFrom); err != nil {
					t.Fatal(err)
				}
			},
		})
	})
	if histories == 0 || steps == 0 {
		t.Fatalf("%d histories with %d appends: nothing was tested", histories, steps)
	}
	if h.Reopen == nil {
		return
	}
	m.store = h.Reopen(t, m.store)
	if err := m.compare(t.Context(), eventstore.Position{}, eventstore.Position{}); err != nil {
		t.Fatalf("reopened: %v", err)
	}
}

type modelRun struct {
	store, reference eventstore.Store
	names            []eventstore.Stream
	sent             [][]eventstore.Record // every batch of this history, to whatever stream
}

func (m *modelRun) append(t *rapid.T) {
	name := rapid.SampledFrom(m.names).Draw(t, "stream")
	m.do(t, batch(name, expected(t), Records(rapid.IntRange(1, 4).Draw(t, "size"))))
}

// repeat sends what was sent before: whole, in part, out of order, or with news.
func (m *modelRun) repeat(t *rapid.T) {
	if len(m.sent) == 0 {
		t.Skip("nothing to repeat")
	}
	name := rapid.SampledFrom(m.names).Draw(t, "stream")
	records := slices.Clone(rapid.SampledFrom(m.sent).Draw(t, "batch"))
	switch rapid.IntRange(0, 5).Draw(t, "how") {
	case 0:
		records = records[rapid.IntRange(0, len(records)-1).Draw(t, "cut"):]
	case 1:
		records = append(records, Records(1)...)
	case 2:
		slices.Reverse(records)
	case 3:
		records = append(Records(1), records...)
	}
	e := expected(t)
	if e >= eventstore.NoStream && e == m.head(t, name) {
		e = eventstore.Any // at the right revision a store takes the writer's word that ids are new
	}
	m.do(t, batch(name, e, records))
}

func expected(t *rapid.T) eventstore.Expected {
	return eventstore.Expected(rapid.OneOf(
		rapid.SampledFrom([]int64{int64(eventstore.Any), int64(eventstore.NoStream), int64(eventstore.StreamExists)}),
		rapid.Int64Range(0, 12),
	).Draw(t, "expected"))
}

func (m *modelRun) head(t *rapid.T, name eventstore.Stream) eventstore.Expected {
	head := eventstore.NoStream
	for r, err := range m.reference.ReadStream(t.Context(), name, 0) {
		if err != nil {
			t.Fatal(err)
		}
		head = eventstore.Exact(r.Revision)
	}
	return head
}

// do appends to both and compares the answers, positions aside.
func (m *modelRun) do(t *rapid.T, b eventstore.Batch) {
	got, gotErr := m.store.Append(t.Context(), b)
	want, wantErr := m.reference.Append(t.Context(), b)
	got.Position, want.Position = eventstore.Position{}, eventstore.Position{}
	if got != want || !sameError(gotErr, wantErr) {
		t.Fatalf("append to %s expecting %d answered %+v, %v; the reference %+v, %v", b.Stream, b.Expected, got, gotErr, want, wantErr)
	}
	m.sent = append(m.sent, b.Records)
}

func sameError(a, b error) bool {
	wrongA, okA := errors.AsType[*eventstore.WrongRevision](a)
	wrongB, okB := errors.AsType[*eventstore.WrongRevision](b)
	if okA && okB {
		return *wrongA == *wrongB
	}
	return a == nil && b == nil
}

func (m *modelRun) read(t *rapid.T) {
	name := rapid.SampledFrom(m.names).Draw(t, "stream")
	from := eventstore.Revision(rapid.Int64Range(0, 12).Draw(t, "from"))
	var sides [2][]eventstore.Record
	for i, s := range []eventstore.Store{m.store, m.reference} {
		for r, err := range s.ReadStream(t.Context(), name, from) {
			if err != nil {
				t.Fatal(err)
			}
			sides[i] = append(sides[i], r)
		}
	}
	if !slices.EqualFunc(sides[0], sides[1], Same) {
		t.Fatalf("%s from %d: %d records, the reference has %d", name, from, len(sides[0]), len(sides[1]))
	}
}

// compare reads both to the end from places that mean the same.
func (m *modelRun) compare(ctx context.Context, store, reference eventstore.Position) error {
	got, err1 := collect(ctx, m.store, store, 50)
	want, err2 := collect(ctx, m.reference, reference, 50)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if !slices.EqualFunc(got, want, Same) {
		return fmt.Errorf("the log has %d records, the reference %d, or they differ", len(got), len(want))
	}
	return nil
}

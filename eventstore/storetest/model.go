package storetest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"coffre/eventstore"
	"coffre/eventstore/memory"
)

func model(t *testing.T, h Harness) { Agree(t, map[string]Harness{"the store": h}) }

// fewerHistories takes the number of random histories down to a quarter until the test
// ends, where one of the stores only repeats, and not in a soak.
func fewerHistories(t *testing.T, kinds map[string]Harness) {
	t.Helper()
	repeats := slices.ContainsFunc(slices.Collect(maps.Values(kinds)), func(h Harness) bool { return h.Repeats })
	if !repeats || os.Getenv("COFFRE_SOAK") == "1" {
		return
	}
	checks := flag.Lookup("rapid.checks").Value // rapid has no other way to say it
	all := checks.String()
	n, err := strconv.Atoi(all)
	if err != nil {
		t.Fatal(err)
	}
	if err := checks.Set(strconv.Itoa(max(1, n/4))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := checks.Set(all); err != nil {
			t.Error(err)
		}
	})
}

// Agree plays random histories against stores of all kinds at once and against
// memory, and demands the same answers and the same reads of all. A history that
// fails is shrunk, and rapid prints the seed that plays it again.
func Agree(t *testing.T, kinds map[string]Harness) {
	if len(kinds) == 0 {
		t.Fatal("storetest: no store: nothing would be tested")
	}
	m := &modelRun{reference: side{name: "the reference", store: memory.New()}}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		m.sides = append(m.sides, &side{name: kind, store: kinds[kind].Open(t)})
	}
	t.Cleanup(func() {
		for _, s := range m.sides {
			s.store.Close()
		}
	})
	fewerHistories(t, kinds)
	histories, steps := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		// Every history has streams of its own, so that the same stores serve all.
		histories++
		m.names = nil
		for i := range 3 {
			m.names = append(m.names, eventstore.Stream(fmt.Sprintf("history-%d-%d", histories, i)))
		}
		m.sent = nil
		for _, s := range append(m.sides, &m.reference) {
			var err error
			if s.from, err = s.store.Head(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) { steps++; m.append(t) },
			"repeat": func(t *rapid.T) { steps++; m.repeat(t) },
			"read":   m.read,
			"": func(t *rapid.T) {
				if err := m.compare(t.Context()); err != nil {
					t.Fatal(err)
				}
			},
		})
	})
	if histories == 0 || steps == 0 {
		t.Fatalf("%d histories with %d appends: nothing was tested", histories, steps)
	}
	m.reference.from = eventstore.Position{}
	for _, s := range m.sides {
		if reopen := kinds[s.name].Reopen; reopen != nil {
			s.store = reopen(t, s.store)
		}
		s.from = eventstore.Position{}
	}
	if err := m.compare(t.Context()); err != nil {
		t.Fatalf("reopened: %v", err)
	}
}

// side is a store with the place where the history under way began in it.
type side struct {
	name  string
	store eventstore.Store
	from  eventstore.Position
}

type modelRun struct {
	sides     []*side
	reference side
	names     []eventstore.Stream
	sent      [][]eventstore.Record // every batch of this history, to whatever stream
}

func (m *modelRun) append(t *rapid.T) {
	name := rapid.SampledFrom(m.names).Draw(t, "stream")
	b := batch(name, expected(t), Records(rapid.IntRange(1, 4).Draw(t, "size")))
	if b.Expected >= 0 && len(m.sent) > 0 && rapid.Bool().Draw(t, "follows") {
		last := rapid.SampledFrom(m.sent).Draw(t, "record")
		b.Follows = last[len(last)-1].ID
	}
	m.do(t, b)
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
	for r, err := range m.reference.store.ReadStream(t.Context(), name, 0) {
		if err != nil {
			t.Fatal(err)
		}
		head = eventstore.Exact(r.Revision)
	}
	return head
}

// do appends to all and compares the answers, positions aside.
func (m *modelRun) do(t *rapid.T, b eventstore.Batch) {
	want, wantErr := m.reference.store.Append(t.Context(), b)
	want.Position = eventstore.Position{}
	for _, s := range m.sides {
		got, gotErr := s.store.Append(t.Context(), b)
		got.Position = eventstore.Position{}
		if got != want || !sameError(gotErr, wantErr) {
			t.Fatalf("append to %s expecting %d: %s answered %+v, %v; the reference %+v, %v", b.Stream, b.Expected, s.name, got, gotErr, want, wantErr)
		}
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
	read := func(s *side) (found []eventstore.Record) {
		for r, err := range s.store.ReadStream(t.Context(), name, from) {
			if err != nil {
				t.Fatalf("%s: %v", s.name, err)
			}
			found = append(found, r)
		}
		return found
	}
	want := read(&m.reference)
	for _, s := range m.sides {
		if got := read(s); !slices.EqualFunc(got, want, Same) {
			t.Fatalf("%s from %d: %s has %d records, the reference %d, or they differ", name, from, s.name, len(got), len(want))
		}
	}
}

// compare reads all to the end from places that mean the same.
func (m *modelRun) compare(ctx context.Context) error {
	want, err := collect(ctx, m.reference.store, m.reference.from, 50)
	if err != nil {
		return err
	}
	for _, s := range m.sides {
		got, err := collect(ctx, s.store, s.from, 50)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if !slices.EqualFunc(got, want, Same) {
			return fmt.Errorf("the log of %s has %d records, the reference %d, or they differ", s.name, len(got), len(want))
		}
	}
	return nil
}

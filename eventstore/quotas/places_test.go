package quotas_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore/quotas"
	"coffre/eventstore/seal/keysdb"
)

var errNoPlace = errors.New("no place")

// upload is a place of ten bytes for an hour.
func (d *deployment) upload(caller string, b quotas.Bounds) quotas.Place {
	return quotas.Place{
		Budget: "uploads", ID: uuid.New(), Caller: caller, Bytes: 10, At: d.at(), Until: d.at().Add(time.Hour), Bounds: b, Refusal: errNoPlace,
	}
}

func taken(t *testing.T, table *quotas.Table, p quotas.Place) bool {
	t.Helper()
	err := table.Take(t.Context(), p)
	if err != nil && !errors.Is(err, errNoPlace) {
		t.Fatal(err)
	}
	return err == nil
}

// F30: what a caller leaves in the vault is bounded, for each caller, about each person and
// in all, in number and in bytes.
func TestF30PlacesAreBounded(t *testing.T) {
	about := func(p quotas.Place, person string) quotas.Place { p.Person = []byte(person); return p }
	onEach(t, func(t *testing.T, d *deployment) {
		table, _ := d.process(t)
		for _, bound := range []struct {
			name   string
			bounds quotas.Bounds
			places []quotas.Place // each refused but the first two
			free   quotas.Place   // is not refused by this bound
		}{
			{"of a caller", quotas.Bounds{Caller: quotas.Bound{Places: 2}}, []quotas.Place{d.upload("a", quotas.Bounds{}), about(d.upload("a", quotas.Bounds{}), "p"), d.upload("a", quotas.Bounds{})}, d.upload("b", quotas.Bounds{})},
			{"of a caller, bytes", quotas.Bounds{Caller: quotas.Bound{Bytes: 29}}, []quotas.Place{d.upload("c", quotas.Bounds{}), d.upload("c", quotas.Bounds{}), d.upload("c", quotas.Bounds{})}, d.upload("d", quotas.Bounds{})},
			{"of a caller about a person", quotas.Bounds{Pair: quotas.Bound{Places: 2}}, []quotas.Place{about(d.upload("e", quotas.Bounds{}), "q"), about(d.upload("e", quotas.Bounds{}), "q"), about(d.upload("e", quotas.Bounds{}), "q")}, about(d.upload("f", quotas.Bounds{}), "q")},
			{"about a person", quotas.Bounds{Person: quotas.Bound{Places: 2}}, []quotas.Place{about(d.upload("g", quotas.Bounds{}), "r"), about(d.upload("h", quotas.Bounds{}), "r"), about(d.upload("i", quotas.Bounds{}), "r")}, about(d.upload("i", quotas.Bounds{}), "s")},
		} {
			for i, p := range bound.places {
				p.Bounds = bound.bounds
				if taken(t, table, p) != (i < 2) {
					t.Errorf("%s: place %d of two", bound.name, i+1)
				}
			}
			bound.free.Bounds = bound.bounds
			if !taken(t, table, bound.free) {
				t.Errorf("%s: another is refused", bound.name)
			}
		}
		var all int64
		for _, s := range table.BudgetTotals() {
			all += int64(s.Taken)
		}
		if taken(t, table, d.upload("z", quotas.Bounds{All: quotas.Bound{Places: all}})) || !taken(t, table, d.upload("z", quotas.Bounds{All: quotas.Bound{Places: all + 1}})) {
			t.Error("the bound in all does not count every caller")
		}
		if told := d.told.String(); strings.Count(told, "budget=uploads") != 1 || strings.Contains(told, "caller") {
			t.Errorf("told %s", told)
		}
	})
}

// A place is had again once it is given back or has ended, and one that a repeated request
// has is not taken twice.
func TestPlacesEnd(t *testing.T) {
	onEach(t, func(t *testing.T, d *deployment) {
		table, db := d.process(t)
		one := quotas.Bounds{Caller: quotas.Bound{Places: 1}, All: quotas.Bound{Places: 1}}
		first := d.upload("a", one)
		for range 2 {
			if !taken(t, table, first) {
				t.Error("the same place is refused when it is asked for again")
			}
		}
		if taken(t, table, d.upload("a", one)) {
			t.Error("two places of one")
		}
		table.Free("uploads", first.ID)
		table.Free("uploads", first.ID)
		second := d.upload("a", one)
		if !taken(t, table, second) || taken(t, table, d.upload("b", one)) {
			t.Error("a place that was given back once is there not at all or twice")
		}
		d.advance(time.Hour)
		if !taken(t, table, d.upload("b", one)) {
			t.Error("a place that has ended is still taken")
		}
		d.advance(time.Hour)
		if err := table.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"quota_places", "quota_sums"} {
			s, err := db.Read(`SELECT count(*) FROM ` + name)
			if err != nil {
				t.Fatal(err)
			}
			var n int
			if err := s.GetContext(t.Context(), &n); err != nil || n != 0 {
				t.Errorf("%d rows are left in %s, %v", n, name, err)
			}
		}
	})
}

// F30: of processes that take the last places each place is taken once.
func TestF30PlacesAcrossProcesses(t *testing.T) {
	onEach(t, func(t *testing.T, d *deployment) {
		one, _ := d.process(t)
		other, _ := d.process(t)
		const places = 5
		bounds := quotas.Bounds{All: quotas.Bound{Places: places}}
		var all sync.WaitGroup
		var within atomic.Int64
		for i := range 4 * places {
			all.Go(func() {
				if err := []*quotas.Table{one, other}[i%2].Take(context.WithoutCancel(t.Context()), d.upload("a", bounds)); err == nil {
					within.Add(1)
				} else if !errors.Is(err, errNoPlace) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if within.Load() != places {
			t.Errorf("%d places, want %d", within.Load(), places)
		}
	})
}

// The calls of a caller in a minute are bounded, over processes and restarts but for the
// share that each counts by itself; the next minute begins anew.
func TestCallsOfAMinute(t *testing.T) {
	onEach(t, func(t *testing.T, d *deployment) {
		const limit = 128
		call := func(table *quotas.Table, caller string, times int) (within int) {
			for range times {
				if table.Called(caller, limit, d.at()) {
					within++
				}
			}
			return within
		}
		table, db := d.process(t)
		if n := call(table, "a", 2*limit); n != limit {
			t.Errorf("%d calls, want %d", n, limit)
		}
		if n := call(table, "b", 1); n != 1 {
			t.Error("another caller is refused")
		}
		if err := db.Close(); err != nil { // writes what is queued
			t.Fatal(err)
		}
		other, again := d.process(t)
		call(other, "a", limit/64) // counted by itself, then the table is read
		if _, err := keysdb.Do(t.Context(), again, func(*keysdb.Tx) (int, error) { return 0, nil }); err != nil {
			t.Fatal(err)
		}
		if n := call(other, "a", limit); n > limit/64 {
			t.Errorf("another process lets %d more calls in", n)
		}
		d.advance(time.Minute)
		if n := call(other, "a", limit+1); n != limit {
			t.Errorf("%d calls of the next minute", n)
		}
	})
}

// Places that were taken under the former request key count under the new one.
func TestF30PlacesCountUnderTheFormerKey(t *testing.T) {
	onEach(t, func(t *testing.T, d *deployment) {
		db := d.open()
		var others []func(parts ...[]byte) [32]byte
		former, next := d.mac, func(parts ...[]byte) [32]byte { return d.mac(append([][]byte{[]byte("next")}, parts...)...) }
		open := func(mac func(parts ...[]byte) [32]byte) *quotas.Table {
			table, err := quotas.Open(t.Context(), db, mac, quotas.Options{Now: d.at, Others: func() []func(parts ...[]byte) [32]byte { return others }})
			if err != nil {
				t.Fatal(err)
			}
			return table
		}
		bounds := quotas.Bounds{Caller: quotas.Bound{Places: 2, Bytes: 30}}
		if !taken(t, open(former), d.upload("a", bounds)) {
			t.Fatal("the first")
		}
		others = []func(parts ...[]byte) [32]byte{former}
		table := open(next)
		second := d.upload("a", bounds)
		if !taken(t, table, second) || taken(t, table, d.upload("a", bounds)) || !taken(t, table, d.upload("b", bounds)) {
			t.Error("the second of two, the third, or somebody else's")
		}
	})
}

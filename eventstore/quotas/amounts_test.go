package quotas_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"coffre/eventstore/quotas"
	"coffre/eventstore/seal/keysdb"
)

var errNoMore = errors.New("no more of it today")

// document is one more document of a caller about a person.
func (d *deployment) document(caller, person string, b quotas.Bounds) quotas.Amount {
	return quotas.Amount{Budget: "documents", Operation: "issueDocument", Caller: caller, Person: []byte(person), Bounds: b, Refusal: errNoMore, At: d.at()}
}

func added(t *testing.T, table *quotas.Table, a quotas.Amount) bool {
	t.Helper()
	_, err := table.Add(t.Context(), a)
	if err != nil && !errors.Is(err, errNoMore) {
		t.Fatal(err)
	}
	return err == nil
}

// settled waits until what a process counted is in its database.
func settled(t *testing.T, db *keysdb.DB) {
	t.Helper()
	for range 2 { // what was counted while a write was under way follows it
		if _, err := keysdb.Do(t.Context(), db, func(*keysdb.Tx) (int, error) { return 0, nil }); err != nil {
			t.Fatal(err)
		}
	}
}

// What a caller leaves in a day is bounded, for each caller and about each person, over
// processes and restarts; what is taken back is had again, and the next day begins anew.
func TestAmountsOfADay(t *testing.T) {
	onEach(t, func(t *testing.T, d *deployment) {
		bounds := quotas.Bounds{Caller: quotas.Bound{Places: 5}, Pair: quotas.Bound{Places: 2}}
		table, db := d.process(t)
		for i, step := range []struct {
			caller, person string
			want           bool
		}{
			{"a", "p", true}, {"a", "p", true}, {"a", "p", false}, {"b", "p", true},
			{"a", "q", true}, {"a", "q", true}, {"a", "r", true}, {"a", "s", false}, {"b", "s", true},
		} {
			if got := added(t, table, d.document(step.caller, step.person, bounds)); got != step.want {
				t.Errorf("step %d: %v", i, got)
			}
		}
		single := d.document("c", "p", quotas.Bounds{Pair: quotas.Bound{Places: 1}})
		takeBack, err := table.Add(t.Context(), single)
		if err != nil {
			t.Fatal(err)
		}
		takeBack()
		if !added(t, table, single) || added(t, table, single) {
			t.Error("what was taken back is there not at all or twice")
		}
		if told := d.told.String(); strings.Count(told, "budget=documents") != 1 {
			t.Errorf("told %s", told)
		}
		settled(t, db)
		other, otherDB := d.process(t)
		if added(t, other, d.document("a", "s", bounds)) || !added(t, other, d.document("b", "t", bounds)) {
			t.Error("another process counts otherwise")
		}
		if err := otherDB.Close(); err != nil { // writes what is queued
			t.Fatal(err)
		}
		again, _ := d.process(t)
		if added(t, again, d.document("a", "s", bounds)) || !added(t, again, d.document("b", "p", bounds)) || added(t, again, d.document("b", "p", bounds)) {
			t.Error("a restarted process counts otherwise")
		}
		d.advance(24 * time.Hour)
		if !added(t, again, d.document("a", "p", bounds)) {
			t.Error("refused the next day")
		}
	})
}

// The amounts of a day that is over are deleted.
func TestAmountsArePurged(t *testing.T) {
	onEach(t, func(t *testing.T, d *deployment) {
		table, db := d.process(t)
		for n := range 3 {
			if !added(t, table, d.document("a", fmt.Sprint(n), quotas.Bounds{Caller: quotas.Bound{Places: 9}, Pair: quotas.Bound{Places: 9}})) {
				t.Fatal(n)
			}
		}
		rows := func() (n int) {
			settled(t, db)
			s, err := db.Read(`SELECT count(*) FROM quota_amounts`)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.GetContext(t.Context(), &n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		if err := table.Purge(t.Context()); err != nil || rows() != 4 {
			t.Errorf("%d rows of today, %v", rows(), err)
		}
		d.advance(24 * time.Hour)
		if err := table.Purge(t.Context()); err != nil || rows() != 0 {
			t.Errorf("%d rows of yesterday, %v", rows(), err)
		}
	})
}

// A person whom the vault came to know in the course of a day counts once.
func TestSomebodyCountsOnceByTwoNames(t *testing.T) {
	onEach(t, func(t *testing.T, d *deployment) {
		table, db := d.process(t)
		const quota = 2
		count := func(person, also string) error {
			n := quotas.Naming{Organisation: railways, Person: []byte(person), Quota: quota, Judge: judge(quota), At: d.at()}
			if also != "" {
				n.Also = []byte(also)
			}
			return table.Count(t.Context(), n)
		}
		for i, step := range []struct {
			person, also string
			want         error
		}{{"number 1", "number 1", nil}, {"id 1", "number 1", nil}, {"id 2", "number 2", nil}, {"id 3", "number 3", errQuota}, {"id 1", "number 1", nil}} {
			if err := count(step.person, step.also); !errors.Is(err, step.want) {
				t.Errorf("step %d: %v", i, err)
			}
			settled(t, db)
		}
	})
}

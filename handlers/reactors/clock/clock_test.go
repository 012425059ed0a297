package clock

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/handlers/reactors"
)

// vault is a vault with terms that fall due, each of which it announces once.
type vault struct {
	t       *testing.T
	db      *reactors.DB
	now     time.Time     // of the machine
	passed  time.Duration // really
	terms   []Term
	told    map[uuid.UUID]int
	asked   int
	failing error
	never   map[uuid.UUID]bool // not to be announced
}

func newVault(t *testing.T) *vault {
	db, err := reactors.Open(t.Context(), filepath.Join(t.TempDir(), "reactors.db"), sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &vault{t: t, db: db, now: time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC), told: map[uuid.UUID]int{}, never: map[uuid.UUID]bool{}}
}

// clock is the clock of a new process.
func (v *vault) clock() *Clock {
	c, err := New(v.t.Context(), Options{
		DB: v.db, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return v.now }, Passed: func() time.Duration { return v.passed },
		Due: func(_ context.Context, after Term, now time.Time, limit int) (page []Term, err error) {
			for _, t := range v.terms {
				if !t.Due.After(now) && (after.Kind == "" || t.Due.After(after.Due)) && len(page) < limit {
					page = append(page, t)
				}
			}
			return page, nil
		},
		Announce: func(_ context.Context, t Term) (bool, error) {
			v.asked++
			if v.failing != nil {
				return false, v.failing
			}
			if v.never[t.Subject] || v.told[t.Subject] > 0 {
				return false, nil
			}
			v.told[t.Subject]++
			return true, nil
		},
	})
	if err != nil {
		v.t.Fatal(err)
	}
	return c
}

// due adds a term that falls due after a while.
func (v *vault) due(after time.Duration) uuid.UUID {
	one := Term{"document", uuid.New(), v.now.Add(after)}
	v.terms = append(v.terms, one)
	slices.SortFunc(v.terms, func(a, b Term) int { return a.Due.Compare(b.Due) })
	return one.Subject
}

// pass lets time pass, for the machine as well.
func (v *vault) pass(d time.Duration) { v.now, v.passed = v.now.Add(d), v.passed+d }

func (v *vault) look(c *Clock) {
	v.t.Helper()
	if err := c.Look(v.t.Context()); err != nil {
		v.t.Fatal(err)
	}
}

func (v *vault) status(c *Clock) Status {
	v.t.Helper()
	s, err := c.Status(v.t.Context())
	if err != nil {
		v.t.Fatal(err)
	}
	return s
}

// Everything that has fallen due is announced, page by page, and nothing else; what was not to be
// announced is asked for again on another day only.
func TestLookAnnouncesWhatIsDue(t *testing.T) {
	v := newVault(t)
	for i := range 2*page + 1 {
		v.due(-time.Duration(i) * time.Millisecond)
	}
	later, gone := v.due(time.Minute), v.due(-time.Hour)
	v.never[gone] = true
	c := v.clock()
	v.look(c)
	if len(v.told) != 2*page+1 || v.told[later] != 0 || v.status(c).Announced != 2*page+1 || !v.status(c).Looked.Equal(v.now) {
		t.Fatalf("%d told, %+v", len(v.told), v.status(c))
	}
	for range 2 { // the first finds what it announced now still among what is due
		v.pass(time.Minute)
		v.look(c)
	}
	asked := v.asked
	v.pass(time.Minute)
	v.look(c)
	if v.told[later] != 1 || v.asked != asked {
		t.Errorf("the later one %d times, asked %d times more", v.told[later], v.asked-asked)
	}
	v.pass(24 * time.Hour)
	v.never = map[uuid.UUID]bool{}
	v.look(c)
	if v.told[gone] != 1 {
		t.Error("on another day it is asked for again")
	}
}

// A kill between an announcement and the record of the look, and a second process, announce
// nothing twice; an outage of a day and more lets each be announced once.
func TestOnceAcrossKillsAndProcesses(t *testing.T) {
	v := newVault(t)
	one, two := v.due(0), v.due(20*time.Hour)
	cut, kill := context.WithCancel(t.Context())
	c := v.clock()
	announce := c.o.Announce
	c.o.Announce = func(ctx context.Context, x Term) (bool, error) {
		told, err := announce(ctx, x)
		kill()
		return told, err
	}
	if err := c.Look(cut); err == nil || !v.status(c).Looked.IsZero() {
		t.Fatalf("a look that was cut short: %v, %+v", err, v.status(c))
	}
	next, beside := v.clock(), v.clock()
	v.look(next)
	v.look(beside)
	v.pass(25 * time.Hour) // nobody looked
	third := v.clock()
	v.look(third)
	v.look(beside)
	if v.told[one] != 1 || v.told[two] != 1 || v.status(third).Announced != 1 {
		t.Errorf("%v", v.told)
	}
}

// A term that cannot be announced keeps no other from it, is tried again at the next look, and a
// look with one is none: the clock is seen to stand still.
func TestAFaultIsSeenAndTriedAgain(t *testing.T) {
	v := newVault(t)
	one := v.due(0)
	v.due(-time.Hour)
	c := v.clock()
	v.look(c)
	before := v.status(c).Looked
	three := v.due(time.Second)
	v.pass(time.Minute)
	v.failing = errors.New("away")
	if err := c.Look(t.Context()); !errors.Is(err, v.failing) || !v.status(c).Looked.Equal(before) {
		t.Fatalf("%v, %+v", err, v.status(c))
	}
	v.failing = nil
	v.look(c)
	if v.told[one] != 1 || v.told[three] != 1 || !v.status(c).Looked.After(before) {
		t.Errorf("%v", v.told)
	}
}

// A clock that jumps ahead announces nothing for an hour; set right within it, it never announced
// what was not due. A jump that nobody sets right is believed after that.
func TestAJumpAheadIsDoubted(t *testing.T) {
	v := newVault(t)
	c := v.clock()
	v.look(c)
	one := v.due(20 * 24 * time.Hour)
	v.pass(time.Minute)
	v.now = v.now.AddDate(1, 0, 0)
	v.look(c)
	for range 58 {
		v.pass(time.Minute)
		v.look(c)
	}
	if v.told[one] != 0 || !v.status(c).Doubts {
		t.Fatalf("within the hour: %v, %+v", v.told, v.status(c))
	}
	v.now = v.now.AddDate(-1, 0, 0)
	v.pass(time.Minute)
	v.look(c)
	if v.told[one] != 0 || v.status(c).Doubts || !v.status(c).Looked.Equal(v.now) {
		t.Fatalf("set right: %v, %+v", v.told, v.status(c))
	}
	v.now = v.now.AddDate(1, 0, 0)
	v.look(c)
	v.pass(Settle)
	v.look(c)
	if v.told[one] != 1 || v.status(c).Doubts {
		t.Errorf("nobody set it right: %v, %+v", v.told, v.status(c))
	}
}

// A clock that is set back announces nothing again, and goes on from there.
func TestAJumpBackAnnouncesNothingAgain(t *testing.T) {
	v := newVault(t)
	one := v.due(0)
	c := v.clock()
	v.look(c)
	v.now = v.now.AddDate(-1, 0, 0)
	v.look(c)
	v.look(v.clock())
	two := v.due(time.Minute)
	v.pass(time.Minute)
	v.look(c)
	if v.told[one] != 1 || v.told[two] != 1 || v.status(c).Doubts {
		t.Errorf("%v, %+v", v.told, v.status(c))
	}
}

// A process that starts more than a day after the last look doubts its time for an hour, and then
// announces what fell due meanwhile, each once; so does one that starts anew within that hour.
func TestAStartAfterALongOutage(t *testing.T) {
	v := newVault(t)
	v.look(v.clock())
	one := v.due(24 * time.Hour)
	v.pass(30 * 24 * time.Hour)
	c := v.clock()
	v.look(c)
	v.pass(Settle / 2)
	again := v.clock()
	v.look(again)
	if v.told[one] != 0 || !v.status(again).Doubts {
		t.Fatalf("%v, %+v", v.told, v.status(again))
	}
	for range 60 {
		v.pass(time.Minute)
		v.look(again)
	}
	if v.told[one] != 1 {
		t.Errorf("%v", v.told)
	}
}

// The first start of all announces at once: there is no look to doubt.
func TestTheFirstStart(t *testing.T) {
	v := newVault(t)
	one := v.due(0)
	c := v.clock()
	if s := v.status(c); !s.Looked.IsZero() || s.Doubts {
		t.Errorf("%+v", s)
	}
	v.look(c)
	if v.told[one] != 1 {
		t.Error("nothing was announced")
	}
}

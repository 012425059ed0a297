package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/handlers/reactors"
)

// stub is a broker in memory that can be away, and forget to answer.
type stub struct {
	mu       sync.Mutex
	away     error // what connecting and publishing answer; nil: it works
	refuse   int   // from this message of a publisher's on; 0: none
	got      []string
	arrived  chan string
	sessions int
}

func newStub() *stub { return &stub{arrived: make(chan string, 1000)} }

func (s *stub) connect(context.Context) (Publisher, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return nil, s.away
	}
	s.sessions++
	return &stubPublisher{stub: s}, nil
}

type stubPublisher struct {
	*stub
	n int
}

func (p *stubPublisher) Publish(topic string, all ...*message.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range all {
		p.n++
		if p.away != nil {
			return p.away
		}
		if p.refuse > 0 && p.n >= p.refuse {
			return errNotKept
		}
		p.got = append(p.got, topic+" "+m.UUID)
		p.arrived <- m.UUID
	}
	return nil
}

func (*stubPublisher) Close() error { return nil }

func (s *stub) set(away error, refuse int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away, s.refuse = away, refuse
}

// log of signals, as the vault would tell them.
type told struct {
	mu       sync.Mutex
	all      []Signal
	withheld map[int64]bool
}

func (l *told) add(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		leaf := int64(len(l.all)*3 + 2) // others' events lie between
		l.all = append(l.all, Signal{leaf, eventOf(leaf), fmt.Appendf(nil, `{"type":"be.coffre.vault.v1.documents.notify.updated","id":%q}`, eventOf(leaf))})
	}
}

func eventOf(leaf int64) uuid.UUID { return uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, leaf)) }

func (l *told) next(_ context.Context, _ Link, after int64, limit int) (all []Signal, last int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last = after
	for _, s := range l.all {
		if s.Leaf <= after || limit == 0 {
			continue
		}
		limit--
		last = s.Leaf
		if !l.withheld[s.Leaf] {
			all = append(all, s)
		}
	}
	return all, last, nil
}

func (l *told) last(context.Context, Link) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == 0 {
		return -1, nil
	}
	return l.all[len(l.all)-1].Leaf, nil
}

const issuer domain.Organisation = "0308357159"

func options(t *testing.T, db *reactors.DB, l *told, links ...Link) Options {
	t.Helper()
	return Options{
		DB: db, Links: links, Next: l.next, Last: l.last, LookEvery: time.Millisecond,
		Backoff: reactors.Backoff{First: time.Millisecond, Max: time.Millisecond}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

func link(name string, s *stub) Link {
	return Link{Name: name, Role: domain.RoleIssuer, Organisation: issuer, Kept: true, Connect: s.connect}
}

func openDB(t *testing.T) *reactors.DB {
	t.Helper()
	db, err := reactors.Open(t.Context(), t.TempDir()+"/reactors.db", sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// run runs links until stop is called.
func run(t *testing.T, o Options) (ls *Links, stop func()) {
	t.Helper()
	ls, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- ls.Run(ctx) }()
	return ls, sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func wait(t *testing.T, s *stub, n int) (all []string) {
	t.Helper()
	for range n {
		all = append(all, <-s.arrived)
	}
	return all
}

func TestALinkPublishesInTheOrderOfTheLog(t *testing.T) {
	l, s := &told{}, newStub()
	l.add(250) // more than two pages
	ls, stop := run(t, options(t, openDB(t), l, link("tax", s)))
	wait(t, s, 250)
	stop()
	for i, got := range s.got {
		if want := "documents.notify.updated " + eventOf(int64(i*3+2)).String(); got != want {
			t.Fatalf("message %d is %q, want %q", i, got, want)
		}
	}
	all, err := ls.States(t.Context())
	if err != nil || len(all) != 1 || all[0].Published != 250 || all[0].Leaf != 249*3+2 || !all[0].Failing.IsZero() || all[0].Last.IsZero() {
		t.Errorf("the link says %+v, %v", all, err)
	}
}

func TestALinkThatIsNewBeginsWithWhatFollows(t *testing.T) {
	l, s := &told{}, newStub()
	l.add(3)
	one := link("tax", s)
	one.Kept = false
	db := openDB(t)
	o := options(t, db, l, one)
	next := o.Next
	placed := make(chan struct{})
	once := sync.OnceFunc(func() { close(placed) })
	o.Next = func(ctx context.Context, l Link, after int64, limit int) ([]Signal, int64, error) {
		once()
		return next(ctx, l, after, limit)
	}
	_, stop := run(t, o)
	defer stop()
	<-placed
	l.add(1)
	if got := wait(t, s, 1); got[0] != eventOf(11).String() {
		t.Errorf("it began with %v", got)
	}
}

func TestABrokerThatIsAwayLosesNothingAndStopsNoOther(t *testing.T) {
	l, away, there := &told{}, newStub(), newStub()
	away.set(errors.New("dial tcp 192.0.2.1:4222: user tax, password hunter2"), 0)
	l.add(150)
	var logged strings.Builder
	db := openDB(t)
	o := options(t, db, l, link("away", away), link("there", there))
	o.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	ls, stop := run(t, o)
	wait(t, there, 150)
	away.set(nil, 40) // it takes 39 of each connection, and then refuses
	wait(t, away, 150)
	stop()
	if got := len(slices.Compact(slices.Sorted(slices.Values(away.got)))); got != 150 || len(away.got) != 150 {
		t.Errorf("%d messages, %d different ones; want 150", len(away.got), got)
	}
	if !slices.Equal(away.got, there.got) {
		t.Error("the order differs")
	}
	if strings.Contains(logged.String(), "hunter2") || strings.Contains(logged.String(), "192.0.2.1") {
		t.Errorf("the broker's words were logged: %s", &logged)
	}
	all, err := ls.States(t.Context())
	if err != nil || len(all) != 2 || all[0].Published != 150 || all[1].Published != 150 {
		t.Errorf("the links say %+v, %v", all, err)
	}
}

func TestALinkSaysSinceWhenItWaits(t *testing.T) {
	l, s := &told{}, newStub()
	l.add(1)
	s.set(errUnroutable, 0)
	db := openDB(t)
	ls, stop := run(t, options(t, db, l, link("tax", s)))
	defer stop()
	for {
		all, err := ls.States(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 1 && !all[0].Failing.IsZero() {
			if all[0].Reason != "nobodyKeepsIt" || all[0].Published != 0 || all[0].Leaf != -1 {
				t.Errorf("the link says %+v", all[0])
			}
			break
		}
	}
	s.set(nil, 0)
	wait(t, s, 1)
	for {
		all, err := ls.States(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if all[0].Published == 1 {
			if !all[0].Failing.IsZero() || all[0].Reason != "" {
				t.Errorf("the link says %+v", all[0])
			}
			break
		}
	}
}

// TestALinkGoesOnAfterTheEnd: what was published and not marked comes again under the same id, and
// nothing is left out.
func TestALinkGoesOnAfterTheEnd(t *testing.T) {
	l, s := &told{}, newStub()
	l.add(500)
	db := openDB(t)
	for range 5 {
		_, stop := run(t, options(t, db, l, link("tax", s)))
		<-s.arrived
		stop()
	}
	ls, stop := run(t, options(t, db, l, link("tax", s)))
	for {
		all, err := ls.States(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 1 && all[0].Leaf == 499*3+2 {
			break
		}
	}
	stop()
	seen, first := map[string]bool{}, []string{}
	for _, got := range s.got {
		if !seen[got] {
			seen[got] = true
			first = append(first, got)
		}
	}
	for i, got := range first {
		if want := "documents.notify.updated " + eventOf(int64(i*3+2)).String(); got != want {
			t.Fatalf("message %d is %q, want %q", i, got, want)
		}
	}
	if len(first) != 500 {
		t.Errorf("%d messages, want 500", len(first))
	}
}

func TestWhatMayNotBeToldIsPassed(t *testing.T) {
	l, s := &told{withheld: map[int64]bool{2: true, 8: true, 11: true}}, newStub()
	l.add(4)
	ls, stop := run(t, options(t, openDB(t), l, link("tax", s)))
	defer stop()
	if got := wait(t, s, 1); got[0] != eventOf(5).String() {
		t.Errorf("%v arrived", got)
	}
	for {
		all, err := ls.States(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 1 && all[0].Leaf == 11 {
			break
		}
	}
	if len(s.got) != 1 {
		t.Errorf("%v arrived", s.got)
	}
}

func TestLinksAreRefused(t *testing.T) {
	l, s, db := &told{}, newStub(), openDB(t)
	good := link("tax", s)
	for name, links := range map[string][]Link{
		"twice": {good, good}, "no name": {link("", s)}, "capitals": {link("Tax", s)}, "long": {link(strings.Repeat("a", 41), s)},
		"no organisation": {{Name: "tax", Role: domain.RoleIssuer, Connect: s.connect}},
		"no role":         {{Name: "tax", Organisation: issuer, Connect: s.connect}},
		"no broker":       {{Name: "tax", Role: domain.RoleIssuer, Organisation: issuer}},
	} {
		if _, err := New(t.Context(), options(t, db, l, links...)); !errors.Is(err, ErrLink) {
			t.Errorf("%s: %v", name, err)
		}
	}
	l.add(1)
	_, stop := run(t, options(t, db, l, good))
	wait(t, s, 1)
	stop()
	other := good
	other.Organisation = "0206731645"
	if _, err := New(t.Context(), options(t, db, l, other)); !errors.Is(err, ErrOtherOrganisation) {
		t.Errorf("the name of another organisation: %v", err)
	}
}

package kurrent

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"coffre/eventstore"
)

const (
	// lookEvery is how often the end of the log is asked for while somebody waits and the
	// subscription is silent: one that has silently stopped is found so, and renewed.
	lookEvery = time.Second
	// restAfter is how long the log is followed after the last one left.
	restAfter = 30 * time.Second
	window    = 256 // events between two checkpoints of the server
)

// tail knows how far the log goes, and wakes callers that wait for more. It follows the log
// by a subscription while somebody waits; what this process appends it learns at once.
type tail struct {
	s *Store

	mu        sync.Mutex
	head      eventstore.Position // the last record of ours that anybody here saw
	clean     eventstore.Position // up to here the log was read, and after head nothing was ours
	grown     chan struct{}       // closed and replaced when head grows or the store closes
	waiters   int
	following bool
	left      time.Time // when the last waiter left
}

func newTail(s *Store) *tail { return &tail{s: s, grown: make(chan struct{})} }

// seen returns the last record known, and up to where nothing of ours follows it.
func (t *tail) seen() (head, clean eventstore.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.head, t.clean
}

// looked notes that all events up to p are known, and returns the last record of ours.
func (t *tail) looked(p eventstore.Position) eventstore.Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.Compare(t.clean) > 0 {
		t.clean = p
	}
	return t.head
}

// saw notes that there is a record at p.
func (t *tail) saw(p eventstore.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.Compare(t.head) > 0 {
		t.head = p
		t.wake()
	}
}

// wake wakes everyone. The caller holds mu.
func (t *tail) wake() {
	close(t.grown)
	t.grown = make(chan struct{})
}

func (t *tail) wakeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wake()
}

// wait returns when there is a record after p.
func (t *tail) wait(ctx context.Context, after eventstore.Position) error {
	t.mu.Lock()
	t.waiters++
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		t.waiters--
		t.left = time.Now()
		t.mu.Unlock()
	}()
	for {
		t.mu.Lock()
		head, grown := t.head, t.grown
		t.mu.Unlock()
		if err := t.s.usable(ctx); err != nil {
			return err
		}
		if head.Compare(after) > 0 {
			return nil
		}
		t.follow()
		select {
		case <-grown:
		case <-ctx.Done():
		}
	}
}

// follow sees to it that the log is followed.
func (t *tail) follow() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.following || t.s.link.life.Err() != nil {
		return
	}
	t.following = true
	t.s.link.calls.Add(1)
	go t.run()
}

// needed reports whether somebody waits, or did a moment ago.
func (t *tail) needed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.waiters > 0 || time.Since(t.left) < restAfter
}

// idle ends following when it is not needed any more.
func (t *tail) idle() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.following = t.waiters > 0 || time.Since(t.left) < restAfter
	return !t.following
}

// run follows the log from its end: first it asks where that is, for records that
// others appended before; then it subscribes, again and again, from where it was.
func (t *tail) run() {
	defer t.s.link.calls.Done()
	life := t.s.link.life
	for life.Err() == nil && !t.idle() {
		if _, err := t.s.Head(life); err == nil {
			t.subscribed(life)
		}
		rest := time.NewTimer(shortRest/2 + rand.N(5*shortRest))
		select {
		case <-rest.C:
		case <-life.Done():
		}
		rest.Stop()
	}
}

// subscribed listens to one subscription until it is dropped, falls silent while the
// log grows, or nobody needs it.
func (t *tail) subscribed(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	from, clean := t.seen()
	if clean.Compare(from) > 0 {
		from = clean
	}
	news := make(chan struct{}, 1)
	dropped := make(chan struct{})
	t.s.link.calls.Add(1)
	go func() {
		defer t.s.link.calls.Done()
		defer close(dropped)
		_, _ = use(ctx, t.s.link, func(ctx context.Context, client *esdb.Client) (struct{}, error) {
			return struct{}{}, t.listen(ctx, client, from, news)
		}) // whatever ended it, the next one begins where it was
	}()
	silence := time.NewTicker(lookEvery)
	defer silence.Stop()
	for {
		select {
		case <-dropped:
			return
		case <-ctx.Done():
			return
		case <-silence.C:
		}
		if !t.needed() {
			return
		}
		select {
		case <-news:
			continue
		default:
		}
		before, _ := t.seen()
		head, err := t.s.Head(ctx)
		if err != nil || head.Compare(before) > 0 {
			return // the log grew and nobody said so, or the server is gone
		}
	}
}

// listen hears a subscription to the end.
func (t *tail) listen(ctx context.Context, client *esdb.Client, from eventstore.Position, news chan<- struct{}) error {
	return hear(ctx, client, from, esdb.SubscribeToAllOptions{Filter: t.s.filterOf(), MaxSearchWindow: window}, func(e *esdb.RecordedEvent) {
		if !t.s.isRecord(e) {
			return
		}
		t.saw(place(e))
		select {
		case news <- struct{}{}:
		default:
		}
	})
}

// hear calls each with every event of a subscription that begins behind a position, until
// the subscription ends, which is always an error. The official client does not renew one.
func hear(ctx context.Context, client *esdb.Client, after eventstore.Position, o esdb.SubscribeToAllOptions, each func(*esdb.RecordedEvent)) error {
	o.From, o.CheckpointInterval = esdb.Start{}, 1
	if !after.IsZero() {
		o.From = esdb.Position{Commit: after.Commit, Prepare: after.Prepare}
	}
	subscription, err := client.SubscribeToAll(ctx, o)
	if err != nil {
		return err
	}
	defer subscription.Close()
	for {
		e := subscription.Recv()
		if e.SubscriptionDropped != nil {
			return e.SubscriptionDropped.Error
		}
		// Checkpoints are passed over: servers have told some past the last event, and
		// whoever began there missed what came. Where to begin is found out by reading.
		if e.EventAppeared != nil && e.EventAppeared.OriginalEvent() != nil {
			each(e.EventAppeared.OriginalEvent())
		}
	}
}

package reactors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"coffre/eventstore"
)

const (
	pageSize = 128
	// saveEvery and saveAfter bound how many events are delivered again after a
	// crash. A position that is saved less often than every event, or every commit of the
	// log, costs fewer syncs; repetitions are recognised by their ids.
	saveEvery = 4096
	saveAfter = time.Second
	// saveTimeout bounds saving the position after the subscription has ended.
	saveTimeout = 5 * time.Second
	// saveIdle bounds how old a saved position may be when no event was delivered since.
	saveIdle = 5 * time.Second
	// maxIdleWakes bounds the times the store may wake the subscription without an event
	// before it begins anew.
	maxIdleWakes = 3
)

// Subscriber implements Watermill's message.Subscriber over the event log, for one
// consumer group.
//
// Topics: a stream category ("document") or an event's name without its form
// ("document.revoked"); the dot tells them apart.
//
// Promise: every event of the topic, in the part of the citizens that the subscriber
// has, is delivered in log order, at least once. The next one is sent after the Ack of
// the one before. A Nack sends it again after a pause that grows; it never loops hot. Of
// all subscriptions of one group to one topic and part in a process one is served and
// the others stand by. The position is kept in the database by compare-and-swap, and
// after a restart delivery goes on from there. A damaged record is set aside for the
// group and passed.
//
// A watchdog does not trust the store to wake it: it reads again every Watch, and
// gives up on a read after Patience and begins anew.
type Subscriber struct {
	o SubscriberOptions

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	mu       sync.Mutex
	closed   bool
	running  sync.WaitGroup
	progress map[string]*Progress
}

// SubscriberOptions of a Subscriber. DB, Log and Group are required.
type SubscriberOptions struct {
	DB    *DB
	Log   *eventstore.Log
	Group string
	From  Start
	// Together are topics that are followed as one: in the order of the log also between them,
	// by who subscribes to the topic [Together]. Else Subscribe names the topic.
	Together []string
	// Part is the share of the citizens whose events are delivered; zero: everybody.
	Part Part
	// Key returns what events are ordered by: those with the same key lie in one part. The
	// notice has no Leaf yet. nil: the citizen whom an event is about, or its stream.
	Key           func(Notice) string
	Backoff       Backoff       // after a Nack and after a fault of the store
	WatchInterval time.Duration // default 10 s
	ReadTimeout   time.Duration // default 30 s
	Logger        *slog.Logger  // default slog.Default()

	gather time.Duration // how long a subscription that was woken waits for more to read
	pages  *pages        // shared with other subscribers; nil: its own
	people *citizens     // likewise
	turn   *turn         // when this process may work on the part; nil: always
	gate   *gate         // keeps events back; nil: never
}

// Together is the topic of those who follow the topics of [SubscriberOptions].
const Together = "*"

// Progress returns the progress of each topic.
type Progress struct {
	Group, Topic string
	Part         Part
	Position     eventstore.Position // of the last event passed
	Nacks        int64               // deliveries sent back
	Stalls       int64               // times the store had to be woken or given up on
	SetAside     int64               // damaged records passed
}

// errStalled reports that the store has events and does not deliver them.
var errStalled = errors.New("reactors: the subscription stalled")

// errClosed reports that the subscriber was closed.
var errClosed = errors.New("reactors: the subscriber is closed")

var _ message.Subscriber = (*Subscriber)(nil)

// NewSubscriber returns a Subscriber; the caller closes it before the DB and the Log.
func NewSubscriber(o SubscriberOptions) *Subscriber {
	o.Backoff = o.Backoff.withDefaults()
	if o.WatchInterval <= 0 {
		o.WatchInterval = 10 * time.Second
	}
	if o.ReadTimeout <= 0 {
		o.ReadTimeout = 30 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Key == nil {
		o.Key = keyOf
	}
	if o.pages == nil {
		o.pages = newPages(o.Log.Store())
	}
	if o.people == nil {
		o.people = newCitizens(o.Log.Store())
	}
	s := &Subscriber{o: o, progress: map[string]*Progress{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Subscribe implements message.Subscriber. The channel is closed when ctx ends or
// the subscriber is closed, and so is the context of a message that is not acked by
// then.
func (s *Subscriber) Subscribe(ctx context.Context, name string) (<-chan *message.Message, error) {
	names := []string{name}
	if name == Together {
		names = s.o.Together
	}
	followed, err := parseTopics(names)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	sub := &subscription{Subscriber: s, topics: followed, name: name, out: make(chan *message.Message)}
	// FromNow means now, not when the goroutine gets its turn.
	if _, err := sub.loadPosition(ctx); err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	if s.progress[name] == nil {
		s.progress[name] = &Progress{Group: s.o.Group, Topic: name, Part: s.o.Part}
	}
	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(s.ctx, cancel)
	s.running.Go(func() {
		defer close(sub.out)
		defer cancel()
		defer unhook()
		sub.run(ctx)
	})
	return sub.out, nil
}

// Close implements message.Subscriber: it ends all subscriptions, keeps their
// positions and returns when their channels are closed. It does not wait for the
// Ack of a message in hand: that one is delivered again. A second Close waits, too.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.running.Wait()
	return nil
}

// Progress returns how far each topic is.
func (s *Subscriber) Progress() []Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Progress, 0, len(s.progress))
	for _, p := range s.progress {
		all = append(all, *p)
	}
	return all
}

func (s *subscription) updateProgress(change func(p *Progress)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.progress[s.name])
}

// subscription is one run through the log. Only its goroutine touches it.
type subscription struct {
	*Subscriber
	topics topics
	name   string
	out    chan *message.Message

	passed    eventstore.Position // passed
	saved     eventstore.Position // what the database says
	unsaved   int
	delivered bool // an event since the position was saved
	savedAt   time.Time
}

// place names the subscription's position in the database.
func (s *subscription) place() string {
	if s.o.Part.Of == 0 {
		return s.name
	}
	return s.o.Part.String()
}

// run follows the log until ctx ends, beginning anew after each fault.
func (s *subscription) run(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		held, leave, err := s.takeTurn(ctx)
		if err != nil {
			return
		}
		before := s.passed
		err = s.follow(held)
		lost := held.Err() != nil
		leave()
		if ctx.Err() != nil {
			return
		}
		if lost { // another process goes on
			failures = 0
			continue
		}
		if s.passed != before {
			failures = 0
		}
		failures++
		if errors.Is(err, errStalled) {
			s.updateProgress(func(p *Progress) { p.Stalls++ })
		}
		s.o.Logger.Warn("subscription begins anew", "group", s.o.Group, "topic", s.name, "reason", class(err), "failures", failures)
		if Pause(ctx, s.o.Backoff.after(failures)) != nil {
			return
		}
	}
}

// takeTurn waits until nobody else follows for the same group and part, here or in another
// process. The context that it returns ends when this process must not go on.
func (s *subscription) takeTurn(ctx context.Context) (held context.Context, leave func(), err error) {
	unclaim, err := s.o.DB.claimTopic(ctx, s.o.Group, s.place())
	if err != nil {
		return nil, nil, err
	}
	if s.o.turn == nil {
		return ctx, unclaim, nil
	}
	held, end, err := s.o.turn.wait(ctx)
	if err != nil {
		unclaim()
		return nil, nil, err
	}
	return held, func() { end(); unclaim() }, nil
}

func (s *subscription) loadPosition(ctx context.Context) (eventstore.Position, error) {
	first := func() (eventstore.Position, error) {
		if s.o.From == FromNow {
			return s.o.Log.Head(ctx)
		}
		return eventstore.Position{}, nil
	}
	if s.o.Part.Of == 0 {
		return s.o.DB.position(ctx, s.o.Group, s.name, first)
	}
	return s.o.DB.partPosition(ctx, s.o.Group, s.o.Part, first)
}

// follow delivers from the stored position on. It returns only with an error.
func (s *subscription) follow(ctx context.Context) (err error) {
	if s.saved, err = s.loadPosition(ctx); err != nil {
		return err
	}
	s.passed, s.unsaved, s.delivered, s.savedAt = s.saved, 0, false, time.Now()
	defer func() { err = errors.Join(err, s.save(ctx)) }()

	for idle := 0; ; {
		page, readErr := s.read(ctx)
		for _, r := range page {
			if s.topics.match(r.Record) {
				if err := s.deliver(ctx, r); err != nil {
					return err
				}
			}
			if err := s.pass(ctx, r.Position); err != nil {
				return err
			}
		}
		var damaged *eventstore.Corrupt
		switch {
		case errors.As(readErr, &damaged) && damaged.Position.Compare(s.passed) > 0:
			if err := s.passDamaged(ctx, damaged); err != nil {
				return err
			}
			continue
		case readErr != nil:
			return fmt.Errorf("read the log: %w", readErr)
		case len(page) >= pageSize:
			idle = 0
			continue
		case len(page) > 0:
			idle = 0 // what came since then ends the wait at once
		}
		if s.saveIn() <= 0 {
			if err := s.save(ctx); err != nil {
				return err
			}
		}
		woken, err := s.wait(ctx)
		if err != nil {
			return err
		}
		if woken {
			idle++
		}
		if idle >= maxIdleWakes {
			return errStalled
		}
	}
}

// read returns the next page of records, which others share.
func (s *subscription) read(ctx context.Context) ([]*paged, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.o.ReadTimeout, errStalled)
	defer cancel()
	records, err := s.o.pages.after(ctx, s.passed)
	if err != nil && errors.Is(context.Cause(ctx), errStalled) {
		err = errStalled
	}
	return records, err
}

// wait waits until there may be more records, and reports whether the store said so. It
// ends without them when the position has to be saved.
func (s *subscription) wait(ctx context.Context) (woken bool, err error) {
	patience, saving := s.o.WatchInterval, false
	if s.passed != s.saved && s.saveIn() < patience {
		patience, saving = s.saveIn(), true
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = s.o.Log.Wait(limited, s.passed)
	switch {
	case err == nil && s.o.gather > 0:
		return true, Pause(ctx, s.o.gather) // what comes together is read together
	case err == nil:
		return true, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	case limited.Err() == nil:
		return false, fmt.Errorf("wait for events: %w", err)
	case saving:
		return false, nil
	}
	asking, cancel := context.WithTimeoutCause(ctx, s.o.ReadTimeout, errStalled)
	defer cancel()
	head, err := s.o.Log.Head(asking)
	if err != nil {
		return false, fmt.Errorf("head of the log: %w", errors.Join(err, context.Cause(asking)))
	}
	if head.Compare(s.passed) > 0 {
		s.updateProgress(func(p *Progress) { p.Stalls++ })
		s.o.Logger.Warn("the store did not say that there is more", "group", s.o.Group, "topic", s.name)
	}
	return false, nil
}

// deliver sends r until it is acked, if it lies in the subscription's part.
func (s *subscription) deliver(ctx context.Context, r *paged) error {
	n, err := r.notice(ctx, s.o.people)
	if err != nil {
		return err
	}
	if s.o.Part.Of > 1 && !s.o.Part.has(s.o.Key(n)) {
		return nil
	}
	if n, err = numbered(ctx, s.o.Log, n, r.Position); err != nil {
		return err
	}
	s.delivered = true
	for failures := 1; ; failures++ {
		if s.o.gate != nil {
			if err := s.o.gate.wait(ctx); err != nil {
				return err
			}
		}
		acked, err := s.send(ctx, n.Message())
		if err != nil || acked {
			return err
		}
		s.updateProgress(func(p *Progress) { p.Nacks++ })
		if err := Pause(ctx, s.o.Backoff.after(failures)); err != nil {
			return err
		}
	}
}

func (s *subscription) send(ctx context.Context, m *message.Message) (acked bool, err error) {
	mine, cancel := context.WithCancel(ctx)
	defer cancel()
	m.SetContext(mine)
	select {
	case s.out <- m:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	select {
	case <-m.Acked():
		return true, nil
	case <-m.Nacked():
		return false, nil
	case <-ctx.Done():
	}
	select { // both may be ready: what is done is done
	case <-m.Acked():
		return true, nil
	default:
		return false, ctx.Err()
	}
}

// passDamaged sets a damaged record aside, whatever its type was, and goes on. Whose it was
// nobody can tell: the first part does it for all.
func (s *subscription) passDamaged(ctx context.Context, damaged *eventstore.Corrupt) error {
	if s.o.Part.Number > 0 {
		return s.pass(ctx, damaged.Position)
	}
	leaf, err := s.o.Log.Leaves().Leaf(ctx, damaged.Position)
	if err != nil {
		return fmt.Errorf("number of the damaged leaf: %w", err)
	}
	p := Poison{Reactor: s.o.Group, Leaf: leaf, Event: uuid.Nil, Reason: class(damaged), Attempts: 1}
	if err := s.o.DB.setAside(ctx, p); err != nil {
		return err
	}
	s.updateProgress(func(p *Progress) { p.SetAside++ })
	s.o.Logger.Error("damaged record set aside", "group", s.o.Group, "topic", s.name, "leaf", leaf)
	return s.pass(ctx, damaged.Position)
}

// pass notes that everything up to p needs no more work here.
func (s *subscription) pass(ctx context.Context, p eventstore.Position) error {
	s.passed = p
	s.unsaved++
	s.updateProgress(func(progress *Progress) { progress.Position = p })
	if s.unsaved < saveEvery && s.saveIn() > 0 {
		return nil
	}
	return s.save(ctx)
}

// saveIn returns how long a new position may stay unsaved.
func (s *subscription) saveIn() time.Duration {
	if !s.delivered {
		return saveIdle - time.Since(s.savedAt)
	}
	return saveAfter - time.Since(s.savedAt)
}

// save keeps the position. It works after ctx ended, so that an acked message is
// not delivered again only because the process was stopped.
func (s *subscription) save(ctx context.Context) error {
	if s.passed == s.saved {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	if err := s.o.DB.swapPosition(ctx, s.o.Group, s.place(), s.saved, s.passed); err != nil {
		return err
	}
	s.saved, s.unsaved, s.delivered, s.savedAt = s.passed, 0, false, time.Now()
	return nil
}

package reactors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"coffre/eventstore"
	"coffre/eventstore/spans"
)

const (
	// closeTimeout bounds the wait for a running handler. It is shorter than the 30 s after
	// which Kubernetes kills.
	closeTimeout = 20 * time.Second
	// Five tries within a second, so that events behind a bad one wait no longer: the
	// pauses are about 50, 100, 200 and 400 ms. Watermill takes every second value of
	// the series only, because it draws one more for ShouldRetry; hence the root.
	maxRetries    = 4
	firstRetry    = 35 * time.Millisecond
	maxRetry      = time.Second
	retryFactor   = math.Sqrt2
	retryJitter   = 0.3
	handleTimeout = 10 * time.Second
	pruneEvery    = 24 * time.Hour
	// gather is how long a subscription that was woken waits for more: under load many
	// subscriptions would be woken by each commit of the log.
	gather = 20 * time.Millisecond
	// leaseAgain is how long a process that lost a lease waits before it asks for one again.
	leaseAgain = time.Second
)

// Router runs reactors. Around each handler stand, from outside: a recoverer, the
// place where bad events are set aside, retries with backoff and jitter, the time
// limit, the recognition of repetitions.
//
// An event is set aside only after its own failure. One whose try was cut short by a
// shutdown, or failed because something else is away, stays where it is and is
// delivered again.
type Router struct {
	o        RouterOptions
	wm       *message.Router
	subs     []*Subscriber
	reactors map[string]Reactor
	turns    []*turn // by number of the part
	gates    map[string]*gate
	closing  atomic.Bool

	pages  *pages
	people *citizens
}

// RouterOptions of a Router. DB and Log are required.
type RouterOptions struct {
	DB       *DB
	Log      *eventstore.Log
	Reactors []Reactor
	Backoff  Backoff       // between deliveries of an event that was not handled yet
	Logger   *slog.Logger  // default slog.Default()
	Tracer   *spans.Tracer // records what follows from events; nil: nobody
	// Parts is into how many parts the events of each reactor are divided by citizen, which are
	// worked on at once; default 8. All processes have the same.
	Parts int
	// Lease waits until this process, of all that share the database, may work on a part, or for
	// ctx. The context that it returns ends when the lease is lost, and release gives it back.
	// nil: no other process is there.
	Lease func(ctx context.Context, part int) (held context.Context, release func(), err error)
}

// NewRouter prepares a router; [Router.Run] runs it, once.
func NewRouter(o RouterOptions) (*Router, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	wm, err := message.NewRouter(message.RouterConfig{CloseTimeout: closeTimeout}, slogAdapter{o.Logger})
	if err != nil {
		return nil, fmt.Errorf("make the router: %w", err)
	}
	if o.Parts <= 0 {
		o.Parts = partsOfAReactor
	}
	r := &Router{
		o: o, wm: wm, reactors: map[string]Reactor{}, gates: map[string]*gate{},
		pages: newPages(o.Log.Store()), people: newCitizens(o.Log.Store()),
	}
	for range o.Parts {
		r.turns = append(r.turns, newTurn())
	}
	for _, reactor := range o.Reactors {
		if err := r.add(reactor); err != nil {
			return nil, fmt.Errorf("reactor %q: %w", reactor.Name, err)
		}
	}
	return r, nil
}

func (r *Router) add(reactor Reactor) error {
	if reactor.Name == "" || reactor.Handle == nil || len(reactor.Topics) == 0 {
		return errors.New("a name, topics and a handler are required")
	}
	if _, twice := r.reactors[reactor.Name]; twice {
		return errors.New("the name is taken")
	}
	if reactor.Timeout <= 0 {
		reactor.Timeout = handleTimeout
	}
	if _, err := parseTopics(reactor.Topics); err != nil {
		return err
	}
	for i, name := range reactor.Topics {
		if slices.Contains(reactor.Topics[:i], name) {
			return errors.New("a topic is named twice")
		}
	}
	r.reactors[reactor.Name] = reactor
	r.gates[reactor.Name] = new(gate)
	retries := newBudget()
	for i, turn := range r.turns {
		// One subscriber for each, because Watermill closes it with the handler.
		sub := NewSubscriber(SubscriberOptions{
			DB: r.o.DB, Log: r.o.Log, Group: reactor.Name, From: reactor.From, Together: reactor.Topics, Part: Part{i, r.o.Parts}, Key: reactor.Key,
			Backoff: r.o.Backoff, Logger: r.o.Logger, gather: gather, pages: r.pages, people: r.people, turn: turn, gate: r.gates[reactor.Name],
		})
		r.subs = append(r.subs, sub)
		handler := r.wm.AddConsumerHandler(reactor.Name+"/"+strconv.Itoa(i), Together, sub, r.handler(reactor))
		handler.AddMiddleware(
			middleware.Recoverer,
			r.setAsideFailed(reactor, retries),
			middleware.Retry{
				MaxRetries:          maxRetries,
				InitialInterval:     firstRetry,
				MaxInterval:         maxRetry,
				Multiplier:          retryFactor,
				RandomizationFactor: retryJitter,
				ShouldRetry: func(p middleware.RetryParams) bool {
					return !mustRedeliver(p.Err) && retries.spend()
				},
				ResetContextOnRetry: true, // the try before ended its own
			}.Middleware,
			middleware.Timeout(reactor.Timeout),
			countAttempts,
			r.recoverPanic,
		)
	}
	return nil
}

// handler is the innermost part: the reactor, once per event.
func (r *Router) handler(reactor Reactor) message.NoPublishHandlerFunc {
	return func(m *message.Message) error {
		n, err := fromMessage(m)
		if err != nil {
			return err
		}
		ctx, span := r.o.Tracer.Event(m.Context(), "reactor", n.Correlation)
		span.Word("coffre.reactor", spans.Word(reactor.Name))
		span.Word("coffre.event", spans.Word(n.Type))
		err = r.o.DB.handleOnce(ctx, reactor, n)
		span.End(err)
		return err
	}
}

// setAsideFailed sets an event aside when its own handling failed in every try, and acks it.
// One whose tries were cut short for lack of a budget is delivered again.
func (r *Router) setAsideFailed(reactor Reactor, retries *budget) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) ([]*message.Message, error) {
			ctx := m.Context() // the time limit replaces it
			produced, err := next(m)
			if err == nil {
				retries.earn()
			}
			if err == nil || mustRedeliver(err) || ctx.Err() != nil || r.closing.Load() {
				return produced, err
			}
			n, readErr := fromMessage(m)
			if readErr != nil {
				return nil, errors.Join(err, readErr)
			}
			attempts, countErr := strconv.Atoi(m.Metadata.Get(metaAttempt))
			if countErr != nil {
				attempts = 1
			}
			if attempts <= maxRetries {
				return nil, err
			}
			p := Poison{Reactor: reactor.Name, Leaf: n.Leaf, Event: n.ID, Type: n.Type, Reason: class(err), Attempts: attempts}
			if asideErr := r.o.DB.setAside(ctx, p); asideErr != nil {
				return nil, errors.Join(err, asideErr)
			}
			r.o.Logger.Error("event set aside", "reactor", p.Reactor, "leaf", p.Leaf, "type", p.Type, "reason", p.Reason, "attempts", p.Attempts)
			return nil, nil
		}
	}
}

// mustRedeliver reports whether an error must never set an event aside: another system is
// away, or the try was cut short.
func mustRedeliver(err error) bool { return isLater(err) || errors.Is(err, context.Canceled) }

// countAttempts counts the tries of a message in its metadata.
func countAttempts(next message.HandlerFunc) message.HandlerFunc {
	return func(m *message.Message) ([]*message.Message, error) {
		n, err := strconv.Atoi(m.Metadata.Get(metaAttempt))
		if err != nil {
			n = 0
		}
		m.Metadata.Set(metaAttempt, strconv.Itoa(n+1))
		return next(m)
	}
}

// recoverPanic turns a panic into an error that can be retried and set aside. The recoverer
// outside comes too late for that, and keeps the panic's value, which may be personal.
func (r *Router) recoverPanic(next message.HandlerFunc) message.HandlerFunc {
	return func(m *message.Message) (produced []*message.Message, err error) {
		defer func() {
			if recover() != nil {
				r.o.Logger.Error("reactor panicked", "message", m.UUID, "stack", string(debug.Stack()))
				produced, err = nil, errPanicked
			}
		}()
		return next(m)
	}
}

// Run runs the reactors until ctx ends, then waits for handlers in hand. Their
// contexts end at once; what they leave undone is delivered again by the next Run of
// another Router. It returns nil after an orderly end.
func (r *Router) Run(ctx context.Context) error {
	if len(r.reactors) == 0 {
		<-ctx.Done()
		return nil
	}
	if ctx.Err() != nil {
		return nil
	}
	ended := make(chan struct{})
	closed := make(chan error, 1)
	leasing, stopLeasing := context.WithCancel(context.WithoutCancel(ctx))
	var leases sync.WaitGroup
	for part := range r.turns {
		leases.Go(func() { r.lease(leasing, part) })
	}
	// Held until all handlers have ended.
	defer leases.Wait()
	defer stopLeasing()
	if err := r.followPauses(ctx); err != nil {
		return err
	}
	var following sync.WaitGroup
	following.Go(func() { r.follow(leasing) })
	defer following.Wait()
	defer stopLeasing()
	go func() {
		// Watermill's router must not be closed before it runs.
		select {
		case <-r.wm.Running():
		case <-ended:
			closed <- nil
			return
		}
		r.prune(ctx, ended)
		r.closing.Store(true)
		closed <- r.wm.Close()
	}()
	err := r.wm.Run(context.WithoutCancel(ctx))
	close(ended)
	if err := errors.Join(err, <-closed); err != nil {
		return fmt.Errorf("reactors: %w", err)
	}
	if ctx.Err() == nil {
		return errors.New("reactors: all subscriptions ended")
	}
	return nil
}

// lease lets the subscriptions of a part go on while this process may work on it, until ctx ends.
func (r *Router) lease(ctx context.Context, part int) {
	if r.o.Lease == nil {
		r.turns[part].set(ctx)
		return
	}
	for ctx.Err() == nil {
		if held, release, err := r.o.Lease(ctx, part); err == nil {
			r.turns[part].set(held)
			<-held.Done() // also with ctx
			release()
		}
		_ = Pause(ctx, leaseAgain) // its error ends the loop
	}
}

// prune forgets old repetitions now and then until ctx or the router ends.
func (r *Router) prune(ctx context.Context, ended <-chan struct{}) {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		if err := r.o.DB.prune(ctx, time.Now().Add(-keepHandled)); err != nil && ctx.Err() == nil {
			r.o.Logger.Warn("prune", "reason", class(err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		case <-ended:
			return
		}
	}
}

// Running is closed when all subscriptions stand.
func (r *Router) Running() <-chan struct{} { return r.wm.Running() }

// Progress returns the progress of each reactor on each of its parts.
func (r *Router) Progress() []Progress {
	var all []Progress
	for _, s := range r.subs {
		all = append(all, s.Progress()...)
	}
	return all
}

// Replay handles an event that was set aside once more, now. After success, or when the
// event was handled in the meantime, it is no longer set aside; after an error the attempt
// is counted and the error returned.
func (r *Router) Replay(ctx context.Context, reactor string, leaf int64) error {
	re, ok := r.reactors[reactor]
	if !ok {
		return ErrNoReactor
	}
	p, err := r.o.DB.findPoison(ctx, reactor, leaf)
	if err != nil {
		return err
	}
	n, err := r.readSetAside(ctx, p)
	if err == nil {
		m := n.Message()
		m.SetContext(ctx)
		try := middleware.Timeout(re.Timeout)(r.recoverPanic(func(m *message.Message) ([]*message.Message, error) {
			return nil, r.handler(re)(m)
		}))
		_, err = try(m)
	}
	if err == nil {
		return r.o.DB.removePoison(ctx, reactor, leaf)
	}
	if ctx.Err() == nil {
		p.Attempts, p.Reason = 1, class(err)
		err = errors.Join(err, r.o.DB.setAside(ctx, p))
	}
	return fmt.Errorf("replay: %w", err)
}

// readSetAside reads from the log the event that was set aside.
func (r *Router) readSetAside(ctx context.Context, p Poison) (Notice, error) {
	before, err := r.o.Log.Leaves().Position(ctx, p.Leaf-1)
	if err != nil {
		return Notice{}, fmt.Errorf("find the leaf: %w", err)
	}
	for record, err := range r.o.Log.Store().ReadAll(ctx, before, 1) {
		if err != nil {
			return Notice{}, fmt.Errorf("read the leaf: %w", err)
		}
		citizen, err := r.people.of(ctx, record)
		if err != nil {
			return Notice{}, err
		}
		n, err := numbered(ctx, r.o.Log, unnumbered(record, citizen), record.Position)
		if err != nil {
			return Notice{}, err
		}
		// A damaged record had no id to keep; any other must be the one set aside.
		if n.Leaf == p.Leaf && (n.ID == p.Event || p.Type == "") {
			return n, nil
		}
	}
	return Notice{}, errNotSetAside
}

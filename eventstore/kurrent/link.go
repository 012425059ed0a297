package kurrent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"coffre/eventstore"
)

const (
	// discoverAttempts is how often one client looks for its server before it is dead
	// for ever; a call that has begun meanwhile would then wait for ever.
	discoverAttempts = 600
	shortRest        = 20 * time.Millisecond // before a lost client is replaced
	longRest         = 5 * time.Second
	closeWait        = 2 * time.Second // for calls under way when the store is closed
)

// errLost: the client that a call used is not to be used any more, and whether the
// call had its effect is not known.
var errLost = errors.New("kurrent: the connection was lost")

// link holds one client of the server at a time and lets calls use it. It stands
// before everything in the official client that could take the program or its
// callers down:
//
//   - A client that does not find its server is dead for ever, and whoever was about
//     to use it waits for ever, whatever their context says. So a client is handed
//     out only after it has answered, is taken away at the first sign of loss, and
//     every call runs in a goroutine of its own that its caller may leave.
//   - A client that is used after Close panics. So it is closed when its last call is
//     over, and calls are recovered.
//   - A client that reconnects forgets its old connection. So it is replaced, not
//     let reconnect.
type link struct {
	config   esdb.Configuration
	patience time.Duration

	life context.Context // ends when the store is closed
	end  context.CancelFunc

	mu      sync.Mutex
	current *session      // nil while there is none
	ready   chan struct{} // closed while there is one
	why     error         // of the last try, while there is none
	calls   sync.WaitGroup
	running sync.WaitGroup
}

// session is one client.
type session struct {
	client *esdb.Client
	lost   chan struct{} // closed when it is not to be used any more

	mu    sync.Mutex
	calls int
	over  bool
}

// newLink starts looking for the server.
func newLink(config esdb.Configuration, patience time.Duration) *link {
	l := &link{config: config, patience: patience, ready: make(chan struct{})}
	l.life, l.end = context.WithCancel(context.Background())
	l.running.Go(l.run)
	return l
}

// run keeps a client at hand.
func (l *link) run() {
	rest := shortRest
	for l.life.Err() == nil {
		if s := l.connect(); s != nil {
			rest = shortRest
			select {
			case <-s.lost:
			case <-l.life.Done():
			}
			l.withdraw()
			s.retire()
		}
		pause := time.NewTimer(rest/2 + rand.N(rest))
		select {
		case <-pause.C:
		case <-l.life.Done():
		}
		pause.Stop()
		rest = min(2*rest, longRest)
	}
}

// connect makes a client and hands it out once it has answered; nil if it does not.
func (l *link) connect() *session {
	config := l.config
	client, err := esdb.NewClient(&config)
	if err != nil {
		l.fail(err)
		return nil
	}
	s := &session{client: client, lost: make(chan struct{}), calls: 1}
	answered := make(chan error, 1)
	go func() {
		defer s.release()
		answered <- walled(func() error { return probe(l.life, client) })
	}()
	select {
	case err = <-answered:
	case <-l.life.Done():
		err = eventstore.ErrClosed
	}
	if err != nil {
		l.fail(err)
		s.retire()
		return nil
	}
	l.mu.Lock()
	l.current, l.why = s, nil
	close(l.ready)
	l.mu.Unlock()
	return s
}

// probe asks for the last event of all: what every use of the store needs to be
// allowed.
func probe(ctx context.Context, client *esdb.Client) error {
	deadline := callTimeout // counted from when the server was found
	events, err := client.ReadAll(ctx, esdb.ReadAllOptions{Direction: esdb.Backwards, From: esdb.End{}, Deadline: &deadline}, 1)
	if err != nil {
		return err
	}
	defer events.Close()
	if _, err := events.Recv(); err != nil && !ended(err) {
		return err
	}
	return nil
}

func (l *link) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.why = err
}

func (l *link) withdraw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current, l.ready = nil, make(chan struct{})
}

// acquire returns the client, for which it waits as long as its patience and ctx allow.
func (l *link) acquire(ctx context.Context) (*session, error) {
	patience := time.NewTimer(l.patience)
	defer patience.Stop()
	for {
		l.mu.Lock()
		s, ready, why := l.current, l.ready, l.why
		l.mu.Unlock()
		switch {
		case l.life.Err() != nil:
			return nil, eventstore.ErrClosed
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case s != nil && s.take():
			return s, nil
		case s != nil: // lost a moment ago, soon withdrawn
			ready = nil
		}
		look := time.NewTimer(shortRest)
		select {
		case <-ready:
		case <-look.C:
		case <-ctx.Done():
		case <-l.life.Done():
		case <-patience.C:
			look.Stop()
			return nil, away(why)
		}
		look.Stop()
	}
}

// away says that the server is, and what kind of answer was the last. The text of
// the answer may hold what the address holds.
func away(why error) error {
	var e *esdb.Error
	if !errors.As(why, &e) {
		return eventstore.ErrUnavailable
	}
	switch e.Code() {
	case esdb.ErrorCodeUnauthenticated:
		return fmt.Errorf("%w: it does not know this name and password", eventstore.ErrUnavailable)
	case esdb.ErrorCodeAccessDenied:
		return fmt.Errorf("%w: it does not let this user read $all (see `coffre store prepare`)", eventstore.ErrUnavailable)
	}
	return eventstore.ErrUnavailable
}

func (s *session) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.lost:
		return false
	default:
	}
	if s.over {
		return false
	}
	s.calls++
	return true
}

func (s *session) release() {
	s.mu.Lock()
	s.calls--
	last := s.over && s.calls == 0
	s.mu.Unlock()
	if last {
		_ = s.client.Close() // which has no error to give
	}
}

// lose tells that the client is not to be used any more.
func (s *session) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.lost:
	default:
		close(s.lost)
	}
}

// retire closes the client when its last call is over.
func (s *session) retire() {
	s.mu.Lock()
	idle := !s.over && s.calls == 0
	s.over = true
	s.mu.Unlock()
	if idle {
		_ = s.client.Close()
	}
}

// use lets f make one call of the client and waits for it or for ctx. When ctx ends
// first, the call goes on by itself, with a context that has ended; f therefore gives
// what it has only by what it returns. An error that begins with errLost tells that
// the client is gone and the outcome unknown.
func use[T any](ctx context.Context, l *link, f func(context.Context, *esdb.Client) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var none T
	s, err := l.acquire(ctx)
	if err != nil {
		return none, noClient{err}
	}
	began := time.Now()
	done := make(chan answer, 1)
	l.calls.Add(1)
	go func() {
		defer l.calls.Done()
		defer s.release()
		var a answer
		a.err = walled(func() (err error) { a.value, err = f(ctx, s.client); return err })
		done <- a
	}()
	select {
	case a := <-done:
		if a.err != nil && ctx.Err() == nil && isLoss(a.err, time.Since(began)) {
			s.lose()
			return none, fmt.Errorf("%w: %w", errLost, a.err)
		}
		return a.value, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// close ends everything and waits a little for calls under way.
func (l *link) close() {
	l.end()
	over := make(chan struct{})
	go func() {
		l.running.Wait()
		l.calls.Wait()
		close(over)
	}()
	patience := time.NewTimer(closeWait)
	defer patience.Stop()
	select {
	case <-over:
	case <-patience.C: // one that never comes back takes only itself with it
	}
}

// errPanic: the client panicked, as it does when the server says what it does not
// expect.
var errPanic = errors.New("kurrent: the client library panicked")

// walled runs f and turns a panic into an error. What the panic says stays here: it
// may hold what the server sent.
func walled(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			if m, ok := r.(malformed); ok {
				err = m
				return
			}
			err = errPanic
		}
	}()
	guardProcess()
	return f()
}

// noClient: there was no client to make the call with, so it was not made.
type noClient struct{ why error }

func (e noClient) Error() string { return e.why.Error() }
func (e noClient) Unwrap() error { return e.why }

// isLoss reports whether the error of a call that took so long tells that the
// connection, or the client, is gone or cannot be trusted.
func isLoss(err error, took time.Duration) bool {
	if errors.Is(err, errPanic) {
		return true
	}
	var e *esdb.Error
	if errors.As(err, &e) {
		switch e.Code() {
		case esdb.ErrorUnavailable, esdb.ErrorCodeConnectionClosed:
			return true
		}
	}
	switch status.Code(unwrapped(err)) {
	case codes.Unavailable, codes.Internal:
		return true
	case codes.DeadlineExceeded: // the call's own; a caller's shorter one tells nothing
		return took >= callTimeout-callTimeout/10
	}
	return false
}

// unwrapped returns the error below that knows its status, or err.
func unwrapped(err error) error {
	var s interface{ GRPCStatus() *status.Status }
	if errors.As(err, &s) {
		return s.GRPCStatus().Err()
	}
	return err
}

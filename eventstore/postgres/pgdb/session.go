package pgdb

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
)

// How soon a lock passes to another process when its holder is gone: the server
// drops it with the connection, at once when the process dies and within keep-alive
// when its machine does; whoever waits for a lease asks every askAgain.
const (
	askAgain    = 500 * time.Millisecond
	watchEvery  = time.Second     // a holder looks whether it still holds
	watchAnswer = 3 * time.Second // and takes no answer for a no
)

// Session is one connection on which this process holds locks by name: they end
// with it, whatever becomes of the process. Its methods may be called concurrently.
type Session struct {
	db   *sqlx.DB
	stop context.CancelFunc
	done chan struct{}

	mu     sync.Mutex // one statement at a time
	conn   *sqlx.Conn // nil until there is one, and after it broke
	lost   context.Context
	lose   context.CancelFunc
	held   map[string]bool
	shares map[string]int
	says   map[string]string
}

// OpenSession returns a session that connects when first used.
func OpenSession(dsn string) (*Session, error) {
	// The locks need no table of ours.
	db, err := Open(dsn, Options{Schema: "pg_catalog", Name: "coffre locks", Conns: 1})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Session{db: db, stop: stop, done: make(chan struct{}), held: map[string]bool{}, shares: map[string]int{}, says: map[string]string{}}
	go s.watch(ctx)
	return s, nil
}

// Close gives every lock back.
func (s *Session) Close() error {
	s.stop()
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken()
	return s.db.Close()
}

// Acquire waits until this process holds the named lease, which of all processes on the
// database one holds at a time, or for ctx. The context it returns ends when the lease
// is lost; release gives it back and is called exactly once.
func (s *Session) Acquire(ctx context.Context, name string) (held context.Context, release func(), err error) {
	for {
		held, release, err := s.TryAcquire(ctx, name, nil)
		if held != nil || err != nil {
			return held, release, err
		}
		timer := time.NewTimer(askAgain/2 + rand.N(askAgain))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, nil, ctx.Err()
		}
	}
}

// TryAcquire is Acquire without waiting: it returns nothing at all when another process
// holds the lease. then, if not nil, runs on the connection that holds it.
func (s *Session) TryAcquire(ctx context.Context, name string, then func(context.Context, *sqlx.Conn) error) (held context.Context, release func(), err error) {
	held, release, err = s.try(ctx, "coffre lease "+name, then)
	if err != nil {
		return nil, nil, fmt.Errorf("lease of %s: %w", name, err)
	}
	return held, release, nil
}

const (
	takeLock   = `SELECT pg_try_advisory_lock(hashtextextended($1, 0))`
	dropLock   = `SELECT pg_advisory_unlock(hashtextextended($1, 0))`
	shareLock  = `SELECT pg_try_advisory_lock_shared(hashtextextended($1, 0))`
	unshareOne = `SELECT pg_advisory_unlock_shared(hashtextextended($1, 0))`
	// Two keys are of another kind than one, so no lock above is one of these.
	sayThis  = `SELECT pg_try_advisory_lock_shared(hashtext('coffre says ' || $1), hashtext($2))`
	saidElse = `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND classid::bigint = hashtext('coffre says ' || $1)::bigint & 4294967295 AND objid::bigint <> hashtext($2)::bigint & 4294967295)`
)

// Say tells the other sessions on the database what this process says of each name, until the
// session is closed, and returns the names, in order, of which one of them says something else
// now. Neither names nor values can be read in the database, where each is 32 bits of a hash. It
// is called once.
func (s *Session) Say(ctx context.Context, values map[string]string) (others []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, value := range values {
		if _, err := s.ask(ctx, sayThis, name, value); err != nil {
			return nil, err
		}
		s.says[name] = value
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		differs, err := s.ask(ctx, saidElse, name, values[name])
		if err != nil {
			return nil, err
		}
		if differs {
			others = append(others, name)
		}
	}
	return others, nil
}

// try returns nothing at all when somebody else holds the lock.
func (s *Session) try(ctx context.Context, name string, then func(context.Context, *sqlx.Conn) error) (context.Context, func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The server would give it to the same session twice.
	if s.held[name] || s.shares[name] > 0 {
		return nil, nil, nil
	}
	got, err := s.ask(ctx, takeLock, name)
	if err != nil || !got {
		return nil, nil, err
	}
	if then != nil {
		if err := then(ctx, s.conn); err != nil {
			_, back := s.ask(context.WithoutCancel(ctx), dropLock, name)
			return nil, nil, errors.Join(err, back)
		}
	}
	s.held[name] = true
	held, cancel := context.WithCancel(ctx)
	lost := s.lost
	unhook := context.AfterFunc(lost, cancel)
	return held, func() {
		unhook()
		cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		if lost == s.lost { // else it went with its connection
			delete(s.held, name)
			// An error is of the connection, and the lock ends with that.
			_, _ = s.ask(context.WithoutCancel(ctx), dropLock, name)
		}
	}, nil
}

// Share takes the lock together with others who share it, or returns false while
// somebody holds it alone. A connection that broke is replaced, and the share taken
// again, if nobody was faster.
func (s *Session) Share(ctx context.Context, name string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shares[name] == 0 {
		if got, err := s.ask(ctx, shareLock, name); err != nil || !got {
			return false, err
		}
	}
	s.shares[name]++
	return true, nil
}

// Unshare ends one Share.
func (s *Session) Unshare(ctx context.Context, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shares[name]--; s.shares[name] > 0 {
		return
	}
	delete(s.shares, name)
	if s.conn != nil {
		_, _ = s.ask(ctx, unshareOne, name) // as in try
	}
}

// Alone runs do while nobody shares or holds the lock; it reports whether it ran.
func (s *Session) Alone(ctx context.Context, name string, do func() error) (bool, error) {
	held, release, err := s.try(ctx, name, nil)
	if err != nil || held == nil {
		return false, err
	}
	defer release()
	return true, do()
}

// ask runs one of the statements above, with the mutex held.
func (s *Session) ask(ctx context.Context, query string, args ...any) (yes bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, watchAnswer)
	defer cancel()
	if err := s.connect(ctx); err != nil {
		return false, err
	}
	if err := s.conn.GetContext(ctx, &yes, query, args...); err != nil {
		s.broken() // the driver closes a connection whose statement was given up
		return false, fmt.Errorf("ask for a lock: %w", err)
	}
	return yes, nil
}

func (s *Session) connect(ctx context.Context) error {
	if s.conn != nil {
		return nil
	}
	conn, err := s.db.Connx(ctx)
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	for name := range s.shares {
		if err := conn.GetContext(ctx, new(bool), shareLock, name); err != nil {
			return errors.Join(fmt.Errorf("ask for a lock: %w", err), conn.Close())
		}
	}
	for name, value := range s.says {
		if err := conn.GetContext(ctx, new(bool), sayThis, name, value); err != nil {
			return errors.Join(fmt.Errorf("ask for a lock: %w", err), conn.Close())
		}
	}
	s.conn = conn
	s.lost, s.lose = context.WithCancel(context.Background())
	return nil
}

// broken ends the connection and all locks.
func (s *Session) broken() {
	if s.conn == nil {
		return
	}
	s.lose()
	// Out of the pool, too: what it may still hold must end with it.
	_ = s.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = s.conn.Close()
	s.conn = nil
	s.lost = nil
	clear(s.held)
}

// watch notices that the connection, and with it every lock, is gone.
func (s *Session) watch(ctx context.Context) {
	defer close(s.done)
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		s.mu.Lock()
		if s.conn != nil {
			_, _ = s.ask(ctx, `SELECT $1::text IS NOT NULL`, "")
		} else if len(s.shares) > 0 || len(s.says) > 0 {
			connecting, cancel := context.WithTimeout(ctx, watchAnswer)
			_ = s.connect(connecting)
			cancel()
		}
		s.mu.Unlock()
	}
}

package postgres

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// listener learns what other processes commit: a notification wakes it, and it looks
// by itself too, because notifications are lost with a connection.
type listener struct {
	store  *Store
	config *pgx.ConnConfig
	poll   time.Duration
	life   context.Context
	end    context.CancelFunc
	ended  chan struct{}
}

func newListener(s *Store, c *pgx.ConnConfig, poll time.Duration) *listener {
	l := &listener{store: s, config: c, poll: poll, ended: make(chan struct{})}
	l.life, l.end = context.WithCancel(context.Background())
	return l
}

func (l *listener) stop() {
	l.end()
	<-l.ended
}

// run listens until the store closes, on one connection after the other.
func (l *listener) run() {
	defer close(l.ended)
	for l.life.Err() == nil {
		l.session() // what went wrong is met by whoever reads or appends
		pause := time.NewTimer(retryAfter)
		select {
		case <-pause.C:
		case <-l.life.Done():
			pause.Stop()
		}
	}
}

// session listens as long as one connection lives.
func (l *listener) session() error {
	var conn *pgx.Conn
	err := l.bounded(func(ctx context.Context) (err error) {
		conn, err = pgx.ConnectConfig(ctx, l.config)
		return err
	})
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		conn.Close(ctx)
	}()
	err = l.bounded(func(ctx context.Context) error {
		_, err := conn.Exec(ctx, `LISTEN `+channel)
		return err
	})
	for err == nil {
		if err = l.look(conn); err == nil {
			err = l.sleep(conn)
		}
	}
	return err
}

// look asks for the head and publishes it.
func (l *listener) look(conn *pgx.Conn) error {
	before := l.store.head.Load()
	var head int64
	err := l.bounded(func(ctx context.Context) error {
		return conn.QueryRow(ctx, `SELECT coalesce(max(position), 0) FROM events`).Scan(&head)
	})
	if err != nil {
		return err
	}
	if err := l.store.kept(before, head); err != nil {
		l.store.sequencer.queue.Close(err) // nothing is appended to a log that lost something
		return err
	}
	return nil
}

// sleep returns when there may be something new.
func (l *listener) sleep(conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(l.life, l.poll)
	defer cancel()
	for {
		told, err := conn.WaitForNotification(ctx)
		switch {
		case err != nil && l.life.Err() == nil && errors.Is(ctx.Err(), context.DeadlineExceeded) && !conn.IsClosed():
			return nil
		case err != nil:
			return err
		}
		// Our own commits are known already. Anybody may send a notification, so what it
		// says is not believed beyond that.
		if head, err := strconv.ParseInt(told.Payload, 10, 64); err != nil || head > l.store.head.Load() {
			return nil
		}
	}
}

// bounded runs f within the bound of one answer and the life of the store.
func (l *listener) bounded(f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(l.life, l.store.answer)
	defer cancel()
	return f(ctx)
}

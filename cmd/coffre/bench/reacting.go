package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/handlers/reactors"
)

// reacting is T18: events through the router to a reactor that stores a row for each, beside a
// plain loop that stores the same rows, each in a transaction of its own.
func (b *bench) reacting(ctx context.Context) (err error) {
	dir, err := b.folder("T18")
	if err != nil {
		return err
	}
	l, err := openLog(ctx, dir, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := fill(ctx, l); err != nil {
		return err
	}
	db, err := reactors.Open(ctx, dir.File("reactors.db"), sqlitedb.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Ensure(ctx, `CREATE TABLE IF NOT EXISTS effects (side TEXT NOT NULL, event BLOB NOT NULL, body BLOB NOT NULL, PRIMARY KEY (side, event)) STRICT, WITHOUT ROWID;`); err != nil {
		return err
	}
	body := make([]byte, 256)
	store := func(ctx context.Context, tx *sqlx.Tx, side string, event uuid.UUID) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO effects (side, event, body) VALUES (?, ?, ?)`, side, event[:], body)
		return err
	}
	loop := func(ctx context.Context) (pace, error) {
		side, began, n := uuid.NewString(), time.Now(), 0
		for ; time.Since(began) < b.span; n++ {
			if err := db.Write(ctx, func(tx *sqlx.Tx) error { return store(ctx, tx, side, uuid.New()) }); err != nil {
				return pace{}, err
			}
		}
		return over(n, began), nil
	}
	round := 0
	router := func(ctx context.Context) (p pace, err error) {
		round++
		var handled atomic.Int64
		name := fmt.Sprintf("bench%d", round) // one that never ran
		r, err := reactors.NewRouter(reactors.RouterOptions{DB: db, Log: l.log, Logger: slog.New(slog.DiscardHandler), Reactors: []reactors.Reactor{{
			Name: name, Topics: []string{"document"},
			Handle: func(_ context.Context, n reactors.Notice) (reactors.Effect, error) {
				return reactors.Effect{
					Store:    func(ctx context.Context, tx *sqlx.Tx) error { return store(ctx, tx, name, n.ID) },
					OnStored: func() { handled.Add(1) },
				}, nil
			},
		}}})
		if err != nil {
			return pace{}, err
		}
		running, stop := context.WithCancel(ctx)
		defer stop()
		ended := make(chan error, 1)
		go func() { ended <- r.Run(running) }()
		<-r.Running()
		began := time.Now()
		span := time.NewTimer(b.span)
		defer span.Stop()
		look := time.NewTicker(time.Millisecond)
		defer look.Stop()
		for late := false; !late && handled.Load() < tailEvents; {
			select {
			case <-span.C:
				late = true
			case <-look.C:
			case err := <-ended:
				return pace{}, errors.Join(errors.New("the router ended"), err)
			}
		}
		p = over(handled.Load(), began)
		stop()
		return p, <-ended
	}
	got, err := b.compare(ctx, "T18", loop, router)
	if err != nil {
		return err
	}
	return b.tell(got.measure("T18", "events/s", "the same transaction in a plain loop", ">= 0.5"))
}

package reactors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"coffre/domain"
	"coffre/eventstore"
)

// control is what operators ask of reactors, in whichever process these run.
const control = `
CREATE TABLE IF NOT EXISTS reactor_paused (
	reactor TEXT    NOT NULL PRIMARY KEY,
	since   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS reactor_retries (
	reactor TEXT    NOT NULL,
	leaf    INTEGER NOT NULL,
	asked   INTEGER NOT NULL,
	PRIMARY KEY (reactor, leaf)
) STRICT, WITHOUT ROWID;
`

// controlSignal has the router of this process look for what operators ask.
const controlSignal = "reactors"

// ErrNoReactor refuses a call about a reactor that never ran.
var ErrNoReactor = domain.NewError(domain.NotFound, "noSuchReactor", "there is no reactor of that name")

// Status is how a reactor does, over all its parts.
type Status struct {
	Name string
	// Passed is the position up to which the part that is furthest behind has come, Moved when
	// a part moved last. Positions that no event of the reactor's moved are a few seconds old.
	Passed   eventstore.Position
	Moved    time.Time
	Parts    int
	Paused   time.Time // since when; zero: it is not
	SetAside int64     // events that no try could handle
}

// Desk is where operators see reactors and act on them, also in a process in which none runs:
// those that run follow within seconds, and at once in the same process. Its methods may be
// called concurrently.
type Desk struct{ DB *DB }

// Reactors returns every reactor that ever ran, by name.
func (d Desk) Reactors(ctx context.Context) ([]Status, error) {
	var rows []struct {
		Reactor string
		Commit  int64 `db:"log_commit"`
		Prepare int64 `db:"log_prepare"`
		Moved   int64 `db:"moved_at"`
		Since   int64
		Aside   int64
	}
	err := d.DB.sql.Reader.SelectContext(ctx, &rows, `
		SELECT p.reactor, p.log_commit, p.log_prepare, p.moved_at, coalesce(s.since, 0) AS since,
			(SELECT count(*) FROM reactor_poison q WHERE q.reactor = p.reactor) AS aside
		FROM reactor_positions p LEFT JOIN reactor_paused s ON s.reactor = p.reactor
		WHERE p.topic LIKE '% of %' -- a former version that runs on keeps others
		ORDER BY p.reactor, p.topic`)
	if err != nil {
		return nil, fmt.Errorf("list reactors: %w", err)
	}
	var all []Status
	for _, r := range rows {
		at, moved := eventstore.Position{Commit: uint64(r.Commit), Prepare: uint64(r.Prepare)}, time.UnixMicro(r.Moved).UTC()
		if len(all) == 0 || all[len(all)-1].Name != r.Reactor {
			one := Status{Name: r.Reactor, Passed: at, Moved: moved, SetAside: r.Aside}
			if r.Since != 0 {
				one.Paused = time.UnixMicro(r.Since).UTC()
			}
			all = append(all, one)
		}
		last := &all[len(all)-1]
		last.Parts++
		last.Passed = lowest(last.Passed, at)
		if moved.After(last.Moved) {
			last.Moved = moved
		}
	}
	return all, nil
}

// Pause lets a reactor handle no more events, after those in hand, until Resume. Nothing is
// lost: events wait. One that is paused stays so since when it was first.
func (d Desk) Pause(ctx context.Context, reactor string) error {
	return d.change(ctx, reactor, `INSERT INTO reactor_paused (reactor, since) VALUES (?, ?) ON CONFLICT DO NOTHING`, reactor, time.Now().UnixMicro())
}

// Resume lets a reactor go on where it was paused.
func (d Desk) Resume(ctx context.Context, reactor string) error {
	return d.change(ctx, reactor, `DELETE FROM reactor_paused WHERE reactor = ?`, reactor)
}

// Poisoned returns at most limit events that were set aside, as [DB.Poisoned] does.
func (d Desk) Poisoned(ctx context.Context, reactor string, limit int) ([]Poison, error) {
	return d.DB.Poisoned(ctx, reactor, limit)
}

// SetAside returns the event that a reactor set aside at a leaf, or a refusal.
func (d Desk) SetAside(ctx context.Context, reactor string, leaf int64) (Poison, error) {
	return d.DB.findPoison(ctx, reactor, leaf)
}

// Retry asks that an event that was set aside is handled once more, by a process that reacts.
// After success it is no longer set aside; after a failure its attempts have grown.
func (d Desk) Retry(ctx context.Context, reactor string, leaf int64) error {
	if _, err := d.DB.findPoison(ctx, reactor, leaf); err != nil {
		return err
	}
	return d.write(ctx, `INSERT INTO reactor_retries (reactor, leaf, asked) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, reactor, leaf, time.Now().UnixMicro())
}

// Drop forgets an event that was set aside: its effect never happens. The event itself stays in
// the log.
func (d Desk) Drop(ctx context.Context, reactor string, leaf int64) error {
	if _, err := d.DB.findPoison(ctx, reactor, leaf); err != nil {
		return err
	}
	return d.DB.removePoison(ctx, reactor, leaf)
}

// change makes a change to a reactor that ever ran.
func (d Desk) change(ctx context.Context, reactor, statement string, args ...any) error {
	var parts int
	if err := d.DB.sql.Reader.GetContext(ctx, &parts, d.DB.sql.Reader.Rebind(`SELECT count(*) FROM reactor_positions WHERE reactor = ?`), reactor); err != nil {
		return fmt.Errorf("find a reactor: %w", err)
	}
	if parts == 0 {
		return ErrNoReactor
	}
	return d.write(ctx, statement, args...)
}

func (d Desk) write(ctx context.Context, statement string, args ...any) error {
	err := d.DB.Write(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, tx.Rebind(statement), args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("ask something of a reactor: %w", err)
	}
	select {
	case d.DB.Signal(controlSignal) <- struct{}{}:
	default: // it will look anyway
	}
	return nil
}

// lookEvery bounds the time until a router follows what was asked in another process. Where
// there is no other it looks at its start, when it is told, and after it could not.
const lookEvery = 2 * time.Second

// follow follows what operators ask until ctx ends: pauses, and retries of what was set aside.
func (r *Router) follow(ctx context.Context) {
	for {
		err := errors.Join(r.followPauses(ctx), r.followRetries(ctx))
		if err != nil && ctx.Err() == nil {
			r.o.Logger.Warn("look for what operators ask of reactors", "reason", class(err))
		}
		var again <-chan time.Time
		if r.o.Lease != nil || err != nil {
			again = time.After(lookEvery)
		}
		select {
		case <-again:
		case <-r.o.DB.Signal(controlSignal):
		case <-ctx.Done():
			return
		}
	}
}

func (r *Router) followPauses(ctx context.Context) error {
	var names []string
	if err := r.o.DB.sql.Reader.SelectContext(ctx, &names, `SELECT reactor FROM reactor_paused`); err != nil {
		return fmt.Errorf("read pauses: %w", err)
	}
	paused := map[string]bool{}
	for _, name := range names {
		paused[name] = true
	}
	for name, g := range r.gates {
		g.set(paused[name])
	}
	return nil
}

// followRetries handles once more what operators asked for. Whoever takes a request out of the
// table follows it; a crash after that leaves the event set aside as it was.
func (r *Router) followRetries(ctx context.Context) error {
	var asked []struct {
		Reactor string
		Leaf    int64
	}
	if err := r.o.DB.sql.Reader.SelectContext(ctx, &asked, `SELECT reactor, leaf FROM reactor_retries ORDER BY asked, leaf`); err != nil {
		return fmt.Errorf("read retries: %w", err)
	}
	for _, a := range asked {
		if _, here := r.reactors[a.Reactor]; !here {
			continue
		}
		mine := false
		err := r.o.DB.Write(ctx, func(tx *sqlx.Tx) error {
			done, err := tx.ExecContext(ctx, tx.Rebind(`DELETE FROM reactor_retries WHERE reactor = ? AND leaf = ?`), a.Reactor, a.Leaf)
			if err != nil {
				return err
			}
			n, err := done.RowsAffected()
			mine = n == 1
			return err
		})
		if err != nil {
			return fmt.Errorf("take up a retry: %w", err)
		}
		if !mine {
			continue
		}
		if err := r.Replay(ctx, a.Reactor, a.Leaf); err != nil {
			r.o.Logger.Warn("event stays set aside", "reactor", a.Reactor, "leaf", a.Leaf, "reason", class(err))
			continue
		}
		r.o.Logger.Info("event that was set aside is handled", "reactor", a.Reactor, "leaf", a.Leaf)
	}
	return nil
}

package vault

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// An older copy of the log that is put back takes consents back to where they were: one
// that was withdrawn would be open again. Whatever lies beside the log and was further
// than it ends stops the start. docs/decisions/0014-older-log.md says why.

// ErrOlderLog says that the log ends before what was seen of it.
var ErrOlderLog = errors.New("the log is older than what lies beside it")

// olderLog names both ends and the way on.
func olderLog(witness string, seen, end eventstore.Position) error {
	return fmt.Errorf("%w: it ends at position %s, and %s has seen position %s: put the newer log back, or restore a backup into an empty directory (deploy/runbooks/backup.md, \"The log is older\")",
		ErrOlderLog, placeName(end), witness, placeName(seen))
}

// placeName shows a position to operators: one number where the store counts records.
func placeName(p eventstore.Position) string {
	if p.Commit == p.Prepare {
		return fmt.Sprint(p.Commit)
	}
	return fmt.Sprintf("%d/%d", p.Commit, p.Prepare)
}

// witness remembers, beside the log, how far the log was seen.
type witness struct {
	name string
	seen func(context.Context) (detail string, at eventstore.Position, err error) // zero: nothing
}

// notOlder returns ErrOlderLog when a witness has seen more than the log holds. The
// witnesses are asked first, because other processes let both grow meanwhile.
func notOlder(ctx context.Context, log eventstore.Store, witnesses ...witness) error {
	var name string
	var furthest eventstore.Position
	for _, w := range witnesses {
		detail, at, err := w.seen(ctx)
		if err != nil {
			return fmt.Errorf("how far %s has seen the log: %w", w.name, err)
		}
		if at.Compare(furthest) > 0 {
			name, furthest = w.name, at
			if detail != "" {
				name += " " + detail
			}
		}
	}
	end, err := log.Head(ctx)
	if err != nil {
		return fmt.Errorf("end of the log: %w", err)
	}
	if furthest.Compare(end) > 0 {
		return olderLog(name, furthest, end)
	}
	return nil
}

// compareEnds refuses a log that ends before what was seen of it. The leaf index was
// compared when it was opened.
func (a *assembly) compareEnds(ctx context.Context) error {
	return notOlder(ctx, a.store,
		keyRingWitness(a.places.keys),
		witness{"the read model", a.places.models.Furthest},
		witness{"the reactor", a.places.reactors.Furthest})
}

// keyRingWitness remembers the end of the log beside the key ring.
func keyRingWitness(db *keysdb.DB) witness {
	return witness{"the key ring", func(ctx context.Context) (string, eventstore.Position, error) {
		at, err := seenEnd(ctx, db)
		return "", at, err
	}}
}

// seenEnd returns the furthest end of the log that was kept beside the key ring.
func seenEnd(ctx context.Context, db *keysdb.DB) (eventstore.Position, error) {
	if err := db.Migrate(ctx, "guard", guardTables); err != nil {
		return eventstore.Position{}, err
	}
	return keysdb.Do(ctx, db, func(tx *keysdb.Tx) (eventstore.Position, error) {
		var commit, prepare int64
		err := tx.Row(`SELECT commit_position, prepare_position FROM (SELECT * FROM guard UNION ALL SELECT * FROM log_end) AS ends
			ORDER BY commit_position DESC, prepare_position DESC LIMIT 1`, nil, &commit, &prepare)
		if errors.Is(err, sql.ErrNoRows) {
			return eventstore.Position{}, nil
		}
		return eventstore.Position{Commit: uint64(commit), Prepare: uint64(prepare)}, err
	})
}

// logEnd is the furthest end of the log that this process knows of. Its methods may be
// called concurrently.
type logEnd struct {
	mu sync.Mutex
	at eventstore.Position
}

// reached notes that the log reaches up to a position at least.
func (e *logEnd) reached(p eventstore.Position) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p.Compare(e.at) > 0 {
		e.at = p
	}
}

// keep writes the end beside the key ring, where it never moves back. It accompanies every
// change of the ring, so that whoever has a later key ring has a later mark.
func (e *logEnd) keep(tx *keysdb.Tx) error {
	e.mu.Lock()
	at := e.at
	e.mu.Unlock()
	if at.IsZero() {
		return nil
	}
	_, err := tx.Exec(`INSERT INTO log_end VALUES (1, ?, ?)
		ON CONFLICT (one) DO UPDATE SET commit_position = excluded.commit_position, prepare_position = excluded.prepare_position
		WHERE excluded.commit_position > log_end.commit_position
			OR excluded.commit_position = log_end.commit_position AND excluded.prepare_position > log_end.prepare_position`,
		int64(at.Commit), int64(at.Prepare))
	return err
}

// followEvery is the least time between two looks at the end of the log.
const followEvery = time.Second

// follow keeps the end of a log that moves while the key ring does not, soon after it has
// moved and once more when ctx ends. Nobody waits for it.
func (e *logEnd) follow(ctx context.Context, log eventstore.Store, db *keysdb.DB) error {
	var kept eventstore.Position
	keep := func(ctx context.Context) {
		end, err := log.Head(ctx)
		if err != nil || end.Compare(kept) <= 0 {
			return
		}
		e.reached(end)
		if db.Post(func(*keysdb.Tx) error { return nil }) == nil { // the mark accompanies it
			kept = end
		}
	}
	pause := time.NewTicker(followEvery)
	defer pause.Stop()
	for ctx.Err() == nil {
		if log.Wait(ctx, kept) == nil {
			keep(ctx)
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), followEvery)
	defer cancel()
	keep(last)
	return nil
}

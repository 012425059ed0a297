package vault

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"coffre/cmd/coffre/files"
	"coffre/domain/audit"
	"coffre/eventstore"
	"coffre/eventstore/leaves"
	"coffre/eventstore/seal/keysdb"
)

// An older copy of the log that is put back takes consents back to where they were: one
// that was withdrawn would be open again. Whatever lies beside the log and was further
// than it ends stops the start. docs/decisions/0014-older-log.md says why.

// ErrOlderLog says that the log ends before what was seen of it.
var ErrOlderLog = errors.New("the log is older than what lies beside it")

// olderLog names both ends and the way on.
func olderLog(witness string, seen, end eventstore.Position) error {
	return fmt.Errorf("%w: it ends at position %s, and %s has seen position %s: put the newer log back, or restore a backup into an empty directory; where neither can be had, `coffre restore --accept-loss DIR` goes on without what was lost (deploy/runbooks/backup.md, \"The log is older\")",
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
	kind audit.Witness
	name string
	seen func(context.Context) (detail string, at eventstore.Position, err error) // zero: nothing
}

// cut is a log that ends before what was seen of it.
type cut struct {
	kind      audit.Witness
	name      string
	end, seen eventstore.Position
}

func (c *cut) err() error { return olderLog(c.name, c.seen, c.end) }

// findCut asks the witnesses whether one has seen more than the log holds, and returns
// nil when none has. They are asked first, because other processes let both grow meanwhile.
func findCut(ctx context.Context, log eventstore.Store, witnesses ...witness) (*cut, error) {
	var found cut
	for _, w := range witnesses {
		detail, at, err := w.seen(ctx)
		if err != nil {
			return nil, fmt.Errorf("how far %s has seen the log: %w", w.name, err)
		}
		if at.Compare(found.seen) > 0 {
			found = cut{kind: w.kind, name: w.name, seen: at}
			if detail != "" {
				found.name += " " + detail
			}
		}
	}
	var err error
	if found.end, err = log.Head(ctx); err != nil {
		return nil, fmt.Errorf("end of the log: %w", err)
	}
	if found.seen.Compare(found.end) > 0 {
		return &found, nil
	}
	return nil, nil
}

// witnesses returns those of this vault.
func (a *assembly) witnesses() []witness {
	all := []witness{
		keyRingWitness(a.places.keys),
		{audit.ReadModel, "the read model", a.places.models.Furthest},
		a.checkpointWitness(),
	}
	if a.o.Duty.answers() {
		all = append(all, witness{audit.Reactor, "the reactor", a.places.reactors.Furthest})
	}
	if a.places.shared() {
		all = append(all, witness{audit.DataDirectory, "this process", a.seenByProcess})
	}
	if ahead := a.places.ahead; ahead != nil {
		all = append(all, leafWitness(ahead))
	}
	return all
}

// leafWitness is a leaf index that has numbered more than the log holds.
func leafWitness(ahead *leaves.Ahead) witness {
	return witness{audit.LeafIndex, "the leaf index", func(context.Context) (string, eventstore.Position, error) {
		return leavesFile, ahead.Last, nil
	}}
}

// compareEnds refuses a log that ends before what was seen of it, and ends what an
// interrupted acceptance of a loss began.
func (a *assembly) compareEnds(ctx context.Context) error {
	if loss, err := unfinishedLoss(ctx, a.places.keys); err != nil {
		return err
	} else if loss != nil {
		_, err := a.finishLoss(ctx, *loss)
		return err
	}
	found, err := findCut(ctx, a.store, a.witnesses()...)
	if err != nil || found == nil {
		return err
	}
	return found.err()
}

// keyRingWitness remembers the end of the log beside the key ring.
func keyRingWitness(db *keysdb.DB) witness {
	return witness{audit.KeyRing, "the key ring", func(ctx context.Context) (string, eventstore.Position, error) {
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

const (
	followEvery = time.Second      // the least time between two looks at the end of the log
	followIdle  = 10 * time.Second // and the longest: a log that went back wakes nobody
)

// follow keeps the end of a log that moves while the key ring does not, soon after it has
// moved and once more when ctx ends. Nobody waits for it. It fails with ErrOlderLog when
// the log ends before what this process has seen of it, as after a failover to a replica
// that was behind. mark, if not nil, keeps the end outside the databases.
func (e *logEnd) follow(ctx context.Context, log eventstore.Store, db *keysdb.DB, mark func(eventstore.Position)) error {
	var kept eventstore.Position
	keep := func(ctx context.Context) error {
		e.mu.Lock()
		before := e.at
		e.mu.Unlock()
		end, err := log.Head(ctx)
		if err != nil {
			return nil // it is away; the next look tells
		}
		if before.Compare(end) > 0 {
			return olderLog("this process", before, end)
		}
		if end.Compare(kept) <= 0 {
			return nil
		}
		e.reached(end)
		if db.Post(func(*keysdb.Tx) error { return nil }) == nil { // the mark accompanies it
			kept = end
		}
		if mark != nil {
			mark(end)
		}
		return nil
	}
	pause := time.NewTicker(followEvery)
	defer pause.Stop()
	for ctx.Err() == nil {
		idle, cancel := context.WithTimeout(ctx, followIdle)
		_ = log.Wait(idle, kept) // whatever it says, the log is asked
		cancel()
		if ctx.Err() == nil {
			if err := keep(ctx); err != nil {
				return err
			}
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), followEvery)
	defer cancel()
	return keep(last)
}

// endFile holds, in the directory of a process whose databases are elsewhere, the end of
// the log that it has seen: a failover takes everything in the databases back together.
const endFile = "log.end"

// markEnd keeps an end in the process's directory. What cannot be kept now is kept the
// next time the log has moved.
func (d DataDir) markEnd(end eventstore.Position) {
	_ = files.WriteWhole(d.File(endFile), func(w io.Writer) error {
		_, err := fmt.Fprintln(w, end.Commit, end.Prepare)
		return err
	})
}

// seenByProcess returns the end that this directory remembers, unless its loss was accepted
// by another process.
func (a *assembly) seenByProcess(ctx context.Context) (string, eventstore.Position, error) {
	text, err := os.ReadFile(a.dir.File(endFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", eventstore.Position{}, nil
	} else if err != nil {
		return "", eventstore.Position{}, err
	}
	var at eventstore.Position
	if _, err := fmt.Sscan(string(text), &at.Commit, &at.Prepare); err != nil {
		return "", eventstore.Position{}, errors.New(endFile + " in the data directory is not readable")
	}
	if accepted, err := lossAccepted(ctx, a.places.keys, at); err != nil || accepted {
		return "", eventstore.Position{}, err
	}
	return "in " + string(a.dir), at, nil
}

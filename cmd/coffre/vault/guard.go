package vault

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/document"
	"coffre/eventstore"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/shred"
	"coffre/handlers/acting"
)

// guardTables hold up to where the log was compared with the key ring (guard), up to where
// it was seen to reach (log_end), the losses that were accepted (losses), and what was done
// while nobody served the vault (offline_acts). They lie beside the ring, so that a copy of the ring from before brings its own marks.
var guardTables = []string{
	`CREATE TABLE guard (one INTEGER PRIMARY KEY CHECK (one = 1), commit_position INTEGER NOT NULL, prepare_position INTEGER NOT NULL) STRICT;`,
	`CREATE TABLE log_end (one INTEGER PRIMARY KEY CHECK (one = 1), commit_position INTEGER NOT NULL, prepare_position INTEGER NOT NULL) STRICT;`,
	`CREATE TABLE losses (id BLOB NOT NULL PRIMARY KEY, end_commit INTEGER NOT NULL, end_prepare INTEGER NOT NULL, seen_commit INTEGER NOT NULL, seen_prepare INTEGER NOT NULL,
		witness TEXT NOT NULL, cause TEXT NOT NULL, subject TEXT NOT NULL, at INTEGER NOT NULL, recorded INTEGER NOT NULL) STRICT;`,
	`CREATE TABLE offline_acts (id BLOB NOT NULL PRIMARY KEY, act TEXT NOT NULL, digest TEXT NOT NULL, account TEXT NOT NULL, at INTEGER NOT NULL, recorded INTEGER NOT NULL) STRICT;`,
}

const guardPage = 10_000 // events between two marks

// ErrOldKeys says that the key ring is a copy from before: the log names citizens, or holds
// sealed streams, whose keys it lacks.
var ErrOldKeys = errors.New("the key ring is older than the log: it does not know citizens or streams that the log names; restore the newest copy of keys.db")

// keyRing is a key ring that is to be served or was restored, as the guard asks it.
type keyRing interface {
	ReapplyDestroyed(context.Context, []seal.DestroyedSubject, []seal.DestroyedStream) error
	Missing(context.Context, []domain.CitizenID) ([]domain.CitizenID, error)
	UnknownStreams(context.Context, []eventstore.Stream) (int, error)
}

// servedRing is a key ring that is to be served, with the authority to destroy.
type servedRing struct {
	*seal.Ring
	*seal.Destroyer
}

// checkedRing is a key ring that is to be served by a process that may not destroy.
type checkedRing struct{ *seal.Ring }

// ErrUndestroyed says that the ring still holds keys that the log or the shred list names as
// destroyed, and that this process may not destroy them again.
var ErrUndestroyed = errors.New("the key ring holds keys that were destroyed, as a copy from before does: run coffre destroyer, which destroys them again, and start this process then")

// ReapplyDestroyed returns ErrUndestroyed unless everything named is destroyed.
func (c checkedRing) ReapplyDestroyed(ctx context.Context, citizens []seal.DestroyedSubject, streams []seal.DestroyedStream) error {
	n, err := c.Undestroyed(ctx, citizens, streams)
	if err == nil && n > 0 {
		err = fmt.Errorf("%w (%d of them)", ErrUndestroyed, n)
	}
	return err
}

// guard compares the log with the key ring, from where it last ended: it refuses
// a ring that lacks a citizen or a stream of the log, and destroys again the keys that the log
// and the shred list say were destroyed (rule E-3). It runs
// before anything is
// served.
func guard(ctx context.Context, log *eventstore.Log, db *keysdb.DB, ring keyRing, shreds *shred.List) error {
	citizens, streams, err := shreds.Read()
	if err == nil {
		err = ring.ReapplyDestroyed(ctx, citizens, streams)
	}
	if err != nil {
		return fmt.Errorf("destroy again what the shred list names: %w", err)
	}
	if err := db.Migrate(ctx, "guard", guardTables); err != nil {
		return err
	}
	mark, err := keysdb.Do(ctx, db, func(tx *keysdb.Tx) (p eventstore.Position, err error) {
		var commit, prepare int64
		err = tx.Row(`SELECT commit_position, prepare_position FROM guard`, nil, &commit, &prepare)
		if errors.Is(err, sql.ErrNoRows) {
			return eventstore.Position{}, nil
		}
		return eventstore.Position{Commit: uint64(commit), Prepare: uint64(prepare)}, err
	})
	if err != nil {
		return fmt.Errorf("read the mark of the guard: %w", err)
	}
	for {
		next, err := guardSome(ctx, log, ring, mark)
		if err != nil {
			return err
		}
		if next == mark {
			return nil
		}
		mark = next
		if _, err := keysdb.Do(ctx, db, func(tx *keysdb.Tx) (int64, error) {
			return tx.Exec(`INSERT INTO guard VALUES (1, ?, ?) ON CONFLICT (one) DO UPDATE SET commit_position = excluded.commit_position, prepare_position = excluded.prepare_position`,
				int64(mark.Commit), int64(mark.Prepare))
		}); err != nil && !errors.Is(err, eventstore.ErrDiskFull) { // the former mark only has the next start compare more
			return fmt.Errorf("keep the mark of the guard: %w", err)
		}
	}
}

// carriedOut returns an error that wraps eventstore.Corrupt unless the log holds, before the
// record of a destruction, that its erasure was requested, approved and started (rule E-1).
// A record alone makes nobody destroy a key again: whoever can write to the database could
// have everybody forgotten with it.
//
// A life that was merged into another one is forgotten with it: the erasure is looked for in
// the other's stream.
func carriedOut(ctx context.Context, log *eventstore.Log, record eventstore.Record, of domain.CitizenID, erasure domain.ErasureID) error {
	return carriedOutIn(ctx, log, record, of, erasure, maxMerges)
}

// maxMerges bounds the merges that are followed from one life.
const maxMerges = 16

func carriedOutIn(ctx context.Context, log *eventstore.Log, record eventstore.Record, of domain.CitizenID, erasure domain.ErasureID, lives int) error {
	requested, approved, started, withSurvivor := false, false, false, false
	var survivor domain.CitizenID
	for e, err := range log.Read(ctx, acting.CitizenStream(of), 0) {
		if err != nil {
			return fmt.Errorf("look for the erasure of a destruction: %w", err)
		}
		if e.Position.Compare(record.Position) >= 0 {
			break
		}
		switch f := e.Data.(type) {
		case citizen.ErasureRequested:
			requested = requested || f.Erasure == erasure
		case citizen.ErasureApproved:
			approved = approved || requested && f.Erasure == erasure
		case citizen.ErasureStarted:
			started = started || approved && f.Erasure == erasure
			withSurvivor = withSurvivor || f.Erasure == erasure
		case citizen.MergedInto:
			survivor = f.Survivor
		case citizen.Separated:
			survivor = domain.CitizenID{}
		}
	}
	if lives > 0 && !erasure.IsZero() && !requested && withSurvivor && !survivor.IsZero() && survivor != of { // asked for and approved there
		return carriedOutIn(ctx, log, record, survivor, erasure, lives-1)
	}
	if erasure.IsZero() || !started {
		return fmt.Errorf("the log tells of destroyed keys without an erasure that was asked for, approved and started, and nothing was destroyed for it: %w",
			&eventstore.Corrupt{Stream: record.Stream, Revision: record.Revision, Position: record.Position})
	}
	return nil
}

// guardSome looks at one page of the log and returns where it ends.
func guardSome(ctx context.Context, log *eventstore.Log, ring keyRing, after eventstore.Position) (eventstore.Position, error) {
	var named []domain.CitizenID
	var subjects []seal.DestroyedSubject
	var streams []seal.DestroyedStream
	sealed := map[eventstore.Stream]bool{}
	for r, err := range log.Store().ReadAll(ctx, after, guardPage) {
		if err != nil {
			return after, fmt.Errorf("compare the log with the key ring: %w", err)
		}
		after = r.Position
		if r.Sealed != nil {
			sealed[r.Stream] = true
		}
		switch r.Type { // the few that matter are decoded, and no others
		case "citizen.registered/1", "citizen.key-destroyed/1", "document.content-destroyed/1":
		default:
			continue
		}
		data, err := log.Decode(r)
		if err != nil {
			return after, err
		}
		switch e := data.(type) {
		case citizen.Registered:
			named = append(named, e.Citizen)
		case citizen.KeyDestroyed:
			if err := carriedOut(ctx, log, r, e.Citizen, e.Erasure); err != nil {
				return after, err
			}
			subjects = append(subjects, seal.DestroyedSubject{Citizen: e.Citizen})
		case document.ContentDestroyed:
			state, _, err := acting.Documents.Load(ctx, log, r.Stream)
			if err != nil {
				return after, err
			}
			if err := carriedOut(ctx, log, r, state.Citizen, e.Erasure); err != nil {
				return after, err
			}
			streams = append(streams, seal.DestroyedStream{Stream: r.Stream, Citizen: state.Citizen})
		}
	}
	// First what was destroyed: of such a citizen a ring need not know more.
	if err := ring.ReapplyDestroyed(ctx, subjects, streams); err != nil {
		return after, fmt.Errorf("destroy again what the log says was destroyed: %w", err)
	}
	missing, err := ring.Missing(ctx, named)
	if err != nil {
		return after, fmt.Errorf("compare the log with the key ring: %w", err)
	}
	if len(missing) > 0 {
		return after, fmt.Errorf("%w (%d of them)", ErrOldKeys, len(missing))
	}
	unknown, err := ring.UnknownStreams(ctx, slices.Collect(maps.Keys(sealed)))
	if err != nil {
		return after, fmt.Errorf("compare the log with the key ring: %w", err)
	}
	if unknown > 0 {
		return after, fmt.Errorf("%w (%d streams)", ErrOldKeys, unknown)
	}
	return after, nil
}

// Package checkpoints keeps signed checkpoints of the log: the last one and one a day in the
// key database, where they are served from, and the last one once more outside the databases
// of the vault, where no restore of them takes it back.
//
// Invariant: the last checkpoint of a place is replaced by whoever names it only, so of two
// who replace it at the same time one learns that it lost. A checkpoint is public and names
// nobody.
package checkpoints

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"

	"coffre/eventstore"
	"coffre/eventstore/proof"
	"coffre/eventstore/seal/keysdb"
)

// ErrOvertaken: the place holds another last checkpoint than the one that was to be replaced.
var ErrOvertaken = errors.New("checkpoints: another one was kept meanwhile")

// Place is the port to what keeps the last checkpoint. Its methods may be called
// concurrently. Its contract is checkpointstest.Run.
type Place interface {
	// Last returns the last checkpoint as a signed note, nil when there was none.
	Last(ctx context.Context) ([]byte, error)

	// Replace keeps next in the place of former (nil: of none), durably once it returned nil.
	// It returns ErrOvertaken, and changes nothing, when the last one is not former. After
	// another error it may have happened: Last tells.
	Replace(ctx context.Context, former, next []byte) error
}

var tables = []string{`
CREATE TABLE checkpoint_last (
	one  INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
	sum  BLOB NOT NULL, -- SHA-256 of the note
	note BLOB NOT NULL
) STRICT;
CREATE TABLE checkpoints (
	origin TEXT    NOT NULL,
	day    INTEGER NOT NULL, -- since 1970-01-01
	size   INTEGER NOT NULL,
	note   BLOB    NOT NULL, -- the last one of that day
	PRIMARY KEY (origin, day)
) STRICT;
`, cosignedTables}

// Migrate makes the tables in db, or brings them up to date, and puts nothing into them.
func Migrate(ctx context.Context, db *keysdb.DB) error {
	return db.Migrate(ctx, "checkpoints", tables)
}

// Kept are the checkpoints in one key database. Its methods may be called concurrently.
type Kept struct{ db *keysdb.DB }

var _ Place = (*Kept)(nil)

// In returns the checkpoints in db.
func In(ctx context.Context, db *keysdb.DB) (*Kept, error) {
	if err := Migrate(ctx, db); err != nil {
		return nil, err
	}
	return &Kept{db}, nil
}

// Last implements Place.
func (k *Kept) Last(ctx context.Context) (signed []byte, err error) {
	s, err := k.db.Read(`SELECT note FROM checkpoint_last`)
	if err == nil {
		err = s.QueryRowxContext(ctx).Scan(&signed)
	}
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the last checkpoint: %w: %w", eventstore.ErrUnavailable, err)
	}
	return signed, nil
}

// Replace implements Place. The day's last checkpoint is kept for good.
func (k *Kept) Replace(ctx context.Context, former, next []byte) error {
	c, err := proof.Peek(next)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(next)
	_, err = keysdb.Do(ctx, k.db, func(tx *keysdb.Tx) (int64, error) {
		var n int64
		var err error
		if former == nil {
			n, err = tx.Exec(`INSERT INTO checkpoint_last (one, sum, note) VALUES (1, ?, ?) ON CONFLICT (one) DO NOTHING`, sum[:], next)
		} else {
			was := sha256.Sum256(former)
			n, err = tx.Exec(`UPDATE checkpoint_last SET sum = ?, note = ? WHERE one = 1 AND sum = ?`, sum[:], next, was[:])
		}
		if err != nil {
			return 0, err
		}
		if n != 1 {
			return 0, ErrOvertaken
		}
		day := c.Time.Unix() / (24 * 60 * 60)
		return tx.Exec(`INSERT INTO checkpoints (origin, day, size, note) VALUES (?, ?, ?, ?)
			ON CONFLICT (origin, day) DO UPDATE SET size = excluded.size, note = excluded.note`, c.Origin, day, c.Size, next)
	})
	if err != nil && !errors.Is(err, ErrOvertaken) {
		return fmt.Errorf("keep a checkpoint: %w", err)
	}
	return err
}

// Days returns the last checkpoint of each day, the oldest first, of every origin.
func (k *Kept) Days(ctx context.Context) (all [][]byte, err error) {
	s, err := k.db.Read(`SELECT note FROM checkpoints ORDER BY day, size`)
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	if err := s.SelectContext(ctx, &all); err != nil {
		return nil, fmt.Errorf("list checkpoints: %w: %w", eventstore.ErrUnavailable, err)
	}
	return all, nil
}

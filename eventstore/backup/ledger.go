package backup

import (
	"context"
	"fmt"
	"time"

	"coffre/eventstore/seal/keysdb"
)

// Ledger remembers the archives that a vault made, so that only of these it can be
// said that they are good. Its methods may be called concurrently.
type Ledger struct{ db *keysdb.DB }

var ledgerTables = []string{`
CREATE TABLE backups_made (
	sha256 BLOB    NOT NULL PRIMARY KEY, -- of the whole archive
	taken  INTEGER NOT NULL,             -- microseconds since 1970
	oldest INTEGER NOT NULL              -- version of the key-encryption key that it needs
) STRICT;
`, `
ALTER TABLE backups_made ADD COLUMN mac BLOB;
`}

var backupsMade = &keysdb.Table{Name: "backups_made", Key: []string{"sha256"}, Columns: []string{"sha256", "taken", "oldest"}}

// Migrate makes the ledger's table in db, or brings it up to date, and puts nothing into
// it: for the target of a copy. [OpenLedger] does the same first.
func Migrate(ctx context.Context, db *keysdb.DB) error {
	return db.Migrate(ctx, "backup", ledgerTables)
}

// OpenLedger returns the ledger in db, on which a key ring is open.
func OpenLedger(ctx context.Context, db *keysdb.DB) (*Ledger, error) {
	if err := Migrate(ctx, db); err != nil {
		return nil, err
	}
	if err := db.Protect(ctx, []*keysdb.Table{backupsMade}, nil); err != nil {
		return nil, err
	}
	return &Ledger{db}, nil
}

// Made is an archive in the ledger.
type Made struct {
	SHA256 Sum       // of the whole archive
	Taken  time.Time // UTC, whole microseconds
	Oldest int       // version of the key-encryption key that it needs
}

// Enter records durably that an archive was made.
func (l *Ledger) Enter(ctx context.Context, m Made) error {
	_, err := keysdb.Do(ctx, l.db, func(tx *keysdb.Tx) (struct{}, error) {
		return struct{}{}, tx.Insert(backupsMade, m.SHA256[:], m.Taken.UnixMicro(), m.Oldest)
	})
	if err != nil {
		return fmt.Errorf("note that a backup was made: %w", err)
	}
	return nil
}

// Find returns the archive with that hash, if this vault made it.
func (l *Ledger) Find(ctx context.Context, sum Sum) (m Made, found bool, err error) {
	e, err := l.db.Entry(ctx, backupsMade, `sha256 = ?`, sum[:])
	switch {
	case err != nil:
		return Made{}, false, fmt.Errorf("find a backup: %w", err)
	case e == nil:
		return Made{}, false, nil
	}
	m.Oldest = int(e.Int("oldest"))
	m.SHA256, m.Taken = sum, time.UnixMicro(e.Int("taken")).UTC()
	return m, true, nil
}

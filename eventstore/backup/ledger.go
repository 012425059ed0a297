package backup

import (
	"context"
	"database/sql"
	"errors"
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
`}

// OpenLedger returns the ledger in db.
func OpenLedger(ctx context.Context, db *keysdb.DB) (*Ledger, error) {
	if err := db.Migrate(ctx, "backup", ledgerTables); err != nil {
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
	_, err := keysdb.Do(ctx, l.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`INSERT INTO backups_made (sha256, taken, oldest) VALUES (?, ?, ?)`, m.SHA256[:], m.Taken.UnixMicro(), m.Oldest)
	})
	if err != nil {
		return fmt.Errorf("note that a backup was made: %w", err)
	}
	return nil
}

// Find returns the archive with that hash, if this vault made it.
func (l *Ledger) Find(ctx context.Context, sum Sum) (m Made, found bool, err error) {
	s, err := l.db.Read(`SELECT taken, oldest FROM backups_made WHERE sha256 = ?`)
	var taken int64
	if err == nil {
		err = s.QueryRowxContext(ctx, sum[:]).Scan(&taken, &m.Oldest)
	}
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Made{}, false, nil
	case err != nil:
		return Made{}, false, fmt.Errorf("find a backup: %w", err)
	}
	m.SHA256, m.Taken = sum, time.UnixMicro(taken).UTC()
	return m, true, nil
}

// Package sessions remembers, for all processes on one key database, who is logged in at the
// pages.
//
// A row holds a digest by which whoever has the session's secret finds it, what the pages
// sealed under another key made of that secret, and two ends. Nothing in the database opens a
// row, and nothing in it is a secret that logs anybody in.
//
// Invariant: a session that was ended, or whose end has come, is found by no process any more.
package sessions

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"coffre/eventstore/seal/keysdb"
)

var migrations = []string{`
CREATE TABLE page_sessions (
	id     BLOB    NOT NULL PRIMARY KEY, -- derived from a secret that the browser alone has
	sealed BLOB    NOT NULL,             -- under a key derived from the same secret
	idle   INTEGER NOT NULL,             -- seconds since 1970: over at this time unless used before
	until  INTEGER NOT NULL              -- seconds since 1970: over at this time in any case
) STRICT;
CREATE INDEX page_sessions_idle ON page_sessions (idle);
`}

// Migrate makes the table in db, or brings it up to date, and puts nothing into it.
func Migrate(ctx context.Context, db *keysdb.DB) error {
	return db.Migrate(ctx, "sessions", migrations)
}

// purgeBatch bounds the rows that are deleted when a session begins.
const purgeBatch = 1000

// Table remembers sessions in the key database. Make it with [Open]; its methods may be called
// concurrently.
type Table struct{ db *keysdb.DB }

// Open returns the table in db.
func Open(ctx context.Context, db *keysdb.DB) (*Table, error) {
	if err := Migrate(ctx, db); err != nil {
		return nil, err
	}
	return &Table{db}, nil
}

// Begin remembers a session until idle, which Use extends, and at most until the second time,
// and forgets some of those that are over. It returns when that is durable. Its errors are
// those of keysdb.Do; one is that a session with this id is there.
func (t *Table) Begin(ctx context.Context, id, sealed []byte, now, idle, until time.Time) error {
	_, err := keysdb.Do(ctx, t.db, func(tx *keysdb.Tx) (int64, error) {
		if _, err := tx.Exec(`DELETE FROM page_sessions WHERE id IN (SELECT id FROM page_sessions WHERE idle <= ? LIMIT ?)`, now.Unix(), purgeBatch); err != nil {
			return 0, err
		}
		return tx.Exec(`INSERT INTO page_sessions (id, sealed, idle, until) VALUES (?, ?, ?, ?)`, id, sealed, min(idle.Unix(), until.Unix()), until.Unix())
	})
	if err != nil {
		return fmt.Errorf("remember a session: %w", err)
	}
	return nil
}

// Use returns what was sealed of a session, nil when there is none or it is over, and extends
// it until idle. A session that was used less than a minute ago is not written again.
func (t *Table) Use(ctx context.Context, id []byte, now, idle time.Time) (sealed []byte, err error) {
	var ends, until int64
	err = t.db.EachRow(ctx, `SELECT sealed, idle, until FROM page_sessions WHERE id = ? AND idle > ?`, []any{id, now.Unix()}, func(scan func(...any) error) error {
		return scan(&sealed, &ends, &until)
	})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("find a session: %w", err)
	}
	next := min(idle.Unix(), until)
	if sealed == nil || next-ends < int64(time.Minute/time.Second) {
		return sealed, nil
	}
	kept, err := keysdb.Do(ctx, t.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`UPDATE page_sessions SET idle = ? WHERE id = ? AND idle > ?`, next, id, now.Unix())
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("extend a session: %w", err)
	case kept == 0: // ended in between
		return nil, nil
	}
	return sealed, nil
}

// End forgets a session, if there is one. It returns when that is durable.
func (t *Table) End(ctx context.Context, id []byte) error {
	_, err := keysdb.Do(ctx, t.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`DELETE FROM page_sessions WHERE id = ?`, id)
	})
	if err != nil {
		return fmt.Errorf("end a session: %w", err)
	}
	return nil
}

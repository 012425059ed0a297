// Package exports keeps, for all processes on one key database, which exports there are, how
// each goes, and the key of its content, which lies sealed where files lie: one process makes
// an export, and any other tells of it and serves it.
//
// A row holds a description that the caller makes, of ids, codes and times, and names nobody.
//
// Invariant: of several attempts at an export, in whatever processes, at most one ends it, and
// it was the last to begin. Each has a name and a key of its own for its content, so none
// overwrites what another stored.
package exports

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

var migrations = []string{`
CREATE TABLE exports (
	id       BLOB    NOT NULL PRIMARY KEY,
	created  INTEGER NOT NULL, -- microseconds since 1970
	holder   BLOB    NOT NULL, -- the process that was last to be at it
	attempt  INTEGER NOT NULL, -- how often it was begun
	ended    INTEGER NOT NULL, -- 1: nothing will change it any more
	salt     BLOB    NOT NULL, -- without it nobody opens the content again
	size     INTEGER NOT NULL, -- bytes of the content, before it was sealed
	vouched  INTEGER NOT NULL, -- when the holder last said that it is at it
	manifest BLOB    NOT NULL  -- the caller's description
) STRICT;
CREATE INDEX exports_created ON exports (created);
`}

// Migrate makes the table in db, or brings it up to date, and puts nothing into it.
func Migrate(ctx context.Context, db *keysdb.DB) error { return db.Migrate(ctx, "exports", migrations) }

// Silence is the time without a word of its process after which an export that has not ended
// is anybody's to make.
const Silence = time.Minute

// Table is the exports in the key database. Make it with [Open]; its methods may be called
// concurrently.
type Table struct {
	db     *keysdb.DB
	macAt  func(time.Time) func(parts ...[]byte) [32]byte
	holder uuid.UUID
	now    func() time.Time
}

// Open returns the table in db for one process, which holder names after every start. macAt
// returns HMAC-SHA256 under the version of the request key (seal.RequestKey) that was in force at
// a moment, always the same for that moment: of the one in force when an export was asked for
// the keys of its contents are derived. now is the clock, nil for time.Now.
func Open(ctx context.Context, db *keysdb.DB, macAt func(time.Time) func(parts ...[]byte) [32]byte, holder uuid.UUID, now func() time.Time) (*Table, error) {
	if now == nil {
		now = time.Now
	}
	if err := Migrate(ctx, db); err != nil {
		return nil, fmt.Errorf("open exports: %w", err)
	}
	return &Table{db, macAt, holder, now}, nil
}

// Export is one row.
type Export struct {
	ID       uuid.UUID
	Created  time.Time // in UTC
	Manifest []byte
	Ended    bool
	// Mine reports, of one that has not ended, that this process is to make it: it was the last
	// to be at it, or the one that was has not been heard of for [Silence].
	Mine    bool
	Content Content // what the last attempt stored, when Ended
}

// Content names the sealed content of one attempt.
type Content struct {
	Attempt int64
	Name    uuid.UUID // under which it lies
	Key     [32]byte  // that seals it and nothing else
	Size    int64     // bytes before it was sealed; 0: nothing lies anywhere
}

// ErrNone: there is no such export.
var ErrNone = errors.New("exports: no such export")

// Add adds an export that this process is to make, durably. One that is there stays as it is.
func (t *Table) Add(ctx context.Context, id uuid.UUID, created time.Time, manifest []byte) error {
	salt := make([]byte, 32)
	rand.Read(salt)
	_, err := keysdb.Do(ctx, t.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`INSERT INTO exports (id, created, holder, attempt, ended, salt, size, vouched, manifest) VALUES (?, ?, ?, 0, 0, ?, 0, ?, ?) ON CONFLICT (id) DO NOTHING`,
			id[:], created.UnixMicro(), t.holder[:], salt, t.now().UnixMicro(), manifest)
	})
	if err != nil {
		return fmt.Errorf("add an export: %w", err)
	}
	return nil
}

// Begin begins an attempt at an export durably and returns where its content goes; attempts
// before it can no longer end the export. ok is false when the export has ended or is gone.
func (t *Table) Begin(ctx context.Context, id uuid.UUID) (_ Content, ok bool, err error) {
	r, err := keysdb.Do(ctx, t.db, func(tx *keysdb.Tx) (row, error) {
		if _, err := tx.Exec(`UPDATE exports SET attempt = attempt + 1, holder = ?, vouched = ? WHERE id = ? AND ended = 0`, t.holder[:], t.now().UnixMicro(), id[:]); err != nil {
			return row{}, err
		}
		var rows []row
		if err := tx.Select(&rows, `SELECT `+columns+` FROM exports WHERE id = ? AND ended = 0`, id[:]); err != nil || len(rows) == 0 {
			return row{}, err
		}
		return rows[0], nil
	})
	switch {
	case err != nil:
		return Content{}, false, fmt.Errorf("begin an export: %w", err)
	case r.ID == nil:
		return Content{}, false, nil
	}
	return t.content(id, r), true, nil
}

// VouchEvery is the time between two words of a process that it is at an attempt.
const VouchEvery = 5 * time.Second

// Vouch says until ctx ends, again and again, that this process is at an attempt. It returns
// true when the attempt cannot end the export any more: it ended, or a later one began. A time
// that cannot be written is passed over.
func (t *Table) Vouch(ctx context.Context, id uuid.UUID, c Content) (overtaken bool) {
	again := time.NewTicker(VouchEvery)
	defer again.Stop()
	for {
		select {
		case <-again.C:
		case <-ctx.Done():
			return false
		}
		n, err := keysdb.Do(ctx, t.db, func(tx *keysdb.Tx) (int64, error) { // the next one may
			return tx.Exec(`UPDATE exports SET vouched = ? WHERE id = ? AND attempt = ?`, t.now().UnixMicro(), id[:], c.Attempt)
		})
		if err == nil && n == 0 {
			return true
		}
	}
}

// Cancel ends an export that has not ended durably with a manifest that says so: no attempt
// ends it any more, and the keys of what attempts stored are gone. One that has ended, or that
// is none, stays as it is.
func (t *Table) Cancel(ctx context.Context, id uuid.UUID, manifest []byte) error {
	salt := make([]byte, 32) // of which no content was sealed
	rand.Read(salt)
	_, err := keysdb.Do(ctx, t.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`UPDATE exports SET ended = 1, size = 0, attempt = attempt + 1, salt = ?, manifest = ? WHERE id = ? AND ended = 0`, salt, manifest, id[:])
	})
	if err != nil {
		return fmt.Errorf("cancel an export: %w", err)
	}
	return nil
}

// End ends an export durably with the content of an attempt and a manifest that says how it
// went. ended is false when a later attempt has begun, or the export is gone: then nothing
// changed, and the caller removes what it stored.
func (t *Table) End(ctx context.Context, id uuid.UUID, c Content, manifest []byte) (ended bool, err error) {
	n, err := keysdb.Do(ctx, t.db, func(tx *keysdb.Tx) (int64, error) {
		// A repetition of an end whose outcome was not known finds its own.
		return tx.Exec(`UPDATE exports SET ended = 1, size = ?, manifest = ? WHERE id = ? AND attempt = ?`, c.Size, manifest, id[:], c.Attempt)
	})
	if err != nil {
		return false, fmt.Errorf("end an export: %w", err)
	}
	return n > 0, nil
}

// Find returns an export, or ErrNone.
func (t *Table) Find(ctx context.Context, id uuid.UUID) (Export, error) {
	read, err := t.db.Read(`SELECT ` + columns + ` FROM exports WHERE id = ?`)
	if err != nil {
		return Export{}, fmt.Errorf("find an export: %w", err)
	}
	var r row
	switch err := read.GetContext(ctx, &r, id[:]); {
	case errors.Is(err, sql.ErrNoRows):
		return Export{}, ErrNone
	case err != nil:
		return Export{}, fmt.Errorf("find an export: %w: %w", eventstore.ErrUnavailable, err)
	}
	return t.export(r)
}

// All returns every export, in the order in which they were asked for.
func (t *Table) All(ctx context.Context) ([]Export, error) {
	read, err := t.db.Read(`SELECT ` + columns + ` FROM exports ORDER BY created, id`)
	if err != nil {
		return nil, fmt.Errorf("list exports: %w", err)
	}
	var rows []row
	if err := read.SelectContext(ctx, &rows); err != nil {
		return nil, fmt.Errorf("list exports: %w: %w", eventstore.ErrUnavailable, err)
	}
	all := make([]Export, len(rows))
	for i, r := range rows {
		if all[i], err = t.export(r); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Names returns under which names attempts at an export may have stored something.
func (e Export) Names() []uuid.UUID {
	all := make([]uuid.UUID, 0, e.Content.Attempt)
	for n := range e.Content.Attempt {
		all = append(all, nameOf(e.ID, n+1))
	}
	return all
}

// Remove forgets an export durably, and with it the keys of what its attempts stored.
func (t *Table) Remove(ctx context.Context, id uuid.UUID) error {
	_, err := keysdb.Do(ctx, t.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`DELETE FROM exports WHERE id = ?`, id[:])
	})
	if err != nil {
		return fmt.Errorf("remove an export: %w", err)
	}
	return nil
}

const columns = `id, created, holder, attempt, ended, salt, size, vouched, manifest`

// row is an export as stored.
type row struct {
	ID, Holder, Salt, Manifest             []byte
	Created, Attempt, Ended, Size, Vouched int64
}

func (t *Table) export(r row) (Export, error) {
	id, err := uuid.FromBytes(r.ID)
	if err != nil {
		return Export{}, errors.New("exports: a row without an id")
	}
	c := t.content(id, r)
	c.Size = r.Size
	return Export{
		ID: id, Created: time.UnixMicro(r.Created).UTC(), Manifest: r.Manifest, Ended: r.Ended == 1,
		Mine: r.Ended == 0 && (bytes.Equal(r.Holder, t.holder[:]) || t.now().After(time.UnixMicro(r.Vouched).Add(Silence))), Content: c,
	}, nil
}

// content derives name and key of an attempt's content.
func (t *Table) content(id uuid.UUID, r row) Content {
	number := binary.BigEndian.AppendUint64(nil, uint64(r.Attempt))
	mac := t.macAt(time.UnixMicro(r.Created))
	return Content{Attempt: r.Attempt, Name: nameOf(id, r.Attempt), Key: mac([]byte("export/v1\x00"), id[:], number, r.Salt)}
}

// nameOf returns the name under which an attempt stores its content.
func nameOf(id uuid.UUID, attempt int64) uuid.UUID {
	return uuid.NewSHA1(id, binary.BigEndian.AppendUint64([]byte("export content"), uint64(attempt)))
}

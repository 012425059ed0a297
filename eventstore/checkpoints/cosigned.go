package checkpoints

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"coffre/eventstore"
	"coffre/eventstore/proof"
	"coffre/eventstore/seal/keysdb"
)

const cosignedTables = `
CREATE TABLE cosignatures (
	origin TEXT    NOT NULL,
	signed INTEGER NOT NULL, -- time of the checkpoint, microseconds
	size   INTEGER NOT NULL,
	enough INTEGER NOT NULL, -- 1: as many witnesses cosigned it as the policy of then asked for
	note   BLOB    NOT NULL, -- with the cosignatures
	PRIMARY KEY (origin, signed)
) STRICT;
CREATE TABLE witnesses_seen (
	origin TEXT    NOT NULL,
	vkey   TEXT    NOT NULL, -- of the witness
	size   INTEGER NOT NULL, -- of the checkpoint that it cosigned last
	signed INTEGER NOT NULL, -- time of that checkpoint, microseconds
	at     INTEGER NOT NULL, -- when it cosigned, seconds
	PRIMARY KEY (origin, vkey)
) STRICT;
`

// keepCosigned is how long a checkpoint with cosignatures stays that was not the last one of its
// day with enough of them, in microseconds.
const keepCosigned = 10 * 60 * 1_000_000

// Seen says how far a witness came with a log.
type Seen struct {
	Size   int64 // of the checkpoint that it cosigned last
	Signed int64 // time of that checkpoint, microseconds
	At     int64 // when it cosigned, seconds
}

// Cosigned are the checkpoints with cosignatures of witnesses in one key database: those of the
// last minutes, and of each day the last one with enough of them. Its methods may be called
// concurrently.
type Cosigned struct{ db *keysdb.DB }

// CosignedIn returns the checkpoints with cosignatures in db.
func CosignedIn(ctx context.Context, db *keysdb.DB) (*Cosigned, error) {
	if err := Migrate(ctx, db); err != nil {
		return nil, err
	}
	return &Cosigned{db}, nil
}

// Keep adds a cosignature to a checkpoint that the log signed, durably once it returned nil.
// enough judges the note with all that are on it, and may be called again. Cosignatures of one
// checkpoint may be added in any order; one that is there already changes nothing.
func (c *Cosigned) Keep(ctx context.Context, signed []byte, one proof.Cosignature, enough func(note []byte) bool) error {
	head, err := proof.Peek(signed)
	if err != nil {
		return err
	}
	at := head.Time.UnixMicro()
	_, err = keysdb.Do(ctx, c.db, func(tx *keysdb.Tx) (int64, error) {
		note := signed
		err := tx.Row(`SELECT note FROM cosignatures WHERE origin = ? AND signed = ?`, []any{head.Origin, at}, &note)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return 0, err
		}
		if !bytes.HasPrefix(note, signed) {
			note = signed
		}
		note = proof.AddCosignatures(note, one)
		quorum := 0
		if enough(note) {
			quorum = 1
		}
		if _, err := tx.Exec(`INSERT INTO cosignatures (origin, signed, size, enough, note) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (origin, signed) DO UPDATE SET enough = excluded.enough, note = excluded.note`, head.Origin, at, head.Size, quorum, note); err != nil {
			return 0, err
		}
		if _, err := tx.Exec(`INSERT INTO witnesses_seen (origin, vkey, size, signed, at) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (origin, vkey) DO UPDATE SET size = excluded.size, signed = excluded.signed, at = excluded.at
			WHERE witnesses_seen.signed < excluded.signed`, head.Origin, one.Witness.String(), head.Size, at, one.At.Unix()); err != nil {
			return 0, err
		}
		const day = `86400000000`
		return tx.Exec(`DELETE FROM cosignatures WHERE signed < ? AND (enough = 0 OR EXISTS (SELECT 1 FROM cosignatures later
			WHERE later.origin = cosignatures.origin AND later.enough = 1 AND later.signed > cosignatures.signed
			AND later.signed / `+day+` = cosignatures.signed / `+day+`))`, at-keepCosigned)
	})
	if err != nil {
		return fmt.Errorf("keep a cosignature: %w", err)
	}
	return nil
}

// Of returns a checkpoint with the cosignatures that are kept of it, or as it is when there are
// none.
func (c *Cosigned) Of(ctx context.Context, signed []byte) ([]byte, error) {
	head, err := proof.Peek(signed)
	if err != nil {
		return nil, err
	}
	note, err := c.one(ctx, `SELECT note FROM cosignatures WHERE origin = ? AND signed = ?`, head.Origin, head.Time.UnixMicro())
	if err != nil || !bytes.HasPrefix(note, signed) { // none, or of another one that says the same time
		return signed, err
	}
	return note, nil
}

// Enough returns the last checkpoint of a log with as many cosignatures as were needed when it
// was kept, nil when there is none.
func (c *Cosigned) Enough(ctx context.Context, origin string) ([]byte, error) {
	return c.one(ctx, `SELECT note FROM cosignatures WHERE origin = ? AND enough = 1 ORDER BY signed DESC LIMIT 1`, origin)
}

func (c *Cosigned) one(ctx context.Context, query string, args ...any) (note []byte, err error) {
	s, err := c.db.Read(query)
	if err == nil {
		err = s.QueryRowxContext(ctx, args...).Scan(&note)
	}
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read cosignatures: %w: %w", eventstore.ErrUnavailable, err)
	}
	return note, nil
}

// Seen returns how far each witness came with a log, by its verifier key.
func (c *Cosigned) Seen(ctx context.Context, origin string) (map[string]Seen, error) {
	all := map[string]Seen{}
	err := c.db.EachRow(ctx, `SELECT vkey, size, signed, at FROM witnesses_seen WHERE origin = ?`, []any{origin}, func(scan func(...any) error) error {
		var vkey string
		var s Seen
		if err := scan(&vkey, &s.Size, &s.Signed, &s.At); err != nil {
			return err
		}
		all[vkey] = s
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read cosignatures: %w", err)
	}
	return all, nil
}

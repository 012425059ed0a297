// Package certificates keeps signed certificates of erasures beside the key ring, so that
// processes that cannot sign return what the destroyer signed.
//
// Invariant: it holds what GET /erasures/{id}/certificate answers, which names nobody: ids
// that the vault made, numbers, dates and a signature.
package certificates

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

var tables = []string{`
CREATE TABLE certificates (
	erasure BLOB NOT NULL PRIMARY KEY,
	citizen BLOB NOT NULL,
	final   INTEGER NOT NULL, -- 1: nothing will change it any more
	says    BLOB NOT NULL,    -- SHA-256 of the certificate without its signature
	signed  BLOB NOT NULL     -- JSON
) STRICT;
CREATE INDEX certificates_open ON certificates (erasure) WHERE final = 0;
`}

// Migrate makes the table in db, or brings it up to date, and puts nothing into it.
func Migrate(ctx context.Context, db *keysdb.DB) error {
	return db.Migrate(ctx, "certificates", tables)
}

// ErrNone: no certificate of that erasure is kept.
var ErrNone = errors.New("certificates: none of this erasure")

// Kept are the certificates in one key database. Its methods may be called concurrently.
type Kept struct{ db *keysdb.DB }

// In returns the certificates in db.
func In(ctx context.Context, db *keysdb.DB) (*Kept, error) {
	if err := Migrate(ctx, db); err != nil {
		return nil, err
	}
	return &Kept{db}, nil
}

// Find returns the signed certificate of an erasure, or ErrNone.
func (k *Kept) Find(ctx context.Context, erasure uuid.UUID) (signed []byte, err error) {
	var said []byte
	return signed, k.row(ctx, erasure, &said, &signed)
}

// Says reports whether the certificate that is kept says exactly that, whoever signed it.
func (k *Kept) Says(ctx context.Context, erasure uuid.UUID, what []byte) (bool, error) {
	var said, signed []byte
	err := k.row(ctx, erasure, &said, &signed)
	if errors.Is(err, ErrNone) {
		return false, nil
	}
	return err == nil && [sha256.Size]byte(said) == sha256.Sum256(what), err
}

func (k *Kept) row(ctx context.Context, erasure uuid.UUID, said, signed *[]byte) error {
	s, err := k.db.Read(`SELECT says, signed FROM certificates WHERE erasure = ?`)
	if err == nil {
		err = s.QueryRowxContext(ctx, erasure[:]).Scan(said, signed)
	}
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return ErrNone
	case err != nil:
		return fmt.Errorf("read a certificate: %w: %w", eventstore.ErrUnavailable, err)
	case len(*said) != sha256.Size:
		return fmt.Errorf("read a certificate: a digest of %d bytes", len(*said))
	}
	return nil
}

// Certificate is one that was signed.
type Certificate struct {
	Erasure, Citizen uuid.UUID
	Final            bool   // nothing will change it any more
	Says             []byte // without its signature
	Signed           []byte // JSON
}

// Keep stores a signed certificate, durably, in the place of the one before.
func (k *Kept) Keep(ctx context.Context, c Certificate) error {
	sum := sha256.Sum256(c.Says)
	final := 0
	if c.Final {
		final = 1
	}
	_, err := keysdb.Do(ctx, k.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`INSERT INTO certificates (erasure, citizen, final, says, signed) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (erasure) DO UPDATE SET final = excluded.final, says = excluded.says, signed = excluded.signed`,
			c.Erasure[:], c.Citizen[:], final, sum[:], c.Signed)
	})
	if err != nil {
		return fmt.Errorf("keep a certificate: %w", err)
	}
	return nil
}

// Open returns erasure and citizen of every certificate that is not the last one.
func (k *Kept) Open(ctx context.Context) (all []Certificate, err error) {
	s, err := k.db.Read(`SELECT erasure, citizen FROM certificates WHERE final = 0 ORDER BY erasure`)
	if err != nil {
		return nil, fmt.Errorf("list certificates: %w", err)
	}
	rows, err := s.QueryxContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("list certificates: %w: %w", eventstore.ErrUnavailable, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var erasure, citizen []byte
		if err := rows.Scan(&erasure, &citizen); err != nil {
			return nil, fmt.Errorf("list certificates: %w", err)
		}
		c := Certificate{}
		copy(c.Erasure[:], erasure)
		copy(c.Citizen[:], citizen)
		all = append(all, c)
	}
	return all, rows.Err()
}

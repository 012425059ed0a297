package seal

import (
	"context"
	"crypto/ed25519"
	"fmt"

	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// SigningKey is a public key that signed something.
type SigningKey struct {
	Purpose string // what it signs
	ID      string
	Public  ed25519.PublicKey
}

// NoteSigningKey records durably a public key, so that what it signed can be verified
// when the keeper has another. Recording it again does nothing.
func (l Ledger) NoteSigningKey(ctx context.Context, k SigningKey) error {
	if k.Purpose == "" || k.ID == "" || len(k.Public) != ed25519.PublicKeySize {
		return fmt.Errorf("note signing key: %w", eventstore.ErrInvalid)
	}
	_, err := keysdb.Do(ctx, l.ring.db, func(tx *keysdb.Tx) (bool, error) {
		return tx.InsertNew(signingKeys, k.Purpose, k.ID, []byte(k.Public), l.ring.micros())
	})
	return unavailable(ctx, "note signing key", err)
}

// SigningKeys returns every public key that was noted, by purpose and age. A damaged row
// is left out: nobody should verify anything with it.
func (l Ledger) SigningKeys(ctx context.Context) ([]SigningKey, error) {
	var all []SigningKey
	err := l.ring.db.Each(ctx, signingKeys, `ORDER BY purpose, noted, key_id`, nil, func(e *keysdb.Entry, damage error) error {
		if damage == nil {
			all = append(all, SigningKey{e.Text("purpose"), e.Text("key_id"), e.Bytes("public")})
		}
		return nil
	})
	return all, unavailable(ctx, "read signing keys", err)
}

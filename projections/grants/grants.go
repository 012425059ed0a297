// Package grants keeps, inside a read model that needs it, which consents let
// which consumers read: the part that wallet and evidence have in common.
//
// Invariant: a row stands from its grant to its withdrawal or last use, or is gone
// with its citizen. Expiry is never written: it is the clock's.
package grants

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/eventstore"
	"coffre/projections"
)

// Schema of the tables grants, limited, deaths and erased, to be joined with that of
// the read model around them.
var Schema = projections.Schema{
	Tables: `
CREATE TABLE grants (
	from_leaf BIGINT PRIMARY KEY,
	to_leaf BIGINT NOT NULL,
	consent BYTEA NOT NULL,
	citizen BYTEA NOT NULL,
	consumer TEXT NOT NULL,
	granted_at BIGINT NOT NULL,
	terms TEXT NOT NULL
);
CREATE INDEX grants_consent ON grants (consent);

CREATE TABLE limited (
	consent BYTEA PRIMARY KEY,
	citizen BYTEA NOT NULL,
	uses_left BIGINT NOT NULL
);

CREATE TABLE deaths (leaf BIGINT PRIMARY KEY, citizen BYTEA NOT NULL, to_leaf BIGINT NOT NULL);
CREATE INDEX deaths_citizen ON deaths (citizen);
CREATE TABLE erased (citizen BYTEA PRIMARY KEY, leaf BIGINT NOT NULL);
`,
	Indexes: `
CREATE INDEX grants_citizen ON grants (citizen, to_leaf);
CREATE INDEX limited_citizen ON limited (citizen);
`,
	Settle: `
DELETE FROM grants WHERE citizen IN (SELECT citizen FROM erased);
DELETE FROM limited WHERE citizen IN (SELECT citizen FROM erased);
DELETE FROM deaths WHERE citizen IN (SELECT citizen FROM erased);
`,
}

const (
	insertGrant = `INSERT INTO grants (from_leaf, to_leaf, consent, citizen, consumer, granted_at, terms)
		SELECT ?, ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM erased WHERE citizen = ?)`
	endGrant = `UPDATE grants SET to_leaf = ? WHERE consent = ? AND to_leaf = ?`

	insertLimited = `INSERT INTO limited (consent, citizen, uses_left) SELECT ?, ?, ?
		WHERE NOT EXISTS (SELECT 1 FROM limited WHERE consent = ?)`
	useLimited = `UPDATE limited SET uses_left = uses_left - 1 WHERE consent = ?`
	dropUsedUp = `DELETE FROM limited WHERE consent = ? AND uses_left <= 0`

	insertDeath  = `INSERT INTO deaths (leaf, citizen, to_leaf) SELECT ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM erased WHERE citizen = ?)`
	correctDeath = `UPDATE deaths SET to_leaf = ? WHERE citizen = ? AND to_leaf = ?`
	insertErased = `INSERT INTO erased (citizen, leaf) SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM erased WHERE citizen = ?)`

	selectStanding = `SELECT g.consent, g.citizen, g.terms, g.granted_at, g.from_leaf FROM grants g
		WHERE g.citizen = ? AND g.to_leaf > ? AND g.from_leaf <= ?
		AND NOT EXISTS (SELECT 1 FROM deaths d WHERE d.citizen = g.citizen AND d.leaf <= ? AND d.to_leaf > g.from_leaf)`
	selectOf   = selectStanding + ` ORDER BY g.from_leaf`
	selectWith = selectStanding + ` AND g.consumer = ? ORDER BY g.from_leaf`
)

var vanish = []string{
	`DELETE FROM grants WHERE citizen = ?`,
	`DELETE FROM limited WHERE citizen = ?`,
	`DELETE FROM deaths WHERE citizen = ?`,
}

// Apply takes in what concerns these tables. After citizen.key-destroyed the read
// model around them removes its own rows of the citizen, unless it is being built.
func Apply(ctx context.Context, tx *projections.Tx, e eventstore.Event, leaf int64) error {
	switch f := e.Data.(type) {
	case consent.Granted:
		return grant(ctx, tx, f, leaf)
	case consent.Withdrawn:
		_, err := tx.Exec(ctx, endGrant, leaf, f.Consent.UUID[:], projections.Latest)
		return err
	case access.Authorized:
		return endUsedUp(ctx, tx, f, leaf)
	case citizen.Deceased:
		id := f.Citizen.UUID[:]
		_, err := tx.Exec(ctx, insertDeath, leaf, id, projections.Latest, id)
		return err
	case citizen.DeathCorrected:
		_, err := tx.Exec(ctx, correctDeath, leaf, f.Citizen.UUID[:], projections.Latest)
		return err
	case citizen.KeyDestroyed:
		id := f.Citizen.UUID[:]
		if _, err := tx.Exec(ctx, insertErased, id, leaf, id); err != nil || tx.Building() {
			return err // Settle removes the rows when their indexes are there
		}
		for _, statement := range vanish {
			if _, err := tx.Exec(ctx, statement, id); err != nil {
				return err
			}
		}
	}
	return nil
}

func grant(ctx context.Context, tx *projections.Tx, f consent.Granted, leaf int64) error {
	terms, err := json.Marshal(f.Terms)
	if err != nil {
		return err
	}
	id, of := f.Consent.UUID[:], f.Citizen.UUID[:]
	n, err := tx.Exec(ctx, insertGrant, leaf, projections.Latest, id, of, string(f.Terms.Consumer), f.At.UnixMicro(), string(terms), of)
	if err != nil || n == 0 || f.Terms.Limits.Uses == 0 {
		return err
	}
	_, err = tx.Exec(ctx, insertLimited, id, of, f.Terms.Limits.Uses, id)
	return err
}

// endUsedUp ends a grant with its last use. A repeat of the same access is no use.
func endUsedUp(ctx context.Context, tx *projections.Tx, f access.Authorized, leaf int64) error {
	if f.Consent.IsZero() || f.Attempt > 1 {
		return nil
	}
	id := f.Consent.UUID[:]
	if n, err := tx.Exec(ctx, useLimited, id); err != nil || n == 0 {
		return err
	}
	if n, err := tx.Exec(ctx, dropUsedUp, id); err != nil || n == 0 {
		return err
	}
	_, err := tx.Exec(ctx, endGrant, leaf, id, projections.Latest)
	return err
}

// Reader is a consent that lets a consumer read: granted, neither withdrawn nor used
// up at the leaf asked for. Whether it has expired is the caller's to judge, by
// Terms.Until.
type Reader struct {
	Consent     domain.ConsentID
	Citizen     domain.CitizenID
	Terms       consent.Terms
	GrantedAt   time.Time
	GrantedLeaf int64
}

// Covers reports whether the consent is about a document: by its id, or by its type
// if it was issued before (rule C-2), that is at a leaf below that of the grant.
func (r *Reader) Covers(id domain.DocumentID, t domain.DocumentType, issuedLeaf int64) bool {
	for _, d := range r.Terms.Documents {
		if d == id {
			return true
		}
	}
	for _, own := range r.Terms.Types {
		if own == t && issuedLeaf < r.GrantedLeaf {
			return true
		}
	}
	return false
}

var errTerms = errors.New("a consent's terms do not decode") // the cause would quote them

// Of returns the consents of a citizen that stand at a leaf, in the order of their
// grants; none from the citizen's death, and none from before it once it was corrected.
func Of(ctx context.Context, v *projections.View, of domain.CitizenID, asOf int64) ([]Reader, error) {
	at := projections.At(asOf)
	return selectReaders(ctx, v, selectOf, of.UUID[:], at, at, at)
}

// With returns those consents of a citizen that [Of] returns and that name the consumer.
func With(ctx context.Context, v *projections.View, of domain.CitizenID, consumer domain.Organisation, asOf int64) ([]Reader, error) {
	at := projections.At(asOf)
	return selectReaders(ctx, v, selectWith, of.UUID[:], at, at, at, string(consumer))
}

func selectReaders(ctx context.Context, v *projections.View, query string, args ...any) ([]Reader, error) {
	all := []Reader{}
	err := v.Each(ctx, query, args, func(row projections.Row) error {
		r := Reader{GrantedAt: projections.Instant(row.Int64(3)), GrantedLeaf: row.Int64(4)}
		copy(r.Consent.UUID[:], row.Bytes(0))
		copy(r.Citizen.UUID[:], row.Bytes(1))
		if json.Unmarshal(row.Text(2), &r.Terms) != nil { // which copies
			return errTerms
		}
		all = append(all, r)
		return nil
	})
	return all, err
}

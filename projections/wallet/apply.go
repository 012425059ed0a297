package wallet

import (
	"context"
	"encoding/json"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/domain/mandate"
	"coffre/eventstore"
	"coffre/projections"
)

const (
	insertIssued = `INSERT INTO versions (from_leaf, to_leaf, citizen, document, type, issuer, issued_leaf, issued_at, changed_at,
			version, state, reason, valid_from, valid_until, effective_from, revoked_from, personal_validity, destroyed,
			stream, event, event_type, sealed)
		SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 'active', '', ?, ?, '', '', ?, 0, ?, ?, ?, ?
		WHERE NOT EXISTS (SELECT 1 FROM erased WHERE citizen = ?)`

	insertUpdated = `INSERT INTO versions (from_leaf, to_leaf, citizen, document, type, issuer, issued_leaf, issued_at, changed_at,
			version, state, reason, valid_from, valid_until, effective_from, revoked_from, personal_validity, destroyed,
			stream, event, event_type, sealed)
		SELECT ?, to_leaf, citizen, document, type, issuer, issued_leaf, issued_at, ?,
			?, state, ?, ?, ?, ?, revoked_from, personal_validity, destroyed,
			?, ?, ?, ?
		FROM versions WHERE document = ? AND to_leaf = ? AND destroyed = 0`

	// A revocation is final (rule D-2): what comes after changes nothing.
	insertState = `INSERT INTO versions (from_leaf, to_leaf, citizen, document, type, issuer, issued_leaf, issued_at, changed_at,
			version, state, reason, valid_from, valid_until, effective_from, revoked_from, personal_validity, destroyed,
			stream, event, event_type, sealed)
		SELECT ?, to_leaf, citizen, document, type, issuer, issued_leaf, issued_at, ?,
			version, ?, ?, valid_from, valid_until, effective_from, ?, personal_validity, destroyed,
			stream, event, event_type, sealed
		FROM versions WHERE document = ? AND to_leaf = ? AND state <> 'revoked'`

	closeFormer = `UPDATE versions SET to_leaf = ? WHERE document = ? AND to_leaf = ? AND from_leaf < ?`

	destroyContent = `UPDATE versions SET sealed = NULL, destroyed = 1 WHERE document = ?`

	insertMandate = `INSERT INTO mandates (from_leaf, accepted_leaf, to_leaf, mandate, citizen, representative, kind, scope, source,
			granted_at, accepted_at, ended_at, reason, stream, event, event_type, sealed)
		SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, '', ?, ?, ?, ?
		WHERE NOT EXISTS (SELECT 1 FROM erased WHERE citizen IN (?, ?))`

	acceptMandate = `UPDATE mandates SET accepted_leaf = ?, accepted_at = ? WHERE mandate = ? AND accepted_leaf = ? AND to_leaf = ?`
	endMandate    = `UPDATE mandates SET to_leaf = ?, ended_at = ?, reason = ? WHERE mandate = ? AND to_leaf = ?`

	insertGrant = `INSERT INTO grants (from_leaf, to_leaf, consent, citizen, consumer, purpose, until_at, granted_at, terms)
		SELECT ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM erased WHERE citizen = ?)`
	endGrant = `UPDATE grants SET to_leaf = ? WHERE consent = ? AND to_leaf = ?`

	insertLimited = `INSERT INTO limited (consent, citizen, uses_left) SELECT ?, ?, ?
		WHERE NOT EXISTS (SELECT 1 FROM limited WHERE consent = ?)`
	useLimited = `UPDATE limited SET uses_left = uses_left - 1 WHERE consent = ?`
	dropUsedUp = `DELETE FROM limited WHERE consent = ? AND uses_left <= 0`

	insertDeath = `INSERT INTO deaths (citizen, leaf) SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM deaths WHERE citizen = ?)
		AND NOT EXISTS (SELECT 1 FROM erased WHERE citizen = ?)`
	insertErased = `INSERT INTO erased (citizen, leaf) SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM erased WHERE citizen = ?)`
)

// vanish removes every row of an erased citizen.
var vanish = []string{
	`DELETE FROM versions WHERE citizen = ?`,
	`DELETE FROM mandates WHERE citizen = ?`,
	`DELETE FROM mandates WHERE representative = ?`,
	`DELETE FROM grants WHERE citizen = ?`,
	`DELETE FROM limited WHERE citizen = ?`,
	`DELETE FROM deaths WHERE citizen = ?`,
}

const forEver = projections.Latest

// Apply implements projections.Projection.
func (w *Wallets) Apply(ctx context.Context, tx *projections.Tx, e eventstore.Event, leaf int64) error {
	switch f := e.Data.(type) {
	case document.Issued:
		_, err := tx.Exec(ctx, insertIssued, leaf, forEver, f.Citizen.UUID[:], f.Document.UUID[:], string(f.Type), string(f.Issuer),
			leaf, micros(f.At), micros(f.At), string(f.ValidFrom), string(f.ValidUntil), number(f.PersonalValidity),
			string(e.Stream), e.ID[:], e.Type, blob(e.Sealed), f.Citizen.UUID[:])
		return err
	case document.Updated:
		n, err := tx.Exec(ctx, insertUpdated, leaf, micros(f.At), f.Version, string(f.Reason),
			string(f.ValidFrom), string(f.ValidUntil), string(f.EffectiveFrom),
			string(e.Stream), e.ID[:], e.Type, blob(e.Sealed), f.Document.UUID[:], forEver)
		return closed(ctx, tx, f.Document, leaf, n, err)
	case document.Revoked:
		return changeState(ctx, tx, f.Document, leaf, f.At, Revoked, f.Reason, f.EffectiveFrom)
	case document.Suspended:
		return changeState(ctx, tx, f.Document, leaf, f.At, Suspended, f.Reason, "")
	case document.Reinstated:
		return changeState(ctx, tx, f.Document, leaf, f.At, Active, f.Reason, "")
	case document.ContentDestroyed:
		tx.Scrub()
		_, err := tx.Exec(ctx, destroyContent, f.Document.UUID[:])
		return err

	case mandate.Granted:
		scope, err := json.Marshal(f.Scope)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, insertMandate, leaf, forEver, forEver, f.Mandate.UUID[:], f.Citizen.UUID[:], f.Representative.UUID[:],
			string(f.Kind), string(scope), string(f.Source), micros(f.At),
			string(e.Stream), e.ID[:], e.Type, blob(e.Sealed), f.Citizen.UUID[:], f.Representative.UUID[:])
		return err
	case mandate.Accepted:
		_, err := tx.Exec(ctx, acceptMandate, leaf, micros(f.At), f.Mandate.UUID[:], forEver, forEver)
		return err
	case mandate.Ended:
		_, err := tx.Exec(ctx, endMandate, leaf, micros(f.At), string(f.Reason), f.Mandate.UUID[:], forEver)
		return err

	case consent.Granted:
		return grant(ctx, tx, f, leaf)
	case consent.Withdrawn:
		_, err := tx.Exec(ctx, endGrant, leaf, f.Consent.UUID[:], forEver)
		return err
	case access.Authorized:
		return used(ctx, tx, f, leaf)

	case citizen.Deceased:
		_, err := tx.Exec(ctx, insertDeath, f.Citizen.UUID[:], leaf, f.Citizen.UUID[:], f.Citizen.UUID[:])
		return err
	case citizen.KeyDestroyed:
		return erase(ctx, tx, f.Citizen, leaf)
	}
	return nil // of no interest to a wallet
}

func changeState(ctx context.Context, tx *projections.Tx, id domain.DocumentID, leaf int64, at time.Time, s DocumentState, reason domain.ReasonCode, from domain.Date) error {
	n, err := tx.Exec(ctx, insertState, leaf, micros(at), string(s), string(reason), string(from), id.UUID[:], forEver)
	return closed(ctx, tx, id, leaf, n, err)
}

// closed ends the row that a new one has just replaced.
func closed(ctx context.Context, tx *projections.Tx, id domain.DocumentID, leaf, inserted int64, err error) error {
	if err != nil || inserted == 0 {
		return err
	}
	_, err = tx.Exec(ctx, closeFormer, leaf, id.UUID[:], forEver, leaf)
	return err
}

func grant(ctx context.Context, tx *projections.Tx, f consent.Granted, leaf int64) error {
	terms, err := json.Marshal(f.Terms)
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, insertGrant, leaf, forEver, f.Consent.UUID[:], f.Citizen.UUID[:], string(f.Terms.Consumer), string(f.Terms.Purpose),
		micros(f.Terms.Until), micros(f.At), string(terms), f.Citizen.UUID[:])
	if err != nil || n == 0 || f.Terms.Limits.Uses == 0 {
		return err
	}
	_, err = tx.Exec(ctx, insertLimited, f.Consent.UUID[:], f.Citizen.UUID[:], f.Terms.Limits.Uses, f.Consent.UUID[:])
	return err
}

// used ends a grant with its last use. A repeat of the same access is no use.
func used(ctx context.Context, tx *projections.Tx, f access.Authorized, leaf int64) error {
	if f.Consent.IsZero() || f.Attempt > 1 {
		return nil
	}
	if n, err := tx.Exec(ctx, useLimited, f.Consent.UUID[:]); err != nil || n == 0 {
		return err
	}
	if n, err := tx.Exec(ctx, dropUsedUp, f.Consent.UUID[:]); err != nil || n == 0 {
		return err
	}
	_, err := tx.Exec(ctx, endGrant, leaf, f.Consent.UUID[:], forEver)
	return err
}

func erase(ctx context.Context, tx *projections.Tx, id domain.CitizenID, leaf int64) error {
	tx.Scrub()
	if _, err := tx.Exec(ctx, insertErased, id.UUID[:], leaf, id.UUID[:]); err != nil || tx.Building() {
		return err // Settle removes the rows when their indexes are there
	}
	for _, statement := range vanish {
		if _, err := tx.Exec(ctx, statement, id.UUID[:]); err != nil {
			return err
		}
	}
	return nil
}

// micros is the stored form of a time; 0 for none.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func instant(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// blob is the argument for bytes that may be absent.
func blob(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}

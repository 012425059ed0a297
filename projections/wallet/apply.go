package wallet

import (
	"context"
	"encoding/json"
	"time"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/document"
	"coffre/domain/mandate"
	"coffre/eventstore"
	"coffre/projections"
	"coffre/projections/grants"
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
		FROM versions WHERE document = ? AND to_leaf = ? AND (state <> 'revoked' OR ? < revoked_from AND ? <> '')`

	closeFormer = `UPDATE versions SET to_leaf = ? WHERE document = ? AND to_leaf = ? AND from_leaf < ?`

	destroyContent = `UPDATE versions SET sealed = NULL, destroyed = 1 WHERE document = ?`

	insertMandate = `INSERT INTO mandates (from_leaf, accepted_leaf, to_leaf, mandate, citizen, representative, kind, scope, source,
			granted_at, accepted_at, ended_at, reason, stream, event, event_type, sealed)
		SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, '', ?, ?, ?, ?
		WHERE NOT EXISTS (SELECT 1 FROM erased WHERE citizen IN (?, ?))`

	acceptMandate = `UPDATE mandates SET accepted_leaf = ?, accepted_at = ? WHERE mandate = ? AND accepted_leaf = ? AND to_leaf = ?`
	endMandate    = `UPDATE mandates SET to_leaf = ?, ended_at = ?, reason = ? WHERE mandate = ? AND to_leaf = ?`

	insertLife = `INSERT INTO lives (from_leaf, to_leaf, former, survivor) SELECT ?, ?, ?, ?
		WHERE NOT EXISTS (SELECT 1 FROM erased WHERE citizen IN (?, ?))`
	separate = `UPDATE lives SET to_leaf = ? WHERE former = ? AND to_leaf = ?`
)

// vanish lists the statements that remove every row of an erased citizen.
var vanish = []string{
	`DELETE FROM versions WHERE citizen = ?`,
	`DELETE FROM mandates WHERE citizen = ?`,
	`DELETE FROM mandates WHERE representative = ?`,
	`DELETE FROM lives WHERE former = ?`,
	`DELETE FROM lives WHERE survivor = ?`,
}

const forEver = projections.Latest

// Apply implements projections.Projection.
func (w *Wallets) Apply(ctx context.Context, tx *projections.Tx, e eventstore.Event, leaf int64) error {
	switch f := e.Data.(type) {
	case document.Issued:
		_, err := tx.Exec(ctx, insertIssued, leaf, forEver, f.Citizen.UUID[:], f.Document.UUID[:], string(f.Type), string(f.Issuer),
			leaf, projections.Micros(f.At), projections.Micros(f.At), string(f.ValidFrom), string(f.ValidUntil), number(f.PersonalValidity),
			string(e.Stream), e.ID[:], e.Type, blob(e.Keep()), f.Citizen.UUID[:])
		return err
	case document.Updated:
		n, err := tx.Exec(ctx, insertUpdated, leaf, projections.Micros(f.At), f.Version, string(f.Reason),
			string(f.ValidFrom), string(f.ValidUntil), string(f.EffectiveFrom),
			string(e.Stream), e.ID[:], e.Type, blob(e.Keep()), f.Document.UUID[:], forEver)
		return endReplaced(ctx, tx, f.Document, leaf, n, err)
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
			string(f.Kind), string(scope), string(f.Source), projections.Micros(f.At),
			string(e.Stream), e.ID[:], e.Type, blob(e.Keep()), f.Citizen.UUID[:], f.Representative.UUID[:])
		return err
	case mandate.Accepted:
		_, err := tx.Exec(ctx, acceptMandate, leaf, projections.Micros(f.At), f.Mandate.UUID[:], forEver, forEver)
		return err
	case mandate.Ended:
		_, err := tx.Exec(ctx, endMandate, leaf, projections.Micros(f.At), string(f.Reason), f.Mandate.UUID[:], forEver)
		return err

	case citizen.MergedInto:
		_, err := tx.Exec(ctx, insertLife, leaf, forEver, f.Citizen.UUID[:], f.Survivor.UUID[:], f.Citizen.UUID[:], f.Survivor.UUID[:])
		return err
	case citizen.Separated:
		_, err := tx.Exec(ctx, separate, leaf, f.Citizen.UUID[:], forEver)
		return err
	case citizen.KeyDestroyed:
		return erase(ctx, tx, e, f.Citizen, leaf)
	}
	return grants.Apply(ctx, tx, e, leaf)
}

func changeState(ctx context.Context, tx *projections.Tx, id domain.DocumentID, leaf int64, at time.Time, s DocumentState, reason domain.ReasonCode, from domain.Date) error {
	n, err := tx.Exec(ctx, insertState, leaf, projections.Micros(at), string(s), string(reason), string(from), id.UUID[:], forEver, string(from), string(from))
	return endReplaced(ctx, tx, id, leaf, n, err)
}

// endReplaced ends the row that a new one has just replaced.
func endReplaced(ctx context.Context, tx *projections.Tx, id domain.DocumentID, leaf, inserted int64, err error) error {
	if err != nil || inserted == 0 {
		return err
	}
	_, err = tx.Exec(ctx, closeFormer, leaf, id.UUID[:], forEver, leaf)
	return err
}

func erase(ctx context.Context, tx *projections.Tx, e eventstore.Event, id domain.CitizenID, leaf int64) error {
	tx.Scrub()
	if err := grants.Apply(ctx, tx, e, leaf); err != nil || tx.Building() {
		return err // Settle removes the rows when their indexes are there
	}
	for _, statement := range vanish {
		if _, err := tx.Exec(ctx, statement, id.UUID[:]); err != nil {
			return err
		}
	}
	return nil
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// blob is the argument for bytes that may be absent.
func blob(b eventstore.Kept) any {
	if b == nil {
		return nil
	}
	return []byte(b)
}

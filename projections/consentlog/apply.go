package consentlog

import (
	"context"
	"encoding/json"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/eventstore"
	"coffre/projections"
)

const (
	insertRequested = `INSERT INTO consents (from_leaf, consent, citizen, consumer, purpose,
			requested_leaf, requested_at, requested_until, requested_terms,
			granted_leaf, granted_at, granted_until, granted_terms, max_uses, ended_leaf, ended_at, ended_as, reason)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, '', 0, ?, 0, '', '')`
	insertGranted = `INSERT INTO consents (from_leaf, consent, citizen, consumer, purpose,
			requested_leaf, requested_at, requested_until, requested_terms,
			granted_leaf, granted_at, granted_until, granted_terms, granted_mandate, max_uses, ended_leaf, ended_at, ended_as, reason)
		VALUES (?, ?, ?, ?, ?, ?, 0, 0, '', ?, ?, ?, ?, ?, ?, ?, 0, '', '')`
	grantRequested = `UPDATE consents SET granted_leaf = ?, granted_at = ?, granted_until = ?, granted_terms = ?, granted_mandate = ?, max_uses = ?
		WHERE consent = ? AND granted_leaf = ?`
	endConsent = `UPDATE consents SET ended_leaf = ?, ended_at = ?, ended_as = ?, ended_mandate = ?, reason = ?
		WHERE consent = ? AND ended_leaf = ?`

	insertDecision = `INSERT INTO decisions (leaf, consent, citizen, consumer, purpose, kind, at, until_at, mandate, reason)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '')`
	insertEnd = `INSERT INTO decisions (leaf, consent, citizen, consumer, purpose, kind, at, until_at, mandate, reason)
		SELECT ?, consent, citizen, consumer, purpose, ?, ?, CASE WHEN granted_until > 0 THEN granted_until ELSE requested_until END, ?, ?
		FROM consents WHERE consent = ?`

	insertUse   = `INSERT INTO uses (leaf, consent, access, at) VALUES (?, ?, ?, ?)`
	insertShown = `INSERT INTO shown (leaf, consent, citizen, kind, stream, event, event_type, sealed)
		SELECT ?, ?, ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM erased WHERE citizen = ?)`

	insertErased = `INSERT INTO erased (citizen, leaf) SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM erased WHERE citizen = ?)`
	dropShown    = `DELETE FROM shown WHERE citizen = ?`
)

// Apply implements projections.Projection.
func (l *Log) Apply(ctx context.Context, tx *projections.Tx, e eventstore.Event, leaf int64) error {
	switch f := e.Data.(type) {
	case consent.Requested:
		return recordBeginning(ctx, tx, e, leaf, f.Consent, f.Citizen, f.Terms, domain.MandateID{}, f.At, Requested)
	case consent.Granted:
		return recordBeginning(ctx, tx, e, leaf, f.Consent, f.Citizen, f.Terms, f.Mandate, f.At, Granted)
	case consent.Refused:
		return recordEnd(ctx, tx, leaf, f.Consent, f.Mandate, f.At, Refused, "")
	case consent.Withdrawn:
		return recordEnd(ctx, tx, leaf, f.Consent, f.Mandate, f.At, Withdrawn, f.Reason)
	case access.Authorized:
		if f.Consent.IsZero() || f.Attempt > 1 { // a repeat of the same access is no use
			return nil
		}
		_, err := tx.Exec(ctx, insertUse, leaf, f.Consent.UUID[:], f.Access.UUID[:], f.At.UnixMicro())
		return err
	case citizen.KeyDestroyed:
		tx.Scrub()
		id := f.Citizen.UUID[:]
		if _, err := tx.Exec(ctx, insertErased, id, leaf, id); err != nil || tx.Building() {
			return err // Settle removes the rows when their index is there
		}
		_, err := tx.Exec(ctx, dropShown, id)
		return err
	}
	return nil // of no interest to this log
}

func recordBeginning(ctx context.Context, tx *projections.Tx, e eventstore.Event, leaf int64, c domain.ConsentID, of domain.CitizenID, terms consent.Terms, m domain.MandateID, at time.Time, act Act) error {
	words, err := json.Marshal(terms)
	if err != nil {
		return err
	}
	id, citizen, until, never := c.UUID[:], of.UUID[:], terms.Until.UnixMicro(), projections.Latest
	var n int64
	switch act {
	case Requested:
		_, err = tx.Exec(ctx, insertRequested, leaf, id, citizen, string(terms.Consumer), string(terms.Purpose),
			leaf, at.UnixMicro(), until, string(words), never, never)
	default:
		n, err = tx.Exec(ctx, grantRequested, leaf, at.UnixMicro(), until, string(words), optional(m), terms.Limits.Uses, id, never)
		if err == nil && n == 0 {
			_, err = tx.Exec(ctx, insertGranted, leaf, id, citizen, string(terms.Consumer), string(terms.Purpose), never,
				leaf, at.UnixMicro(), until, string(words), optional(m), terms.Limits.Uses, never)
		}
	}
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, insertDecision, leaf, id, citizen, string(terms.Consumer), string(terms.Purpose), string(act), at.UnixMicro(), until, optional(m)); err != nil {
		return err
	}
	if e.Sealed == nil {
		return nil
	}
	_, err = tx.Exec(ctx, insertShown, leaf, id, citizen, string(act), string(e.Stream), e.ID[:], e.Type, []byte(e.Keep()), citizen)
	return err
}

func recordEnd(ctx context.Context, tx *projections.Tx, leaf int64, c domain.ConsentID, m domain.MandateID, at time.Time, act Act, reason domain.ReasonCode) error {
	id := c.UUID[:]
	if _, err := tx.Exec(ctx, insertEnd, leaf, string(act), at.UnixMicro(), optional(m), string(reason), id); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, endConsent, leaf, at.UnixMicro(), string(act), optional(m), string(reason), id, projections.Latest)
	return err
}

// optional is the argument for a mandate, which most decisions do not have.
func optional(m domain.MandateID) any {
	if m.IsZero() {
		return nil
	}
	return m.UUID[:]
}

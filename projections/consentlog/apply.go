package consentlog

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/eventstore"
	"coffre/projections"
)

const (
	insertRequested = `INSERT INTO consents (from_leaf, consent, citizen, consumer, purpose,
			requested_leaf, requested_at, requested_until, requested_terms, tracked,
			granted_leaf, granted_at, granted_until, granted_terms, max_uses, ended_leaf, ended_at, ended_as, reason)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, '', 0, ?, 0, '', '')`
	insertGranted = `INSERT INTO consents (from_leaf, consent, citizen, consumer, purpose,
			requested_leaf, requested_at, requested_until, requested_terms, tracked,
			granted_leaf, granted_at, granted_until, granted_terms, granted_mandate, max_uses, ended_leaf, ended_at, ended_as, reason, renews)
		VALUES (?, ?, ?, ?, ?, ?, 0, 0, '', 0, ?, ?, ?, ?, ?, ?, ?, 0, '', '', ?)`
	grantRequested = `UPDATE consents SET granted_leaf = ?, granted_at = ?, granted_until = ?, granted_terms = ?, granted_mandate = ?, max_uses = ?, renews = ?
		WHERE consent = ? AND granted_leaf = ?`
	endConsent = `UPDATE consents SET ended_leaf = ?, ended_at = ?, ended_as = ?, ended_mandate = ?, reason = ?
		WHERE consent = ? AND ended_leaf = ?`

	insertDecision = `INSERT INTO decisions (leaf, consent, citizen, consumer, purpose, kind, at, until_at, mandate, reason)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '')`
	insertEnd = `INSERT INTO decisions (leaf, consent, citizen, consumer, purpose, kind, at, until_at, mandate, reason)
		SELECT ?, consent, citizen, consumer, purpose, ?, ?, CASE WHEN granted_until > 0 THEN granted_until ELSE requested_until END, ?, ?
		FROM consents WHERE consent = ?`

	insertCovered = `INSERT INTO covered (type, consent) VALUES (?, ?) ON CONFLICT (type, consent) DO NOTHING`

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
		return recordRequest(ctx, tx, e, leaf, f)
	case consent.Granted:
		return recordGrant(ctx, tx, e, leaf, f)
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

// recordRequest enters a request. One that reached nobody is seen by its consumer, and is no
// decision about a citizen.
func recordRequest(ctx context.Context, tx *projections.Tx, e eventstore.Event, leaf int64, f consent.Requested) error {
	words, err := json.Marshal(f.Terms)
	if err != nil {
		return err
	}
	tracked := 0
	if f.Tracked {
		tracked = 1
	}
	id, of, until := f.Consent.UUID[:], f.Citizen.UUID[:], f.Terms.Until.UnixMicro()
	if _, err := tx.Exec(ctx, insertRequested, leaf, id, of, string(f.Terms.Consumer), string(f.Terms.Purpose),
		leaf, f.At.UnixMicro(), until, string(words), tracked, projections.Latest, projections.Latest); err != nil {
		return err
	}
	if f.Citizen.IsZero() {
		return nil
	}
	if err := recordCovered(ctx, tx, f.Consent, f.Terms.Types); err != nil {
		return err
	}
	return recordDecision(ctx, tx, e, Decision{Leaf: leaf, Consent: f.Consent, Citizen: f.Citizen, Consumer: f.Terms.Consumer, Purpose: f.Terms.Purpose, Act: Requested, At: f.At, Until: f.Terms.Until})
}

// recordGrant enters a grant, of what was requested or of what nobody asked for.
func recordGrant(ctx context.Context, tx *projections.Tx, e eventstore.Event, leaf int64, f consent.Granted) error {
	words, err := json.Marshal(f.Terms)
	if err != nil {
		return err
	}
	id, until, never := f.Consent.UUID[:], f.Terms.Until.UnixMicro(), projections.Latest
	n, err := tx.Exec(ctx, grantRequested, leaf, f.At.UnixMicro(), until, string(words), optional(f.Mandate.UUID), f.Terms.Limits.Uses, optional(f.Renews.UUID), id, never)
	if err == nil && n == 0 {
		_, err = tx.Exec(ctx, insertGranted, leaf, id, f.Citizen.UUID[:], string(f.Terms.Consumer), string(f.Terms.Purpose), never,
			leaf, f.At.UnixMicro(), until, string(words), optional(f.Mandate.UUID), f.Terms.Limits.Uses, never, optional(f.Renews.UUID))
	}
	if err != nil {
		return err
	}
	if err := recordCovered(ctx, tx, f.Consent, append(f.Terms.Types[:len(f.Terms.Types):len(f.Terms.Types)], f.DocumentTypes...)); err != nil {
		return err
	}
	return recordDecision(ctx, tx, e, Decision{Leaf: leaf, Consent: f.Consent, Citizen: f.Citizen, Consumer: f.Terms.Consumer, Purpose: f.Terms.Purpose, Act: Granted, At: f.At, Until: f.Terms.Until, Mandate: f.Mandate})
}

// recordDecision enters a decision, and keeps what the citizen was shown as it is sealed.
func recordDecision(ctx context.Context, tx *projections.Tx, e eventstore.Event, d Decision) error {
	id, of := d.Consent.UUID[:], d.Citizen.UUID[:]
	if _, err := tx.Exec(ctx, insertDecision, d.Leaf, id, of, string(d.Consumer), string(d.Purpose), string(d.Act), d.At.UnixMicro(), d.Until.UnixMicro(), optional(d.Mandate.UUID)); err != nil {
		return err
	}
	if e.Sealed == nil {
		return nil
	}
	_, err := tx.Exec(ctx, insertShown, d.Leaf, id, of, string(d.Act), string(e.Stream), e.ID[:], e.Type, []byte(e.Keep()), of)
	return err
}

func recordEnd(ctx context.Context, tx *projections.Tx, leaf int64, c domain.ConsentID, m domain.MandateID, at time.Time, act Act, reason domain.ReasonCode) error {
	id := c.UUID[:]
	if _, err := tx.Exec(ctx, insertEnd, leaf, string(act), at.UnixMicro(), optional(m.UUID), string(reason), id); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, endConsent, leaf, at.UnixMicro(), string(act), optional(m.UUID), string(reason), id, projections.Latest)
	return err
}

// recordCovered enters the types of document that a consent is about.
func recordCovered(ctx context.Context, tx *projections.Tx, id domain.ConsentID, types []domain.DocumentType) error {
	for _, t := range types {
		if _, err := tx.Exec(ctx, insertCovered, string(t), id.UUID[:]); err != nil {
			return err
		}
	}
	return nil
}

// optional is the argument for an id that most decisions do not have.
func optional(id uuid.UUID) any {
	if id == uuid.Nil {
		return nil
	}
	return id[:]
}

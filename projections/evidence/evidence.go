// Package evidence answers a consumer's question, once a basis is established: which
// types of document does this citizen hold, and are they valid? It also tells
// whether a consumer has any consent of a citizen, which is asked first (rule A-6).
//
// It holds no content. Dates that are sealed stand in the wallet's rows only.
// Queries take a leaf as asOf; negative or projections.Latest means everything seen
// so far.
//
// Invariant: no row of an erased citizen exists, at any leaf.
package evidence

import (
	"context"
	"fmt"
	"slices"
	"time"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/document"
	"coffre/eventstore"
	"coffre/projections"
	"coffre/projections/grants"
)

// Evidence is the projection and its queries, which may be called concurrently.
type Evidence struct{ view projections.View }

var _ projections.Projection = (*Evidence)(nil)

// New returns evidence that answers projections.ErrNotReady until a runner has built it.
func New() *Evidence { return &Evidence{} }

// Name implements projections.Projection.
func (v *Evidence) Name() string { return "evidence" }

// Version implements projections.Projection.
func (v *Evidence) Version() int { return 3 }

// Categories implements projections.Projection.
func (v *Evidence) Categories() []string { return []string{"document", "consent", "citizen"} }

// View implements projections.Projection.
func (v *Evidence) View() *projections.View { return &v.view }

// Schema implements projections.Projection. A row is one version of a document in
// one state, from leaf to leaf.
func (v *Evidence) Schema() projections.Schema {
	return projections.Schema{
		Tables: grants.Schema.Tables + `
CREATE TABLE held (
	from_leaf BIGINT PRIMARY KEY,
	to_leaf BIGINT NOT NULL,
	citizen BYTEA NOT NULL,
	document BYTEA NOT NULL,
	type TEXT NOT NULL,
	issuer TEXT NOT NULL,
	issued_leaf BIGINT NOT NULL,
	version BIGINT NOT NULL,
	state TEXT NOT NULL,
	valid_from TEXT NOT NULL,
	valid_until TEXT NOT NULL,
	effective_from TEXT NOT NULL,
	revoked_from TEXT NOT NULL,
	personal_validity BIGINT NOT NULL,
	destroyed_leaf BIGINT NOT NULL
);
CREATE INDEX held_document ON held (document, to_leaf);
`,
		Indexes: grants.Schema.Indexes + `
CREATE INDEX held_citizen ON held (citizen, to_leaf, from_leaf);
`,
		Settle: grants.Schema.Settle + `
DELETE FROM held WHERE citizen IN (SELECT citizen FROM erased);
`,
	}
}

const (
	insertIssued = `INSERT INTO held (from_leaf, to_leaf, citizen, document, type, issuer, issued_leaf, version, state,
			valid_from, valid_until, effective_from, revoked_from, personal_validity, destroyed_leaf)
		SELECT ?, ?, ?, ?, ?, ?, ?, 1, 'active', ?, ?, '', '', ?, ?
		WHERE NOT EXISTS (SELECT 1 FROM erased WHERE citizen = ?)`
	insertUpdated = `INSERT INTO held (from_leaf, to_leaf, citizen, document, type, issuer, issued_leaf, version, state,
			valid_from, valid_until, effective_from, revoked_from, personal_validity, destroyed_leaf)
		SELECT ?, to_leaf, citizen, document, type, issuer, issued_leaf, ?, state, ?, ?, ?, revoked_from, personal_validity, destroyed_leaf
		FROM held WHERE document = ? AND to_leaf = ? AND destroyed_leaf = ?`
	// A revocation is final (rule D-2): what comes after changes nothing.
	insertState = `INSERT INTO held (from_leaf, to_leaf, citizen, document, type, issuer, issued_leaf, version, state,
			valid_from, valid_until, effective_from, revoked_from, personal_validity, destroyed_leaf)
		SELECT ?, to_leaf, citizen, document, type, issuer, issued_leaf, version, ?, valid_from, valid_until, effective_from, ?, personal_validity, destroyed_leaf
		FROM held WHERE document = ? AND to_leaf = ? AND (state <> 'revoked' OR ? < revoked_from AND ? <> '')`
	closeFormer    = `UPDATE held SET to_leaf = ? WHERE document = ? AND to_leaf = ? AND from_leaf < ?`
	destroyContent = `UPDATE held SET destroyed_leaf = ? WHERE document = ? AND destroyed_leaf = ?`
	vanish         = `DELETE FROM held WHERE citizen = ?`

	selectHeld = `SELECT document, citizen, type, issuer, version, state, valid_from, valid_until, effective_from, revoked_from,
			personal_validity, destroyed_leaf, issued_leaf, from_leaf
		FROM held WHERE citizen = ? AND to_leaf > ? AND from_leaf <= ?`
)

// Apply implements projections.Projection.
func (v *Evidence) Apply(ctx context.Context, tx *projections.Tx, e eventstore.Event, leaf int64) error {
	forEver := projections.Latest
	switch f := e.Data.(type) {
	case document.Issued:
		personal := 0
		if f.PersonalValidity {
			personal = 1
		}
		_, err := tx.Exec(ctx, insertIssued, leaf, forEver, f.Citizen.UUID[:], f.Document.UUID[:], string(f.Type), string(f.Issuer), leaf,
			string(f.ValidFrom), string(f.ValidUntil), personal, forEver, f.Citizen.UUID[:])
		return err
	case document.Updated:
		n, err := tx.Exec(ctx, insertUpdated, leaf, f.Version, string(f.ValidFrom), string(f.ValidUntil), string(f.EffectiveFrom), f.Document.UUID[:], forEver, forEver)
		return endReplaced(ctx, tx, f.Document, leaf, n, err)
	case document.Revoked:
		return changeState(ctx, tx, f.Document, leaf, Revoked, f.EffectiveFrom)
	case document.Suspended:
		return changeState(ctx, tx, f.Document, leaf, Suspended, "")
	case document.Reinstated:
		return changeState(ctx, tx, f.Document, leaf, Active, "")
	case document.ContentDestroyed:
		_, err := tx.Exec(ctx, destroyContent, leaf, f.Document.UUID[:], forEver)
		return err
	case citizen.KeyDestroyed:
		tx.Scrub()
		if err := grants.Apply(ctx, tx, e, leaf); err != nil || tx.Building() {
			return err // Settle removes the rows when their index is there
		}
		_, err := tx.Exec(ctx, vanish, f.Citizen.UUID[:])
		return err
	}
	return grants.Apply(ctx, tx, e, leaf)
}

func changeState(ctx context.Context, tx *projections.Tx, id domain.DocumentID, leaf int64, s State, from domain.Date) error {
	n, err := tx.Exec(ctx, insertState, leaf, string(s), string(from), id.UUID[:], projections.Latest, string(from), string(from))
	return endReplaced(ctx, tx, id, leaf, n, err)
}

// endReplaced ends the row that a new one has just replaced.
func endReplaced(ctx context.Context, tx *projections.Tx, id domain.DocumentID, leaf, inserted int64, err error) error {
	if err != nil || inserted == 0 {
		return err
	}
	_, err = tx.Exec(ctx, closeFormer, leaf, id.UUID[:], projections.Latest, leaf)
	return err
}

// State is the state of a document, without regard to dates.
type State string

const (
	Active    State = "active"
	Suspended State = "suspended"
	Revoked   State = "revoked"
)

// Holding is a document that the citizen holds, by its last version known.
type Holding struct {
	Document domain.DocumentID
	Citizen  domain.CitizenID
	Type     domain.DocumentType
	Issuer   domain.Organisation
	Version  int
	State    State

	// ValidFrom and ValidUntil (inclusive) are absent when PersonalValidity says that
	// they are sealed.
	ValidFrom, ValidUntil domain.Date
	PersonalValidity      bool
	// EffectiveFrom may lie ahead: then an earlier version still holds, which
	// wallet.Versions tells.
	EffectiveFrom domain.Date
	RevokedFrom   domain.Date
	Destroyed     bool // the content is gone

	IssuedLeaf, FromLeaf int64
}

// Status is what a holding is worth as evidence on a day.
type Status string

const (
	Valid        Status = "valid"
	NotYetValid  Status = "notYetValid"
	Expired      Status = "expired"
	IsSuspended  Status = "suspended"
	IsRevoked    Status = "revoked"
	IsDestroyed  Status = "destroyed"
	SealedStatus Status = "sealed" // in force, but for dates that only the opened part tells
)

// On returns the status of the holding on a day.
func (h *Holding) On(day domain.Date) Status {
	switch {
	case h.Destroyed:
		return IsDestroyed
	case h.State == Revoked && h.RevokedFrom <= day:
		return IsRevoked
	case h.State == Suspended:
		return IsSuspended
	case h.PersonalValidity:
		return SealedStatus
	case day < h.ValidFrom:
		return NotYetValid
	case h.ValidUntil != "" && h.ValidUntil < day:
		return Expired
	}
	return Valid
}

// Held returns what the citizen held of these types at a leaf, of all when none is
// given, in the order of issue.
func (v *Evidence) Held(ctx context.Context, citizen domain.CitizenID, asOf int64, types ...domain.DocumentType) ([]Holding, error) {
	at := projections.At(asOf)
	all := []Holding{}
	err := v.view.Select(ctx, selectHeld, []any{citizen.UUID[:], at, at}, func(scan func(...any) error) error {
		var h Holding
		var id, of []byte
		var personal, destroyed int64
		err := scan(&id, &of, &h.Type, &h.Issuer, &h.Version, &h.State, &h.ValidFrom, &h.ValidUntil, &h.EffectiveFrom, &h.RevokedFrom,
			&personal, &destroyed, &h.IssuedLeaf, &h.FromLeaf)
		if err != nil || len(types) > 0 && !slices.Contains(types, h.Type) {
			return err
		}
		copy(h.Document.UUID[:], id)
		copy(h.Citizen.UUID[:], of)
		h.PersonalValidity, h.Destroyed = personal != 0, destroyed <= at
		all = append(all, h)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	slices.SortFunc(all, func(x, y Holding) int { return int(min(max(x.IssuedLeaf-y.IssuedLeaf, -1), 1)) })
	return all, nil
}

// Consents returns the consents a citizen gave a consumer that stand at a leaf; their
// ends are the caller's to judge.
func (v *Evidence) Consents(ctx context.Context, citizen domain.CitizenID, consumer domain.Organisation, asOf int64) ([]grants.Reader, error) {
	all, err := grants.With(ctx, &v.view, citizen, consumer, asOf)
	if err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	return all, nil
}

// HasConsent reports whether the consumer has any consent of the citizen in force
// now (rule A-6). Bases by law are the registry's to know.
func (v *Evidence) HasConsent(ctx context.Context, citizen domain.CitizenID, consumer domain.Organisation, now time.Time) (bool, error) {
	all, err := v.Consents(ctx, citizen, consumer, projections.Latest)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(all, func(r grants.Reader) bool { return now.Before(r.Terms.Until) }), nil
}

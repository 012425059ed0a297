// Package terms answers the clock's question: which documents, consents and petitions may have
// come to a step of their end that is to be announced?
//
// It proposes and decides nothing: whoever announces asks the stream of the subject first.
//
// Invariant: it holds ids, kinds and days that events have in clear; of a document whose dates are
// personal it holds nothing, and of an erased citizen neither.
package terms

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/domain/petition"
	"coffre/domain/term"
	"coffre/eventstore"
	"coffre/projections"
)

// Terms is the projection and its query, which may be called concurrently.
type Terms struct{ view projections.View }

var _ projections.Projection = (*Terms)(nil)

// New returns terms that answer projections.ErrNotReady until a runner has built them.
func New() *Terms { return &Terms{} }

// Name implements projections.Projection.
func (t *Terms) Name() string { return "terms" }

// Version implements projections.Projection.
func (t *Terms) Version() int { return 1 }

// Categories implements projections.Projection.
func (t *Terms) Categories() []string {
	return []string{"citizen", "consent", "document", "petition", "term"}
}

// View implements projections.Projection.
func (t *Terms) View() *projections.View { return &t.view }

// Schema implements projections.Projection. A due of 0 is that no step is left.
func (t *Terms) Schema() projections.Schema {
	return projections.Schema{
		Tables: `
CREATE TABLE terms (
	subject BYTEA PRIMARY KEY,
	kind TEXT NOT NULL,
	citizen BYTEA NOT NULL,
	ends TEXT NOT NULL,
	due BIGINT NOT NULL
);
CREATE INDEX terms_citizen ON terms (citizen);
`,
		Indexes: `
CREATE INDEX terms_due ON terms (due, subject) WHERE due > 0;
`,
	}
}

const (
	insertTerm    = `INSERT INTO terms (subject, kind, citizen, ends, due) VALUES (?, ?, ?, ?, ?) ON CONFLICT (subject) DO NOTHING`
	setEnds       = `UPDATE terms SET ends = ?, due = ? WHERE subject = ?`
	setTold       = `UPDATE terms SET due = ? WHERE subject = ? AND ends = ?`
	removeTerm    = `DELETE FROM terms WHERE subject = ?`
	removeCitizen = `DELETE FROM terms WHERE citizen = ?`
)

// Apply implements projections.Projection.
func (t *Terms) Apply(ctx context.Context, tx *projections.Tx, e eventstore.Event, _ int64) (err error) {
	put := func(one term.Term) {
		_, err = tx.Exec(ctx, insertTerm, one.Subject[:], string(one.Kind), one.Citizen.UUID[:], string(one.Ends), next(one, -1))
	}
	remove := func(id uuid.UUID) { _, err = tx.Exec(ctx, removeTerm, id[:]) }
	switch f := e.Data.(type) {
	case document.Issued:
		if !f.PersonalValidity {
			put(term.Term{Kind: term.Document, Subject: f.Document.UUID, Citizen: f.Citizen, Ends: f.ValidUntil, Known: f.At})
		}
	case document.Updated:
		if f.ValidFrom != "" { // else both dates are the former version's
			one := term.Term{Kind: term.Document, Ends: f.ValidUntil, Known: f.At}
			_, err = tx.Exec(ctx, setEnds, string(one.Ends), next(one, -1), f.Document.UUID[:])
		}
	case document.Revoked:
		remove(f.Document.UUID)
	case document.ContentDestroyed:
		remove(f.Document.UUID)
	case consent.Granted:
		if one, ok := term.OfConsent(consent.Evolve(consent.State{}, f)); ok {
			put(one)
		}
	case consent.Withdrawn:
		remove(f.Consent.UUID)
	case petition.Disputed:
		t.petition(f, put)
	case petition.Requested:
		t.petition(f, put)
	case petition.Extended:
		one := term.Term{Kind: term.Petition, Ends: f.Deadline, Over: domain.BelgianMidnight(f.Deadline.AddDays(1)), Known: f.At}
		_, err = tx.Exec(ctx, setEnds, string(one.Ends), next(one, -1), f.Petition.UUID[:])
	case petition.DisputeAnswered:
		remove(f.Petition.UUID)
	case petition.Answered:
		remove(f.Petition.UUID)
	case citizen.KeyDestroyed:
		_, err = tx.Exec(ctx, removeCitizen, f.Citizen.UUID[:])
	case term.Announced:
		one := term.Term{Kind: f.Kind, Ends: f.Ends}
		id := f.Subject()
		_, err = tx.Exec(ctx, setTold, next(one, f.Before), id[:], string(f.Ends))
	}
	return err
}

// petition puts the term of a petition that was made.
func (t *Terms) petition(made petition.Event, put func(term.Term)) {
	if one, ok := term.OfPetition(petition.Evolve(petition.State{}, made)); ok {
		put(one)
	}
}

// next returns when the step after a former one falls due, in microseconds since 1970; 0 when no
// step is left.
func next(one term.Term, former int) int64 {
	if due, ok := one.Next(former); ok && !one.Ends.IsZero() {
		return due.UnixMicro()
	}
	return 0
}

// Term is one subject, with the moment at which its next step falls due.
type Term struct {
	Kind    term.Kind
	Subject uuid.UUID
	Due     time.Time
}

// Due returns at most limit terms whose next step falls due from since to now, both included, the
// earliest first, from behind the one given; the zero Term to begin.
func (t *Terms) Due(ctx context.Context, after Term, since, now time.Time, limit int) ([]Term, error) {
	from := since.UnixMicro()
	if after.Due.Before(since) {
		after.Subject = uuid.Nil // which no term has
	} else {
		from = after.Due.UnixMicro()
	}
	all := []Term{}
	err := t.view.Select(ctx, `SELECT subject, kind, due FROM terms WHERE due > 0 AND due >= ? AND due <= ? AND (due > ? OR subject > ?) ORDER BY due, subject LIMIT ?`,
		[]any{from, now.UnixMicro(), from, after.Subject[:], limit}, func(scan func(...any) error) error {
			var one Term
			var subject []byte
			var due int64
			if err := scan(&subject, &one.Kind, &due); err != nil {
				return err
			}
			copy(one.Subject[:], subject)
			one.Due = time.UnixMicro(due).UTC()
			all = append(all, one)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("terms that are due: %w", err)
	}
	return all, nil
}

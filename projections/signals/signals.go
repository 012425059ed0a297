// Package signals answers an organisation's question: what changed of what I issued, or once
// read, of the consents that I asked for, and of the petitions that I am to answer?
//
// A signal is made for the issuer of a document at every change, and for each consumer that
// read the document before it changed; for the consumer of a consent when it is granted, refused,
// withdrawn or over; for whom a petition is addressed to, also when its deadline passed. Signals are kept for ninety days of the
// log. Whether an organisation may still hear of one is not judged here: whoever hands signals
// out asks the streams, with what [Signals.Bases] tells.
//
// Invariant: a signal names ids, codes, counts and times only, and stands for none but an
// organisation that the fact itself, or a reading on record before it, names.
package signals

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/projections"
)

// Keep is how long a signal is kept at least, counted back from the newest one; it goes with the
// others of its day in UTC.
const Keep = 90 * 24 * time.Hour

// Signals is the projection and its queries, which may be called concurrently.
type Signals struct{ view projections.View }

var _ projections.Gathering = (*Signals)(nil)

// New returns signals that answer projections.ErrNotReady until a runner has built them.
func New() *Signals { return &Signals{} }

// Name implements projections.Projection.
func (s *Signals) Name() string { return "signals" }

// Version implements projections.Projection.
func (s *Signals) Version() int { return 3 }

// Categories implements projections.Projection.
func (s *Signals) Categories() []string {
	return []string{"access", "consent", "document", "petition", "term"}
}

// View implements projections.Projection.
func (s *Signals) View() *projections.View { return &s.view }

// Schema implements projections.Projection.
func (s *Signals) Schema() projections.Schema { return schema }

// What is the fact that a signal tells, by the resource and the past participle of its name.
type What string

const (
	Issued     What = "documents.notify.issued"
	Updated    What = "documents.notify.updated"
	Suspended  What = "documents.notify.suspended"
	Reinstated What = "documents.notify.reinstated"
	Revoked    What = "documents.notify.revoked"
	Erased     What = "documents.notify.erased" // for issuers alone

	Granted   What = "consents.notify.granted"
	Refused   What = "consents.notify.refused"
	Withdrawn What = "consents.notify.withdrawn"
	Ended     What = "consents.notify.ended" // its time is over

	Petitioned What = "petitions.notify.made"
	Answered   What = "petitions.notify.answered"
	Overdue    What = "petitions.notify.overdue"
)

// AboutDocument reports whether the fact is a change of a document.
func (w What) AboutDocument() bool { return strings.HasPrefix(string(w), "documents.") }

// AboutConsent reports whether the fact is a decision about a consent.
func (w What) AboutConsent() bool { return strings.HasPrefix(string(w), "consents.") }

// Signal is one fact, for one organisation in one role.
type Signal struct {
	Leaf    int64     // of the fact: its place in lists, and the same for ever
	Event   uuid.UUID // its id, the same for every organisation
	What    What
	ID      uuid.UUID // of the document, consent or petition
	Citizen domain.CitizenID
	// Document and its Type and Issuer are zero for what is not about a document.
	Document domain.DocumentID
	Type     domain.DocumentType
	Issuer   domain.Organisation
	// Version is the document's after the change; Changes counts from 1 every change, those of the
	// state as well. State is the one after it, dates aside: valid, suspended, revoked or erased.
	Version int
	Changes int64
	State   string
	At      time.Time // when the fact was recorded
}

// Filter narrows a list of signals to what it names; an empty list is all.
type Filter struct {
	What    []What
	Types   []domain.DocumentType
	Issuers []domain.Organisation
}

// Of returns at most limit signals for an organisation in a role, oldest first, from behind a
// leaf; those recorded before since are left out.
func (s *Signals) Of(ctx context.Context, role domain.Role, organisation domain.Organisation, f Filter, since time.Time, after int64, limit int) ([]Signal, error) {
	query := `SELECT leaf, event, what, id, citizen, document, type, issuer, version, changes, state, at FROM signals
		WHERE role = ? AND organisation = ? AND leaf > ? AND at >= ?`
	args := []any{string(role), string(organisation), after, since.UnixMicro()}
	query, args = among(query, args, "what", f.What)
	query, args = among(query, args, "type", f.Types)
	query, args = among(query, args, "issuer", f.Issuers)
	all := []Signal{}
	err := s.view.Select(ctx, query+` ORDER BY leaf LIMIT ?`, append(args, limit), func(scan func(...any) error) error {
		var one Signal
		var event, id, citizen, document []byte
		var at int64
		if err := scan(&one.Leaf, &event, &one.What, &id, &citizen, &document, &one.Type, &one.Issuer, &one.Version, &one.Changes, &one.State, &at); err != nil {
			return err
		}
		copy(one.Event[:], event)
		copy(one.ID[:], id)
		copy(one.Citizen.UUID[:], citizen)
		copy(one.Document.UUID[:], document)
		one.At = time.UnixMicro(at).UTC()
		all = append(all, one)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("signals: %w", err)
	}
	return all, nil
}

// Last returns the leaf of the last signal for an organisation in a role; -1 when there is none.
func (s *Signals) Last(ctx context.Context, role domain.Role, organisation domain.Organisation) (leaf int64, err error) {
	if _, err := s.view.Get(ctx, `SELECT coalesce(max(leaf), -1) FROM signals WHERE role = ? AND organisation = ?`, []any{string(role), string(organisation)}, &leaf); err != nil {
		return -1, fmt.Errorf("last signal: %w", err)
	}
	return leaf, nil
}

// among narrows a query to rows whose column is one of the values; all when there are none.
func among[T ~string](query string, args []any, column string, values []T) (string, []any) {
	if len(values) == 0 {
		return query, args
	}
	for _, v := range values {
		args = append(args, string(v))
	}
	return query + ` AND ` + column + ` IN (?` + strings.Repeat(`, ?`, len(values)-1) + `)`, args
}

// Basis is what a consumer once read a document under.
type Basis struct {
	Consent      *domain.ConsentID // nil: by law
	Purpose      domain.Purpose
	Procedure    domain.Procedure
	LegalBasis   domain.LegalBasis
	Deliberation domain.Deliberation
}

// maxBases bounds the bases of one consumer for one document that are looked at.
const maxBases = 100

// Bases returns what a consumer read a document under, each basis once, at most a hundred.
func (s *Signals) Bases(ctx context.Context, consumer domain.Organisation, document domain.DocumentID) ([]Basis, error) {
	all := []Basis{}
	err := s.view.Select(ctx, `SELECT consent, purpose, procedure_code, legal_basis, deliberation FROM readings
		WHERE document = ? AND consumer = ? ORDER BY consent, purpose, procedure_code, legal_basis, deliberation LIMIT ?`,
		[]any{document.UUID[:], string(consumer), maxBases}, func(scan func(...any) error) error {
			var one Basis
			var consent []byte
			if err := scan(&consent, &one.Purpose, &one.Procedure, &one.LegalBasis, &one.Deliberation); err != nil {
				return err
			}
			if id := uuid.UUID(consent); id != uuid.Nil {
				one.Consent = &domain.ConsentID{UUID: id}
			}
			all = append(all, one)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("bases of readings: %w", err)
	}
	return all, nil
}

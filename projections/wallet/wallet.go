// Package wallet answers a citizen's question: what do I hold, with what status,
// and who may read it?
//
// A holder sees their own documents and, by an accepted mandate, those of the
// persons they represent. Contents, and the ends of mandates, stay sealed: the
// caller opens what may be shown, having recorded the access where one is due.
//
// Every row knows from which leaf to which leaf it was what the vault knew, so that
// a query about the past is a query, not a replay. Queries take a leaf as asOf;
// negative or projections.Latest means everything seen so far.
//
// Invariant: no row of an erased citizen exists, at any leaf, and no sealed part of
// a document whose key was destroyed.
package wallet

import (
	"time"

	"coffre/domain"
	"coffre/domain/mandate"
	"coffre/eventstore"
	"coffre/projections"
	"coffre/projections/grants"
)

// Wallets is the projection and its queries, which may be called concurrently.
type Wallets struct {
	view    projections.View
	strings interner
}

var _ projections.Projection = (*Wallets)(nil)

// New returns wallets that answer projections.ErrNotReady until a runner has built them.
func New() *Wallets { return &Wallets{} }

// Name implements projections.Projection.
func (w *Wallets) Name() string { return "wallet" }

// Version implements projections.Projection.
func (w *Wallets) Version() int { return 4 }

// Schema implements projections.Projection.
func (w *Wallets) Schema() projections.Schema { return schema }

// Categories implements projections.Projection.
func (w *Wallets) Categories() []string { return []string{"document", "mandate", "consent", "citizen"} }

// View implements projections.Projection.
func (w *Wallets) View() *projections.View { return &w.view }

// DocumentState is the state of a document, without regard to dates.
type DocumentState string

const (
	Active    DocumentState = "active"
	Suspended DocumentState = "suspended"
	Revoked   DocumentState = "revoked"
)

// Document is one version of a document as the vault knew it at one leaf.
type Document struct {
	Document domain.DocumentID
	Citizen  domain.CitizenID // the subject
	Type     domain.DocumentType
	Issuer   domain.Organisation
	Version  int // from 1
	State    DocumentState
	Reason   domain.ReasonCode // of the last change; "" after issue

	// ValidFrom and ValidUntil (inclusive) are absent when PersonalValidity says
	// that they are in the sealed part.
	ValidFrom, ValidUntil domain.Date
	PersonalValidity      bool
	// EffectiveFrom is the day from which this version holds in law; absent for the
	// first version, when the issuer named none, and when it is sealed. See [InForce].
	EffectiveFrom domain.Date
	RevokedFrom   domain.Date // of a revocation, else absent

	IssuedAt, ChangedAt time.Time // when the issue, and the change to this row, were decided
	IssuedLeaf          int64     // of the issue
	FromLeaf, ToLeaf    int64     // this row is what was known from FromLeaf until before ToLeaf

	// Destroyed: the content key is gone (document.content-destroyed), and Sealed nil.
	Destroyed bool
	// Place and Sealed are the personal part of the event that gave this version,
	// document.issued or document.updated.
	Place  eventstore.Place
	Sealed eventstore.Kept
}

// Held is a document as one of its holders sees it. Mandate is nil when the holder
// is the subject. Whether the mandate still holds on a day is the caller's to judge,
// who opens its end.
type Held struct {
	Document
	Mandate *Mandate
}

// Rank is the place of a document in a wallet: the holder's own come first, in the order of
// issue, then those of each person they represent, in the order in which the mandates were
// granted. It does not change while the document is held.
type Rank struct{ Granted, Issued int64 }

// Start is the rank before every document.
var Start = Rank{-1, -1}

// Rank returns the document's place.
func (h *Held) Rank() Rank {
	if h.Mandate == nil {
		return Rank{-1, h.IssuedLeaf}
	}
	return Rank{h.Mandate.GrantedLeaf, h.IssuedLeaf}
}

// Mandate is the power of one citizen to act for another, as the vault knows it. Leaves are projections.Latest for what has not happened.
type Mandate struct {
	Mandate        domain.MandateID
	Citizen        domain.CitizenID // the represented person
	Representative domain.CitizenID
	Kind           mandate.Ground
	Scope          mandate.Scope
	Source         domain.Organisation // the authentic source, when it granted

	GrantedAt, AcceptedAt, EndedAt       time.Time
	GrantedLeaf, AcceptedLeaf, EndedLeaf int64
	Reason                               domain.ReasonCode // why it ended
	// DeathLeaf is when the death of either was reported: from there it is void,
	// whether or not its end was recorded.
	DeathLeaf int64

	// Place and Sealed are the personal part of mandate.granted, which tells its end.
	Place  eventstore.Place
	Sealed eventstore.Kept
}

// StandsAt reports whether the mandate was accepted and neither ended nor void at a
// leaf. Its sealed end may have passed nonetheless.
func (m *Mandate) StandsAt(leaf int64) bool {
	leaf = projections.At(leaf)
	return m.AcceptedLeaf <= leaf && leaf < m.EndedLeaf && leaf < m.DeathLeaf
}

// Allows reports whether the scope covers an action on documents of a type.
func (m *Mandate) Allows(a mandate.Action, t domain.DocumentType) bool {
	return has(m.Scope.Actions, a) && (len(m.Scope.Types) == 0 || has(m.Scope.Types, t))
}

// Reader is a consent that lets a consumer read. It covers a document d when
// r.Covers(d.Document, d.Type, d.IssuedLeaf).
type Reader = grants.Reader

func has[T comparable](all []T, one T) bool {
	for _, x := range all {
		if x == one {
			return true
		}
	}
	return false
}

// InForce picks, from all rows of one document known at some leaf, in order, the
// version that holds in law on a day and the state the document has on it. The
// state of a revocation counts from its effective date, of a suspension and its end
// from the civil day on which they were decided, as day tells. effective returns
// the day from which a row's version holds: its EffectiveFrom, or what its opened
// part says; absent means from the beginning. It is asked for versions from 2 only.
// ok is false when there are no rows.
func InForce(rows []Document, on domain.Date, day func(time.Time) domain.Date, effective func(*Document) (domain.Date, error)) (in *Document, state DocumentState, ok bool, err error) {
	state = Active
	for i := range rows {
		row := &rows[i]
		switch {
		case in == nil:
			in = row
		case row.Version > in.Version:
			from, err := effective(row)
			if err != nil {
				return nil, "", false, err
			}
			if from <= on {
				in = row
			}
		case row.Version == in.Version:
			in = row
		}
		switch row.State {
		case Revoked:
			if row.RevokedFrom <= on {
				state = Revoked
			}
		default:
			if day(row.ChangedAt) <= on {
				state = row.State
			}
		}
	}
	return in, state, in != nil, nil
}

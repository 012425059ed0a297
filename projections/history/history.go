// Package history counts again, from the events of a log alone, what the read models answer
// from their rows: what somebody held, had consented to and mandated at a leaf.
//
// It needs no database and no key, so an auditor who trusts neither can ask it. It holds what
// it tells in memory, and reads clear facts only: dates and texts that are sealed stay absent.
//
// Invariant: the answers equal those of wallet and consentlog at the same leaf.
package history

import (
	"slices"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/domain/mandate"
	"coffre/projections"
	"coffre/projections/consentlog"
	"coffre/projections/wallet"
)

// History is what a log says of some citizens up to a leaf. It is for one goroutine.
type History struct {
	asOf int64
	of   map[domain.CitizenID]bool // nil: everybody

	documents map[domain.DocumentID]*held
	order     []domain.DocumentID // as they were issued
	mandates  []*wallet.Mandate
	consents  map[domain.ConsentID]*consentlog.Consent
	asked     []domain.ConsentID // as they began
	merges    []merge
	deaths    []death
	persons   map[domain.CitizenID]*Person
	erased    map[domain.CitizenID]int64
	destroyed map[domain.DocumentID]bool
}

// held are the rows of one document.
type held struct{ rows []wallet.Document }

// merge is the time, in leaves, in which one life counts as another's.
type merge struct {
	former, survivor domain.CitizenID
	separated        bool
}

type death struct {
	citizen   domain.CitizenID
	leaf      int64
	corrected int64 // projections.Latest while it is not
}

// New returns a history up to a leaf, of these citizens or, without any, of everybody.
// projections.Latest stands for the end of the log.
func New(asOf int64, of ...domain.CitizenID) *History {
	h := &History{
		asOf: projections.At(asOf), documents: map[domain.DocumentID]*held{}, consents: map[domain.ConsentID]*consentlog.Consent{},
		persons: map[domain.CitizenID]*Person{}, erased: map[domain.CitizenID]int64{}, destroyed: map[domain.DocumentID]bool{},
	}
	if len(of) > 0 {
		h.of = make(map[domain.CitizenID]bool, len(of))
		for _, id := range of {
			h.of[id] = true
		}
	}
	return h
}

// End lets nothing behind a leaf count any more, for a reader who learns only at the next event
// that the leaf was the last.
func (h *History) End(leaf int64) { h.asOf = min(h.asOf, leaf) }

func (h *History) tells(id domain.CitizenID) bool { return h.of == nil || h.of[id] }

// Apply takes in an event of the catalogue and its leaf. Events come in their order, and those
// behind the leaf asked for, too: what was erased later is told at no leaf any more.
func (h *History) Apply(data any, leaf int64) {
	switch f := data.(type) { // erasures reach back
	case document.ContentDestroyed:
		if h.documents[f.Document] != nil {
			h.destroyed[f.Document] = true
		}
	case citizen.KeyDestroyed:
		h.erased[f.Citizen] = leaf
	}
	if leaf > h.asOf {
		return
	}
	switch f := data.(type) {
	case access.Authorized: // which is an event of consents, too
		if c := h.consents[f.Consent]; c != nil && f.Attempt <= 1 { // a repeat is no use
			c.Uses++
		}
	case document.Event:
		h.document(f, leaf)
	case mandate.Event:
		h.mandate(f, leaf)
	case consent.Event:
		h.consent(f, leaf)
	case citizen.Event:
		h.citizen(f, leaf)
	}
}

func (h *History) document(data document.Event, leaf int64) {
	switch f := data.(type) {
	case document.Issued:
		if !h.tells(f.Citizen) {
			return
		}
		h.documents[f.Document] = &held{[]wallet.Document{{
			Document: f.Document, Citizen: f.Citizen, Type: f.Type, Issuer: f.Issuer, Version: 1, State: wallet.Active,
			ValidFrom: f.ValidFrom, ValidUntil: f.ValidUntil, PersonalValidity: f.PersonalValidity,
			IssuedAt: f.At, ChangedAt: f.At, IssuedLeaf: leaf, FromLeaf: leaf, ToLeaf: projections.Latest,
		}}}
		h.order = append(h.order, f.Document)
	case document.Updated:
		if h.destroyed[f.Document] {
			return
		}
		h.change(f.Document, leaf, func(d *wallet.Document) {
			d.Version, d.Reason, d.ValidFrom, d.ValidUntil, d.EffectiveFrom, d.ChangedAt = f.Version, f.Reason, f.ValidFrom, f.ValidUntil, f.EffectiveFrom, f.At
		})
	case document.Revoked:
		h.state(f.Document, leaf, f.At, wallet.Revoked, f.Reason, f.EffectiveFrom)
	case document.Suspended:
		h.state(f.Document, leaf, f.At, wallet.Suspended, f.Reason, "")
	case document.Reinstated:
		h.state(f.Document, leaf, f.At, wallet.Active, f.Reason, "")
	}
}

// change ends the last row of a document, and begins the next with what differs.
func (h *History) change(id domain.DocumentID, leaf int64, differs func(*wallet.Document)) {
	d := h.documents[id]
	if d == nil {
		return
	}
	last := &d.rows[len(d.rows)-1]
	next := *last
	next.FromLeaf, last.ToLeaf = leaf, leaf
	differs(&next)
	d.rows = append(d.rows, next)
}

// state changes the state of a document. A revocation is final, and brought forward at most
// (rule D-2).
func (h *History) state(id domain.DocumentID, leaf int64, at time.Time, s wallet.DocumentState, reason domain.ReasonCode, from domain.Date) {
	d := h.documents[id]
	if d == nil {
		return
	}
	if last := &d.rows[len(d.rows)-1]; last.State == wallet.Revoked && (from.IsZero() || !from.Before(last.RevokedFrom)) {
		return
	}
	h.change(id, leaf, func(d *wallet.Document) { d.State, d.Reason, d.RevokedFrom, d.ChangedAt = s, reason, from, at })
}

func (h *History) mandate(data mandate.Event, leaf int64) {
	switch f := data.(type) {
	case mandate.Granted:
		if h.tells(f.Citizen) || h.tells(f.Representative) {
			h.mandates = append(h.mandates, &wallet.Mandate{
				Mandate: f.Mandate, Citizen: f.Citizen, Representative: f.Representative, Kind: f.Kind, Scope: f.Scope, Source: f.Source, GrantedAt: f.At,
				GrantedLeaf: leaf, AcceptedLeaf: projections.Latest, EndedLeaf: projections.Latest, DeathLeaf: projections.Latest,
			})
		}
	case mandate.Accepted:
		if m := h.mandateOf(f.Mandate); m != nil && m.AcceptedLeaf == projections.Latest && m.EndedLeaf == projections.Latest {
			m.AcceptedLeaf, m.AcceptedAt = leaf, f.At
		}
	case mandate.Ended:
		if m := h.mandateOf(f.Mandate); m != nil && m.EndedLeaf == projections.Latest {
			m.EndedLeaf, m.EndedAt, m.Reason = leaf, f.At, f.Reason
		}
	}
}

func (h *History) mandateOf(id domain.MandateID) *wallet.Mandate {
	for _, m := range h.mandates {
		if m.Mandate == id {
			return m
		}
	}
	return nil
}

func (h *History) consent(data consent.Event, leaf int64) {
	switch f := data.(type) {
	case consent.Requested:
		if h.tells(f.Citizen) {
			h.begin(&consentlog.Consent{
				Consent: f.Consent, Citizen: f.Citizen, Terms: f.Terms, Tracked: f.Tracked, RequestedAt: f.At, RequestedLeaf: leaf,
				FirstLeaf: leaf, GrantedLeaf: projections.Latest, EndedLeaf: projections.Latest,
			})
		}
	case consent.Granted:
		if !h.tells(f.Citizen) {
			return
		}
		if h.consents[f.Consent] == nil {
			h.begin(&consentlog.Consent{Consent: f.Consent, Citizen: f.Citizen, FirstLeaf: leaf, RequestedLeaf: projections.Latest, EndedLeaf: projections.Latest})
		}
		c := h.consents[f.Consent]
		c.Terms, c.GrantedAt, c.GrantedLeaf, c.Mandate, c.Renews = f.Terms, f.At, leaf, f.Mandate, f.Renews
	case consent.Refused:
		h.end(f.Consent, leaf, f.At, consentlog.IsRefused, f.Mandate, "")
	case consent.Withdrawn:
		h.end(f.Consent, leaf, f.At, consentlog.IsWithdrawn, f.Mandate, f.Reason)
	}
}

func (h *History) begin(c *consentlog.Consent) {
	h.consents[c.Consent] = c
	h.asked = append(h.asked, c.Consent)
}

func (h *History) end(id domain.ConsentID, leaf int64, at time.Time, s consentlog.State, under domain.MandateID, reason domain.ReasonCode) {
	if c := h.consents[id]; c != nil && c.EndedLeaf == projections.Latest {
		c.EndedLeaf, c.EndedAt, c.State, c.EndMandate, c.Reason = leaf, at, s, under, reason
	}
}

// Lives returns all ids under which facts of a person stand, the surviving life first (rule
// P-7), as the wallet does. Merges count whoever the history is of.
func (h *History) Lives(of domain.CitizenID) []domain.CitizenID {
	counts := func(m merge) bool { return !m.separated && !h.isErased(m.former) && !h.isErased(m.survivor) }
	for range h.merges { // each leads one step up
		for _, m := range h.merges {
			if counts(m) && m.former == of {
				of = m.survivor
			}
		}
	}
	all := []domain.CitizenID{of}
	for i := 0; i < len(all); i++ {
		for _, m := range h.merges {
			if counts(m) && m.survivor == all[i] && !slices.Contains(all, m.former) {
				all = append(all, m.former)
			}
		}
	}
	return all
}

func (h *History) isErased(id domain.CitizenID) bool {
	_, is := h.erased[id]
	return is
}

// ErasedLeaf returns the leaf at which the keys of a citizen were destroyed, whenever that was.
func (h *History) ErasedLeaf(id domain.CitizenID) (leaf int64, ok bool) {
	leaf, ok = h.erased[id]
	return leaf, ok
}

// Documents returns the last row of each document of a citizen, in the order of issue; none of
// whom was erased since.
func (h *History) Documents(of domain.CitizenID) (all []wallet.Document) {
	for _, id := range h.order {
		if d := h.documents[id].rows; d[0].Citizen == of && !h.isErased(of) {
			one := d[len(d)-1]
			one.Destroyed = h.destroyed[id]
			all = append(all, one)
		}
	}
	return all
}

// Versions returns all rows of a document in their order, for [wallet.InForce].
func (h *History) Versions(id domain.DocumentID) []wallet.Document {
	d := h.documents[id]
	if d == nil || h.isErased(d.rows[0].Citizen) {
		return nil
	}
	rows := slices.Clone(d.rows)
	for i := range rows {
		rows[i].Destroyed = h.destroyed[id]
	}
	return rows
}

// Mandates returns the mandates in which a citizen represents or is represented, in the order
// in which they were granted; none with somebody who was erased since.
func (h *History) Mandates(of domain.CitizenID) (all []wallet.Mandate) {
	for _, m := range h.mandates {
		if m.Citizen != of && m.Representative != of || h.isErased(m.Citizen) || h.isErased(m.Representative) {
			continue
		}
		one := *m
		for _, d := range h.deaths { // the first that stood when the mandate was there
			if (d.citizen == m.Citizen || d.citizen == m.Representative) && d.corrected > m.GrantedLeaf {
				one.DeathLeaf = min(one.DeathLeaf, d.leaf)
			}
		}
		all = append(all, one)
	}
	return all
}

// Consents returns the consents of a citizen as they stand at a time, in the order in which
// they began.
func (h *History) Consents(of domain.CitizenID, now time.Time) (all []consentlog.Consent) {
	for _, id := range h.asked {
		c := *h.consents[id]
		if c.Citizen != of {
			continue
		}
		limit := c.Terms.Limits.Uses
		switch {
		case c.EndedLeaf != projections.Latest:
		case !now.Before(c.Terms.Until):
			c.State = consentlog.IsExpired
		case c.GrantedLeaf == projections.Latest:
			c.State = consentlog.IsRequested
		case limit > 0 && c.Uses >= limit:
			c.State = consentlog.IsExhausted
		default:
			c.State = consentlog.IsGranted
		}
		all = append(all, c)
	}
	return all
}

// Readers returns the consents that let consumers read documents of a citizen: none from the
// citizen's death on, and none from before it once it was corrected.
func (h *History) Readers(of domain.CitizenID) (all []wallet.Reader) {
	if h.isErased(of) {
		return nil
	}
	for _, id := range h.asked {
		c := h.consents[id]
		limit := c.Terms.Limits.Uses
		over := slices.ContainsFunc(h.deaths, func(d death) bool { return d.citizen == of && d.corrected > c.GrantedLeaf })
		if c.Citizen != of || c.GrantedLeaf == projections.Latest || c.EndedLeaf != projections.Latest || limit > 0 && c.Uses >= limit || over {
			continue
		}
		all = append(all, wallet.Reader{Consent: id, Citizen: of, Terms: c.Terms, GrantedAt: c.GrantedAt, GrantedLeaf: c.GrantedLeaf})
	}
	slices.SortFunc(all, func(a, b wallet.Reader) int { return int(a.GrantedLeaf - b.GrantedLeaf) })
	return all
}

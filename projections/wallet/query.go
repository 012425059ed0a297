package wallet

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"coffre/domain"
	"coffre/domain/mandate"
	"coffre/eventstore"
	"coffre/projections"
	"coffre/projections/grants"
)

const documentColumns = `v.document, v.citizen, v.type, v.issuer, v.version, v.state, v.reason,
	v.valid_from, v.valid_until, v.personal_validity, v.effective_from, v.revoked_from,
	v.issued_at, v.changed_at, v.issued_leaf, v.from_leaf, v.to_leaf, v.destroyed,
	v.stream, v.event, v.event_type, v.sealed`

const (
	// One scan of versions_citizen, and one of mandates_representative that finds
	// nothing for most.
	selectHeld = `SELECT NULL, ` + documentColumns + ` FROM versions v
		WHERE v.citizen = ? AND v.to_leaf > ? AND v.from_leaf <= ?
		UNION ALL SELECT m.mandate, ` + documentColumns + ` FROM mandates m JOIN versions v ON v.citizen = m.citizen
		WHERE m.representative = ? AND m.to_leaf > ? AND m.accepted_leaf <= ? AND v.to_leaf > ? AND v.from_leaf <= ?`

	selectDocument = `SELECT NULL, ` + documentColumns + ` FROM versions v
		WHERE v.document = ? AND v.to_leaf > ? AND v.from_leaf <= ?`
	selectHeldAll = `SELECT NULL, ` + documentColumns + ` FROM versions v
		WHERE v.from_leaf > ? AND v.to_leaf = ? AND v.destroyed = 0 ORDER BY v.from_leaf LIMIT ?`
	selectVersions = `SELECT NULL, ` + documentColumns + ` FROM versions v
		WHERE v.document = ? AND v.from_leaf <= ? ORDER BY v.from_leaf`
)

// Of calls visit for each document the citizen held at a leaf: first their own, in
// the order of issue, then those of each person they represented, as far as the
// mandate's scope lets them read. What visit is given is valid during the call
// only; it may take its time, the tables are not held. A citizen without
// documents is no error.
func (w *Wallets) Of(ctx context.Context, holder domain.CitizenID, asOf int64, visit func(*Held) error) error {
	at := projections.At(asOf)
	b := w.buffer()
	defer b.release()
	id := holder.UUID[:]
	if err := w.collect(ctx, b, selectHeld, id, at, at, id, at, at, at, at); err != nil {
		return err
	}
	if err := w.mandated(ctx, b, holder, asOf); err != nil {
		return err
	}
	slices.SortFunc(b.rows, func(x, y row) int {
		switch {
		case x.represented != y.represented:
			return compare(number(x.represented), number(y.represented))
		case x.represented && x.held.Mandate != y.held.Mandate:
			return compare(x.held.Mandate.GrantedLeaf, y.held.Mandate.GrantedLeaf)
		}
		return compare(x.held.IssuedLeaf, y.held.IssuedLeaf)
	})
	for i := range b.rows {
		if err := visit(&b.rows[i].held); err != nil {
			return err
		}
	}
	return nil
}

func compare(x, y int64) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// mandated gives the represented rows their mandates and drops those that these do
// not cover.
func (w *Wallets) mandated(ctx context.Context, b *buffer, holder domain.CitizenID, asOf int64) error {
	if !slices.ContainsFunc(b.rows, func(r row) bool { return r.represented }) {
		return nil
	}
	all, err := w.Represents(ctx, holder, asOf)
	if err != nil {
		return err
	}
	for i := range b.rows {
		r := &b.rows[i]
		if !r.represented {
			continue
		}
		for j := range all {
			m := &all[j]
			if m.Mandate == r.mandate && m.StandsAt(asOf) && m.Allows(mandate.Read, r.held.Type) {
				r.held.Mandate = m
			}
		}
	}
	b.rows = slices.DeleteFunc(b.rows, func(r row) bool { return r.represented && r.held.Mandate == nil })
	return nil
}

// Document returns a document as it was known at a leaf; ok is false when it was
// not, or its subject was erased since.
func (w *Wallets) Document(ctx context.Context, id domain.DocumentID, asOf int64) (d Document, ok bool, err error) {
	at := projections.At(asOf)
	found, err := w.documents(ctx, selectDocument, id.UUID[:], at, at)
	if err != nil || len(found) == 0 {
		return Document{}, false, err
	}
	return found[0], true, nil
}

// Versions returns every row of a document known at a leaf, oldest first: each
// version, and each state it was in.
func (w *Wallets) Versions(ctx context.Context, id domain.DocumentID, asOf int64) ([]Document, error) {
	return w.documents(ctx, selectVersions, id.UUID[:], projections.At(asOf))
}

func (w *Wallets) documents(ctx context.Context, query string, args ...any) ([]Document, error) {
	b := w.buffer()
	defer b.release()
	if err := w.collect(ctx, b, query, args...); err != nil {
		return nil, err
	}
	all := make([]Document, len(b.rows))
	for i := range b.rows {
		all[i] = b.rows[i].held.Document
		all[i].Sealed = slices.Clone(all[i].Sealed)
	}
	return all, nil
}

// All returns at most limit documents of all citizens whose content is there, as they
// are known now, from behind a leaf; -1 to begin. The last one's FromLeaf is the next
// cursor: a document that changes meanwhile may come once more.
func (w *Wallets) All(ctx context.Context, after int64, limit int) ([]Document, error) {
	return w.documents(ctx, selectHeldAll, after, int64(forEver), int64(limit))
}

// IssuedFilter narrows IssuedBy to the members that it names.
type IssuedFilter struct {
	Citizen *domain.CitizenID
	Former  []domain.CitizenID // with Citizen: or of one of these
	Type    domain.DocumentType
	State   DocumentState
}

// Issued is a document as its issuer reconciles it: its row at the leaf asked for,
// and the personal part of document.issued, which holds the source reference.
type Issued struct {
	Document
	First       eventstore.Place
	FirstSealed eventstore.Kept // nil when the content was destroyed
}

// IssuedBy returns at most limit documents of an issuer as they were known at a
// leaf, in the order of issue, from behind the leaf of issue given as cursor; -1 to
// begin. The last one's IssuedLeaf is the next cursor.
func (w *Wallets) IssuedBy(ctx context.Context, issuer domain.Organisation, asOf int64, f IssuedFilter, cursor int64, limit int) ([]Issued, error) {
	at := projections.At(asOf)
	query := `SELECT first.event, ` + documentColumns + `, first.event_type, first.sealed
		FROM versions v JOIN versions first ON first.from_leaf = v.issued_leaf
		WHERE v.issuer = ? AND v.issued_leaf > ? AND v.to_leaf > ? AND v.from_leaf <= ?`
	args := []any{string(issuer), cursor, at, at}
	if f.Citizen != nil {
		query += ` AND v.citizen IN (?` + strings.Repeat(`, ?`, len(f.Former)) + `)`
		for _, id := range append([]domain.CitizenID{*f.Citizen}, f.Former...) {
			args = append(args, id.UUID[:])
		}
	}
	if f.Type != "" {
		query += ` AND v.type = ?`
		args = append(args, string(f.Type))
	}
	if f.State != "" {
		query += ` AND v.state = ?`
		args = append(args, string(f.State))
	}
	query += ` ORDER BY v.issued_leaf LIMIT ?`
	args = append(args, int64(limit))

	b := w.buffer()
	defer b.release()
	all := []Issued{}
	err := w.view.Each(ctx, query, args, func(r projections.Row) error {
		b.add(&w.strings, r)
		one := Issued{Document: b.rows[len(b.rows)-1].held.Document}
		one.Sealed = slices.Clone(r.Bytes(22))
		one.First = eventstore.Place{Stream: one.Place.Stream, Type: w.strings.intern(r.Text(23))}
		copy(one.First.ID[:], r.Bytes(0))
		one.FirstSealed = slices.Clone(r.Bytes(24))
		all = append(all, one)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	return all, nil
}

// Readers returns the consents that let consumers read documents of a citizen at a
// leaf; none from the death of the citizen.
func (w *Wallets) Readers(ctx context.Context, citizen domain.CitizenID, asOf int64) ([]Reader, error) {
	all, err := grants.Of(ctx, &w.view, citizen, asOf)
	if err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	return all, nil
}

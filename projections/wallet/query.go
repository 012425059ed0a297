package wallet

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/google/uuid"

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

	mandateColumns = `SELECT m.mandate, m.citizen, m.representative, m.kind, m.scope, m.source,
		m.granted_at, m.accepted_at, m.ended_at, m.from_leaf, m.accepted_leaf, m.to_leaf, m.reason,
		(SELECT min(leaf) FROM deaths WHERE citizen IN (m.citizen, m.representative)),
		m.stream, m.event, m.event_type, m.sealed FROM mandates m `
	selectRepresents = mandateColumns + `WHERE m.representative = ? AND m.from_leaf <= ? ORDER BY m.from_leaf`
	selectMandatesOf = mandateColumns + `WHERE m.citizen = ? AND m.from_leaf <= ? ORDER BY m.from_leaf`
	selectMandate    = mandateColumns + `WHERE m.mandate = ? AND m.from_leaf <= ?`
)

// Of calls visit for each document the citizen held at a leaf: first their own, in
// the order of issue, then those of each person they represented, as far as the
// mandate's scope lets them read. What visit is given is valid during the call
// only; it may take its time, the tables are not held. Documents that do not exist
// are nothing, not an error.
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

// IssuedFilter narrows IssuedBy; absent members do not.
type IssuedFilter struct {
	Citizen domain.CitizenID
	Type    domain.DocumentType
	State   DocumentState
}

// Issued is a document as its issuer reconciles it: its row at the leaf asked for,
// and the personal part of document.issued, which holds the source reference.
type Issued struct {
	Document
	First       eventstore.Place
	FirstSealed []byte // nil when the content was destroyed
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
	if !f.Citizen.IsZero() {
		query += ` AND v.citizen = ?`
		args = append(args, f.Citizen.UUID[:])
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
		b.add(&w.words, r)
		one := Issued{Document: b.rows[len(b.rows)-1].held.Document}
		one.Sealed = slices.Clone(r.Bytes(22))
		one.First = eventstore.Place{Stream: one.Place.Stream, Type: w.words.of(r.Text(23))}
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

// Represents returns the mandates under which a citizen acts or acted for others,
// as known now of those granted up to a leaf: [Mandate.StandsAt] tells which stood.
func (w *Wallets) Represents(ctx context.Context, representative domain.CitizenID, asOf int64) ([]Mandate, error) {
	return w.mandates(ctx, selectRepresents, representative.UUID, asOf)
}

// MandatesOf returns the mandates that others have or had for a citizen, as Represents does.
func (w *Wallets) MandatesOf(ctx context.Context, citizen domain.CitizenID, asOf int64) ([]Mandate, error) {
	return w.mandates(ctx, selectMandatesOf, citizen.UUID, asOf)
}

// Mandate returns one mandate; ok is false when it is not known.
func (w *Wallets) Mandate(ctx context.Context, id domain.MandateID) (m Mandate, ok bool, err error) {
	all, err := w.mandates(ctx, selectMandate, id.UUID, projections.Latest)
	if err != nil || len(all) == 0 {
		return Mandate{}, false, err
	}
	return all[0], true, nil
}

func (w *Wallets) mandates(ctx context.Context, query string, id uuid.UUID, asOf int64) ([]Mandate, error) {
	at := projections.At(asOf)
	all := []Mandate{}
	err := w.view.Select(ctx, query, []any{id[:], at}, func(scan func(...any) error) error {
		var m Mandate
		var mandateID, citizen, representative, event []byte
		var scope, stream string
		var granted, accepted, ended int64
		var death sql.NullInt64
		err := scan(&mandateID, &citizen, &representative, &m.Kind, &scope, &m.Source,
			&granted, &accepted, &ended, &m.GrantedLeaf, &m.AcceptedLeaf, &m.EndedLeaf, &m.Reason, &death,
			&stream, &event, &m.Place.Type, &m.Sealed)
		if err != nil {
			return err
		}
		if json.Unmarshal([]byte(scope), &m.Scope) != nil {
			return errScope
		}
		copy(m.Mandate.UUID[:], mandateID)
		copy(m.Citizen.UUID[:], citizen)
		copy(m.Representative.UUID[:], representative)
		copy(m.Place.ID[:], event)
		m.Place.Stream = eventstore.Stream(stream)
		m.GrantedAt, m.AcceptedAt, m.EndedAt = instant(granted), instant(accepted), instant(ended)
		// What came after the leaf asked for was not known then.
		m.DeathLeaf = projections.Latest
		if death.Valid && death.Int64 <= at {
			m.DeathLeaf = death.Int64
		}
		if m.AcceptedLeaf > at {
			m.AcceptedLeaf, m.AcceptedAt = projections.Latest, instant(0)
		}
		if m.EndedLeaf > at {
			m.EndedLeaf, m.EndedAt, m.Reason = projections.Latest, instant(0), ""
		}
		all = append(all, m)
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

// buffer holds the rows of one query, so that the tables are free again before
// anybody looks at them. Buffers are reused.
type buffer struct {
	rows  []row
	bytes []byte
}

type row struct {
	held        Held
	represented bool
	mandate     domain.MandateID // or the id that stood first in the row
	from, to    int              // of the sealed part in bytes; to is negative when there is none
}

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func (w *Wallets) buffer() *buffer { return buffers.Get().(*buffer) }

// keptBuffer bounds what a reused buffer may weigh.
const keptBuffer = 1 << 20

func (b *buffer) release() {
	if cap(b.bytes) > keptBuffer {
		return
	}
	clear(b.rows)
	b.rows, b.bytes = b.rows[:0], b.bytes[:0]
	buffers.Put(b)
}

func (w *Wallets) collect(ctx context.Context, b *buffer, query string, args ...any) error {
	err := w.view.Each(ctx, query, args, func(r projections.Row) error {
		b.add(&w.words, r)
		return nil
	})
	if err != nil {
		return fmt.Errorf("wallet: %w", err)
	}
	// Only now are the bytes where they stay.
	for i := range b.rows {
		if r := &b.rows[i]; r.to >= 0 {
			r.held.Sealed = b.bytes[r.from:r.to:r.to]
		}
	}
	return nil
}

// add copies a row of documentColumns, behind an id of the query's own.
func (b *buffer) add(words *words, from projections.Row) {
	b.rows = append(b.rows, row{})
	r := &b.rows[len(b.rows)-1]
	d := &r.held.Document
	if id := from.Bytes(0); id != nil {
		r.represented = true
		copy(r.mandate.UUID[:], id)
	}
	copy(d.Document.UUID[:], from.Bytes(1))
	copy(d.Citizen.UUID[:], from.Bytes(2))
	d.Type = domain.DocumentType(words.of(from.Text(3)))
	d.Issuer = domain.Organisation(words.of(from.Text(4)))
	d.Version = int(from.Int64(5))
	d.State = DocumentState(words.of(from.Text(6)))
	d.Reason = domain.ReasonCode(words.of(from.Text(7)))
	d.ValidFrom, d.ValidUntil = domain.Date(words.of(from.Text(8))), domain.Date(words.of(from.Text(9)))
	d.PersonalValidity = from.Int64(10) != 0
	d.EffectiveFrom, d.RevokedFrom = domain.Date(words.of(from.Text(11))), domain.Date(words.of(from.Text(12)))
	d.IssuedAt, d.ChangedAt = instant(from.Int64(13)), instant(from.Int64(14))
	d.IssuedLeaf, d.FromLeaf, d.ToLeaf = from.Int64(15), from.Int64(16), from.Int64(17)
	d.Destroyed = from.Int64(18) != 0
	d.Place.Stream = eventstore.Stream(from.Text(19))
	copy(d.Place.ID[:], from.Bytes(20))
	d.Place.Type = words.of(from.Text(21))
	r.to = -1
	if sealed := from.Bytes(22); sealed != nil {
		r.from = len(b.bytes)
		b.bytes = append(b.bytes, sealed...)
		r.to = len(b.bytes)
	}
}

// words keeps one copy of each short word of the registry and each date, of which
// there are few.
type words struct {
	mu   sync.RWMutex
	kept map[string]string
}

const keptWords = 1 << 14

func (w *words) of(raw []byte) string {
	if len(raw) == 0 {
		return ""
	}
	w.mu.RLock()
	s, ok := w.kept[string(raw)]
	w.mu.RUnlock()
	if ok {
		return s
	}
	s = string(raw)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.kept == nil || len(w.kept) >= keptWords {
		w.kept = map[string]string{}
	}
	w.kept[s] = s
	return s
}

package wallet

import (
	"context"
	"errors"
	"fmt"
	"iter"
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
	// SQLite prepares a statement anew for each value of a bare LIMIT ?, which takes longer than
	// the query.
	selectHeldBy = `SELECT NULL, ` + documentColumns + ` FROM versions v
		WHERE v.citizen = ? AND v.issued_leaf > ? AND v.to_leaf > ? AND v.from_leaf <= ? ORDER BY v.issued_leaf LIMIT CAST(? AS BIGINT)`
	// It finds nothing for most.
	selectRepresenting = `SELECT 1 FROM mandates m WHERE m.representative = ? AND m.to_leaf > ? AND m.accepted_leaf <= ? LIMIT 1`

	selectDocument = `SELECT NULL, ` + documentColumns + ` FROM versions v
		WHERE v.document = ? AND v.to_leaf > ? AND v.from_leaf <= ?`
	selectHeldAll = `SELECT NULL, ` + documentColumns + ` FROM versions v
		WHERE v.from_leaf > ? AND v.to_leaf = ? AND v.destroyed = 0 ORDER BY v.from_leaf LIMIT ?`
	selectVersions = `SELECT NULL, ` + documentColumns + ` FROM versions v
		WHERE v.document = ? AND v.from_leaf <= ? ORDER BY v.from_leaf`
)

// selectMerged finds into whom a life was merged, and who into it, oldest first, at a leaf.
const selectMerged = `SELECT former, survivor FROM lives WHERE (former = ? OR survivor = ?) AND to_leaf > ? AND from_leaf <= ? ORDER BY from_leaf`

// maxLives bounds the lives of one person.
const maxLives = 256

// ErrManyLives is a fault: merges that lead in a circle, or more than anybody has.
var ErrManyLives = errors.New("wallet: a citizen's merges lead nowhere")

// Lives returns all ids under which facts of a person stood at a leaf (rule P-7): the surviving
// life first, and always in the same order for the same leaf. It is the id alone for almost
// everybody, and for whom the vault does not know.
func (w *Wallets) Lives(ctx context.Context, of domain.CitizenID, asOf int64) ([]domain.CitizenID, error) {
	top, former, err := w.merged(ctx, of, asOf)
	for n := 0; err == nil && top != of; n++ {
		if n == maxLives {
			return nil, ErrManyLives
		}
		of = top
		top, former, err = w.merged(ctx, of, asOf)
	}
	if err != nil {
		return nil, err
	}
	all := append([]domain.CitizenID{of}, former...)
	for i := 1; i < len(all); i++ {
		if len(all) > maxLives {
			return nil, ErrManyLives
		}
		if _, former, err = w.merged(ctx, all[i], asOf); err != nil {
			return nil, err
		}
		all = append(all, former...)
	}
	return all, nil
}

// merged returns the life into which one was merged, which is itself when it was not, and those
// that were merged into it.
func (w *Wallets) merged(ctx context.Context, id domain.CitizenID, asOf int64) (survivor domain.CitizenID, former []domain.CitizenID, err error) {
	survivor = id
	at := projections.At(asOf)
	err = w.view.Each(ctx, selectMerged, []any{id.UUID[:], id.UUID[:], at, at}, func(r projections.Row) error {
		var from, into domain.CitizenID
		copy(from.UUID[:], r.Bytes(0))
		copy(into.UUID[:], r.Bytes(1))
		if from == id {
			survivor = into
		} else {
			former = append(former, from)
		}
		return nil
	})
	if err != nil {
		return id, nil, fmt.Errorf("wallet: %w", err)
	}
	return survivor, former, nil
}

// heldAtOnce is how many documents Of reads before it visits them.
const heldAtOnce = 512

// Of calls visit for each document the citizen held at a leaf, in the order of their ranks, as
// From does.
func (w *Wallets) Of(ctx context.Context, holder domain.CitizenID, asOf int64, visit func(*Held) error) error {
	return w.From(ctx, holder, asOf, Start, heldAtOnce, func(held iter.Seq[*Held]) (bool, error) {
		for h := range held {
			if err := visit(h); err != nil {
				return false, err
			}
		}
		return true, nil
	})
}

// From calls visit with the documents the citizen held at a leaf, from behind a rank on, until
// it returns false or an error: first their own, in the order of issue, then those of each
// person they represented, as far as the mandate's scope lets them read. Each call gives it
// documents of one person, atOnce at most (which is at least 1), to be walked as often as it
// wants, while it is called only; it may take its time, the tables are not held. A citizen
// without documents is no error.
func (w *Wallets) From(ctx context.Context, holder domain.CitizenID, asOf int64, after Rank, atOnce int, visit func(iter.Seq[*Held]) (bool, error)) error {
	if after.Granted < 0 {
		if goOn, err := w.heldUnder(ctx, holder, nil, asOf, after.Issued, atOnce, visit); err != nil || !goOn {
			return err
		}
	}
	if represents, err := w.represents(ctx, holder, asOf); err != nil || !represents {
		return err
	}
	all, err := w.Represents(ctx, holder, asOf)
	if err != nil {
		return err
	}
	for i := range all {
		m, issued := &all[i], int64(-1)
		switch {
		case m.GrantedLeaf < after.Granted || !m.StandsAt(asOf):
			continue
		case m.GrantedLeaf == after.Granted:
			issued = after.Issued
		}
		if goOn, err := w.heldUnder(ctx, m.Citizen, m, asOf, issued, atOnce, visit); err != nil || !goOn {
			return err
		}
	}
	return nil
}

// heldUnder visits the documents of a person that are held under a mandate, or by the person
// when it is nil, issued behind a leaf. It reports whether visit wants more.
func (w *Wallets) heldUnder(ctx context.Context, of domain.CitizenID, m *Mandate, asOf, issued int64, atOnce int, visit func(iter.Seq[*Held]) (bool, error)) (goOn bool, err error) {
	b, at := w.buffer(), projections.At(asOf)
	defer b.release()
	for {
		b.rows, b.bytes = b.rows[:0], b.bytes[:0]
		if err := w.collect(ctx, b, selectHeldBy, of.UUID[:], issued, at, at, int64(atOnce)); err != nil {
			return false, err
		}
		if goOn, err := visit(b.under(m)); err != nil || !goOn {
			return false, err
		}
		if len(b.rows) < atOnce {
			return true, nil
		}
		issued = b.rows[len(b.rows)-1].held.IssuedLeaf
	}
}

// under walks the rows that a mandate lets its holder read; all of them for nil.
func (b *buffer) under(m *Mandate) iter.Seq[*Held] {
	return func(yield func(*Held) bool) {
		for i := range b.rows {
			h := &b.rows[i].held
			if m != nil && !m.Allows(mandate.Read, h.Type) {
				continue
			}
			if h.Mandate = m; !yield(h) {
				return
			}
		}
	}
}

// represents reports whether the citizen had an accepted mandate at a leaf.
func (w *Wallets) represents(ctx context.Context, citizen domain.CitizenID, asOf int64) (found bool, err error) {
	at := projections.At(asOf)
	err = w.view.Each(ctx, selectRepresenting, []any{citizen.UUID[:], at, at}, func(projections.Row) error {
		found = true
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("wallet: %w", err)
	}
	return found, nil
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
	query += ` ORDER BY v.issued_leaf LIMIT CAST(? AS BIGINT)`
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

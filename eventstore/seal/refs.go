package seal

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// Ref returns what the organisation knows the citizen by: random, made and
// durable the first time it is asked for, gone with the citizen's keys. It returns
// ErrUnknown or eventstore.ErrErased.
func (r *Ring) Ref(ctx context.Context, organisation domain.Organisation, citizen domain.CitizenID) (domain.CitizenRef, error) {
	if err := r.leased(ctx); err != nil {
		return domain.CitizenRef{}, err
	}
	known := refKey{citizen, organisation}
	if ref, ok := r.refs.get(known); ok {
		return ref, nil
	}
	gen := r.gen.Load()
	ref, err := r.findRef(ctx, organisation, citizen)
	if err == nil {
		r.refs.put(known, ref, r.unmoved(gen))
	}
	return ref, err
}

// refKey is what a reference is remembered by.
type refKey struct {
	citizen      domain.CitizenID
	organisation domain.Organisation
}

// findRef reads the reference, or makes it.
func (r *Ring) findRef(ctx context.Context, organisation domain.Organisation, citizen domain.CitizenID) (domain.CitizenRef, error) {
	ref, subject, err := r.reference(ctx, `c.citizen = ? AND c.organisation = ?`, citizen.UUID[:], string(organisation))
	if err != nil {
		return domain.CitizenRef{}, unavailable(ctx, "read reference", err)
	}
	if ref != nil && stateOfEntry(subject).usable() {
		return citizenRef(ref.Bytes("ref"))
	}
	fresh, err := uuid.NewRandom()
	if err != nil {
		return domain.CitizenRef{}, fmt.Errorf("make reference: %w", err)
	}
	type answer struct {
		ref []byte
		st  state
	}
	got, err := keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (a answer, err error) {
		if a.st, err = stateOf(tx, citizen); err != nil || !a.st.usable() {
			return a, err
		}
		if isNew, err := tx.InsertNew(references, fresh[:], citizen.UUID[:], string(organisation)); err != nil || isNew {
			a.ref = fresh[:]
			return a, err
		}
		e, err := tx.Entry(references, `citizen = ? AND organisation = ?`, citizen.UUID[:], string(organisation))
		if err == nil && e == nil {
			err = tx.Missing(references)
		}
		if err == nil {
			a.ref = e.Bytes("ref")
		}
		return a, err
	})
	switch {
	case err != nil:
		return domain.CitizenRef{}, unavailable(ctx, "make reference", err)
	case got.st == 0:
		return domain.CitizenRef{}, ErrUnknown
	case !got.st.usable():
		return domain.CitizenRef{}, eventstore.ErrErased
	}
	return citizenRef(got.ref)
}

func citizenRef(b []byte) (domain.CitizenRef, error) {
	id, err := uuid.FromBytes(b)
	if err != nil {
		return domain.CitizenRef{}, fmt.Errorf("reference in the key ring: %w", err)
	}
	return domain.CitizenRef{UUID: id}, nil
}

// ByRef returns the citizen the organisation knows by ref, or ErrUnknown: also for
// a reference of another organisation, and of an erased citizen.
func (r *Ring) ByRef(ctx context.Context, organisation domain.Organisation, ref domain.CitizenRef) (domain.CitizenID, error) {
	e, subject, err := r.reference(ctx, `c.ref = ?`, ref.UUID[:])
	if err != nil {
		return domain.CitizenID{}, unavailable(ctx, "read reference", err)
	}
	if e == nil || e.Text("organisation") != string(organisation) || !stateOfEntry(subject).usable() {
		return domain.CitizenID{}, ErrUnknown
	}
	return citizenOf(e)
}

var readReference = `SELECT ` + references.Of("c") + `, ` + subjects.Of("s") + ` FROM citizen_refs c LEFT JOIN subjects s ON s.citizen = c.citizen WHERE `

// reference returns a reference and the row of its citizen; nil when there is none.
func (r *Ring) reference(ctx context.Context, where string, args ...any) (ref, subject *keysdb.Entry, err error) {
	err = r.db.Joined(ctx, readReference+where, args, []*keysdb.Table{references, subjects}, func(rows []*keysdb.Entry) error {
		ref, subject = rows[0], rows[1]
		if subject == nil {
			return r.db.Missing(subjects)
		}
		return nil
	})
	return ref, subject, err
}

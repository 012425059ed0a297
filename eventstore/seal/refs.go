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
	var ref []byte
	found, err := r.row(ctx, `SELECT c.ref FROM citizen_refs c JOIN subjects s ON s.citizen = c.citizen WHERE c.citizen = ? AND c.organisation = ? AND s.state IN (1, 2)`,
		[]any{citizen.UUID[:], string(organisation)}, &ref)
	if err != nil {
		return domain.CitizenRef{}, unavailable(ctx, "read reference", err)
	}
	if found {
		return citizenRef(ref)
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
		if _, err := tx.Exec(`INSERT INTO citizen_refs (ref, citizen, organisation) VALUES (?, ?, ?) ON CONFLICT (citizen, organisation) DO NOTHING`,
			fresh[:], citizen.UUID[:], string(organisation)); err != nil {
			return a, err
		}
		return a, tx.Row(`SELECT ref FROM citizen_refs WHERE citizen = ? AND organisation = ?`, []any{citizen.UUID[:], string(organisation)}, &a.ref)
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
	var id []byte
	found, err := r.row(ctx, `SELECT c.citizen FROM citizen_refs c JOIN subjects s ON s.citizen = c.citizen WHERE c.ref = ? AND c.organisation = ? AND s.state IN (1, 2)`,
		[]any{ref.UUID[:], string(organisation)}, &id)
	if err != nil {
		return domain.CitizenID{}, unavailable(ctx, "read reference", err)
	}
	if !found {
		return domain.CitizenID{}, ErrUnknown
	}
	return citizenID(id)
}

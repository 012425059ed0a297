package api

import (
	"context"
	"errors"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/document"
	"coffre/eventstore"
	"coffre/eventstore/seal"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// person is a citizen as one request met them.
type person struct {
	id       domain.CitizenID
	standing citizen.Standing
	at       eventstore.Reference // the revision of their stream that was relied on
}

// meet reads what a citizen's own stream says of them now. Somebody unknown has
// no standing.
func (v *Vault) meet(ctx context.Context, id domain.CitizenID) (person, error) {
	stream := citizenStream(id)
	state, revision, err := citizens.Load(ctx, v.Log, stream)
	if err != nil || revision < 0 {
		return person{id: id}, err
	}
	return person{id, state.Standing(), eventstore.At(stream, revision)}, nil
}

// enroll returns the citizen with that number and registers them when the vault
// does not know them. The key is durable before anything is sealed with it; a
// key without a registration, left by a crash, is registered here. An erased
// person is refused (rule E-4).
func (v *Vault) enroll(ctx context.Context, in intent, step int, ssin contract.SSIN) (person, error) {
	id, pending, err := v.Keys.Enroll(ctx, ssin.SSIN)
	if err != nil {
		return person{}, err
	}
	if pending {
		if _, err := citizens.Transact(ctx, v.Log, in.write(step, citizenStream(id), id), citizen.Register{Citizen: id, By: in.actor, At: in.at}); err != nil {
			return person{}, err
		}
		if err := v.Keys.Activate(id); err != nil {
			return person{}, err
		}
	}
	p, err := v.meet(ctx, id)
	if err == nil {
		err = p.standing.Writable()
	}
	return p, err
}

// stillOpen is asked when something was attested in a document and is durable, before
// its issuer is told: an erasure that had started by then never judged it, so it
// counts for nothing (rule E-4). An erasure that starts from here on finds it in the
// log, and judges it (rule E-1).
func (v *Vault) stillOpen(ctx context.Context, of domain.CitizenID, d domain.DocumentID) error {
	state, _, err := citizens.Load(ctx, v.Log, citizenStream(of))
	if err != nil || !state.Closed(d) {
		return err
	}
	if err := state.Standing().Writable(); err != nil {
		return err
	}
	return document.ErrContentDestroyed
}

// named returns the citizen whom an organisation names by number or by its own
// reference; exactly one is given, which the contract's gate has seen to. For a
// person the vault does not know, or has erased, it returns the zero id and no
// error: who asks must not learn which.
func (v *Vault) named(ctx context.Context, c *edge.Call, ssin contract.SSIN, ref domain.CitizenRef) (domain.CitizenID, error) {
	var id domain.CitizenID
	var err error
	if ref.IsZero() {
		id, err = v.Keys.Resolve(ctx, ssin.SSIN)
	} else {
		id, err = v.Keys.ByRef(ctx, c.Organisation, ref)
	}
	if errors.Is(err, seal.ErrUnknown) || errors.Is(err, eventstore.ErrErased) {
		return domain.CitizenID{}, nil
	}
	return id, err
}

// known returns the person with that number as they stand; somebody of no standing,
// when the vault does not know them or has erased them.
func (v *Vault) known(ctx context.Context, c *edge.Call, ssin contract.SSIN) (person, error) {
	id, err := v.named(ctx, c, ssin, domain.CitizenRef{})
	if err != nil {
		return person{}, err
	}
	return v.meet(ctx, id) // who is unknown is looked for as well, so that it takes as long
}

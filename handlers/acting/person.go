package acting

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

// Person is a citizen as their stream stood when a request read it.
type Person struct {
	ID       domain.CitizenID
	Standing citizen.Standing
	At       eventstore.Reference // the revision of their stream that was relied on
}

// LoadPerson reads what a citizen's own stream says of them now. An unknown person has no
// standing, and is looked for all the same.
func (rec *Recorder) LoadPerson(ctx context.Context, id domain.CitizenID) (Person, error) {
	stream := CitizenStream(id)
	state, revision, err := Citizens.Load(ctx, rec.Log, stream)
	if err != nil || revision < 0 {
		return Person{ID: id}, err
	}
	return Person{id, state.Standing(), eventstore.At(stream, revision)}, nil
}

// Enroll returns the citizen with that number and registers them when the vault
// does not know them. The key is durable before anything is sealed with it; a
// key without a registration, left by a crash, is registered here. An erased
// person is refused (rule E-4).
func (rec *Recorder) Enroll(ctx context.Context, in Intent, step int, ssin contract.SSIN) (Person, error) {
	id, pending, err := rec.Keys.Enroll(ctx, ssin.SSIN)
	if err != nil {
		return Person{}, err
	}
	if pending {
		if _, err := Citizens.Transact(ctx, rec.Log, in.Write(step, CitizenStream(id), id), citizen.Register{Citizen: id, By: in.Actor, At: in.At}); err != nil {
			return Person{}, err
		}
		if err := rec.Keys.Activate(id); err != nil {
			return Person{}, err
		}
	}
	p, err := rec.LoadPerson(ctx, id)
	if err == nil {
		err = p.Standing.Writable()
	}
	return p, err
}

// CheckErasureNotStarted refuses what was attested in a document when an erasure had started by the
// time it was durable: that erasure never judged it, so it counts for nothing (rule E-4).
// It is asked before the issuer is told. An erasure that starts from here on finds it in
// the log, and judges it (rule E-1).
func (rec *Recorder) CheckErasureNotStarted(ctx context.Context, of domain.CitizenID, d domain.DocumentID) error {
	state, _, err := Citizens.Load(ctx, rec.Log, CitizenStream(of))
	if err != nil || !state.Closed(d) {
		return err
	}
	if err := state.Standing().Writable(); err != nil {
		return err
	}
	return document.ErrContentDestroyed
}

// Resolve returns the citizen whom an organisation names by number or by its own
// reference; exactly one is given, which the contract's gate has seen to. For a
// person the vault does not know, or has erased, it returns the zero id and no
// error: who asks must not learn which.
func (rec *Recorder) Resolve(ctx context.Context, c *edge.Call, ssin contract.SSIN, ref domain.CitizenRef) (domain.CitizenID, error) {
	var id domain.CitizenID
	var err error
	if ref.IsZero() {
		id, err = rec.Keys.Resolve(ctx, ssin.SSIN)
	} else {
		id, err = rec.Keys.ByRef(ctx, c.Organisation, ref)
	}
	if errors.Is(err, seal.ErrUnknown) || errors.Is(err, eventstore.ErrErased) {
		return domain.CitizenID{}, nil
	}
	return id, err
}

// ResolvePerson returns the person with that number as they stand; somebody of no standing,
// when the vault does not know them or has erased them.
func (rec *Recorder) ResolvePerson(ctx context.Context, c *edge.Call, ssin contract.SSIN) (Person, error) {
	id, err := rec.Resolve(ctx, c, ssin, domain.CitizenRef{})
	if err != nil {
		return Person{}, err
	}
	return rec.LoadPerson(ctx, id) // who is unknown is looked for as well, so that it takes as long
}

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
	Standing citizen.Standing     // zero for a person whom the vault does not know
	At       eventstore.Reference // the revision of their stream that was read
	// Restrictions are those of processing, lifted ones included.
	Restrictions citizen.Restrictions
}

// LoadPerson reads a citizen's stream. A person whom the vault does not know has the zero
// standing and no error; their stream is read as well, so that the time it takes tells
// nothing.
func (rec *Recorder) LoadPerson(ctx context.Context, id domain.CitizenID) (Person, error) {
	stream := CitizenStream(id)
	state, revision, err := Citizens.Load(ctx, rec.Log, stream)
	if err != nil || revision < 0 {
		return Person{ID: id}, err
	}
	return Person{ID: id, Standing: state.Standing(), At: eventstore.At(stream, revision), Restrictions: state.Restrictions}, nil
}

// Enroll returns the citizen with a national number and registers them when the vault
// does not know them. The citizen's key is durable before anything is sealed with it; a
// key that a crash left without a registration is registered here. An erased person is
// refused (rule E-4).
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

// CheckErasureNotStarted refuses a fact that an issuer has just appended to a document
// when an erasure of the citizen or the document had started by then: that erasure never
// judged the fact, so the fact counts for nothing (rule E-4). Call it after the append and
// before the issuer gets an answer. An erasure that starts later finds the fact in the
// log, and judges it (rule E-1).
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

// Resolve returns the citizen whom an organisation names by national number or by its own
// reference; the contract's gate has seen to it that exactly one is given. For a person
// whom the vault does not know, or has erased, it returns the zero id and no error, so
// that the caller cannot learn which. The same is read for everybody, asked about before or
// not (rule A-9).
func (rec *Recorder) Resolve(ctx context.Context, c *edge.Call, ssin contract.SSIN, ref *domain.CitizenRef) (domain.CitizenID, error) {
	var id domain.CitizenID
	var err error
	if ref == nil {
		id, err = rec.Keys.ResolveUnremembered(ctx, ssin.SSIN)
	} else {
		id, err = rec.Keys.ByRef(ctx, c.Organisation, *ref)
	}
	if errors.Is(err, seal.ErrUnknown) || errors.Is(err, eventstore.ErrErased) {
		return domain.CitizenID{}, nil
	}
	return id, err
}

// ResolvePerson returns the person with a national number; a person of zero standing when
// the vault does not know them or has erased them.
func (rec *Recorder) ResolvePerson(ctx context.Context, c *edge.Call, ssin contract.SSIN) (Person, error) {
	id, err := rec.Resolve(ctx, c, ssin, nil)
	if err != nil {
		return Person{}, err
	}
	return rec.LoadPerson(ctx, id) // who is unknown is looked for as well, so that it takes as long
}

package acting

import (
	"context"
	"errors"
	"slices"
	"time"

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
	// ID is the life that survives where two were merged: the one by which the person is
	// known, and under which everything new is recorded.
	ID domain.CitizenID
	// Lives are all ids under which facts of the person stand, ID first. It holds ID alone
	// for almost everybody, and for a person whom the vault does not know.
	Lives    []domain.CitizenID
	Standing citizen.Standing     // zero for a person whom the vault does not know
	At       eventstore.Reference // the revision of their stream that was read
	// Restrictions are those of processing, lifted ones included.
	Restrictions citizen.Restrictions
	// Revived is when a death of theirs was corrected, zero when none was: consents and
	// mandates from before have ended (rule P-6).
	Revived time.Time
}

// LoadPerson reads a citizen's stream. A person whom the vault does not know has the zero
// standing and no error; their stream is read as well, so that the time it takes tells
// nothing.
//
// A life that was merged into another one leads to the survivor, whose standing counts, and
// whose restrictions are those of all lives (rule P-7).
func (rec *Recorder) LoadPerson(ctx context.Context, id domain.CitizenID) (Person, error) {
	lives, err := rec.loadLives(ctx, id)
	if err != nil {
		return Person{ID: id, Lives: []domain.CitizenID{id}}, err
	}
	p := Person{ID: lives[0].id}
	for i, life := range lives {
		p.Lives = append(p.Lives, life.id)
		if life.revision >= 0 && i == 0 {
			p.Standing, p.At, p.Revived = life.state.Standing(), eventstore.At(CitizenStream(life.id), life.revision), life.state.Revived
		}
		p.Restrictions = append(slices.Clip(p.Restrictions), life.state.Restrictions...)
	}
	return p, nil
}

// Is reports whether an id is one of the person's lives.
func (p Person) Is(id domain.CitizenID) bool { return slices.Contains(p.Lives, id) }

// life is one of the ids of a person with the state of its stream.
type life struct {
	id       domain.CitizenID
	state    citizen.State
	revision eventstore.Revision // -1: the stream does not exist
}

// maxLives bounds the merges that are followed in one direction.
const maxLives = 16

// ErrManyLives is a fault: merges that lead in a circle, or more than anybody has.
var ErrManyLives = errors.New("a citizen's merges lead nowhere")

// loadLives returns all lives of the person whom an id stands for, the surviving one first. A
// former life counts when its own stream says that it was merged.
func (rec *Recorder) loadLives(ctx context.Context, id domain.CitizenID) ([]life, error) {
	load := func(id domain.CitizenID) (life, error) {
		state, revision, err := Citizens.Load(ctx, rec.Log, CitizenStream(id))
		return life{id, state, revision}, err
	}
	top, err := load(id)
	for n := 0; err == nil && !top.state.MergedInto.IsZero(); n++ {
		if n == maxLives {
			return nil, ErrManyLives
		}
		top, err = load(top.state.MergedInto)
	}
	if err != nil {
		return nil, err
	}
	all := []life{top}
	for i := 0; i < len(all); i++ {
		for _, former := range all[i].state.Former {
			if len(all) > maxLives {
				return nil, ErrManyLives
			}
			one, err := load(former)
			if err != nil {
				return nil, err
			}
			if one.state.MergedInto == all[i].id {
				all = append(all, one)
			}
		}
	}
	return all, nil
}

// LifeWith returns the life of a person, whom an id stands for, whose stream has something;
// the surviving one when none has.
func (rec *Recorder) LifeWith(ctx context.Context, id domain.CitizenID, has func(citizen.State) bool) (domain.CitizenID, error) {
	lives, err := rec.loadLives(ctx, id)
	if err != nil {
		return domain.CitizenID{}, err
	}
	for _, l := range lives {
		if has(l.state) {
			return l.id, nil
		}
	}
	return lives[0].id, nil
}

// OtherLives returns the states of the streams of all lives of a person but one.
func (rec *Recorder) OtherLives(ctx context.Context, id domain.CitizenID) ([]citizen.State, error) {
	lives, err := rec.loadLives(ctx, id)
	if err != nil {
		return nil, err
	}
	var others []citizen.State
	for _, l := range lives {
		if l.id != id {
			others = append(others, l.state)
		}
	}
	return others, nil
}

// Survivor returns the id by which the person is known for whom an id stands. As much is read
// for somebody whom the vault does not know.
func (rec *Recorder) Survivor(ctx context.Context, id domain.CitizenID) (domain.CitizenID, error) {
	lives, err := rec.loadLives(ctx, id)
	if err != nil {
		return domain.CitizenID{}, err
	}
	return lives[0].id, nil
}

// Enroll returns the citizen with a national number and registers them when the vault
// does not know them. The citizen's key is durable before anything is sealed with it; a
// key that a crash left without a registration is registered here. An erased person is
// refused (rule E-4), and so is a number of somebody who is not born yet.
func (rec *Recorder) Enroll(ctx context.Context, in Intent, step int, ssin contract.SSIN) (Person, error) {
	if err := ssin.CheckBorn(domain.BelgianDate(in.At)); err != nil {
		return Person{}, err
	}
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
	lives, err := rec.loadLives(ctx, of)
	if err != nil {
		return err
	}
	for _, l := range lives {
		if !l.state.Closed(d) {
			continue
		}
		if err := l.state.Standing().Writable(); err != nil && !errors.Is(err, citizen.ErrMerged) {
			return err
		}
		return document.ErrContentDestroyed
	}
	return nil
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
		id, err = domain.CitizenID{}, nil // of whom the same is read
	}
	if err != nil {
		return domain.CitizenID{}, err
	}
	return rec.Survivor(ctx, id)
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

package disclosure

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/mandate"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/wallet"
)

// Representation is the capacity in which a citizen acts for one person: for themselves, or
// for somebody under mandates.
type Representation struct {
	By       domain.Actor
	Citizen  domain.CitizenID
	Mandates []mandate.InForce      // none for themselves
	refs     []eventstore.Reference // what the mandates rest on
}

// Self reports whether the citizen acts for themselves.
func (a Representation) Self() bool { return a.By.Role == domain.RoleCitizen }

// Covers reports whether the citizen may act on documents of a type.
func (a Representation) Covers(t domain.DocumentType) bool {
	return a.Self() || slices.ContainsFunc(a.Mandates, func(m mandate.InForce) bool { return m.Covers(t) })
}

// MandateFor returns the mandate that covers all the types, else any mandate; the rules
// decide whether that is enough. It is zero for a citizen who acts for themselves.
func (a Representation) MandateFor(types []domain.DocumentType) mandate.InForce {
	for _, m := range a.Mandates {
		if !slices.ContainsFunc(types, func(t domain.DocumentType) bool { return !m.Covers(t) }) {
			return m
		}
	}
	if len(a.Mandates) > 0 {
		return a.Mandates[0]
	}
	return mandate.InForce{}
}

// AddTo returns the write with the citizen, the person they act for, and the mandates'
// revisions in its metadata.
func (a Representation) AddTo(w eventstore.Write) eventstore.Write {
	w.Meta.Actor = a.By
	w.Meta.BasedOn = append(w.Meta.BasedOn, a.refs...)
	if a.Self() {
		return w
	}
	return acting.WithRepresented(w, a.Citizen)
}

// ActFor returns the capacity in which the calling citizen takes an action for a person;
// nil stands for the citizen themselves, who then named nobody. A representative needs a mandate in force
// for the action; to every other caller the person does not exist, which is
// edge.ErrNoResource (rules M-1.1 to M-1.9).
func (dis *Discloser) ActFor(ctx context.Context, in acting.Intent, whose *domain.CitizenID, action mandate.Action) (Representation, error) {
	a := Representation{By: in.Actor, Citizen: in.Actor.Citizen}
	if in.Actor.Role != domain.RoleCitizen || a.Citizen.IsZero() {
		return Representation{}, edge.ErrNoResource
	}
	if whose == nil || *whose == a.Citizen {
		return a, nil
	}
	all, err := dis.Wallets.Represents(ctx, a.Citizen, projections.Latest)
	if err != nil {
		return Representation{}, err
	}
	return dis.selectMandates(ctx, in, *whose, action, all)
}

// selectMandates returns the representation under those of a citizen's mandates that allow
// an action for a person now.
func (dis *Discloser) selectMandates(ctx context.Context, in acting.Intent, whose domain.CitizenID, action mandate.Action, all []wallet.Mandate) (Representation, error) {
	a := Representation{By: in.Actor, Citizen: whose}
	a.By.Role = domain.RoleRepresentative
	var unreadable error
	for _, m := range all {
		if m.Citizen != whose || m.Representative != in.Actor.Citizen {
			continue
		}
		holds, ref, err := dis.mandateInForce(ctx, m)
		switch {
		case errors.Is(err, mandate.ErrUnreadable):
			unreadable = err
		case errors.Is(err, mandate.ErrNotInForce):
		case err != nil:
			return Representation{}, err
		case holds.Allows(in.Actor.Citizen, whose, action):
			a.Mandates, a.refs = append(a.Mandates, holds), append(a.refs, ref)
		}
	}
	if len(a.Mandates) == 0 {
		if unreadable != nil {
			return Representation{}, unreadable
		}
		return Representation{}, edge.ErrNoResource
	}
	return a, nil
}

// mandateInForce loads a mandate, opens its end, and returns it when it is in force today
// and both persons live; else mandate.ErrNotInForce, or mandate.ErrUnreadable.
func (dis *Discloser) mandateInForce(ctx context.Context, m wallet.Mandate) (mandate.InForce, eventstore.Reference, error) {
	var end *mandate.GrantedPersonal
	opened, err := dis.OpenMandateEnd(ctx, m)
	switch {
	case err == nil:
		end = &opened
	case !KeyMissing(err):
		return mandate.InForce{}, "", err
	}
	return dis.mandateStillInForce(ctx, m.Mandate, end)
}

// mandateStillInForce judges a mandate by its stream as it is now, with an end that was
// opened before, on the day that it is once everything was read.
func (dis *Discloser) mandateStillInForce(ctx context.Context, id domain.MandateID, end *mandate.GrantedPersonal) (mandate.InForce, eventstore.Reference, error) {
	stream := acting.MandateStream(id)
	state, revision, err := acting.Mandates.Load(ctx, dis.Log, stream)
	if err != nil {
		return mandate.InForce{}, "", err
	}
	if _, err := state.InForce(domain.BelgianDate(dis.Now()), end); err != nil {
		return mandate.InForce{}, "", err
	}
	switch err := dis.proveMandate(ctx, state); {
	case KeyMissing(err):
		return mandate.InForce{}, "", mandate.ErrUnreadable
	case err != nil:
		return mandate.InForce{}, "", err
	}
	for _, id := range []domain.CitizenID{state.Citizen, state.Representative} { // M-1.8
		p, err := dis.LoadPerson(ctx, id)
		switch {
		case err != nil:
			return mandate.InForce{}, "", err
		case p.Standing != citizen.Living:
			return mandate.InForce{}, "", mandate.ErrNotInForce
		}
	}
	holds, err := state.InForce(domain.BelgianDate(dis.Now()), end)
	return holds, eventstore.At(stream, revision), err
}

// AuthorizeRepresentative records that a representative sees data of the person they
// represent, and reads the mandate again; a mandate that is no longer in force withholds
// the access (rule A-1). Call it once per request and person, before anything is shown. It
// returns the zero access for a citizen who acts for themselves.
func (dis *Discloser) AuthorizeRepresentative(ctx context.Context, in acting.Intent, a Representation, m mandate.InForce) (access.Authorized, error) {
	if a.Self() {
		return access.Authorized{}, nil
	}
	person, err := dis.LoadPerson(ctx, a.Citizen)
	if err != nil {
		return access.Authorized{}, err
	}
	w := a.AddTo(in.Write(0, acting.AccessStream(a.Citizen, in.At), a.Citizen, person.At))
	w.ID, w.Settle = nil, false
	looked := access.AuthorizeByMandate{
		Access: domain.AccessID{UUID: dis.NewID()}, Citizen: a.Citizen, Kind: access.OpenedWallet,
		Mandate: m, Standing: person.Standing, By: a.By, At: in.At,
	}
	result, err := acting.Accesses.Transact(ctx, dis.Log, w, looked)
	if err != nil {
		return access.Authorized{}, err
	}
	authorized, err := AuthorizedIn(result.Events)
	if err != nil {
		return access.Authorized{}, err
	}
	if _, _, err := dis.mandateStillInForce(ctx, m.ID, &mandate.GrantedPersonal{Until: m.Until}); err != nil {
		return access.Authorized{}, dis.Withhold(ctx, in, authorized, err)
	}
	return authorized, nil
}

// RecordDelivered queues the outcome delivered of an access. The zero access has no
// outcome.
func (dis *Discloser) RecordDelivered(in acting.Intent, a access.Authorized) {
	if !a.Access.IsZero() {
		dis.QueueOutcome(in, a, access.Delivered, nil)
	}
}

// OpenMandateEnd opens the sealed end of a mandate.
func (dis *Discloser) OpenMandateEnd(ctx context.Context, m wallet.Mandate) (mandate.GrantedPersonal, error) {
	granted, err := OpenSealedPart[mandate.Granted](ctx, dis, m.Place, m.Sealed)
	switch {
	case err != nil:
		return mandate.GrantedPersonal{}, err
	case granted.Personal == nil:
		return mandate.GrantedPersonal{}, fmt.Errorf("%s holds no end of a mandate", m.Place.Type)
	}
	return *granted.Personal, nil
}

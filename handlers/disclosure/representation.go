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

// Representation is a citizen's call about one person: themselves, or somebody whom they
// represent.
type Representation struct {
	By       domain.Actor
	Citizen  domain.CitizenID
	Mandates []mandate.InForce      // none for themselves
	refs     []eventstore.Reference // what the mandates rest on
}

// Self reports whether the citizen acts for themselves.
func (a Representation) Self() bool { return a.By.Role == domain.RoleCitizen }

// Covers reports whether something about a type of document is theirs to deal with.
func (a Representation) Covers(t domain.DocumentType) bool {
	return a.Self() || slices.ContainsFunc(a.Mandates, func(m mandate.InForce) bool { return m.Covers(t) })
}

// MandateFor returns the mandate that covers all these types, else any; the rules say
// whether that is enough. It is zero for somebody who acts for themselves.
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

// AddTo adds for whom the citizen acts, and on what ground, to what is recorded.
func (a Representation) AddTo(w eventstore.Write) eventstore.Write {
	w.Meta.Actor = a.By
	w.Meta.BasedOn = append(w.Meta.BasedOn, a.refs...)
	if a.Self() {
		return w
	}
	return acting.WithRepresented(w, a.Citizen)
}

// ActFor tells as what a citizen acts for a person, themselves when nobody is
// named. Who represents that person does so under mandates in force for the
// action; to everybody else the person does not exist (rules M-1.1 to M-1.9).
func (dis *Discloser) ActFor(ctx context.Context, in acting.Intent, whose domain.CitizenID, action mandate.Action) (Representation, error) {
	a := Representation{By: in.Actor, Citizen: in.Actor.Citizen}
	if in.Actor.Role != domain.RoleCitizen || a.Citizen.IsZero() {
		return Representation{}, edge.ErrNoResource
	}
	if whose.IsZero() || whose == a.Citizen {
		return a, nil
	}
	all, err := dis.Wallets.Represents(ctx, a.Citizen, projections.Latest)
	if err != nil {
		return Representation{}, err
	}
	return dis.selectMandates(ctx, in, whose, action, all)
}

// selectMandates picks from a citizen's mandates those under which they may act for a
// person now.
func (dis *Discloser) selectMandates(ctx context.Context, in acting.Intent, whose domain.CitizenID, action mandate.Action, all []wallet.Mandate) (Representation, error) {
	a := Representation{By: in.Actor, Citizen: whose}
	a.By.Role = domain.RoleRepresentative
	var unreadable error
	for _, m := range all {
		if m.Citizen != whose || m.Representative != in.Actor.Citizen {
			continue
		}
		holds, ref, err := dis.mandateInForce(ctx, in, m)
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

// mandateInForce reads a mandate's own stream, opens its end, and returns it when it
// holds today and both persons live.
func (dis *Discloser) mandateInForce(ctx context.Context, in acting.Intent, m wallet.Mandate) (mandate.InForce, eventstore.Reference, error) {
	var end *mandate.GrantedPersonal
	opened, err := dis.OpenMandateEnd(ctx, m)
	switch {
	case err == nil:
		end = &opened
	case !KeyMissing(err):
		return mandate.InForce{}, "", err
	}
	return dis.mandateStillInForce(ctx, in, m.Mandate, end)
}

// mandateStillInForce judges a mandate by its stream as it is now; its end was opened before.
func (dis *Discloser) mandateStillInForce(ctx context.Context, in acting.Intent, id domain.MandateID, end *mandate.GrantedPersonal) (mandate.InForce, eventstore.Reference, error) {
	stream := acting.MandateStream(id)
	state, revision, err := acting.Mandates.Load(ctx, dis.Log, stream)
	if err != nil {
		return mandate.InForce{}, "", err
	}
	holds, err := state.InForce(domain.BelgianDate(in.At), end)
	if err != nil {
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
	return holds, eventstore.At(stream, revision), nil
}

// AuthorizeRepresentative records, before anything of theirs is shown, that a representative
// looks at what another person has; then the mandate is read again, and what no
// longer holds shows nothing (rule A-1). It is called once per request and
// person. The zero access comes back for somebody who looks at what is theirs.
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
	if _, _, err := dis.mandateStillInForce(ctx, in, m.ID, &mandate.GrantedPersonal{Until: m.Until}); err != nil {
		return access.Authorized{}, dis.Withhold(ctx, in, authorized, err)
	}
	return authorized, nil
}

// RecordDelivered records, after the answer, that a representative was shown what they
// asked for. The zero access is nobody's and leaves nothing.
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

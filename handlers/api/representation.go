package api

import (
	"context"
	"errors"
	"slices"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/mandate"
	"coffre/eventstore"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/wallet"
)

// acting is a citizen's call about one person: themselves, or somebody whom they
// represent.
type acting struct {
	by       domain.Actor
	citizen  domain.CitizenID
	mandates []mandate.InForce      // none for themselves
	refs     []eventstore.Reference // what the mandates rest on
}

// self reports whether the citizen acts for themselves.
func (a acting) self() bool { return a.by.Role == domain.RoleCitizen }

// covers reports whether something about a type of document is theirs to deal with.
func (a acting) covers(t domain.DocumentType) bool {
	return a.self() || slices.ContainsFunc(a.mandates, func(m mandate.InForce) bool { return m.Covers(t) })
}

// under returns the mandate that covers all these types, else any; the rules say
// whether that is enough. It is zero for somebody who acts for themselves.
func (a acting) under(types []domain.DocumentType) mandate.InForce {
	for _, m := range a.mandates {
		if !slices.ContainsFunc(types, func(t domain.DocumentType) bool { return !m.Covers(t) }) {
			return m
		}
	}
	if len(a.mandates) > 0 {
		return a.mandates[0]
	}
	return mandate.InForce{}
}

// write adds for whom the citizen acts, and on what ground, to what is recorded.
func (a acting) write(w eventstore.Write) eventstore.Write {
	w.Meta.Actor = a.by
	w.Meta.BasedOn = append(w.Meta.BasedOn, a.refs...)
	if a.self() {
		return w
	}
	return forCitizen(w, a.citizen)
}

// actFor tells as what a citizen acts for a person, themselves when nobody is
// named. Who represents that person does so under mandates in force for the
// action; to everybody else the person does not exist (rules M-1.1 to M-1.9).
func (v *Vault) actFor(ctx context.Context, in intent, whose domain.CitizenID, action mandate.Action) (acting, error) {
	a := acting{by: in.actor, citizen: in.actor.Citizen}
	if in.actor.Role != domain.RoleCitizen || a.citizen.IsZero() {
		return acting{}, edge.ErrNoResource
	}
	if whose.IsZero() || whose == a.citizen {
		return a, nil
	}
	all, err := v.Wallets.Represents(ctx, a.citizen, projections.Latest)
	if err != nil {
		return acting{}, err
	}
	return v.represent(ctx, in, whose, action, all)
}

// represent picks from a citizen's mandates those under which they may act for a
// person now.
func (v *Vault) represent(ctx context.Context, in intent, whose domain.CitizenID, action mandate.Action, all []wallet.Mandate) (acting, error) {
	a := acting{by: in.actor, citizen: whose}
	a.by.Role = domain.RoleRepresentative
	var unreadable error
	for _, m := range all {
		if m.Citizen != whose || m.Representative != in.actor.Citizen {
			continue
		}
		holds, ref, err := v.inForce(ctx, in, m)
		switch {
		case errors.Is(err, mandate.ErrUnreadable):
			unreadable = err
		case errors.Is(err, mandate.ErrNotInForce):
		case err != nil:
			return acting{}, err
		case holds.Allows(in.actor.Citizen, whose, action):
			a.mandates, a.refs = append(a.mandates, holds), append(a.refs, ref)
		}
	}
	if len(a.mandates) == 0 {
		if unreadable != nil {
			return acting{}, unreadable
		}
		return acting{}, edge.ErrNoResource
	}
	return a, nil
}

// inForce reads a mandate's own stream, opens its end, and returns it when it
// holds today and both persons live.
func (v *Vault) inForce(ctx context.Context, in intent, m wallet.Mandate) (mandate.InForce, eventstore.Reference, error) {
	var end *mandate.GrantedPersonal
	opened, err := v.openedEnd(ctx, m)
	switch {
	case err == nil:
		end = &opened
	case !withoutKey(err):
		return mandate.InForce{}, "", err
	}
	return v.stillInForce(ctx, in, m.Mandate, end)
}

// stillInForce judges a mandate by its stream as it is now; its end was opened before.
func (v *Vault) stillInForce(ctx context.Context, in intent, id domain.MandateID, end *mandate.GrantedPersonal) (mandate.InForce, eventstore.Reference, error) {
	stream := mandateStream(id)
	state, revision, err := mandates.Load(ctx, v.Log, stream)
	if err != nil {
		return mandate.InForce{}, "", err
	}
	holds, err := state.InForce(domain.BelgianDate(in.at), end)
	if err != nil {
		return mandate.InForce{}, "", err
	}
	for _, id := range []domain.CitizenID{state.Citizen, state.Representative} { // M-1.8
		p, err := v.meet(ctx, id)
		switch {
		case err != nil:
			return mandate.InForce{}, "", err
		case p.standing != citizen.Living:
			return mandate.InForce{}, "", mandate.ErrNotInForce
		}
	}
	return holds, eventstore.At(stream, revision), nil
}

// lookFor records, before anything of theirs is shown, that a representative
// looks at what another person has; then the mandate is read again, and what no
// longer holds shows nothing (rule A-1). It is called once per request and
// person. The zero access comes back for somebody who looks at what is theirs.
func (v *Vault) lookFor(ctx context.Context, in intent, a acting, m mandate.InForce) (access.Authorized, error) {
	if a.self() {
		return access.Authorized{}, nil
	}
	person, err := v.meet(ctx, a.citizen)
	if err != nil {
		return access.Authorized{}, err
	}
	w := a.write(in.write(0, accessStream(a.citizen, in.at), a.citizen, person.at))
	w.ID, w.Settle = nil, false
	looked := access.AuthorizeByMandate{
		Access: domain.AccessID{UUID: v.NewID()}, Citizen: a.citizen, Kind: access.OpenedWallet,
		Mandate: m, Standing: person.standing, By: a.by, At: in.at,
	}
	result, err := accesses.Transact(ctx, v.Log, w, looked)
	if err != nil {
		return access.Authorized{}, err
	}
	authorized, err := authorizedIn(result.Events)
	if err != nil {
		return access.Authorized{}, err
	}
	if _, _, err := v.stillInForce(ctx, in, m.ID, &mandate.GrantedPersonal{Until: m.Until}); err != nil {
		return access.Authorized{}, v.withhold(ctx, in, authorized, err)
	}
	return authorized, nil
}

// looked records what became of a representative's look, after the answer.
func (v *Vault) looked(in intent, a access.Authorized) {
	if !a.Access.IsZero() {
		v.told(in, a, access.Delivered, nil)
	}
}

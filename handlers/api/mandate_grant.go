package api

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/mandate"
	"coffre/eventstore"
	"coffre/eventstore/seal"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
)

// mandateAnswer is the stored answer to a change of a mandate.
type mandateAnswer struct {
	Receipt contract.MandateReceipt
	At      contract.PositionToken
}

var errSSINUnexpected = domain.NewError(domain.Invalid, "ssinUnexpected", "an authentic source names the represented person by number; a citizen grants for themselves")

// GrantMandate implements POST /mandates (rules M-1.1 to M-1.12). A citizen who
// names a representative whom the vault does not know gets the same answers as for a known
// one, here and later, so that nobody learns whom the vault knows: that mandate has no
// representative and is never accepted.
func (v *Vault) GrantMandate(ctx context.Context, r contract.GrantMandateRequestObject) (contract.GrantMandateResponseObject, error) {
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (mandateAnswer, error) {
		return v.grantMandate(ctx, in, r.Params.IdempotencyKey, r.Body)
	})
	if err != nil {
		return nil, err
	}
	edge.CallFrom(ctx).WaitForBeat(ctx, silentWriteBeats)
	return contract.GrantMandate201JSONResponse{Body: done.Receipt, Headers: contract.GrantMandate201ResponseHeaders{CoffrePosition: done.At}}, nil
}

// Steps of granting a mandate; each has event ids of its own.
const (
	stepRepresented = iota
	stepRepresentative
	stepMandate
)

func (v *Vault) grantMandate(ctx context.Context, in acting.Intent, key uuid.UUID, body *contract.MandateGrant) (mandateAnswer, error) {
	citizenAsks := in.Call.Role == domain.RoleCitizen
	if citizenAsks != body.SSIN.IsZero() {
		return mandateAnswer{}, errSSINUnexpected
	}
	if citizenAsks {
		if err := v.CheckDecides(ctx, in, disclosure.Representation{By: in.Actor, Citizen: in.Actor.Citizen}); err != nil {
			return mandateAnswer{}, err
		}
	}
	if err := acting.CheckWords(in.TypesAt("documentTypes", body.DocumentTypes)...); err != nil {
		return mandateAnswer{}, err
	}
	command := mandate.Grant{
		Mandate: domain.MandateID{UUID: uuid.NewSHA1(key, []byte(acting.RequestOwner(in.Call)))}, Kind: mandate.Ground(body.Kind),
		Scope: mandate.Scope{Types: body.DocumentTypes}, Until: body.Until, Numbered: body.SSIN.EarliestBirth(),
		Attestors: in.Words.Registry().Attestors(mandate.Ground(body.Kind).Attestation()), By: in.Actor, At: in.At,
	}
	for _, a := range body.Actions {
		command.Scope.Actions = append(command.Scope.Actions, mandate.Action(a))
	}
	// Mistakes in the mandate itself are told before the persons are looked up, so that the
	// refusal tells nothing of them and registers none.
	if err := errors.Join(checkBorn(in, "/ssin", body.SSIN), checkBorn(in, "/representativeSsin", body.RepresentativeSSIN)); err != nil {
		return mandateAnswer{}, err
	}
	nobody := acting.Person{ID: domain.CitizenID{UUID: in.ID(mandateOfNobody)}, Standing: citizen.Living}
	if err := judgeMandate(command, body.SSIN, body.RepresentativeSSIN, nobody.ID); err != nil {
		return mandateAnswer{}, err
	}
	if citizenAsks {
		return v.grantOwnMandate(ctx, in, body, command, nobody)
	}
	return recordStatement(ctx, v, in, []contract.SSIN{body.SSIN, body.RepresentativeSSIN}, func(domain.CitizenID) (mandateAnswer, error) {
		represented, err := v.enrollForMandate(ctx, in, stepRepresented, body.SSIN)
		if err != nil {
			return mandateAnswer{}, err
		}
		representative, err := v.enrollForMandate(ctx, in, stepRepresentative, body.RepresentativeSSIN)
		if err != nil {
			return mandateAnswer{}, err
		}
		return v.recordMandate(ctx, in, command, represented, representative, represented.At, representative.At)
	})
}

// grantOwnMandate grants a citizen's mandate. It names nobody where the vault does not know
// the representative, or they are not living.
func (v *Vault) grantOwnMandate(ctx context.Context, in acting.Intent, body *contract.MandateGrant, command mandate.Grant, nobody acting.Person) (_ mandateAnswer, err error) {
	represented, err := v.LoadPerson(ctx, in.Call.Citizen)
	if err != nil {
		return mandateAnswer{}, err
	}
	representative, err := v.ResolvePerson(ctx, in.Call, body.RepresentativeSSIN)
	if err != nil {
		return mandateAnswer{}, err
	}
	subject := v.quotaSubject(representative.ID, body.RepresentativeSSIN, nil)
	if err := v.Take(ctx, in.Call, &acting.OpenMandates, acting.Room{ID: command.Mandate.UUID, Person: subject.UUID[:]}); err != nil {
		return mandateAnswer{}, err
	}
	defer func() { v.FreeIfRefused(&acting.OpenMandates, command.Mandate.UUID, err) }()
	if representative.Standing != citizen.Living {
		return v.recordMandate(ctx, in, command, represented, nobody, represented.At)
	}
	return v.recordMandate(ctx, in, command, represented, representative, represented.At, representative.At)
}

// recordMandate records a mandate between two persons, judged by what was read at basedOn.
func (v *Vault) recordMandate(ctx context.Context, in acting.Intent, command mandate.Grant, represented, representative acting.Person, basedOn ...eventstore.Reference) (_ mandateAnswer, err error) {
	if command.Kind == mandate.ParentOfMinor {
		if command.NumberedToday, err = v.birthOfChild(ctx, represented); err != nil {
			return mandateAnswer{}, err
		}
	}
	command.Citizen, command.CitizenIs = represented.ID, represented.Standing
	command.Representative, command.RepresentativeIs = representative.ID, representative.Standing
	result, err := acting.Mandates.Transact(ctx, v.Log, in.Write(stepMandate, acting.MandateStream(command.Mandate), represented.ID, basedOn...), command)
	if err != nil {
		return mandateAnswer{}, err
	}
	at, err := v.PositionToken(ctx, result.Position)
	return mandateAnswer{mandateReceipt(result.State), at}, err
}

// enrollForMandate returns the citizen whom a source names in a mandate, as Enroll does. The
// source learns of an erasure no more than of a death: both are mandate.ErrRefused.
func (v *Vault) enrollForMandate(ctx context.Context, in acting.Intent, step int, ssin contract.SSIN) (acting.Person, error) {
	p, err := v.Enroll(ctx, in, step, ssin)
	if errors.Is(err, seal.ErrCitizenErased) || errors.Is(err, citizen.ErrErased) {
		err = mandate.ErrRefused
	}
	return p, err
}

// birthOfChild returns the earliest day of a child's birth by the number of today;
// mandate.ErrUnreadable where that cannot be opened.
func (v *Vault) birthOfChild(ctx context.Context, child acting.Person) (domain.Date, error) {
	born, err := v.BirthByNumber(ctx, child)
	if err == nil && born.IsZero() {
		err = mandate.ErrUnreadable
	}
	return born, err
}

// mandateOfNobody is the index of the id that stands for a representative whom the
// vault does not know, apart from those of a request's events.
const mandateOfNobody = 1 << 20

// judgeMandate refuses a mandate for mistakes that do not depend on the persons: it judges
// it as between two living persons of whom nothing is known.
func judgeMandate(c mandate.Grant, represented, representative contract.SSIN, nobody domain.CitizenID) error {
	c.Citizen, c.Representative = c.By.Citizen, nobody
	switch {
	case represented == representative:
		c.Citizen = nobody
	case !represented.IsZero():
		c.Citizen = domain.CitizenID{UUID: c.Mandate.UUID} // somebody else
	}
	c.CitizenIs, c.RepresentativeIs = citizen.Living, citizen.Living
	_, err := c.Decide(mandate.State{})
	return err
}

func mandateReceipt(s mandate.State) contract.MandateReceipt {
	state := contract.MandateStateGranted
	switch {
	case s.Ended:
		state = contract.MandateStateEnded
	case s.Accepted:
		state = contract.MandateStateAccepted
	}
	return contract.MandateReceipt{Href: contract.MandateHref(s.Mandate), MandateID: s.Mandate, State: state}
}

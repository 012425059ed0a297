package api

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/mandate"
	"coffre/eventstore"
)

// mandated is what is kept of an answer to a change of a mandate.
type mandated struct {
	Receipt MandateReceipt
	At      PositionToken
}

var errRepresented = domain.NewError(domain.Invalid, "ssinUnexpected", "an authentic source names the represented person by number; a citizen grants for themselves")

// GrantMandate implements POST /mandates (rules M-1.1 to M-1.6). A citizen who
// names a representative the vault does not know gets the answer of one it knows,
// so that nobody learns of whom it holds something: that mandate is never accepted,
// and nothing is recorded.
func (v *Vault) GrantMandate(ctx context.Context, r GrantMandateRequestObject) (GrantMandateResponseObject, error) {
	done, err := once(ctx, v, r.Params.IdempotencyKey, func(ctx context.Context, in intent) (mandated, error) {
		return v.grantMandate(ctx, in, r.Params.IdempotencyKey, r.Body)
	})
	if err != nil {
		return nil, err
	}
	return GrantMandate201JSONResponse{done.Receipt, GrantMandate201ResponseHeaders{done.At}}, nil
}

// Steps of granting a mandate.
const (
	stepRepresented = iota
	stepRepresentative
	stepMandate
)

func (v *Vault) grantMandate(ctx context.Context, in intent, key uuid.UUID, body *MandateGrant) (mandated, error) {
	citizenAsks := in.call.Role == domain.RoleCitizen
	if citizenAsks != body.SSIN.IsZero() {
		return mandated{}, errRepresented
	}
	for _, t := range body.DocumentTypes {
		if _, known := in.words.DocumentType(t); !known {
			return mandated{}, errUnknownWord
		}
	}
	command := mandate.Grant{
		Mandate: domain.MandateID{UUID: uuid.NewSHA1(key, []byte(owner(in.call)))}, Kind: mandate.Kind(body.Kind),
		Scope: mandate.Scope{Types: body.DocumentTypes}, Until: body.Until, Sources: in.sources(), By: in.actor, At: in.at,
	}
	for _, a := range body.Actions {
		command.Scope.Actions = append(command.Scope.Actions, mandate.Action(a))
	}
	var represented person
	var err error
	if citizenAsks {
		represented, err = v.meet(ctx, in.call.Citizen)
	} else {
		represented, err = v.enroll(ctx, in, stepRepresented, body.SSIN)
	}
	if err != nil {
		return mandated{}, err
	}
	var representative person
	if citizenAsks {
		representative, err = v.known(ctx, in.call, body.RepresentativeSSIN)
	} else {
		representative, err = v.enroll(ctx, in, stepRepresentative, body.RepresentativeSSIN)
	}
	if err != nil {
		return mandated{}, err
	}
	if representative.id.IsZero() {
		at, err := v.position(ctx, eventstore.Position{})
		return mandated{mandateReceipt(mandate.State{Mandate: command.Mandate}), at}, err
	}
	command.Citizen, command.CitizenIs = represented.id, represented.standing
	command.Representative, command.RepresentativeIs = representative.id, representative.standing
	result, err := mandates.Transact(ctx, v.Log, in.write(stepMandate, mandateStream(command.Mandate), represented.id, represented.at, representative.at), command)
	if err != nil {
		return mandated{}, err
	}
	at, err := v.position(ctx, result.Position)
	return mandated{mandateReceipt(result.State), at}, err
}

var errUnknownWord = domain.NewError(domain.Invalid, "unknownWord", "the registry does not know this code")

func mandateReceipt(s mandate.State) MandateReceipt {
	state := MandateStateGranted
	switch {
	case s.Ended:
		state = MandateStateEnded
	case s.Accepted:
		state = MandateStateAccepted
	}
	return MandateReceipt{Href: mandateHref(s.Mandate), MandateID: s.Mandate, State: state}
}

func mandateHref(id domain.MandateID) Href { return fmt.Sprintf("%s/mandates?mandateId=%s", Base, id) }

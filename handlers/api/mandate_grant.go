package api

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/mandate"
)

// mandated is what is kept of an answer to a change of a mandate.
type mandated struct {
	Receipt MandateReceipt
	At      PositionToken
}

var errRepresented = domain.NewError(domain.Invalid, "ssinUnexpected", "an authentic source names the represented person by number; a citizen grants for themselves")

// GrantMandate implements POST /mandates (rules M-1.1 to M-1.6). A representative
// whom the vault does not know is told of in the same words as one it knows: the
// mandate waits for their first login.
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
	representative, err := v.enroll(ctx, in, stepRepresentative, body.RepresentativeSSIN)
	if err != nil {
		return mandated{}, err
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

package api

import (
	"context"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/handlers/contract"
)

// ReplaceSSIN implements POST /citizens/replaceSsin (rule P-3). The former number
// keeps finding the person.
func (v *Vault) ReplaceSSIN(ctx context.Context, r contract.ReplaceSSINRequestObject) (contract.ReplaceSSINResponseObject, error) {
	at, err := once(ctx, v, r.Params.IdempotencyKey, func(ctx context.Context, in intent) (contract.PositionToken, error) {
		id, err := v.named(ctx, in.call, r.Body.SSIN, domain.CitizenRef{})
		if err != nil {
			return "", err
		}
		command := citizen.ReplaceSSIN{
			Former: r.Body.SSIN.SSIN, Now: r.Body.ReplacedBy.SSIN, Sources: in.sources(), By: in.actor, At: in.at,
		}
		// Judged before the number is added to the key ring, and recorded after it: a
		// crash in between leaves a number that finds the person, and no more.
		state, _, err := citizens.Load(ctx, v.Log, citizenStream(id))
		if err != nil {
			return "", err
		}
		if _, err := command.Decide(state); err != nil {
			return "", err
		}
		if err := v.Keys.AddSSIN(ctx, id, r.Body.ReplacedBy.SSIN); err != nil {
			return "", err
		}
		result, err := citizens.Transact(ctx, v.Log, in.write(0, citizenStream(id), id), command)
		if err != nil {
			return "", err
		}
		return v.position(ctx, result.Position)
	})
	if err != nil {
		return nil, err
	}
	return contract.ReplaceSSIN204Response{Headers: contract.ReplaceSSIN204ResponseHeaders{CoffrePosition: at}}, nil
}

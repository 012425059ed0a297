package api

import (
	"context"

	"coffre/domain/citizen"
	"coffre/domain/registry"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// ReplaceSSIN implements POST /citizens/replaceSsin (rules P-3, R-13). The former number
// keeps finding the person.
func (v *Vault) ReplaceSSIN(ctx context.Context, r contract.ReplaceSSINRequestObject) (contract.ReplaceSSINResponseObject, error) {
	at, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (contract.PositionToken, error) {
		attestors, err := checkAttests(in, registry.NationalNumber)
		if err != nil {
			return "", err
		}
		id, err := v.Resolve(ctx, in.Call, r.Body.SSIN, nil)
		if err != nil {
			return "", err
		}
		command := citizen.ReplaceSSIN{
			Former: r.Body.SSIN.SSIN, Now: r.Body.ReplacedBy.SSIN, Attestors: attestors, By: in.Actor, At: in.At,
		}
		// Judged before the number is added to the key ring, and recorded after it: a
		// crash in between leaves a number that finds the person, and no more.
		state, _, err := acting.Citizens.Load(ctx, v.Log, acting.CitizenStream(id))
		if err != nil {
			return "", err
		}
		if _, err := command.Decide(state); err != nil {
			return "", err
		}
		if err := v.Keys.AddSSIN(ctx, id, r.Body.ReplacedBy.SSIN); err != nil {
			return "", err
		}
		result, err := acting.Citizens.Transact(ctx, v.Log, in.Write(0, acting.CitizenStream(id), id), command)
		if err != nil {
			return "", err
		}
		return v.PositionToken(ctx, result.Position)
	})
	if err != nil {
		return nil, err
	}
	return contract.ReplaceSSIN204Response{Headers: contract.ReplaceSSIN204ResponseHeaders{CoffrePosition: at}}, nil
}

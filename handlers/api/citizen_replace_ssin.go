package api

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/eventstore/seal"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// ReplaceSSIN implements POST /citizens/replaceSsin (rules P-3, R-13). The former number
// keeps finding the person.
func (v *Vault) ReplaceSSIN(ctx context.Context, r contract.ReplaceSSINRequestObject) (contract.ReplaceSSINResponseObject, error) {
	key := r.Params.IdempotencyKey
	done, err := acting.Once(ctx, v.Recorder, key, func(ctx context.Context, in acting.Intent) (replaced, error) {
		attestors, err := checkAttests(in, registry.NationalNumber)
		if err != nil {
			return replaced{}, err
		}
		if r.Body.SSIN == r.Body.ReplacedBy { // whoever is named
			return replaced{}, citizen.ErrSameSSIN
		}
		return recordStatement(ctx, v, in, []contract.SSIN{r.Body.SSIN, r.Body.ReplacedBy}, func(id domain.CitizenID) (replaced, error) {
			command := citizen.ReplaceSSIN{
				Former: r.Body.SSIN.SSIN, Now: r.Body.ReplacedBy.SSIN, Attestors: attestors, By: in.Actor, At: in.At,
			}
			// Judged before the number is added to the key ring, and recorded after it: a
			// crash in between leaves a number that finds the person, and no more.
			state, _, err := acting.Citizens.Load(ctx, v.Log, acting.CitizenStream(id))
			if err != nil {
				return replaced{}, err
			}
			if _, err := command.Decide(state); err != nil {
				return replaced{}, err
			}
			switch err := v.Keys.AddSSIN(ctx, id, r.Body.ReplacedBy.SSIN); {
			case errors.Is(err, seal.ErrSSINTaken):
				return v.proposeMerge(ctx, in, key, id, r.Body.ReplacedBy, attestors)
			case err != nil:
				return replaced{}, err
			}
			result, err := acting.Citizens.Transact(ctx, v.Log, in.Write(0, acting.CitizenStream(id), id), command)
			if err != nil {
				return replaced{}, err
			}
			position, err := v.PositionToken(ctx, result.Position)
			return replaced{At: position}, err
		})
	})
	if err != nil {
		return nil, err
	}
	if done.Proposed {
		return contract.ReplaceSSIN202Response{Headers: contract.ReplaceSSIN202ResponseHeaders{CoffrePosition: done.At}}, nil
	}
	return contract.ReplaceSSIN204Response{Headers: contract.ReplaceSSIN204ResponseHeaders{CoffrePosition: done.At}}, nil
}

// replaced is the stored answer to a replaced number. Proposed says that it is another
// person's in the vault, and that a merge of both was proposed.
type replaced struct {
	Proposed bool
	At       contract.PositionToken
}

// proposeMerge records the source's half of a merge: the number that replaces a person's is
// known to the vault as another person's (rule P-7). Where both lead to one person already
// nothing is left to do.
func (v *Vault) proposeMerge(ctx context.Context, in acting.Intent, key uuid.UUID, former domain.CitizenID, number contract.SSIN, attestors []domain.Organisation) (replaced, error) {
	other, err := v.Resolve(ctx, in.Call, number, nil)
	if err != nil {
		return replaced{}, err
	}
	if other == former {
		at, err := v.PositionToken(ctx, eventstore.Position{})
		return replaced{At: at}, err
	}
	survivor, _, err := acting.Citizens.Load(ctx, v.Log, acting.CitizenStream(other))
	if err != nil {
		return replaced{}, err
	}
	result, err := acting.Citizens.Transact(ctx, v.Log, in.Write(0, acting.CitizenStream(former), former), citizen.ProposeMerge{
		Correction: newCorrectionID(in, key), Survivor: survivor, Attestors: attestors, By: in.Actor, At: in.At,
	})
	if err != nil {
		return replaced{}, err
	}
	at, err := v.PositionToken(ctx, result.Position)
	return replaced{Proposed: true, At: at}, err
}

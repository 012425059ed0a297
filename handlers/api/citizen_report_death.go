package api

import (
	"context"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/registry"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// checkAttests returns the organisations that may state a fact about persons, and refuses the
// caller when it is none of them (rule R-13), before anybody is looked up.
func checkAttests(in acting.Intent, a registry.Attestation) ([]domain.Organisation, error) {
	attestors := in.Words.Registry().Attestors(a)
	return attestors, a.Check(in.Actor, attestors)
}

// ReportDeath implements POST /citizens/reportDeath (rules P-2, R-13). A reactor ends
// mandates and consents; after the answer no decision relies on them any more.
func (v *Vault) ReportDeath(ctx context.Context, r contract.ReportDeathRequestObject) (contract.ReportDeathResponseObject, error) {
	at, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (contract.PositionToken, error) {
		attestors, err := checkAttests(in, registry.Death)
		if err != nil {
			return "", err
		}
		return recordStatement(ctx, v, in, []contract.SSIN{r.Body.SSIN}, func(id domain.CitizenID) (contract.PositionToken, error) {
			result, err := acting.Citizens.Transact(ctx, v.Log, in.Write(0, acting.CitizenStream(id), id), citizen.ReportDeath{
				Date: r.Body.Date, Born: r.Body.SSIN.EarliestBirth(), Attestors: attestors, By: in.Actor, At: in.At,
			})
			if err != nil {
				return "", err
			}
			return v.PositionToken(ctx, result.Position)
		})
	})
	if err != nil {
		return nil, err
	}
	return contract.ReportDeath204Response{Headers: contract.ReportDeath204ResponseHeaders{CoffrePosition: at}}, nil
}

package api

import (
	"context"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// identityType is the document type whose authentic sources also report deaths and
// replaced numbers.
const identityType domain.DocumentType = "identityData"

// identitySources returns the organisations that may report facts about persons themselves.
func identitySources(in acting.Intent) []domain.Organisation {
	t, known := in.Words.DocumentType(identityType)
	if !known {
		return nil
	}
	return t.Issuers
}

// ReportDeath implements POST /citizens/reportDeath (rule P-2). A reactor ends
// mandates and consents; after the answer no decision relies on them any more.
func (v *Vault) ReportDeath(ctx context.Context, r contract.ReportDeathRequestObject) (contract.ReportDeathResponseObject, error) {
	at, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (contract.PositionToken, error) {
		id, err := v.Resolve(ctx, in.Call, r.Body.SSIN, nil)
		if err != nil {
			return "", err
		}
		result, err := acting.Citizens.Transact(ctx, v.Log, in.Write(0, acting.CitizenStream(id), id), citizen.ReportDeath{
			Date: r.Body.Date, Sources: identitySources(in), By: in.Actor, At: in.At,
		})
		if err != nil {
			return "", err
		}
		return v.PositionToken(ctx, result.Position)
	})
	if err != nil {
		return nil, err
	}
	return contract.ReportDeath204Response{Headers: contract.ReportDeath204ResponseHeaders{CoffrePosition: at}}, nil
}

package api

import (
	"context"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/handlers/contract"
)

// identityType is the document type whose authentic sources also tell who died
// and who got another number.
const identityType domain.DocumentType = "identityData"

// sources are the organisations that may state facts about persons themselves.
func (in intent) sources() []domain.Organisation {
	t, known := in.words.DocumentType(identityType)
	if !known {
		return nil
	}
	return t.Issuers
}

// ReportDeath implements POST /citizens/reportDeath (rule P-2). A reactor ends
// mandates and consents; from the answer on nothing is decided in favour of one.
func (v *Vault) ReportDeath(ctx context.Context, r contract.ReportDeathRequestObject) (contract.ReportDeathResponseObject, error) {
	at, err := once(ctx, v, r.Params.IdempotencyKey, func(ctx context.Context, in intent) (contract.PositionToken, error) {
		id, err := v.named(ctx, in.call, r.Body.SSIN, domain.CitizenRef{})
		if err != nil {
			return "", err
		}
		result, err := citizens.Transact(ctx, v.Log, in.write(0, citizenStream(id), id), citizen.ReportDeath{
			Date: r.Body.Date, Sources: in.sources(), By: in.actor, At: in.at,
		})
		if err != nil {
			return "", err
		}
		return v.position(ctx, result.Position)
	})
	if err != nil {
		return nil, err
	}
	return contract.ReportDeath204Response{Headers: contract.ReportDeath204ResponseHeaders{CoffrePosition: at}}, nil
}

package api

import (
	"context"

	"coffre/domain/audit"
	"coffre/handlers/contract"
)

// GetErasureCertificate implements GET /erasures/{id}/certificate (rule E-3). The
// certificate is made from the log each time: the same facts, the same bytes, the same
// signature.
func (v *Vault) GetErasureCertificate(ctx context.Context, r contract.GetErasureCertificateRequestObject) (contract.GetErasureCertificateResponseObject, error) {
	e, err := v.Erasure(ctx, r.ErasureID)
	if err != nil {
		return nil, err
	}
	if err := v.recordErasureLook(ctx, audit.ReadErasureCertificate, e); err != nil {
		return nil, err
	}
	c, err := v.ErasureCertificate(ctx, e.Citizen, r.ErasureID)
	if err != nil {
		return nil, err
	}
	return contract.GetErasureCertificate200JSONResponse(c), nil
}

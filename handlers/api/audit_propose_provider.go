package api

import (
	"context"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

// ErrProviderSettings refuses a provider with which no process can be started.
var ErrProviderSettings = domain.NewError(domain.Invalid, "providerSettings", "issuer, audience and settings are not those of a provider as `coffre identity propose` writes them")

// ProposeIdentityProvider implements POST /identityProvider/changes: the first of two persons
// (rule I-2).
func (v *Vault) ProposeIdentityProvider(ctx context.Context, r contract.ProposeIdentityProviderRequestObject) (contract.ProposeIdentityProviderResponseObject, error) {
	key, b := r.Params.IdempotencyKey, r.Body
	done, err := acting.Once(ctx, v.Recorder, key, func(ctx context.Context, in acting.Intent) (contract.IdentityProviderChange, error) {
		if err := token.CheckSettings(b.Provider.Issuer, b.Provider.Audience, b.Provider.Settings); err != nil {
			return contract.IdentityProviderChange{}, ErrProviderSettings
		}
		id := uuid.NewSHA1(key, []byte(acting.RequestOwner(in.Call)))
		record, err := v.ChangeProviders(ctx, in, audit.ProposeProvider{
			Change: id, Provider: audit.Provider{Issuer: b.Provider.Issuer, Audience: b.Provider.Audience, Settings: b.Provider.Settings},
			Reason: audit.ProviderReason(b.Reason), By: in.Actor, At: in.At,
		})
		return providerChange(record.Change, in.At), err
	})
	if err != nil {
		return nil, err
	}
	return contract.ProposeIdentityProvider202JSONResponse{
		Body: done, Headers: contract.ProposeIdentityProvider202ResponseHeaders{Location: contract.Base + "/identityProvider"},
	}, nil
}

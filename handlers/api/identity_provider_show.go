package api

import (
	"context"
	"time"

	"github.com/google/uuid"

	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// GetIdentityProvider implements GET /identityProvider: who vouches for callers, and the
// change that waits. It tells of nobody.
func (v *Vault) GetIdentityProvider(ctx context.Context, _ contract.GetIdentityProviderRequestObject) (contract.GetIdentityProviderResponseObject, error) {
	r, err := v.Providers(ctx)
	if err != nil {
		return nil, err
	}
	return contract.GetIdentityProvider200JSONResponse(providerRecord(r, v.Timestamp())), nil
}

func providerRecord(r acting.ProviderRecord, now time.Time) contract.IdentityProviderRecord {
	record := contract.IdentityProviderRecord{Provider: providerItem(r.Provider), Since: r.Since, Confirmed: r.Recovery == uuid.Nil}
	if now.Before(r.FormerUntil) {
		record.Former, record.FormerUntil = providerItem(r.Former), r.FormerUntil
	}
	if r.Change.ID != uuid.Nil {
		record.Change = providerChange(r.Change, now)
	}
	return record
}

func providerItem(p audit.Provider) contract.IdentityProvider {
	if p.IsZero() {
		return contract.IdentityProvider{}
	}
	settings := p.Settings
	if settings == nil {
		settings = []string{}
	}
	return contract.IdentityProvider{Issuer: p.Issuer, Audience: p.Audience, Settings: settings}
}

func providerChange(c audit.ProviderChange, now time.Time) contract.IdentityProviderChange {
	item := contract.IdentityProviderChange{
		ChangeID: c.ID, Provider: providerItem(c.Provider), Reason: contract.IdentityProviderReason(c.Reason),
		State: contract.IdentityProviderChangeStateProposed, ProposedAt: c.ProposedAt, ApprovedAt: c.ApprovedAt, Until: c.Until(),
	}
	switch {
	case !now.Before(item.Until):
		item.State = contract.IdentityProviderChangeStateLapsed
	case !c.ApprovedAt.IsZero():
		item.State = contract.IdentityProviderChangeStateApproved
	}
	return item
}

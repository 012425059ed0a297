package api

import (
	"context"

	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/consentlog"
)

// recordConsentLogLook records a search of the consent log: whose decisions, and to which
// consumer and purpose, words of the registry, it was narrowed.
func (v *Vault) recordConsentLogLook(ctx context.Context, in acting.Intent, f consentlog.Filter) error {
	act := audit.Operate{Act: audit.QueryConsentLog, Consumer: f.Consumer, Purpose: f.Purpose}
	if f.Citizen != nil {
		act.Citizen = *f.Citizen
	}
	return v.recordLook(ctx, in, act)
}

// QueryConsentLog implements POST /consentLog/query: every decision about consents,
// newest first, once the search is on record. The page is empty for a person whom the vault does not know or has
// erased.
func (v *Vault) QueryConsentLog(ctx context.Context, r contract.QueryConsentLogRequestObject) (contract.QueryConsentLogResponseObject, error) {
	p, body := r.Params, r.Body
	in := v.NewIntent(ctx)
	if err := acting.CheckWords(in.OrganisationAt("consumer", body.Consumer), in.PurposeAt("purpose", body.Purpose)); err != nil {
		return nil, err
	}
	if err := v.WaitForToken(ctx, p.CoffreMinPosition, v.ConsentLog.Name()); err != nil {
		return nil, err
	}
	before, err := v.LeafFrom("queryConsentLog", p.After, projections.Latest)
	if err != nil {
		return nil, err
	}
	size := edge.PageSize(p.PageSize)
	links := edge.LinksTo(contract.Base+"/consentLog/query").Number("pageSize", p.PageSize)
	page := contract.ConsentLog{Self: links.At(p.After), Items: []contract.ConsentLogItem{}, PageSize: size}
	f := consentlog.Filter{Citizen: body.CitizenID, Consumer: body.Consumer, Purpose: body.Purpose, From: body.From, Until: body.Until}
	if !body.SSIN.IsZero() {
		id, err := v.Resolve(ctx, edge.CallFrom(ctx), body.SSIN, nil)
		switch {
		case err != nil:
			return nil, err
		case id.IsZero(), f.Citizen != nil && *f.Citizen != id: // by the surviving life's id
			if err := v.recordConsentLogLook(ctx, in, f); err != nil {
				return nil, err
			}
			return contract.QueryConsentLog200JSONResponse(page), nil
		}
		f.Citizen = &id
	}
	if f.Citizen != nil {
		person, err := v.LoadPerson(ctx, *f.Citizen)
		if err != nil {
			return nil, err
		}
		f.Citizen, f.Former = &person.ID, person.Lives[1:]
	}
	if err := v.recordConsentLogLook(ctx, in, f); err != nil {
		return nil, err
	}
	var acts []consentlog.Act
	for _, d := range body.Decision {
		acts = append(acts, consentlog.Act(d))
	}
	found, err := v.ConsentLog.Newest(ctx, f, acts, before, size+1)
	if err != nil {
		return nil, err
	}
	for i, d := range found {
		if i == size {
			page.Next, page.NextCursor = links.Next(v.Cursor("queryConsentLog", found[i-1].Leaf))
			break
		}
		item, err := v.ConsentLogItem(ctx, d)
		if err != nil {
			return nil, err
		}
		page.Items = append(page.Items, item)
	}
	return contract.QueryConsentLog200JSONResponse(page), nil
}

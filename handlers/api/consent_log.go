package api

import (
	"context"
	"time"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/domain/registry"
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
// newest first, once the search is on record. The page is empty for a person whom the vault does
// not know or has erased, and for a legal basis other than consent.
func (v *Vault) QueryConsentLog(ctx context.Context, r contract.QueryConsentLogRequestObject) (contract.QueryConsentLogResponseObject, error) {
	p, body := r.Params, r.Body
	in := v.NewIntent(ctx)
	if err := acting.CheckWords(in.OrganisationAt("consumer", body.Consumer), in.PurposeAt("purpose", body.Purpose), in.TypeAt("documentType", body.DocumentType)); err != nil {
		return nil, err
	}
	byConsent, err := restsOnConsent(in, body.LegalBasis)
	if err != nil {
		return nil, err
	}
	if err := v.WaitForToken(ctx, p.CoffreMinPosition, v.ConsentLog.Name()); err != nil {
		return nil, err
	}
	size := edge.PageSize(p.PageSize)
	links := edge.LinksTo(contract.Base+"/consentLog/query").Number("pageSize", p.PageSize)
	page := contract.ConsentLog{Self: links.At(p.After), Items: []contract.ConsentLogItem{}, PageSize: size}
	s := consentlog.Search{
		Filter: consentlog.Filter{Citizen: body.CitizenID, Consumer: body.Consumer, Purpose: body.Purpose, From: body.From, Until: body.Until},
		Type:   body.DocumentType, State: consentlog.State(body.State), Moment: in.At,
	}
	for _, d := range body.Decision {
		s.Acts = append(s.Acts, consentlog.Act(d))
	}
	if t := recordedTime(body.StateAt); t != nil {
		s.Moment = *t
	}
	known, before := int64(projections.Latest), int64(projections.Latest)
	if p.After != "" { // as the first page was asked for, so that all pages tell of one log
		place, err := v.PlaceFrom("queryConsentLog", p.After, 3)
		if err != nil {
			return nil, err
		}
		known, before, s.Moment = place[0], place[1], time.UnixMicro(place[2]).UTC()
	}
	page.StateAt = s.Moment
	someone, err := v.searchFor(ctx, &s.Filter, body.SSIN)
	if err != nil {
		return nil, err
	}
	if err := v.recordConsentLogLook(ctx, in, s.Filter); err != nil {
		return nil, err
	}
	if !someone || !byConsent {
		if p.After == "" {
			page.Totals = &contract.ConsentLogTotals{}
		}
		return contract.QueryConsentLog200JSONResponse(page), nil
	}
	if p.After == "" {
		if known, err = v.ConsentLog.Seen(ctx); err != nil {
			return nil, err
		}
		if page.Totals, err = v.consentLogTotals(ctx, known, s); err != nil {
			return nil, err
		}
	}
	found, err := v.ConsentLog.Search(ctx, known, s, before, size+1)
	if err != nil {
		return nil, err
	}
	for i, d := range found {
		if i == size {
			page.Next, page.NextCursor = links.Next(v.Cursor("queryConsentLog", known, found[i-1].Leaf, s.Moment.UnixMicro()))
			break
		}
		item, err := v.ConsentLogItem(ctx, d.Decision)
		if err != nil {
			return nil, err
		}
		item.State = contract.DecidedState(d.State)
		page.Items = append(page.Items, item)
	}
	return contract.QueryConsentLog200JSONResponse(page), nil
}

// searchFor narrows a search to all lives of the person that a request names, by number, by id or
// by both; it reports false when the vault knows no such person. A request that names nobody is
// about all.
func (v *Vault) searchFor(ctx context.Context, f *consentlog.Filter, number contract.SSIN) (bool, error) {
	if !number.IsZero() {
		id, err := v.Resolve(ctx, edge.CallFrom(ctx), number, nil)
		switch {
		case err != nil:
			return false, err
		case id.IsZero(), f.Citizen != nil && *f.Citizen != id: // by the surviving life's id
			return false, nil
		}
		f.Citizen = &id
	}
	if f.Citizen == nil {
		return true, nil
	}
	person, err := v.LoadPerson(ctx, *f.Citizen)
	if err != nil {
		return false, err
	}
	f.Citizen, f.Former = &person.ID, person.Lives[1:]
	return true, nil
}

// restsOnConsent reports whether a legal basis is the citizen's consent, on which everything in
// the consent log rests; an absent one asks for all.
func restsOnConsent(in acting.Intent, basis domain.LegalBasis) (bool, error) {
	if basis == "" {
		return true, nil
	}
	for _, b := range in.Words.Registry().LegalBases {
		if b.Code == basis {
			return b.Article == registry.ConsentArticle, nil
		}
	}
	return false, in.LegalBasis(basis)
}

func (v *Vault) consentLogTotals(ctx context.Context, known int64, s consentlog.Search) (*contract.ConsentLogTotals, error) {
	n, consents, err := v.ConsentLog.Totals(ctx, known, s)
	if err != nil {
		return nil, err
	}
	t := contract.ConsentLogTotals{
		Consents: consents, Requested: n[consentlog.Requested], Granted: n[consentlog.Granted], Refused: n[consentlog.Refused], Withdrawn: n[consentlog.Withdrawn],
	}
	t.Decisions = t.Requested + t.Granted + t.Refused + t.Withdrawn
	return &t, nil
}

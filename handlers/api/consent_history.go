package api

import (
	"context"
	"slices"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/audit"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/domain/mandate"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
	"coffre/handlers/work"
	"coffre/projections"
	"coffre/projections/accesslog"
	"coffre/projections/consentlog"
)

// GetConsentHistory implements GET /consents/{id}/history: every decision about a consent, what
// the citizen was shown (rule C-5), and its state at any moment. Readings by a representative or
// a privacy officer are on record before a text is opened.
func (v *Vault) GetConsentHistory(ctx context.Context, r contract.GetConsentHistoryRequestObject) (contract.GetConsentHistoryResponseObject, error) {
	if err := v.WaitForToken(ctx, r.Params.CoffreMinPosition, v.ConsentLog.Name()); err != nil {
		return nil, err
	}
	in := v.NewIntent(ctx)
	moment := in.At
	if t := recordedTime(r.Params.StateAt); t != nil {
		moment = *t
	}
	c, _, read, err := v.admitToConsent(ctx, in, r.ConsentID, audit.ReadConsentHistory, access.OpenedExport)
	if err != nil {
		return nil, err
	}
	decisions, err := v.ConsentLog.Search(ctx, projections.Latest, consentlog.Search{Filter: consentlog.Filter{Citizen: &c.Citizen}, Of: &c.Consent, Moment: moment}, projections.Latest, historySteps)
	switch {
	case err != nil:
		return nil, err
	case len(decisions) == 0 || decisions[0].State == "":
		return nil, consent.ErrNotFound
	}
	item := consentItem(in, &c)
	item.CitizenID, item.MandateID = c.Citizen, c.Mandate
	if in.Actor.Role != domain.RolePrivacyOfficer || !read.Access.IsZero() {
		if err := v.openShownTexts(ctx, &item, projections.Latest); err != nil {
			return nil, err
		}
	}
	history := contract.ConsentHistory{Consent: item, State: contract.DecidedState(decisions[0].State), StateAt: moment, Steps: []contract.ConsentStep{}}
	for _, d := range slices.Backward(decisions) {
		if !d.At.After(moment) {
			history.Steps = append(history.Steps, contract.ConsentStep{Step: contract.DecidedState(d.Act), At: d.At, Role: work.DeciderRole(d.Decision), MandateID: d.Mandate, Reason: d.Reason})
		}
	}
	if step, computed, err := v.computedStep(ctx, &c, decisions[0].State); err != nil {
		return nil, err
	} else if computed {
		history.Steps = append(history.Steps, step)
	}
	if history.RenewedBy, _, err = v.ConsentLog.RenewedBy(ctx, c.Consent, projections.Latest); err != nil {
		return nil, err
	}
	v.RecordDelivered(in, read)
	return contract.GetConsentHistory200JSONResponse(history), nil
}

// historySteps bounds the decisions that a history shows: a consent is requested, granted or
// refused, and withdrawn, each once; a withdrawal that met another may stand twice.
const historySteps = 6

// computedStep returns the step of a consent that no event records: that it expired or was used
// up; ok is false in any other state.
func (v *Vault) computedStep(ctx context.Context, c *consentlog.Consent, state consentlog.State) (step contract.ConsentStep, ok bool, err error) {
	switch state {
	case consentlog.IsExpired:
		return contract.ConsentStep{Step: contract.DecidedStateExpired, At: c.Terms.Until}, true, nil
	case consentlog.IsExhausted:
		uses, err := v.ConsentLog.Uses(ctx, c.Consent, projections.Latest)
		if err != nil {
			return contract.ConsentStep{}, false, err
		}
		return contract.ConsentStep{Step: contract.DecidedStateExhausted, At: uses[c.Terms.Limits.Uses-1].At}, true, nil
	}
	return contract.ConsentStep{}, false, nil
}

// admitToConsent refuses callers who may not look into a consent as its citizen, a representative
// or a privacy officer: to them it does not exist. It records the look, and where opens is not
// "" that a privacy officer opens something. The access is zero for the citizen, and where
// nothing may be opened.
func (v *Vault) admitToConsent(ctx context.Context, in acting.Intent, id domain.ConsentID, act audit.Act, opens access.Opened) (consentlog.Consent, disclosure.Representation, access.Authorized, error) {
	officer, none := disclosure.Representation{By: in.Actor}, access.Authorized{}
	c, known, err := v.ConsentLog.Consent(ctx, id, projections.Latest, in.At)
	switch {
	case err != nil:
		return c, officer, none, err
	case !known || c.Citizen.IsZero():
		return c, officer, none, consent.ErrNotFound
	}
	if in.Actor.Role == domain.RolePrivacyOfficer {
		// under an id of its own: what is opened is recorded beside it
		if err := v.recordLook(ctx, v.NewIntent(ctx), audit.Operate{Act: act, On: c.Consent.String(), Citizen: c.Citizen}); err != nil || opens == "" {
			return c, officer, none, err
		}
		person, err := v.LoadPerson(ctx, c.Citizen)
		if err != nil || person.Standing == citizen.Erased || person.Standing == citizen.Erasing {
			return c, officer, none, err // what they were shown is gone
		}
		read, err := v.authorizeReport(ctx, in, person, opens)
		return c, officer, read, err
	}
	a, err := v.ActFor(ctx, in, &c.Citizen, mandate.Read)
	if err != nil {
		return c, a, none, err
	}
	covered, err := v.coversTerms(ctx, a, c.Terms)
	switch {
	case err != nil:
		return c, a, none, err
	case !covered:
		return c, a, none, consent.ErrNotFound
	}
	read, err := v.AuthorizeRepresentative(ctx, in, a, a.MandateFor(c.Terms.Types))
	return c, a, read, err
}

// ListConsentDisclosures implements GET /consents/{id}/disclosures: the entries of the access log
// that rest on a consent, newest first. A representative's and a privacy officer's look is on
// record before.
func (v *Vault) ListConsentDisclosures(ctx context.Context, r contract.ListConsentDisclosuresRequestObject) (contract.ListConsentDisclosuresResponseObject, error) {
	p := r.Params
	if err := v.WaitForToken(ctx, p.CoffreMinPosition, v.AccessLog.Name()); err != nil {
		return nil, err
	}
	before, err := v.LeafFrom("listConsentDisclosures", p.After, projections.Latest)
	if err != nil {
		return nil, err
	}
	in := v.NewIntent(ctx)
	c, reader, read, err := v.admitToConsent(ctx, in, r.ConsentID, audit.ListConsentDisclosures, "")
	if err != nil {
		return nil, err
	}
	person, err := v.LoadPerson(ctx, c.Citizen)
	if err != nil {
		return nil, err
	}
	size := edge.PageSize(p.PageSize)
	links := edge.LinksTo(contract.ConsentHref(c.Consent)+"/disclosures").Text("lang", string(p.Lang)).Number("pageSize", p.PageSize)
	page := contract.AccessLog{Self: links.At(p.After), Items: []contract.AccessLogItem{}, PageSize: size}
	entries, err := v.AccessLog.OfAll(ctx, person.Lives, projections.Latest, accesslog.Filter{Now: in.At, Consent: &c.Consent}, before, size+1)
	if err != nil {
		return nil, err
	}
	tell := v.accessTeller(in, reader)
	for i := range entries {
		if i == size {
			page.Next, page.NextCursor = links.Next(v.Cursor("listConsentDisclosures", entries[i-1].Leaf))
			break
		}
		item, err := tell.item(ctx, &entries[i])
		if err != nil {
			return nil, err
		}
		page.Items = append(page.Items, item)
	}
	v.RecordDelivered(in, read)
	return contract.ListConsentDisclosures200JSONResponse(page), nil
}

package api

import (
	"context"
	"errors"
	"slices"
	"strings"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/contract/texts"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/accesslog"
	"coffre/projections/vocabulary"
)

const (
	usagesAtOnce = 1000    // in one answer, as the data tracker's protocol says
	usagesInAll  = 100_000 // that are counted in one period
)

var errPeriodTooWide = domain.NewError(domain.Invalid, "usagePeriodTooWide", "the period has more usages than are counted at once; ask for a shorter one")

// FindUsage implements GET /dataTracker/v2/findUsage: the access log in the words of the
// Estonian data tracker, for the citizen or a representative, as GetAccessLog shows it to
// them. A number that is not theirs is no resource, whether or not the vault knows it: nothing
// is looked up for it.
func (v *Vault) FindUsage(ctx context.Context, r contract.FindUsageRequestObject) (contract.FindUsageResponseObject, error) {
	p := r.Params
	in := v.NewIntent(ctx)
	offset, limit := 0, usagesAtOnce
	if p.Offset != nil {
		offset = *p.Offset
	}
	if p.Limit != nil {
		limit = min(*p.Limit, usagesAtOnce)
	}
	found := contract.UsagesFound{Usages: []contract.Usage{}}
	subject, err := v.usageSubject(ctx, in, p.XRoadUserID.SSIN, p.UserCode.SSIN)
	switch {
	case err != nil:
		return nil, err
	case subject.IsZero(): // a citizen of whom the vault knows nothing
		return contract.FindUsage200JSONResponse(found), nil
	}
	a, authorized, err := v.admitAccessLogReader(ctx, in, subject)
	if err != nil {
		return nil, err
	}
	lives, err := v.Wallets.Lives(ctx, subject, projections.Latest)
	if err != nil {
		return nil, err
	}
	filter := accesslog.Filter{Now: in.At, From: p.PeriodStart, Until: p.PeriodEnd}
	for e, err := range v.AccessLog.Each(ctx, lives, filter) {
		switch {
		case err != nil:
			return nil, err
		case e.Outcome == accesslog.Refused || !visibleEntry(a, e.Type):
			continue
		case found.TotalUsages == usagesInAll:
			return nil, v.Withhold(ctx, in, authorized, errPeriodTooWide)
		case found.TotalUsages >= offset && len(found.Usages) < limit:
			found.Usages = append(found.Usages, usage(in, &e))
		}
		found.TotalUsages++
	}
	v.RecordDelivered(in, authorized)
	return contract.FindUsage200JSONResponse(found), nil
}

// usageSubject returns the citizen whose number is named: the caller, whose own number comes
// with it, or somebody whom the caller represents. It is nobody for callers of whom the vault
// knows nothing and who name themselves.
func (v *Vault) usageSubject(ctx context.Context, in acting.Intent, by, of domain.SSIN) (domain.CitizenID, error) {
	me := in.Actor.Citizen
	if me.IsZero() {
		if by != of {
			return domain.CitizenID{}, edge.ErrNoResource
		}
		return domain.CitizenID{}, nil
	}
	mine, err := v.OpenSSINs(ctx, me)
	switch {
	case errors.Is(err, eventstore.ErrErased):
		return domain.CitizenID{}, edge.ErrNoResource
	case err != nil:
		return domain.CitizenID{}, err
	case !slices.Contains(mine, by):
		return domain.CitizenID{}, edge.ErrNoResource
	case slices.Contains(mine, of):
		return me, nil
	}
	return v.RepresentedBy(ctx, me, of)
}

// usage tells an entry in the data tracker's words.
func usage(in acting.Intent, e *accesslog.Entry) contract.Usage {
	lang := in.Call.Language
	say := accessWords{in.Words, lang}
	what := say.of(vocabulary.DocumentTypes, string(e.Type))
	for _, answer := range e.Answers {
		what = strings.Join([]string{what, say.of(vocabulary.DocumentTypes, string(answer.Type))}, ", ")
	}
	action := []string{texts.Of(lang, "value."+string(e.Kind)), strings.TrimPrefix(what, ", "), say.of(vocabulary.Purposes, string(e.Purpose)), say.of(vocabulary.LegalBases, string(e.LegalBasis))}
	if e.Outcome != accesslog.Disclosed {
		action = append(action, texts.Of(lang, "value."+string(e.Outcome)))
	}
	action = slices.DeleteFunc(action, func(part string) bool { return part == "" })
	u := contract.Usage{Logtime: e.At, Action: strings.Join(action, "; "), ReceiverCode: string(e.Consumer), ReceiverName: say.organisation(e.Consumer)}
	if e.Consumer == "" { // a person, who is named by their role and by nothing else
		u.ReceiverCode, u.ReceiverName = string(e.Role), texts.Of(lang, "value."+string(e.Role))
	}
	if u.ReceiverSystem = say.of(vocabulary.Procedures, string(e.Procedure)); u.ReceiverSystem == "" {
		u.ReceiverSystem = u.ReceiverName
	}
	return u
}

// GetUsagePeriod implements GET /dataTracker/v2/usagePeriod: since when the access log of the
// citizen who asks is complete; of a citizen whom the vault does not know, since now.
func (v *Vault) GetUsagePeriod(ctx context.Context, _ contract.GetUsagePeriodRequestObject) (contract.GetUsagePeriodResponseObject, error) {
	in := v.NewIntent(ctx)
	period := contract.UsagePeriod{PeriodStart: in.At}
	if in.Actor.Role != domain.RoleCitizen || in.Actor.Citizen.IsZero() {
		return contract.GetUsagePeriod200JSONResponse(period), nil
	}
	lives, err := v.Wallets.Lives(ctx, in.Actor.Citizen, projections.Latest)
	if err != nil {
		return nil, err
	}
	since, err := v.AccessLog.CompleteSince(ctx, lives)
	if err != nil {
		return nil, err
	}
	if !since.IsZero() {
		period.PeriodStart = since
	}
	return contract.GetUsagePeriod200JSONResponse(period), nil
}

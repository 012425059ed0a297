package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/domain/consent"
	"coffre/domain/mandate"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/consentlog"
	"coffre/projections/vocabulary"
)

// consentQuery holds the filters and the place of one page of consents.
type consentQuery struct {
	path    string
	citizen *domain.CitizenID       // as the parameter citizenId names them; nil: nobody is named
	states  []contract.ConsentState // none: all
	lang    domain.Language         // "": none asked for
	cursor  contract.Cursor
	size    contract.PageSize
	min     contract.CoffreMinPosition
	asOf    *time.Time
	validAt domain.Date
}

// ListConsents implements GET /consents: the consents of a citizen, newest first; those of
// the calling consumer, oldest first. Among a consumer's are its requests, and one that
// reached nobody looks like one that waits (rule A-6).
func (v *Vault) ListConsents(ctx context.Context, r contract.ListConsentsRequestObject) (contract.ListConsentsResponseObject, error) {
	p := r.Params
	page, err := v.listConsents(ctx, consentQuery{contract.Base + "/consents", p.CitizenID, p.State, p.Lang, p.After, p.PageSize, p.CoffreMinPosition, p.AsOf, p.ValidAt}, nil)
	if err != nil {
		return nil, err
	}
	return contract.ListConsents200JSONResponse(page), nil
}

// ListConsentRequests implements GET /consentRequests: the requests that wait for a citizen, with
// their messages; all requests of the calling consumer, without.
func (v *Vault) ListConsentRequests(ctx context.Context, r contract.ListConsentRequestsRequestObject) (contract.ListConsentRequestsResponseObject, error) {
	p := r.Params
	waits := func(c *consentlog.Consent) bool { return c.RequestedLeaf != projections.Latest }
	page := consentQuery{contract.Base + "/consentRequests", p.CitizenID, p.State, p.Lang, p.After, p.PageSize, p.CoffreMinPosition, nil, ""}
	if edge.CallFrom(ctx).Role == domain.RoleCitizen {
		waits = func(c *consentlog.Consent) bool { return c.State == consentlog.IsRequested }
	}
	found, err := v.listConsents(ctx, page, waits)
	if err != nil {
		return nil, err
	}
	return contract.ListConsentRequests200JSONResponse(found), nil
}

// listConsents returns a page of the caller's consents that also reports true for; nil: all.
func (v *Vault) listConsents(ctx context.Context, p consentQuery, also func(*consentlog.Consent) bool) (contract.Consents, error) {
	if err := v.WaitForToken(ctx, p.min, v.ConsentLog.Name()); err != nil {
		return contract.Consents{}, err
	}
	in := v.NewIntent(ctx)
	known, err := v.setClocks(ctx, in.At, p.asOf, p.validAt, v.ConsentLog.Name())
	if err != nil {
		return contract.Consents{}, err
	}
	if in.Actor.Role == domain.RoleConsumer {
		return v.consumerConsents(ctx, in, p, known, also)
	}
	return v.citizenConsents(ctx, in, p, known, also)
}

// citizenConsents returns a page of a citizen's consents, newest first.
func (v *Vault) citizenConsents(ctx context.Context, in acting.Intent, p consentQuery, known clocks, also func(*consentlog.Consent) bool) (contract.Consents, error) {
	before, err := v.LeafFrom(p.path, p.cursor, projections.Latest)
	if err != nil {
		return contract.Consents{}, err
	}
	if p.citizen == nil && in.Actor.Citizen.IsZero() { // somebody the vault does not know has nothing
		return contract.Consents{Self: p.links().At(p.cursor), Items: []contract.Consent{}, PageSize: edge.PageSize(p.size)}, nil
	}
	a, err := v.ActFor(ctx, in, p.citizen, mandate.Read)
	if err != nil {
		return contract.Consents{}, err
	}
	authorized, err := v.AuthorizeRepresentative(ctx, in, a, a.MandateFor(nil))
	if err != nil {
		return contract.Consents{}, err
	}
	all, err := v.consentsOf(ctx, a.Citizen, known)
	if err != nil {
		return contract.Consents{}, err
	}
	size := edge.PageSize(p.size)
	page := contract.Consents{Self: p.links().At(p.cursor), Items: []contract.Consent{}, PageSize: size}
	for i := range slices.Backward(all) {
		c := &all[i]
		if c.FirstLeaf >= before || !p.matches(c, also) {
			continue
		}
		covered, err := v.coversTerms(ctx, a, c.Terms)
		switch {
		case err != nil:
			return contract.Consents{}, err
		case !covered:
			continue
		}
		if len(page.Items) == size {
			page.Next, page.NextCursor = p.links().Next(v.Cursor(p.path, before))
			break
		}
		item := consentItem(in, c)
		item.CitizenID, item.MandateID = c.Citizen, c.Mandate
		if c.State == consentlog.IsRequested {
			if err := v.openShownTexts(ctx, &item, known.leaf); err != nil {
				return contract.Consents{}, err
			}
		}
		page.Items, before = append(page.Items, item), c.FirstLeaf
	}
	v.RecordDelivered(in, authorized)
	return page, nil
}

// consentsOf returns the consents of all lives of a citizen, in the order in which they began.
func (v *Vault) consentsOf(ctx context.Context, id domain.CitizenID, known clocks) ([]consentlog.Consent, error) {
	if known.leaf < 0 {
		return nil, nil
	}
	if known.leaf != projections.Latest {
		if err := v.WaitForLeaf(ctx, known.leaf, v.Wallets.Name()); err != nil {
			return nil, err
		}
	}
	lives, err := v.Wallets.Lives(ctx, id, known.leaf)
	if err != nil {
		return nil, err
	}
	var all []consentlog.Consent
	for _, life := range lives {
		more, err := v.ConsentLog.Of(ctx, life, known.leaf, known.moment())
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	slices.SortFunc(all, func(a, b consentlog.Consent) int { return cmp.Compare(a.FirstLeaf, b.FirstLeaf) })
	return all, nil
}

// consumerConsents returns a page of a consumer's own consents, oldest first. Citizens are
// named by the references that the consumer knows.
func (v *Vault) consumerConsents(ctx context.Context, in acting.Intent, p consentQuery, known clocks, also func(*consentlog.Consent) bool) (contract.Consents, error) {
	if p.citizen != nil {
		return contract.Consents{}, edge.ErrNoResource // a consumer knows nobody by that id
	}
	from, err := v.LeafFrom(p.path, p.cursor, -1)
	if err != nil {
		return contract.Consents{}, err
	}
	size := edge.PageSize(p.size)
	page := contract.Consents{Self: p.links().At(p.cursor), Items: []contract.Consent{}, PageSize: size}
	if known.leaf < 0 {
		return page, nil
	}
	for scanned := 0; ; {
		batch, err := v.ConsentLog.MadeTo(ctx, in.Actor.Organisation, known.leaf, known.moment(), from, edge.MaxPage)
		if err != nil {
			return contract.Consents{}, err
		}
		for i := range batch {
			c := &batch[i]
			if p.matches(c, also) {
				if len(page.Items) == size {
					page.Next, page.NextCursor = p.links().Next(v.Cursor(p.path, from))
					return page, nil
				}
				item, err := v.consentForConsumer(ctx, in, c)
				if err != nil {
					return contract.Consents{}, err
				}
				page.Items = append(page.Items, item)
			}
			from = c.FirstLeaf
		}
		switch scanned += len(batch); {
		case len(batch) < edge.MaxPage:
			return page, nil
		case scanned >= edge.MaxScanned:
			page.Next, page.NextCursor = p.links().Next(v.Cursor(p.path, from))
			return page, nil
		}
	}
}

func (p consentQuery) matches(c *consentlog.Consent, also func(*consentlog.Consent) bool) bool {
	return (also == nil || also(c)) && (len(p.states) == 0 || slices.Contains(p.states, contract.ConsentState(c.State)))
}

func (p consentQuery) links() edge.PageLinks {
	return edge.AddID(edge.LinksTo(p.path), "citizenId", p.citizen).Texts("state", edge.AsStrings(p.states)).Time("asOf", p.asOf).Text("validAt", string(p.validAt)).Text("lang", string(p.lang)).Number("pageSize", p.size)
}

// coversTerms reports whether the mandates of a representation cover every document type of
// a consent; for the citizen they do.
func (v *Vault) coversTerms(ctx context.Context, a disclosure.Representation, t consent.Terms) (bool, error) {
	if a.Self() {
		return true, nil
	}
	types, err := v.typesOfTerms(ctx, t)
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(types, func(t domain.DocumentType) bool { return !a.Covers(t) }), nil
}

// GetConsent implements GET /consents/{id}: for its citizen, with the text that they were
// shown; for its consumer, who sees a request wait until it is answered or over, whoever was
// asked; for privacy officers, whose look is recorded first.
func (v *Vault) GetConsent(ctx context.Context, r contract.GetConsentRequestObject) (contract.GetConsentResponseObject, error) {
	if err := v.WaitForToken(ctx, r.Params.CoffreMinPosition, v.ConsentLog.Name()); err != nil {
		return nil, err
	}
	in := v.NewIntent(ctx)
	known, err := v.setClocks(ctx, in.At, r.Params.AsOf, r.Params.ValidAt, v.ConsentLog.Name())
	if err != nil {
		return nil, err
	}
	c, there, err := v.ConsentLog.Consent(ctx, r.ConsentID, known.leaf, known.moment())
	switch {
	case err != nil:
		return nil, err
	case !there || known.leaf < 0:
		return nil, consent.ErrNotFound
	}
	var item contract.Consent
	switch in.Actor.Role {
	case domain.RoleConsumer:
		if c.Terms.Consumer != in.Actor.Organisation || !c.Tracked && !c.Answered() {
			return nil, consent.ErrNotFound
		}
		c = c.AsConsumer(known.moment())
		item, err = v.consentForConsumer(ctx, in, &c)
	case domain.RolePrivacyOfficer:
		err = v.recordLook(ctx, in, audit.Operate{Act: audit.ReadConsent, On: c.Consent.String(), Citizen: c.Citizen})
		item = consentItem(in, &c)
		item.CitizenID, item.MandateID = c.Citizen, c.Mandate
	default:
		item, err = v.consentForCitizen(ctx, in, &c, known.leaf)
	}
	if err != nil {
		return nil, err
	}
	return contract.GetConsent200JSONResponse(item), nil
}

// consentForCitizen shows a consent to its citizen or to a representative.
func (v *Vault) consentForCitizen(ctx context.Context, in acting.Intent, c *consentlog.Consent, asOf int64) (contract.Consent, error) {
	if c.Citizen.IsZero() { // it reached nobody
		return contract.Consent{}, consent.ErrNotFound
	}
	a, err := v.ActFor(ctx, in, &c.Citizen, mandate.Read)
	if err != nil {
		return contract.Consent{}, err
	}
	covered, err := v.coversTerms(ctx, a, c.Terms)
	switch {
	case err != nil:
		return contract.Consent{}, err
	case !covered:
		return contract.Consent{}, consent.ErrNotFound
	}
	authorized, err := v.AuthorizeRepresentative(ctx, in, a, a.MandateFor(c.Terms.Types))
	if err != nil {
		return contract.Consent{}, err
	}
	item := consentItem(in, c)
	item.CitizenID, item.MandateID = c.Citizen, c.Mandate
	if err := v.openShownTexts(ctx, &item, asOf); err != nil {
		return contract.Consent{}, err
	}
	v.RecordDelivered(in, authorized)
	return item, nil
}

// openShownTexts opens the message and the text that the citizen was shown, up to a leaf, into
// item (rule C-5). They stay empty while keys are unavailable or after an erasure.
func (v *Vault) openShownTexts(ctx context.Context, item *contract.Consent, asOf int64) error {
	parts, err := v.ConsentLog.Shown(ctx, item.ConsentID)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if part.Leaf > asOf {
			break // they come in the order of the log
		}
		shown, err := disclosure.OpenSealedPart[consent.Event](ctx, v.Discloser, part.Place, part.Sealed)
		switch {
		case disclosure.KeyMissing(err):
			continue
		case err != nil:
			return err
		}
		switch f := shown.(type) {
		case consent.Requested:
			item.Message = f.Personal.Message
		case consent.Granted:
			shown := f.Personal.Shown
			item.ShownText = contract.ShownText{Text: shown.Text, Language: shown.Language, Version: shown.Version}
		default:
			return fmt.Errorf("%s was not shown to a citizen", part.Place.Type)
		}
	}
	return nil
}

// consentForConsumer shows a consent to its consumer. Once the citizen granted it, it names
// them by the consumer's own reference, until they are erased. Of a request that was not
// granted nothing is looked up, so that all of them take the same work.
func (v *Vault) consentForConsumer(ctx context.Context, in acting.Intent, c *consentlog.Consent) (contract.Consent, error) {
	item := consentItem(in, c)
	if c.GrantedAt.IsZero() {
		return item, nil
	}
	ref, err := v.Keys.Ref(ctx, in.Actor.Organisation, c.Citizen)
	switch {
	case errors.Is(err, eventstore.ErrErased):
		item.State = contract.ConsentStateErased
	case err != nil:
		return contract.Consent{}, err
	}
	item.CitizenRef = ref
	return item, nil
}

// consentItem returns the members of a consent that every reader may see.
func consentItem(in acting.Intent, c *consentlog.Consent) contract.Consent {
	t, words, lang := c.Terms, in.Words, in.Call.Language
	return contract.Consent{
		Href: in.Call.InLanguage(contract.ConsentHref(c.Consent)), ConsentID: c.Consent, State: contract.ConsentState(c.State), Uses: c.Uses,
		Consumer: t.Consumer, ConsumerName: words.Label(vocabulary.Organisations, string(t.Consumer), lang),
		Purpose: t.Purpose, PurposeLabel: words.Label(vocabulary.Purposes, string(t.Purpose), lang),
		Documents: t.Documents, DocumentTypes: t.Types, Fields: t.Fields, Limits: contract.LimitsShown(t.Limits), Renews: c.Renews,
		RequestedAt: c.RequestedAt, GrantedAt: c.GrantedAt, EndedAt: c.EndedAt, Until: t.Until,
	}
}

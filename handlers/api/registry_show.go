package api

import (
	"context"
	"fmt"
	"sync"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/consent"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections/vocabulary"
)

// registryCache holds the answer for the version in force, for every caller may ask. The
// zero value is empty; it may be used concurrently.
type registryCache struct {
	mu  sync.Mutex
	now contract.Registry
}

// GetRegistry implements GET /registry: the codes in force, with their labels. Retired codes
// are left out; answers that still use one carry its label. An organisation that says who it
// is also gets its own registrations, under a tag of its own.
func (v *Vault) GetRegistry(ctx context.Context, _ contract.GetRegistryRequestObject) (contract.GetRegistryResponseObject, error) {
	words := v.Words.Current()
	if words.Version() == 0 {
		return nil, edge.ErrNoResource
	}
	v.cachedRegistry.mu.Lock()
	defer v.cachedRegistry.mu.Unlock()
	if v.cachedRegistry.now.Version != words.Version() {
		at, err := v.publicationTime(ctx, words.Version())
		if err != nil {
			return nil, err
		}
		v.cachedRegistry.now = registryItem(words, at)
	}
	body, tag := v.cachedRegistry.now, edge.ETag(int(words.Version()))
	if org := edge.CallFrom(ctx).Organisation; !org.IsZero() {
		body.Caller, tag = callerItem(words, org), fmt.Sprintf(`"%d-%s"`, words.Version(), org)
	}
	return contract.GetRegistry200JSONResponse{Body: body, Headers: contract.GetRegistry200ResponseHeaders{ETag: tag}}, nil
}

// callerItem returns what an organisation may issue and ask for; nothing when the registry
// does not have it, or no more.
func callerItem(words *vocabulary.View, number domain.Organisation) contract.RegistryCaller {
	item := contract.RegistryCaller{
		EnterpriseNumber: number, DailyQuota: words.Quota(number),
		Issues: []domain.DocumentType{}, Registrations: []contract.RegistryRegistration{},
	}
	item.Issues = append(item.Issues, words.Issues(number)...)
	if item.DailyQuota == 0 && len(item.Issues) > 0 {
		item.DailyQuota = access.IssuerQuota
	}
	for _, r := range words.Registrations(number) {
		item.Registrations = append(item.Registrations, contract.RegistryRegistration{
			Purpose: r.Purpose, DocumentTypes: r.Types, Procedures: r.Procedures, Consent: r.Consent, Bases: baseItems(r.Bases),
		})
	}
	return item
}

// baseItems are bases by law in the contract's form; nil for none.
func baseItems(bases []registry.Basis) (items []contract.RegistryBasis) {
	for _, b := range bases {
		items = append(items, contract.RegistryBasis{LegalBasis: b.LegalBasis, Deliberation: b.Deliberation, HidesForDays: b.HidesForDays})
	}
	return items
}

// publicationTime returns the time at which a version was recorded; each version is one event
// of the registry's stream.
func (v *Vault) publicationTime(ctx context.Context, version domain.RegistryVersion) (time.Time, error) {
	for r, err := range v.Log.Store().ReadStream(ctx, registry.StreamName, eventstore.Revision(version-1)) {
		if err != nil {
			return time.Time{}, fmt.Errorf("read registry: %w", err)
		}
		return r.Time, nil
	}
	return time.Time{}, nil
}

func registryItem(words *vocabulary.View, at time.Time) contract.Registry {
	all := words.Registry()
	item := contract.Registry{
		Version: words.Version(), PublishedAt: at,
		LongestConsent: consent.MaxDuration, MinorsDecideFrom: all.Settings.DecidingAge(), Unattested: attestations(all.Unattested()),
		DocumentTypes: []contract.RegistryDocumentType{}, Organizations: []contract.RegistryOrganization{}, Purposes: []contract.RegistryCode{},
	}
	for _, t := range all.DocumentTypes {
		if t.Retired {
			continue
		}
		one := contract.RegistryDocumentType{
			DocumentType: t.Name, Labels: labels(t.Labels), Issuers: t.Issuers, Categories: t.Categories,
			ValidityIsPersonal: t.ValidityIsPersonal, Schema: contract.JSONSchema(t.Schema),
		}
		for _, p := range t.Predicates {
			one.Predicates = append(one.Predicates, string(p.Name))
		}
		for _, m := range t.Minimum {
			least := contract.RegistryMinimum{Purpose: m.Purpose, Procedure: m.Procedure, Fields: m.Fields}
			for _, p := range m.Predicates {
				least.Predicates = append(least.Predicates, string(p))
			}
			one.Minimum = append(one.Minimum, least)
		}
		item.DocumentTypes = append(item.DocumentTypes, one)
	}
	for _, o := range all.Organisations {
		if o.Retired {
			continue
		}
		one := contract.RegistryOrganization{EnterpriseNumber: o.Number, Labels: labels(o.Names), Attests: attestations(o.Attests)}
		seen := make(map[domain.Purpose]bool)
		for _, r := range o.Registrations {
			if !seen[r.Purpose] {
				seen[r.Purpose] = true
				one.Purposes = append(one.Purposes, r.Purpose)
			}
		}
		item.Organizations = append(item.Organizations, one)
	}
	for _, r := range all.Reasons {
		if !r.Retired && r.Kind != registry.ReasonWithdrawal { // no operation takes one: a withdrawal needs no reason (rule C-6)
			item.Reasons = append(item.Reasons, contract.RegistryReason{Kind: contract.ReasonKind(r.Kind), Code: r.Code, Labels: labels(r.Labels)})
		}
	}
	for _, b := range all.LegalBases {
		if !b.Retired {
			item.LegalBases = append(item.LegalBases, contract.RegistryLegalBasis{Code: b.Code, Labels: labels(b.Labels), Article: b.Article})
		}
	}
	add := func(to *[]contract.RegistryCode, code string, l registry.Labels, retired bool) {
		if !retired {
			*to = append(*to, contract.RegistryCode{Code: code, Labels: labels(l)})
		}
	}
	for _, p := range all.Purposes {
		add(&item.Purposes, string(p.Code), p.Labels, p.Retired)
	}
	for _, p := range all.Procedures {
		add(&item.Procedures, string(p.Code), p.Labels, p.Retired)
	}
	for _, c := range all.Categories {
		add(&item.Categories, string(c.Code), c.Labels, c.Retired)
	}
	for _, t := range all.ConsentTexts {
		if !t.Retired {
			item.ConsentTexts = append(item.ConsentTexts, contract.RegistryConsentText{Purpose: t.Purpose, Version: t.Version, Texts: labels(t.Texts)})
		}
	}
	return item
}

func attestations(all []registry.Attestation) []contract.Attestation {
	var shown []contract.Attestation
	for _, a := range all {
		shown = append(shown, contract.Attestation(a))
	}
	return shown
}

func labels(l registry.Labels) contract.MultiLanguage {
	return contract.MultiLanguage{De: l.DE, En: l.EN, Fr: l.FR, Nl: l.NL}
}

package api

import (
	"context"
	"time"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
	"coffre/projections/signals"
	"coffre/projections/vocabulary"
)

// SignalService is the CloudEvents attribute service of everything that organisations are told,
// and the beginning of its types.
const SignalService = "be.coffre.vault.v1"

// signalSource is the CloudEvents attribute source.
const signalSource = "urn:coffre:vault"

// errSignalType refuses a type that no event has.
var errSignalType = domain.NewError(domain.Invalid, "signalType", "there is no such type of event; docs/webhooks.md lists them")

// signalTypes are the facts that organisations are told, by the types of their events.
var signalTypes = map[contract.SignalType]signals.What{
	typeOfSignal(signals.Issued): signals.Issued, typeOfSignal(signals.Updated): signals.Updated, typeOfSignal(signals.Suspended): signals.Suspended,
	typeOfSignal(signals.Reinstated): signals.Reinstated, typeOfSignal(signals.Revoked): signals.Revoked, typeOfSignal(signals.Erased): signals.Erased,
	typeOfSignal(signals.Granted): signals.Granted, typeOfSignal(signals.Refused): signals.Refused, typeOfSignal(signals.Withdrawn): signals.Withdrawn, typeOfSignal(signals.Ended): signals.Ended,
	typeOfSignal(signals.Petitioned): signals.Petitioned, typeOfSignal(signals.Answered): signals.Answered, typeOfSignal(signals.Overdue): signals.Overdue,
}

// typeOfSignal returns the CloudEvents type of a fact.
func typeOfSignal(w signals.What) contract.SignalType { return SignalService + "." + string(w) }

// ListSignals implements GET /signals: what changed for the calling organisation, from behind a
// cursor. The look is recorded before anything is read.
func (v *Vault) ListSignals(ctx context.Context, r contract.ListSignalsRequestObject) (contract.ListSignalsResponseObject, error) {
	p, path := r.Params, contract.Base+"/signals"
	if err := v.WaitForToken(ctx, p.CoffreMinPosition, v.Signals.Name()); err != nil {
		return nil, err
	}
	from, err := v.LeafFrom(path, p.After, -1)
	if err != nil {
		return nil, err
	}
	in := v.NewIntent(ctx)
	filter, err := signalFilter(in, p.Type, p.DocumentType, nil)
	if err != nil {
		return nil, err
	}
	if err := v.recordLook(ctx, in, audit.Operate{Act: audit.ListSignals, Consumer: in.Actor.Organisation}); err != nil {
		return nil, err
	}
	links := edge.LinksTo(path).Texts("type", edge.AsStrings(p.Type)).Texts("documentType", edge.AsStrings(p.DocumentType)).Number("pageSize", p.PageSize)
	size := edge.PageSize(p.PageSize)
	page := contract.Signals{Self: links.At(p.After), Items: []contract.Signal{}, PageSize: size}
	told, last, err := v.audibleSignals(ctx, in, filter, from, size)
	if err != nil {
		return nil, err
	}
	for _, s := range told {
		page.Items = append(page.Items, signalItem(s))
	}
	if last >= 0 {
		page.Next, page.NextCursor = links.Next(v.Cursor(path, last))
	}
	return contract.ListSignals200JSONResponse(page), nil
}

// signalFilter returns the filter of what a caller names; a word that nothing has is refused.
func signalFilter(in acting.Intent, types []contract.SignalType, documents []domain.DocumentType, issuers []domain.Organisation) (signals.Filter, error) {
	f := signals.Filter{Types: documents, Issuers: issuers}
	for _, t := range types {
		what, known := signalTypes[t]
		if !known {
			return f, errSignalType
		}
		f.What = append(f.What, what)
	}
	for _, t := range documents {
		if _, known := in.Words.DocumentType(t); !known {
			return f, vocabulary.ErrUnknownType
		}
	}
	return f, nil
}

// audibleSignals returns what the organisation of an intent may hear today of the next limit
// signals behind a leaf, oldest first, and the leaf of the last one that was looked at; the leaf
// itself when none follows.
func (v *Vault) audibleSignals(ctx context.Context, in acting.Intent, f signals.Filter, after int64, limit int) (told []signals.Signal, last int64, err error) {
	all, err := v.Signals.Of(ctx, in.Actor.Role, in.Actor.Organisation, f, in.At.Add(-signals.Keep), after, limit)
	if err != nil {
		return nil, after, err
	}
	heard := map[domain.DocumentID]bool{}
	for _, s := range all {
		may, known := heard[s.Document]
		if !known || !s.What.AboutDocument() {
			if may, err = v.mayHear(ctx, in, s); err != nil {
				return nil, after, err
			}
		}
		if s.What.AboutDocument() {
			heard[s.Document] = may
		}
		if may {
			told = append(told, s)
		}
		after = s.Leaf
	}
	return told, after, nil
}

// mayHear judges rule A-12: an issuer hears of what it issued; a consumer of what it read under a
// basis that stands; both of their own consents and petitions.
func (v *Vault) mayHear(ctx context.Context, in acting.Intent, s signals.Signal) (bool, error) {
	switch {
	case !s.What.AboutDocument():
		return v.MayHearOf(ctx, s.Citizen)
	case in.Actor.Role == domain.RoleIssuer:
		return s.Issuer == in.Actor.Organisation, nil
	}
	bases, err := v.Signals.Bases(ctx, in.Actor.Organisation, s.Document)
	if err != nil {
		return false, err
	}
	for _, b := range bases {
		r := disclosure.Reading{Document: s.Document, Purpose: b.Purpose, Procedure: b.Procedure}
		r.Consent, r.LegalBasis, r.Deliberation = b.Consent, b.LegalBasis, b.Deliberation
		if may, err := v.MayHear(ctx, in, r); err != nil || may {
			return may, err
		}
	}
	return false, nil
}

// signalHref is the address of what a signal is about.
func signalHref(s signals.Signal) contract.Href {
	switch {
	case s.What.AboutDocument():
		return contract.DocumentHref(s.Document)
	case s.What.AboutConsent():
		return contract.ConsentHref(domain.ConsentID{UUID: s.ID})
	}
	return contract.PetitionHref(domain.PetitionID{UUID: s.ID})
}

// signalItem returns a signal as a CloudEvent.
func signalItem(s signals.Signal) contract.Signal {
	item := contract.Signal{Href: signalHref(s),
		Specversion: "1.0", ID: s.Event, Source: signalSource, Service: SignalService, Type: typeOfSignal(s.What),
		Time: s.At.Truncate(time.Microsecond), Datacontenttype: "application/json",
	}
	switch {
	case s.What.AboutDocument():
		item.Data = contract.SignalData{DocumentID: s.Document, Version: s.Version, Change: s.Changes, State: s.State}
	case s.What.AboutConsent():
		item.Data = contract.SignalData{ConsentID: domain.ConsentID{UUID: s.ID}}
	default:
		item.Data = contract.SignalData{PetitionID: domain.PetitionID{UUID: s.ID}, DocumentID: s.Document}
	}
	return item
}

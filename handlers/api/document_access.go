package api

import (
	"context"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/document"
	"coffre/domain/registry"
	"coffre/eventstore/requests"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// AccessDocument implements POST /documents/{id}/access: rules. The
// key names the access; it answers nothing by itself: a repetition is judged
// again, by what holds then.
func (v *Vault) AccessDocument(ctx context.Context, r contract.AccessDocumentRequestObject) (contract.AccessDocumentResponseObject, error) {
	in := v.intend(ctx)
	request := requestOf(in.call, r.Params.IdempotencyKey)
	begun, err := v.Requests.Begin(ctx, request)
	if err != nil {
		return nil, err
	}
	b := r.Body
	d, err := v.disclose(ctx, in, reading{
		basis:    basis{consent: b.ConsentID, legalBasis: b.LegalBasis, deliberation: b.Deliberation},
		document: r.DocumentID, access: domain.AccessID{UUID: requests.EventID(request.Owner, request.Operation, request.Key, 0)},
		purpose: b.Purpose, procedure: b.Procedure, fields: b.Fields, predicate: registry.PredicateName(b.Predicate.Name),
		caseReference: b.CaseReference, seen: begun.Standing == requests.Repeat,
	})
	if begun.Standing != requests.Repeat {
		if kept := v.keepKey(begun.Claim, d, err); kept != nil && err == nil {
			err = kept
		}
	}
	if err != nil {
		return nil, err
	}
	at, err := v.position(ctx, d.position)
	if err != nil {
		return nil, err
	}
	v.recordOnceAnswered(in, d.authorized)
	return contract.AccessDocument200JSONResponse{Body: d.answer(in), Headers: contract.AccessDocument200ResponseHeaders{CoffrePosition: at, ETag: edge.Etag(d.authorized.Version)}}, nil
}

// keepKey remembers the key of an access that was authorised; that of one that
// certainly was not is free again.
func (v *Vault) keepKey(claim requests.Claim, d disclosed, err error) error {
	switch {
	case !d.authorized.Access.IsZero():
		return v.Requests.Finish(claim, succeeded, nil)
	case undecided(err):
		return nil
	}
	return v.Requests.Abandon(claim)
}

// answer is what the consumer gets. Dates that are personal are not among the
// fields that a basis covers, so they stay out (rule A-2).
func (d disclosed) answer(in intent) contract.AccessAnswer {
	a, s := d.authorized, d.findings.document.state
	answer := contract.AccessAnswer{
		AccessID: a.Access, DocumentID: a.Document, DocumentType: a.Type, Issuer: s.Issuer, Version: a.Version,
		State: contract.DocumentState(s.StatusAt(domain.BelgianDate(in.at))), AuthorizedAt: a.At, DataLife: d.dataLife(), Content: d.content,
		Attachments: attachmentsShown(a.Document, d.files),
	}
	if a.Attempt > 1 {
		answer.Attempt = a.Attempt
	}
	if a.Kind == access.OpenedPredicate {
		answer.Predicate = contract.PredicateAnswer{Name: a.Predicate, Holds: d.holds}
	}
	dates := clearDates(s, a.Version)
	answer.ValidFrom, answer.ValidUntil, answer.EffectiveFrom = dates.ValidFrom, dates.ValidUntil, dates.EffectiveFrom
	return answer
}

// dataLife is for how many days the consumer may keep it, as the consent says.
func (d disclosed) dataLife() int {
	if d.authorized.Consent.IsZero() {
		return 0
	}
	return d.findings.consent.Terms.Limits.DataLife
}

// clearDates returns the dates of a version that betray nobody's age.
func clearDates(s document.State, version int) document.Dates {
	if s.PersonalValidity || version < 1 || version > s.Current() {
		return document.Dates{}
	}
	dates := document.Dates{EffectiveFrom: s.Versions[version-1].EffectiveFrom}
	dates.ValidFrom, dates.ValidUntil, _ = s.Validity(version)
	return dates
}

package api

import (
	"context"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/document"
	"coffre/domain/registry"
	"coffre/eventstore/requests"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
)

// AccessDocument implements POST /documents/{id}/access: rules. The
// idempotency key names the access, but no answer is stored: a repetition is judged again,
// by the facts of that time.
func (v *Vault) AccessDocument(ctx context.Context, r contract.AccessDocumentRequestObject) (contract.AccessDocumentResponseObject, error) {
	in := v.NewIntent(ctx)
	if err := v.CheckRefusals(ctx, in); err != nil {
		return nil, err
	}
	if err := checkInvestigation(r.Body.InvestigationID, r.Body.ConsentID); err != nil {
		return nil, err
	}
	request := acting.RequestOf(in.Call, r.Params.IdempotencyKey)
	begun, err := v.Begin(ctx, request)
	if err != nil {
		return nil, err
	}
	b := r.Body
	d, err := v.Disclose(ctx, in, disclosure.Reading{
		Basis:    disclosure.Basis{Consent: b.ConsentID, LegalBasis: b.LegalBasis, Deliberation: b.Deliberation},
		Document: r.DocumentID, Access: domain.AccessID{UUID: requests.EventID(request.Owner, request.Operation, request.Key, 0)},
		Purpose: b.Purpose, Procedure: b.Procedure, Fields: b.Fields, Predicate: registry.PredicateName(b.Predicate.Name),
		CaseReference: b.CaseReference, Investigation: b.InvestigationID, Seen: begun.Standing == requests.Repeat,
	})
	if begun.Standing != requests.Repeat {
		if kept := v.settleRequestKey(begun.Claim, !d.Authorized.Access.IsZero(), err); kept != nil && err == nil {
			err = kept
		}
	}
	if err != nil {
		return nil, explainAccess(in, d, err)
	}
	at, err := v.PositionToken(ctx, d.Position)
	if err != nil {
		return nil, err
	}
	v.RecordOnceAnswered(in, d.Authorized)
	return contract.AccessDocument200JSONResponse{Body: accessAnswer(in, d), Headers: contract.AccessDocument200ResponseHeaders{CoffrePosition: at, ETag: edge.ETag(d.Authorized.Version)}}, nil
}

// settleRequestKey keeps the idempotency key of a reading that is on record, and frees the key
// of one that certainly is not.
func (v *Vault) settleRequestKey(claim requests.Claim, recorded bool, err error) error {
	switch {
	case recorded:
		return v.Requests.Finish(claim, acting.SucceededStatus, nil)
	case acting.MayHaveWritten(err):
		return nil
	}
	return v.Requests.Abandon(claim)
}

// accessAnswer returns the answer to the consumer. Personal dates stay out, for they are not
// among the fields that a basis covers (rule A-2).
func accessAnswer(in acting.Intent, d disclosure.Disclosed) contract.AccessAnswer {
	a, s := d.Authorized, d.Findings.Document.State
	answer := contract.AccessAnswer{
		AccessID: a.Access, DocumentID: a.Document, DocumentType: a.Type, Issuer: s.Issuer, Version: a.Version,
		State: contract.DocumentState(s.StatusAt(domain.BelgianDate(in.At))), AuthorizedAt: a.At, DataLife: dataLife(d), Content: d.Content,
		Attachments: attachmentItems(a.Document, d.Files),
	}
	if a.Attempt > 1 {
		answer.Attempt = a.Attempt
	}
	if a.Kind == access.OpenedPredicate {
		answer.Predicate = contract.PredicateAnswer{Name: a.Predicate, Holds: d.Holds}
	}
	dates := clearDates(s, a.Version)
	answer.ValidFrom, answer.ValidUntil, answer.EffectiveFrom = dates.ValidFrom, dates.ValidUntil, dates.EffectiveFrom
	return answer
}

// dataLife returns for how many days the consumer may keep the data, by the consent; 0 when
// no consent sets a limit.
func dataLife(d disclosure.Disclosed) int {
	if d.Authorized.Consent.IsZero() {
		return 0
	}
	return d.Findings.Consent.Terms.Limits.DataLife
}

// clearDates returns the dates of a version that are not personal.
func clearDates(s document.State, version int) document.Dates {
	if s.PersonalValidity || version < 1 || version > s.Current() {
		return document.Dates{}
	}
	dates := document.Dates{EffectiveFrom: s.Versions[version-1].EffectiveFrom}
	dates.ValidFrom, dates.ValidUntil, _ = s.Validity(version)
	return dates
}

package api

import (
	"context"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/investigation"
	"coffre/domain/registry"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections/vocabulary"
)

// OpenInvestigation implements POST /investigations (rule H-1). It names nobody, so it needs no
// key.
func (v *Vault) OpenInvestigation(ctx context.Context, r contract.OpenInvestigationRequestObject) (contract.OpenInvestigationResponseObject, error) {
	type opened struct {
		Investigation contract.Investigation
		At            contract.PositionToken
	}
	key, b := r.Params.IdempotencyKey, r.Body
	done, err := acting.Once(ctx, v.Recorder, key, func(ctx context.Context, in acting.Intent) (_ opened, err error) {
		if err := in.Reason(registry.ReasonInvestigation, b.Reason); err != nil {
			return opened{}, err
		}
		id := domain.InvestigationID{UUID: uuid.NewSHA1(key, []byte(acting.RequestOwner(in.Call)))}
		if err := v.Take(ctx, in.Call, &acting.InvestigationActs, acting.Room{ID: id.UUID}); err != nil {
			return opened{}, err
		}
		defer func() { v.FreeIfRefused(&acting.InvestigationActs, id.UUID, err) }()
		result, err := acting.Investigations.Transact(ctx, v.Log, in.Write(0, acting.InvestigationStream(id), acting.NoCitizen), investigation.Open{
			Investigation: id, Grounds: investigation.Grounds{Organisation: in.Actor.Organisation, Purpose: b.Purpose, LegalBasis: b.LegalBasis, Deliberation: b.Deliberation},
			Reason: b.Reason, Until: b.Until.UTC(), Registrations: in.Words.Registrations(in.Actor.Organisation), By: in.Actor, At: in.At,
		})
		if err != nil {
			return opened{}, err
		}
		at, err := v.PositionToken(ctx, result.Position)
		return opened{investigationItem(in, result.State), at}, err
	})
	if err != nil {
		return nil, err
	}
	return contract.OpenInvestigation201JSONResponse{Body: done.Investigation, Headers: contract.OpenInvestigation201ResponseHeaders{CoffrePosition: done.At, Location: done.Investigation.Href}}, nil
}

// investigationItem returns an investigation as the contract shows it.
func investigationItem(in acting.Intent, s investigation.State) contract.Investigation {
	say := accessWords{in.Words, in.Call.Language}
	item := contract.Investigation{
		Href: in.Call.InLanguage(contract.InvestigationHref(s.Investigation)), InvestigationID: s.Investigation, State: contract.InvestigationStateLifted,
		Organization: s.Grounds.Organisation, OrganizationName: say.organisation(s.Grounds.Organisation), Purpose: s.Grounds.Purpose, PurposeLabel: say.purpose(s.Grounds.Purpose),
		LegalBasis: s.Grounds.LegalBasis, Deliberation: s.Grounds.Deliberation, Reason: s.Reason, ReasonLabel: say.investigation(s.Reason),
		OpenedAt: s.OpenedAt, Until: s.Until, LiftedAt: s.LiftedAt,
	}
	if s.OpenAt(in.At) {
		item.State = contract.InvestigationStateOpen
	}
	return item
}

// investigation returns the words for the reason of an investigation.
func (s accessWords) investigation(why domain.ReasonCode) string {
	return s.of(vocabulary.Reasons(registry.ReasonInvestigation), string(why))
}

// hidden tells until when an entry of an access log was hidden, and why; the zero value where it
// never was.
func (s accessWords) hidden(under domain.InvestigationID, until time.Time, why domain.ReasonCode) (none contract.HiddenAccess) {
	if under.IsZero() {
		return none
	}
	return contract.HiddenAccess{InvestigationID: under, Until: until, Reason: why, ReasonLabel: s.investigation(why)}
}

// checkInvestigation refuses a reading that names an investigation and a consent: what somebody
// consented to is not hidden from them (rule H-4).
func checkInvestigation(under *domain.InvestigationID, agreed *domain.ConsentID) error {
	if under != nil && agreed != nil {
		return edge.BadInput("/investigationId", "investigationUnderConsent", "what a citizen consented to is not read under an investigation")
	}
	return nil
}

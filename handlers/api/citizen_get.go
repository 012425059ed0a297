package api

import (
	"context"
	"errors"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

var errSSINMissing = domain.NewError(domain.Invalid, "ssinMissing", "an organisation names the citizen by number; a citizen names nobody")

// GetCitizen implements POST /citizens/get: the reference by which the caller names a
// citizen from now on. An organisation without a basis for the person, and one that asks for
// a person the vault does not know, get the same 404 (rule A-6). Each person that an
// organisation with a basis asks about counts for its quota, known or not (rule A-7).
func (v *Vault) GetCitizen(ctx context.Context, r contract.GetCitizenRequestObject) (contract.GetCitizenResponseObject, error) {
	call := edge.CallFrom(ctx)
	if call.Role == domain.RoleCitizen {
		switch {
		case !r.Body.SSIN.IsZero():
			return nil, errSSINMissing
		case call.Citizen.IsZero():
			return nil, edge.ErrNoResource
		}
		return contract.GetCitizen200JSONResponse{CitizenID: call.Citizen}, nil
	}
	if r.Body.SSIN.IsZero() {
		return nil, errSSINMissing
	}
	in := v.NewIntent(ctx)
	if err := v.CheckRefusals(ctx, in); err != nil {
		return nil, err
	}
	id, err := v.Resolve(ctx, call, r.Body.SSIN, nil)
	if err != nil {
		return nil, err
	}
	allowed, err := v.mayName(ctx, call, id)
	switch {
	case err != nil:
		return nil, err
	case !allowed:
		if call.Role == domain.RoleIssuer { // of whom no refusal is recorded
			v.Quotas.Refused(call.Organisation, in.At)
		}
		if err := v.QueueRefusal(in, access.Refused{Citizen: id}, access.ErrNoBasis); !errors.Is(err, access.ErrNoBasis) {
			return nil, err
		}
		return nil, edge.ErrNoResource
	}
	// They learn whether the vault knows the person.
	if err := v.ClaimQuota(ctx, in, v.quotaSubject(id, r.Body.SSIN, nil)); err != nil {
		return nil, v.QueueRefusal(in, access.Refused{Citizen: id}, err)
	}
	if id.IsZero() {
		return nil, edge.ErrNoResource
	}
	ref, err := v.Keys.Ref(ctx, call.Organisation, id)
	if err != nil {
		return nil, err
	}
	return contract.GetCitizen200JSONResponse{CitizenRef: ref}, nil
}

// mayName reports whether an organisation has anything to do with a citizen: as an issuer of
// their documents, as a consumer by law or by a consent of theirs. The same questions are
// asked for a person the vault does not know.
func (v *Vault) mayName(ctx context.Context, call *edge.Call, id domain.CitizenID) (bool, error) {
	words := v.Words.Current()
	if call.Role == domain.RoleIssuer {
		return len(words.Issues(call.Organisation)) > 0, nil
	}
	org, known := words.Organisation(call.Organisation)
	if !known || org.Retired {
		return false, nil
	}
	for _, registration := range org.Registrations {
		if len(registration.Bases) > 0 {
			return true, nil
		}
	}
	// A consent of a moment ago counts: the read model first sees all of the log. It is
	// asked in the same way for a person nobody knows.
	if err := v.WaitForHead(ctx, v.Evidence.Name()); err != nil {
		return false, err
	}
	return v.Evidence.HasConsent(ctx, id, call.Organisation, v.Now())
}

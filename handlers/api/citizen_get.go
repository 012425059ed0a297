package api

import (
	"context"
	"errors"
	"slices"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/audit"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
)

var (
	errSSINMissing   = domain.NewError(domain.Invalid, "ssinMissing", "an organisation names the citizen by number; a citizen names nobody")
	errOthersPurpose = domain.NewError(domain.Invalid, "purposeNotYours", "the registry registers your organisation for no such purpose and procedure; caller of GET /registry has those that it does")
	errOfficerReason = domain.NewError(domain.Invalid, "reasonNotYours", "a reason is for privacy officers; organisations name a purpose and a procedure")
)

// GetCitizen implements POST /citizens/get: the reference by which the caller names a
// citizen from now on. An organisation without a basis for the person, and one that asks for
// a person the vault does not know, get the same 404 (rule A-6). Each person that an
// organisation with a basis asks about counts for its quota, known or not (rule A-7), and
// each look-up is on record before it is answered (rule A-11).
func (v *Vault) GetCitizen(ctx context.Context, r contract.GetCitizenRequestObject) (contract.GetCitizenResponseObject, error) {
	call := edge.CallFrom(ctx)
	if call.Role == domain.RoleCitizen {
		switch {
		case *r.Body != (contract.CitizenGet{}):
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
	lookup, err := lookupOf(in, *r.Body)
	if err != nil {
		return nil, err
	}
	if call.Role == domain.RolePrivacyOfficer {
		return v.getCitizenForOfficer(ctx, in, r.Body.SSIN, lookup)
	}
	if err := v.CheckRefusals(ctx, in); err != nil {
		return nil, err
	}
	id, err := v.Resolve(ctx, call, r.Body.SSIN, nil)
	if err != nil {
		return nil, err
	}
	asked := access.Refused{Citizen: id, Purpose: lookup.Purpose, Procedure: lookup.Procedure}
	if err := v.checkMayName(ctx, in, asked); err != nil {
		return nil, err
	}
	// They learn whether the vault knows the person.
	if err := v.claimNamed(ctx, in, id, r.Body.SSIN, nil); err != nil {
		return nil, v.QueueRefusal(in, asked, err)
	}
	named, err := v.RecordLookup(ctx, in, lookup, id)
	switch {
	case errors.Is(err, eventstore.ErrErased), err == nil && id.IsZero():
		if in.Call.Role == domain.RoleIssuer { // who may name anybody, and tries numbers
			v.Quotas.Refused(call.Organisation, in.At)
		}
		return nil, edge.ErrNoResource
	case err != nil:
		return nil, err
	}
	if err := v.checkMayName(ctx, in, asked); err != nil { // a consent may have been withdrawn meanwhile
		return nil, v.withholdLookup(ctx, in, named, err)
	}
	ref, err := v.Keys.Ref(ctx, call.Organisation, id)
	if err != nil {
		return nil, v.withholdLookup(ctx, in, named, err)
	}
	v.RecordOnceAnswered(in, named)
	return contract.GetCitizen200JSONResponse{CitizenRef: ref}, nil
}

// getCitizenForOfficer answers a privacy officer, whose look-up stands in the audit stream
// as well, of somebody whom the vault does not know, too.
func (v *Vault) getCitizenForOfficer(ctx context.Context, in acting.Intent, ssin contract.SSIN, lookup disclosure.Lookup) (contract.GetCitizenResponseObject, error) {
	id, err := v.Resolve(ctx, in.Call, ssin, nil)
	if err != nil {
		return nil, err
	}
	if err := v.recordAct(ctx, in, audit.Operate{Act: audit.LookUpCitizen, Citizen: id, Purpose: lookup.Purpose}); err != nil {
		return nil, err
	}
	if id.IsZero() {
		return nil, edge.ErrNoResource
	}
	named, err := v.RecordLookup(ctx, in, lookup, id)
	switch {
	case errors.Is(err, eventstore.ErrErased):
		return nil, edge.ErrNoResource
	case err != nil:
		return nil, err
	}
	v.RecordOnceAnswered(in, named)
	return contract.GetCitizen200JSONResponse{CitizenID: id}, nil
}

// lookupOf returns what the caller says of a look-up, of which words of the registry and the
// contract alone are recorded in clear. A word that is none is refused whoever is named, and so
// is one that the registry has for other organisations: the citizen reads it in their log.
func lookupOf(in acting.Intent, b contract.CitizenGet) (disclosure.Lookup, error) {
	l := disclosure.Lookup{Purpose: b.Purpose, Procedure: b.Procedure, Reason: domain.ReasonCode(b.Reason), CaseReference: b.CaseReference}
	officer := in.Actor.Role == domain.RolePrivacyOfficer
	if err := acting.CheckWords(in.PurposeAt("purpose", b.Purpose), in.ProcedureAt("procedure", b.Procedure)); err != nil {
		return l, err
	}
	if !officer && !registeredFor(in, b.Purpose, b.Procedure) {
		return l, errOthersPurpose
	}
	switch {
	case officer && b.Reason == "":
		return l, access.ErrLookupReason
	case !officer && b.Reason != "":
		return l, errOfficerReason
	}
	return l, nil
}

// registeredFor reports whether the calling organisation is registered for a purpose, and for
// a procedure within it; the empty word is one that nobody named.
func registeredFor(in acting.Intent, purpose domain.Purpose, procedure domain.Procedure) bool {
	if purpose == "" && procedure == "" {
		return true
	}
	return slices.ContainsFunc(in.Words.Registrations(in.Actor.Organisation), func(r registry.Registration) bool {
		return (purpose == "" || r.Purpose == purpose) && (procedure == "" || slices.Contains(r.Procedures, procedure))
	})
}

// withholdLookup records that a look-up on record was not answered, and returns why. One that
// was on record before is left as it is.
func (v *Vault) withholdLookup(ctx context.Context, in acting.Intent, named access.Authorized, why error) error {
	if named.Access.IsZero() {
		return why
	}
	return v.Withhold(ctx, in, named, why)
}

// checkMayName returns nil for an organisation that may name a citizen, and otherwise
// edge.ErrNoResource; that it was refused is recorded.
func (v *Vault) checkMayName(ctx context.Context, in acting.Intent, asked access.Refused) error {
	allowed, err := v.mayName(ctx, in.Call, asked.Citizen)
	if err != nil || allowed {
		return err
	}
	if err := v.QueueRefusal(in, asked, access.ErrNoBasis); !errors.Is(err, access.ErrNoBasis) {
		return err
	}
	return edge.ErrNoResource
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
	person, err := v.LoadPerson(ctx, id)
	if err != nil {
		return false, err
	}
	for _, life := range person.Lives {
		if has, err := v.Evidence.HasConsent(ctx, life, call.Organisation, v.Now()); err != nil || has {
			return has, err
		}
	}
	return false, nil
}

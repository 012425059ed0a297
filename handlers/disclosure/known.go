package disclosure

import (
	"context"
	"errors"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/handlers/acting"
)

// MayHear reports whether a consumer that once made a reading may hear today what became of the
// document (rule A-12): the basis stands, by the same judgement as for a reading but for limits on
// use, who gave it may still have given it, the citizen is not being erased, and no restriction
// of processing keeps the document from it. It opens nothing but what judging a mandate needs.
func (dis *Discloser) MayHear(ctx context.Context, in acting.Intent, r Reading) (bool, error) {
	f, err := dis.LoadFindings(ctx, r)
	if err != nil {
		return false, err
	}
	if !audible(f.Citizen.Standing) || f.Document.State.Erased || r.CheckBasis(in, f) != nil || r.Restricted(in, f, r.Document) {
		return false, nil
	}
	if r.Consent != nil && f.Citizen.Standing != citizen.Living {
		return false, nil // a death ends consents, whether or not their ends are recorded yet
	}
	err = dis.CheckErasureNotStarted(ctx, f.Citizen.ID, r.Document)
	if err == nil && r.Consent != nil {
		err = dis.CheckGiver(ctx, f.Consent)
	}
	var refused *domain.Error
	if errors.As(err, &refused) {
		return false, nil
	}
	return err == nil, err
}

// MayHearOf reports whether anything about a citizen may be told to an organisation whose own
// consent or petition it concerns: not once an erasure has begun.
func (dis *Discloser) MayHearOf(ctx context.Context, id domain.CitizenID) (bool, error) {
	p, err := dis.LoadPerson(ctx, id)
	return err == nil && audible(p.Standing), err
}

// audible reports whether organisations may hear of a citizen of that standing.
func audible(s citizen.Standing) bool { return s == citizen.Living || s == citizen.Dead }

package api

import (
	"context"
	"errors"

	"coffre/domain"
	"coffre/domain/consent"
	"coffre/handlers/acting"
	"coffre/handlers/edge"
)

// endRenewed ends the consent that a grant renews, and puts it into the grant (rule C-8). It ends
// first and only once the grant itself would be allowed, so that there are never two in force: a
// process that dies in between leaves none, and the caller's repetition makes the other.
func (v *Vault) endRenewed(ctx context.Context, in acting.Intent, person acting.Person, grant *consent.Grant, renews *domain.ConsentID) error {
	if renews == nil {
		return nil
	}
	a, under, err := v.resolveDecider(ctx, in, *renews)
	switch {
	case errors.Is(err, consent.ErrNotFound): // as another's (rule A-6)
		return edge.ErrNoResource
	case err != nil:
		return err
	}
	old, _, err := acting.Consents.Load(ctx, v.Log, acting.ConsentStream(*renews))
	switch {
	case err != nil:
		return err
	case !person.Is(old.Citizen):
		return edge.ErrNoResource
	}
	grant.Renews = &old
	now, _, err := acting.Consents.Load(ctx, v.Log, acting.ConsentStream(grant.Consent))
	if err != nil || now.Phase != consent.None { // a repetition of what is done
		return err
	}
	if _, err := grant.Decide(now); err != nil {
		return err
	}
	w := a.AddTo(in.Write(1, acting.ConsentStream(*renews), a.Citizen))
	_, err = acting.Consents.TransactReserved(ctx, v.Log, w, consent.Withdraw{Mandate: under, By: a.By, Renewed: true, At: in.At})
	return err
}

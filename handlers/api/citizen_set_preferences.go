package api

import (
	"context"
	"time"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
)

// SetPreferences implements POST /citizens/{id}/preferences (rule P-8).
func (v *Vault) SetPreferences(ctx context.Context, r contract.SetPreferencesRequestObject) (contract.SetPreferencesResponseObject, error) {
	if err := v.ActAlone(ctx, edge.CallFrom(ctx), r.CitizenID); err != nil {
		return nil, err
	}
	b := r.Body
	choice := citizen.Preferences{
		Language:  b.Language,
		Documents: citizen.NoticeWay(b.DocumentNotices), Expiries: citizen.NoticeWay(b.ExpiryNotices),
		Accesses: citizen.NoticeWay(b.AccessNotices), Consents: citizen.NoticeWay(b.ConsentNotices),
	}
	type chosen struct { // kept in clear for repetitions, so without the choice
		Time time.Time
		At   contract.PositionToken
	}
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (chosen, error) {
		whose, err := v.Survivor(ctx, r.CitizenID)
		if err != nil {
			return chosen{}, err
		}
		in.Actor = v.AsLife(in.Actor, whose)
		result, err := acting.Citizens.Transact(ctx, v.Log, in.Write(0, acting.CitizenStream(whose), whose), citizen.SetPreferences{Preferences: choice, By: in.Actor, At: in.At})
		if err != nil {
			return chosen{}, err
		}
		at, err := v.PositionToken(ctx, result.Position)
		return chosen{in.At, at}, err
	})
	if err != nil {
		return nil, err
	}
	return contract.SetPreferences200JSONResponse{
		Body: preferencesItem(r.CitizenID, disclosure.Chosen{Preferences: choice, At: done.Time}), Headers: contract.SetPreferences200ResponseHeaders{CoffrePosition: done.At},
	}, nil
}

// GetPreferences implements GET /citizens/{id}/preferences. The log itself answers, so that a
// choice counts as soon as it is made.
func (v *Vault) GetPreferences(ctx context.Context, r contract.GetPreferencesRequestObject) (contract.GetPreferencesResponseObject, error) {
	if err := v.ActAlone(ctx, edge.CallFrom(ctx), r.CitizenID); err != nil {
		return nil, err
	}
	latest, err := v.preferencesAsOf(ctx, r)
	return contract.GetPreferences200JSONResponse(preferencesItem(r.CitizenID, latest)), err
}

// preferencesAsOf returns what a citizen had chosen when a request asks; what holds without a
// choice when they had chosen nothing.
func (v *Vault) preferencesAsOf(ctx context.Context, r contract.GetPreferencesRequestObject) (disclosure.Chosen, error) {
	known, err := v.setClocks(ctx, v.Now(), r.Params.AsOf, "", "")
	if err != nil {
		return disclosure.Chosen{}, err
	}
	var limit *eventstore.Position
	if known.past {
		end, err := v.Log.Leaves().Position(ctx, known.leaf)
		if err != nil {
			return disclosure.Chosen{}, err
		}
		limit = &end
	}
	all, err := v.OpenPreferences(ctx, r.CitizenID, limit)
	if len(all) == 0 {
		return disclosure.Chosen{Preferences: citizen.DefaultPreferences(edge.Languages[0])}, err
	}
	return all[len(all)-1], err
}

// preferencesItem returns a choice as the contract shows it.
func preferencesItem(whose domain.CitizenID, c disclosure.Chosen) contract.Preferences {
	return contract.Preferences{
		Href: contract.PreferencesHref(whose), Language: c.Language,
		DocumentNotices: contract.NoticeWay(c.Documents), ExpiryNotices: contract.NoticeWay(c.Expiries),
		AccessNotices: contract.NoticeWay(c.Accesses), ConsentNotices: contract.NoticeWay(c.Consents), ChosenAt: c.At,
	}
}

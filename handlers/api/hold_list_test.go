package api

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/contract"
)

// A privacy officer finds the holds, restrictions and releases that others left, by state and
// page by page.
func TestWhatStandsIsListed(t *testing.T) {
	tv := newVault(t)
	type asked struct{ hold, restriction, release uuid.UUID }
	var all []asked
	for n := 1; n <= 3; n++ {
		tv.household(t, n)
		who := tv.person(t, n)
		held, err := tv.PlaceHold(tv.as(t, officer, "placeHold", nil), contract.PlaceHoldRequestObject{
			CitizenID: who, Params: contract.PlaceHoldParams{IdempotencyKey: uuid.New()}, Body: &contract.LegalHoldPlace{Reason: "litigation", CaseReference: "canary-case"},
		})
		if err != nil {
			t.Fatal(err)
		}
		restricted, err := tv.RestrictProcessing(tv.as(t, officer, "restrictProcessing", nil), contract.RestrictProcessingRequestObject{
			CitizenID: who, Params: contract.RestrictProcessingParams{IdempotencyKey: uuid.New()}, Body: &contract.RestrictionAsk{Reason: "accuracyContested"},
		})
		if err != nil {
			t.Fatal(err)
		}
		proposed, err := tv.proposeRelease(t, officer, newLifeOf(n))
		if err != nil {
			t.Fatal(err)
		}
		one := asked{held.(contract.PlaceHold201JSONResponse).Body.LegalHoldID.UUID, restricted.(contract.RestrictProcessing201JSONResponse).Body.RestrictionID.UUID, proposed.ReleaseID.UUID}
		all = append(all, one)
		if n == 2 {
			if _, err := tv.LiftHold(tv.as(t, second, "liftHold", nil), contract.LiftHoldRequestObject{CitizenID: who, LegalHoldID: domain.HoldID{UUID: one.hold}, Params: contract.LiftHoldParams{IdempotencyKey: uuid.New()}}); err != nil {
				t.Fatal(err)
			}
			if _, err := tv.LiftRestriction(tv.as(t, second, "liftRestriction", nil), contract.LiftRestrictionRequestObject{
				CitizenID: who, RestrictionID: domain.RestrictionID{UUID: one.restriction}, Params: contract.LiftRestrictionParams{IdempotencyKey: uuid.New()}, Body: &contract.RestrictionLift{CitizenInformed: "2026-06-01"},
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	tv.waitForReadModels(t)
	list := func(page func(after contract.Cursor) (ids []uuid.UUID, next contract.Cursor, err error)) (ids []uuid.UUID) {
		t.Helper()
		for after := ""; ; {
			some, next, err := page(after)
			if err != nil || len(some) > 1 {
				t.Fatal(some, err)
			}
			if ids = append(ids, some...); next == "" {
				return ids
			}
			after = next
		}
	}
	for name, c := range map[string]struct {
		states []contract.StandingState
		want   []int
	}{
		"all": {nil, []int{0, 1, 2}}, "standing": {[]contract.StandingState{"standing"}, []int{0, 2}},
		"lifted": {[]contract.StandingState{"lifted"}, []int{1}}, "both": {[]contract.StandingState{"lifted", "standing"}, []int{0, 1, 2}},
	} {
		var holds, restrictions []uuid.UUID
		for _, i := range c.want {
			holds, restrictions = append(holds, all[i].hold), append(restrictions, all[i].restriction)
		}
		if got := list(func(after contract.Cursor) (ids []uuid.UUID, next contract.Cursor, err error) {
			answer, err := tv.ListHolds(tv.as(t, second, "listHolds", nil), contract.ListHoldsRequestObject{Params: contract.ListHoldsParams{State: c.states, After: after, PageSize: 1}})
			page, _ := answer.(contract.ListHolds200JSONResponse)
			for _, h := range page.Items {
				if h.CitizenID.IsZero() || h.Reason != "litigation" || h.LiftedAt.IsZero() == (h.LegalHoldID.UUID == all[1].hold) {
					t.Errorf("%+v", h)
				}
				ids = append(ids, h.LegalHoldID.UUID)
			}
			return ids, page.NextCursor, err
		}); !slices.Equal(got, holds) {
			t.Errorf("%s: holds %v, want %v", name, got, holds)
		}
		if got := list(func(after contract.Cursor) (ids []uuid.UUID, next contract.Cursor, err error) {
			answer, err := tv.ListAllRestrictions(tv.as(t, second, "listAllRestrictions", nil), contract.ListAllRestrictionsRequestObject{Params: contract.ListAllRestrictionsParams{State: c.states, After: after, PageSize: 1}})
			page, _ := answer.(contract.ListAllRestrictions200JSONResponse)
			for _, r := range page.Items {
				if r.Href != contract.RestrictionHref(r.CitizenID, r.RestrictionID) || r.AskedBy != contract.ActorRolePrivacyOfficer {
					t.Errorf("%+v", r)
				}
				ids = append(ids, r.RestrictionID.UUID)
			}
			return ids, page.NextCursor, err
		}); !slices.Equal(got, restrictions) {
			t.Errorf("%s: restrictions %v, want %v", name, got, restrictions)
		}
	}
	one := domain.HoldID{UUID: all[2].hold}
	if answer, err := tv.ListHolds(tv.as(t, second, "listHolds", nil), contract.ListHoldsRequestObject{Params: contract.ListHoldsParams{LegalHoldID: &one}}); err != nil ||
		len(answer.(contract.ListHolds200JSONResponse).Items) != 1 || answer.(contract.ListHolds200JSONResponse).Self != contract.HoldHref(one) {
		t.Errorf("one alone: %+v %v", answer, err)
	}
	for name, c := range map[string]struct {
		states []contract.ReleaseState
		want   []uuid.UUID
	}{
		"all": {nil, []uuid.UUID{all[0].release, all[1].release, all[2].release}}, "proposed": {[]contract.ReleaseState{"proposed"}, []uuid.UUID{all[0].release, all[1].release, all[2].release}},
		"completed": {[]contract.ReleaseState{"completed", "approved"}, nil},
	} {
		if got := list(func(after contract.Cursor) (ids []uuid.UUID, next contract.Cursor, err error) {
			answer, err := tv.ListReleases(tv.as(t, second, "listReleases", nil), contract.ListReleasesRequestObject{Params: contract.ListReleasesParams{State: c.states, After: after, PageSize: 1}})
			page, _ := answer.(contract.ListReleases200JSONResponse)
			for _, r := range page.Items {
				shown, err := tv.GetRelease(tv.as(t, second, "getRelease", nil), contract.GetReleaseRequestObject{ReleaseID: r.ReleaseID})
				if err != nil || contract.Release(shown.(contract.GetRelease200JSONResponse)) != r {
					t.Errorf("listed %+v, alone %+v %v", r, shown, err)
				}
				ids = append(ids, r.ReleaseID.UUID)
			}
			return ids, page.NextCursor, err
		}); !slices.Equal(got, c.want) {
			t.Errorf("%s: releases %v, want %v", name, got, c.want)
		}
	}
}

package erasures_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/release"
	"coffre/eventstore"
	"coffre/projections/erasures"
	"coffre/projections/projectiontest"
)

var (
	first, second = domain.HoldID{UUID: uuid.UUID{11}}, domain.HoldID{UUID: uuid.UUID{12}}
	whole, paper  = domain.RestrictionID{UUID: uuid.UUID{13}}, domain.RestrictionID{UUID: uuid.UUID{14}}
	end, life     = domain.ReleaseID{UUID: uuid.UUID{15}}, domain.ReleaseID{UUID: uuid.UUID{16}}
)

// tellHolds records two holds and two restrictions of which one each is lifted, then two
// releases of which one is carried out.
func tellHolds(t testing.TB, w *projectiontest.World) {
	t.Helper()
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	for _, e := range []citizen.Event{
		citizen.LegalHoldPlaced{Citizen: ana, Hold: first, Reason: "litigation", At: at(1)},
		citizen.ProcessingRestricted{Citizen: ana, Restriction: whole, Reason: "objection", AskedBy: domain.RoleCitizen, At: at(2)},
		citizen.LegalHoldPlaced{Citizen: ana, Hold: second, Reason: "litigation", At: at(3)},
		citizen.ProcessingRestricted{Citizen: ana, Restriction: paper, Document: card, Reason: "accuracyContested", AskedBy: domain.RolePrivacyOfficer, At: at(4)},
		citizen.LegalHoldLifted{Citizen: ana, Hold: first, At: at(5)},
		citizen.RestrictionLifted{Citizen: ana, Restriction: whole, At: at(6)},
	} {
		record(t, w, e)
	}
	for _, e := range []release.Event{
		release.Proposed{Release: end, Kind: release.End, Basis: "legalObligation", Until: at(60), Tag: make([]byte, 16), At: at(7)},
		release.Proposed{Release: life, Kind: release.NewLife, Basis: "legalObligation", Tag: make([]byte, 16), At: at(8)},
	} {
		w.Record(t, eventstore.Stream("release-"+e.(release.Proposed).Release.String()), domain.CitizenID{}, e)
	}
	w.Record(t, eventstore.Stream("release-"+life.String()), domain.CitizenID{}, release.Approved{Release: life, At: at(9)})
}

// Holds, restrictions and releases are listed oldest first, by state, page by page.
func TestListsOfHoldsRestrictionsAndReleases(t *testing.T) { projectiontest.OnEach(t, lists) }

func lists(t *testing.T, place func(testing.TB) string) {
	w, model := projectiontest.NewWorld(), erasures.New()
	running := projectiontest.Start(t, w.Store, place(t), model)
	record(t, w, citizen.Registered{Citizen: ana, At: noon})
	tellHolds(t, w)
	running.CaughtUp(t)
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	holds := []erasures.Hold{
		{FirstLeaf: 1, Hold: first, Citizen: ana, Reason: "litigation", PlacedAt: at(1), LiftedAt: at(5)},
		{FirstLeaf: 3, Hold: second, Citizen: ana, Reason: "litigation", PlacedAt: at(3)},
	}
	restrictions := []erasures.Restriction{
		{FirstLeaf: 2, Citizen: ana, Restriction: citizen.Restriction{ID: whole, Reason: "objection", AskedBy: domain.RoleCitizen, At: at(2), LiftedAt: at(6)}},
		{FirstLeaf: 4, Citizen: ana, Restriction: citizen.Restriction{ID: paper, Document: card, Reason: "accuracyContested", AskedBy: domain.RolePrivacyOfficer, At: at(4)}},
	}
	for _, c := range []struct {
		which    erasures.Standing
		from, to int
	}{
		{erasures.Standing{}, 0, 2}, {erasures.Standing{Stand: true, Lifted: true}, 0, 2}, {erasures.Standing{Lifted: true}, 0, 1}, {erasures.Standing{Stand: true}, 1, 2},
	} {
		gotHolds, err := model.Holds(t.Context(), nil, c.which, -1, 9)
		if err != nil || !reflect.DeepEqual(gotHolds, holds[c.from:c.to]) {
			t.Errorf("%+v: %+v %v", c.which, gotHolds, err)
		}
		gotRestrictions, err := model.Restrictions(t.Context(), c.which, -1, 9)
		if err != nil || !reflect.DeepEqual(gotRestrictions, restrictions[c.from:c.to]) {
			t.Errorf("%+v: %+v %v", c.which, gotRestrictions, err)
		}
	}
	if got, err := model.Holds(t.Context(), nil, erasures.Standing{}, holds[0].FirstLeaf, 1); err != nil || !reflect.DeepEqual(got, holds[1:]) {
		t.Errorf("%+v %v", got, err)
	}
	if got, err := model.Holds(t.Context(), &second, erasures.Standing{}, -1, 9); err != nil || !reflect.DeepEqual(got, holds[1:]) {
		t.Errorf("one alone: %+v %v", got, err)
	}
	if got, err := model.Holds(t.Context(), &second, erasures.Standing{Lifted: true}, -1, 9); err != nil || len(got) > 0 {
		t.Errorf("one that is not lifted, among those that are: %+v %v", got, err)
	}
	if got, err := model.Restrictions(t.Context(), erasures.Standing{}, -1, 1); err != nil || !reflect.DeepEqual(got, restrictions[:1]) {
		t.Errorf("%+v %v", got, err)
	}

	releases := []erasures.Release{
		{FirstLeaf: 7, Release: end, Kind: release.End, Basis: "legalObligation", Until: at(60), ProposedAt: at(7)},
		{FirstLeaf: 8, Release: life, Kind: release.NewLife, Basis: "legalObligation", ProposedAt: at(8), ApprovedAt: at(9)},
	}
	list := func(in []erasures.ReleaseState, cursor int64, want []erasures.Release) {
		t.Helper()
		if got, err := model.Releases(t.Context(), in, cursor, 9); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v: %+v, want %+v (%v)", in, got, want, err)
		}
	}
	list(nil, -1, releases)
	list([]erasures.ReleaseState{erasures.Proposed}, -1, releases[:1])
	list([]erasures.ReleaseState{erasures.Agreed}, -1, releases[1:])
	list(nil, releases[0].FirstLeaf, releases[1:])
	w.Record(t, eventstore.Stream("release-"+life.String()), domain.CitizenID{}, release.Completed{Release: life, Citizen: ana, At: at(10)})
	running.CaughtUp(t)
	releases[1].CompletedAt, releases[1].Citizen = at(10), ana
	list([]erasures.ReleaseState{erasures.Completed}, -1, releases[1:])
	list([]erasures.ReleaseState{erasures.Agreed}, -1, []erasures.Release{})
	for i, want := range []erasures.ReleaseState{erasures.Proposed, erasures.Completed} {
		if got := releases[i].State(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

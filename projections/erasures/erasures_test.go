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
	"coffre/projections"
	"coffre/projections/erasures"
	"coffre/projections/projectiontest"
)

var (
	ana  = domain.CitizenID{UUID: uuid.UUID{1}}
	all  = domain.ErasureID{UUID: uuid.UUID{2}}
	one  = domain.ErasureID{UUID: uuid.UUID{3}}
	lost = domain.ErasureID{UUID: uuid.UUID{5}}
	card = domain.DocumentID{UUID: uuid.UUID{4}}
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// history is that of one document forgotten, then of the citizen.
func history() []citizen.Event {
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	return []citizen.Event{
		citizen.Registered{Citizen: ana, At: at(0)},
		citizen.ErasureRequested{Citizen: ana, Erasure: one, Scope: citizen.OneDocument, Document: card, Reason: "law", At: at(1)},
		citizen.ErasureApproved{Citizen: ana, Erasure: one, At: at(2)},
		citizen.ErasureStarted{Citizen: ana, Erasure: one, At: at(3)},
		citizen.ErasureCompleted{Citizen: ana, Erasure: one, At: at(4)},
		citizen.ErasureRequested{Citizen: ana, Erasure: lost, Scope: citizen.WholeCitizen, Reason: "citizenRequest", At: at(4)},
		citizen.ErasureApproved{Citizen: ana, Erasure: lost, At: at(4)},
		citizen.ErasureStarted{Citizen: ana, Erasure: lost, At: at(4)},
		citizen.ErasureStopped{Citizen: ana, Erasure: lost, At: at(5)},
		citizen.ErasureRequested{Citizen: ana, Erasure: all, Scope: citizen.WholeCitizen, Reason: "citizenRequest", At: at(5)},
		citizen.ErasureApproved{Citizen: ana, Erasure: all, At: at(6)},
		citizen.ErasureStarted{Citizen: ana, Erasure: all, At: at(7)},
		citizen.KeyDestroyed{Citizen: ana, Erasure: all, Keys: []string{"k"}, At: at(8)},
		citizen.ErasureFinalised{Citizen: ana, Erasure: one, At: at(9)},
	}
}

func record(t testing.TB, w *projectiontest.World, e citizen.Event) {
	t.Helper()
	w.Record(t, eventstore.Stream("citizen-"+ana.String()), ana, e)
}

func TestProjection(t *testing.T) {
	projectiontest.Run(t, func() projections.Projection { return erasures.New() }, func(t testing.TB, w *projectiontest.World) {
		for _, e := range history() {
			record(t, w, e)
		}
		tellHolds(t, w)
		tellPetitions(t, w)
		w.Record(t, eventstore.Stream("release-"+life.String()), domain.CitizenID{}, release.Completed{Release: life, Citizen: ana, At: noon})
		projectiontest.NewStory(w, 14).Tell(t, 60)
	})
}

func TestQueries(t *testing.T) { projectiontest.OnEach(t, queries) }

func queries(t *testing.T, place func(testing.TB) string) {
	w, model := projectiontest.NewWorld(), erasures.New()
	running := projectiontest.Start(t, w.Store, place(t), model)
	var unfinished, provisional []int
	for _, e := range history() {
		record(t, w, e)
		running.CaughtUp(t)
		open, err := model.Unfinished(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		done, err := model.Provisional(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		unfinished, provisional = append(unfinished, len(open)), append(provisional, len(done))
	}
	if want := []int{0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0}; !reflect.DeepEqual(unfinished, want) {
		t.Errorf("unfinished %v, want %v", unfinished, want)
	}
	if want := []int{0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 1}; !reflect.DeepEqual(provisional, want) {
		t.Errorf("provisional %v, want %v", provisional, want)
	}
	got, ok, err := model.Erasure(t.Context(), one)
	want := erasures.Erasure{FirstLeaf: 1, Erasure: one, Citizen: ana, Scope: citizen.OneDocument, Document: card, Reason: "law",
		RequestedAt: noon.Add(time.Minute), ApprovedAt: noon.Add(2 * time.Minute), StartedAt: noon.Add(3 * time.Minute), DoneAt: noon.Add(4 * time.Minute), FinalAt: noon.Add(9 * time.Minute)}
	if err != nil || !ok || got != want {
		t.Errorf("%+v %v %v", got, ok, err)
	}
	if _, ok, err := model.Erasure(t.Context(), domain.ErasureID{UUID: uuid.UUID{9}}); ok || err != nil {
		t.Error("knows an erasure that nobody asked for", err)
	}
	if of, err := model.Of(t.Context(), ana); err != nil || len(of) != 3 || of[1].Erasure != lost || of[1].StoppedAt.IsZero() || !of[1].DoneAt.IsZero() || of[2].Erasure != all || of[2].DoneAt.IsZero() {
		t.Errorf("%+v %v", of, err)
	}
}

// E-3: of a person with several lives each life's keys are destroyed by an event of its own, and
// the erasure is unfinished until the survivor's are, which are the last.
func TestErasureEndsWithTheSurvivorsKeys(t *testing.T) {
	projectiontest.OnEach(t, func(t *testing.T, place func(testing.TB) string) {
		w, model := projectiontest.NewWorld(), erasures.New()
		running := projectiontest.Start(t, w.Store, place(t), model)
		former := domain.CitizenID{UUID: uuid.UUID{77}}
		for i, e := range []struct {
			of    domain.CitizenID
			event citizen.Event
			state erasures.State
		}{
			{ana, citizen.ErasureRequested{Citizen: ana, Erasure: all, Scope: citizen.WholeCitizen, Reason: "citizenRequest", At: noon}, erasures.Requested},
			{ana, citizen.ErasureApproved{Citizen: ana, Erasure: all, At: noon.Add(time.Minute)}, erasures.Approved},
			{ana, citizen.ErasureStarted{Citizen: ana, Erasure: all, At: noon.Add(2 * time.Minute)}, erasures.Started},
			{former, citizen.ErasureStarted{Citizen: former, Erasure: all, At: noon.Add(3 * time.Minute)}, erasures.Started},
			{former, citizen.KeyDestroyed{Citizen: former, Erasure: all, Keys: []string{"k"}, At: noon.Add(4 * time.Minute)}, erasures.Started},
			{ana, citizen.KeyDestroyed{Citizen: ana, Erasure: all, Keys: []string{"l"}, At: noon.Add(5 * time.Minute)}, erasures.KeysDestroyed},
		} {
			w.Record(t, eventstore.Stream("citizen-"+e.of.String()), e.of, e.event)
			running.CaughtUp(t)
			got, ok, err := model.Erasure(t.Context(), all)
			if err != nil || !ok || got.State() != e.state {
				t.Errorf("after event %d: %v %v %v, want %v", i, got.State(), ok, err, e.state)
			}
			open, err := model.Unfinished(t.Context())
			if want := e.state == erasures.Approved || e.state == erasures.Started; err != nil || (len(open) == 1) != want {
				t.Errorf("after event %d: %d unfinished, %v", i, len(open), err)
			}
		}
	})
}

// Each request is on the page of its own state at any moment, and pages in a row are the whole
// list, oldest first.
func TestPages(t *testing.T) { projectiontest.OnEach(t, pages) }

func pages(t *testing.T, place func(testing.TB) string) {
	w, model := projectiontest.NewWorld(), erasures.New()
	running := projectiontest.Start(t, w.Store, place(t), model)
	seen := map[erasures.State]bool{}
	for _, e := range history() {
		record(t, w, e)
		running.CaughtUp(t)
		whole, err := model.Of(t.Context(), ana)
		if err != nil {
			t.Fatal(err)
		}
		paged := []erasures.Erasure{}
		for cursor := int64(-1); ; cursor = paged[len(paged)-1].FirstLeaf {
			page, err := model.Page(t.Context(), nil, cursor, 1)
			if err != nil {
				t.Fatal(err)
			}
			if paged = append(paged, page...); len(page) == 0 {
				break
			}
		}
		if !reflect.DeepEqual(paged, whole) {
			t.Fatalf("%+v, want %+v", paged, whole)
		}
		for _, state := range []erasures.State{erasures.Requested, erasures.Approved, erasures.Started, erasures.Stopped, erasures.KeysDestroyed, erasures.Final} {
			want := []erasures.Erasure{}
			for _, one := range whole {
				if one.State() == state {
					want, seen[state] = append(want, one), true
				}
			}
			if got, err := model.Page(t.Context(), []erasures.State{state}, -1, 9); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %+v, want %+v (%v)", state, got, want, err)
			}
		}
		if got, err := model.Page(t.Context(), []erasures.State{erasures.Requested, erasures.Stopped}, -1, 9); err != nil || len(got) > len(whole) {
			t.Errorf("%+v %v", got, err)
		}
	}
	if len(seen) != 6 {
		t.Errorf("only the states %v were met", seen)
	}
}

// Each step of an erasure stands as it was first recorded, whatever another writer recorded of it
// since, and moves no other erasure.
func TestStepsStandAsFirstRecorded(t *testing.T) { projectiontest.OnEach(t, stepsStand) }

func stepsStand(t *testing.T, place func(testing.TB) string) {
	w, model := projectiontest.NewWorld(), erasures.New()
	running := projectiontest.Start(t, w.Store, place(t), model)
	for _, e := range history() {
		record(t, w, e)
	}
	running.CaughtUp(t)
	before, err := model.Of(t.Context(), ana)
	if err != nil || len(before) != 3 {
		t.Fatal(before, err)
	}
	for _, e := range history() {
		again := reflect.New(reflect.TypeOf(e)).Elem()
		again.Set(reflect.ValueOf(e))
		at := again.FieldByName("At")
		at.Set(reflect.ValueOf(at.Interface().(time.Time).AddDate(0, 0, 1)))
		e = again.Interface().(citizen.Event)
		record(t, w, e)
		running.CaughtUp(t)
		after, err := model.Of(t.Context(), ana)
		if err != nil || !reflect.DeepEqual(after, before) {
			t.Errorf("%T again: %+v, want %+v, %v", e, after, before, err)
		}
	}
}

package erasures_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/petition"
	"coffre/eventstore"
	"coffre/projections/erasures"
	"coffre/projections/projectiontest"
)

// tellPetitions records three petitions of which one is disputed and answered, one contested, extended and
// open, one objected and answered; and returns them as they are then.
func tellPetitions(t testing.TB, w *projectiontest.World) []erasures.Petition {
	t.Helper()
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	ids := []domain.PetitionID{{UUID: uuid.UUID{21}}, {UUID: uuid.UUID{22}}, {UUID: uuid.UUID{23}}}
	words := &petition.TextPersonal{Text: "no"}
	all := []erasures.Petition{
		{State: petition.State{Petition: ids[0], Citizen: ana, Kind: petition.Disputes, Organisation: "0316380841", Entry: domain.EntryID{UUID: uuid.UUID{24}}, Access: domain.AccessID{UUID: uuid.UUID{25}}, Mandate: domain.MandateID{UUID: uuid.UUID{26}}, At: at(1), Deadline: "2026-04-01"}},
		{State: petition.State{Petition: ids[1], Citizen: ana, Kind: petition.Rectification, Organisation: "0308356862", Document: card, Version: 2, Restricts: true, At: at(2), Deadline: "2026-04-01"}},
		{State: petition.State{Petition: ids[2], Citizen: ana, Kind: petition.Objection, Organisation: "0316380841", Purpose: "schoolAllowance", At: at(3), Deadline: "2026-04-01"}},
	}
	for i, e := range []petition.Event{
		petition.Disputed{Petition: ids[0], Citizen: ana, Entry: all[0].Entry, Access: all[0].Access, Organisation: all[0].Organisation, Mandate: all[0].Mandate, Deadline: "2026-04-01", At: at(1), Personal: words},
		petition.Requested{Petition: ids[1], Citizen: ana, Kind: petition.Rectification, Organisation: all[1].Organisation, Document: card, Version: 2, Restricts: true, Deadline: "2026-04-01", At: at(2), Personal: words},
		petition.Requested{Petition: ids[2], Citizen: ana, Kind: petition.Objection, Organisation: all[2].Organisation, Purpose: "schoolAllowance", Deadline: "2026-04-01", At: at(3), Personal: words},
		petition.Extended{Petition: ids[1], Citizen: ana, Organisation: all[1].Organisation, Deadline: "2026-06-01", At: at(4), Personal: words},
		petition.DisputeAnswered{Petition: ids[0], Citizen: ana, Outcome: petition.Rejected, At: at(4), Personal: words},
		petition.Answered{Petition: ids[2], Citizen: ana, Outcome: petition.Upheld, At: at(5)},
	} {
		of := []int{0, 1, 2, 1, 0, 2}[i]
		r := w.Record(t, eventstore.Stream("petition-"+ids[of].String()), ana, e)
		all[of].State = petition.Evolve(all[of].State, e)
		if i < 3 {
			all[of].FirstLeaf = r.Leaf
		}
	}
	return all
}

// Petitions are listed oldest first, by citizen, organisation and state on a day, page by page.
func TestPetitions(t *testing.T) { projectiontest.OnEach(t, petitions) }

func petitions(t *testing.T, place func(testing.TB) string) {
	w, model := projectiontest.NewWorld(), erasures.New()
	running := projectiontest.Start(t, w.Store, place(t), model)
	all := tellPetitions(t, w)
	running.CaughtUp(t)
	reader := all[0].Organisation
	one := all[1].Petition
	for name, c := range map[string]struct {
		f    erasures.PetitionFilter
		day  domain.Date
		want []erasures.Petition
	}{
		"all":                  {erasures.PetitionFilter{}, "2026-03-02", all},
		"of the citizen":       {erasures.PetitionFilter{Citizens: []domain.CitizenID{{UUID: uuid.UUID{99}}, ana}}, "2026-03-02", all},
		"of another":           {erasures.PetitionFilter{Citizens: []domain.CitizenID{{UUID: uuid.UUID{99}}}}, "2026-03-02", nil},
		"to an organisation":   {erasures.PetitionFilter{Organisation: &reader}, "2026-03-02", []erasures.Petition{all[0], all[2]}},
		"to nobody":            {erasures.PetitionFilter{Organisation: new(domain.Organisation)}, "2026-03-02", nil},
		"one":                  {erasures.PetitionFilter{Petition: &one}, "2026-03-02", all[1:2]},
		"open on its last day": {erasures.PetitionFilter{In: []erasures.PetitionState{erasures.PetitionOpen}}, "2026-06-01", all[1:2]},
		"overdue":              {erasures.PetitionFilter{In: []erasures.PetitionState{erasures.PetitionOverdue}}, "2026-06-02", all[1:2]},
		"no longer open":       {erasures.PetitionFilter{In: []erasures.PetitionState{erasures.PetitionOpen}}, "2026-06-02", nil},
		"answered":             {erasures.PetitionFilter{In: []erasures.PetitionState{erasures.PetitionAnswered}}, "2026-04-02", []erasures.Petition{all[0], all[2]}},
		"answered or overdue":  {erasures.PetitionFilter{In: []erasures.PetitionState{erasures.PetitionAnswered, erasures.PetitionOverdue}}, "2026-06-02", all},
	} {
		got := []erasures.Petition{}
		for cursor := int64(-1); ; cursor = got[len(got)-1].FirstLeaf {
			page, err := model.Petitions(t.Context(), c.f, c.day, cursor, 1)
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, page...); len(page) == 0 {
				break
			}
			if state := page[0].StateOn(c.day); len(c.f.In) > 0 && state != c.f.In[0] && state != c.f.In[len(c.f.In)-1] {
				t.Errorf("%s: it is %s", name, state)
			}
		}
		if len(got) != len(c.want) || len(got) > 0 && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n%+v\nwant\n%+v", name, got, c.want)
		}
	}
}

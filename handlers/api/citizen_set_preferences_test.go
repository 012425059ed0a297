package api

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

func (tv *testVault) choose(t testing.TB, as edge.Caller, of domain.CitizenID, key uuid.UUID, body contract.PreferencesChoice) (contract.Preferences, error) {
	t.Helper()
	answer, err := tv.SetPreferences(tv.as(t, as, "setPreferences", body), contract.SetPreferencesRequestObject{CitizenID: of, Params: contract.SetPreferencesParams{IdempotencyKey: key}, Body: &body})
	if err != nil {
		return contract.Preferences{}, err
	}
	return answer.(contract.SetPreferences200JSONResponse).Body, nil
}

func (tv *testVault) preferencesOf(t testing.TB, as edge.Caller, of domain.CitizenID, asOf *time.Time) (contract.Preferences, error) {
	t.Helper()
	answer, err := tv.GetPreferences(tv.as(t, as, "getPreferences", nil), contract.GetPreferencesRequestObject{CitizenID: of, Params: contract.GetPreferencesParams{AsOf: asOf}})
	if err != nil {
		return contract.Preferences{}, err
	}
	return contract.Preferences(answer.(contract.GetPreferences200JSONResponse)), nil
}

// P-8: the last choice counts, a former one is what held then, and nobody chooses for another or
// reads what another chose.
func TestPreferences(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	tv.household(t, 2)
	who, stranger := tv.person(t, 1), citizenCaller(tv.person(t, 2))
	me := citizenCaller(who)
	none, err := tv.preferencesOf(t, me, who, nil)
	if err != nil || !none.ChosenAt.IsZero() || none.Language != "nl" || none.AccessNotices != contract.NoticeWayEboxDaily || none.DocumentNotices != contract.NoticeWayEboxEach {
		t.Fatalf("P-8 without a choice: %+v, %v", none, err)
	}
	first := contract.PreferencesChoice{Language: "fr", DocumentNotices: "eboxEach", ExpiryNotices: "eboxEach", AccessNotices: "none", ConsentNotices: "eboxDaily"}
	second := contract.PreferencesChoice{Language: "de", DocumentNotices: "none", ExpiryNotices: "none", AccessNotices: "eboxEach", ConsentNotices: "none"}
	key := uuid.New()
	chosen, err := tv.choose(t, me, who, key, first)
	if err != nil || chosen.Language != "fr" || chosen.ChosenAt.IsZero() {
		t.Fatalf("P-8 the choice: %+v, %v", chosen, err)
	}
	if again, err := tv.choose(t, me, who, key, first); err != nil || again != chosen {
		t.Errorf("P-8 the choice repeated: %+v, %v", again, err)
	}
	between := tv.Clock.Now()
	tv.Clock.Advance(time.Hour)
	if _, err := tv.choose(t, me, who, uuid.New(), second); err != nil {
		t.Fatal(err)
	}
	if now, err := tv.preferencesOf(t, me, who, nil); err != nil || now.Language != "de" || now.AccessNotices != "eboxEach" {
		t.Errorf("P-8 the last choice: %+v, %v", now, err)
	}
	if then, err := tv.preferencesOf(t, me, who, &between); err != nil || then != chosen {
		t.Errorf("P-8 the former choice: %+v, %v, want %+v", then, err, chosen)
	}
	if _, err := tv.choose(t, stranger, who, uuid.New(), first); !errors.Is(err, edge.ErrNoResource) {
		t.Errorf("P-8 a stranger chose: %v", err)
	}
	if _, err := tv.preferencesOf(t, stranger, who, nil); !errors.Is(err, edge.ErrNoResource) {
		t.Errorf("P-8 a stranger reads: %v", err)
	}
	if theirs, err := tv.preferencesOf(t, stranger, stranger.Citizen, nil); err != nil || !theirs.ChosenAt.IsZero() {
		t.Errorf("P-8 another's preferences: %+v, %v", theirs, err)
	}

	if report, err := tv.reportOn(t, me, who, uuid.New()); err != nil || len(report.Preferences) != 2 || report.Preferences[0] != chosen || report.Preferences[1].Language != "de" {
		t.Errorf("P-8 the report: %+v, %v", report.Preferences, err)
	}

	tv.erase(t, who, domain.DocumentID{})
	tv.waitIdle(t)
	if _, err := tv.choose(t, me, who, uuid.New(), first); !errors.Is(err, citizen.ErrErased) {
		t.Errorf("P-8 E-4 somebody erased chose: %v", err)
	}
	if gone, err := tv.OpenPreferences(t.Context(), who, nil); err != nil || len(gone) != 0 {
		t.Errorf("P-8 choices of somebody erased: %+v, %v", gone, err)
	}
}

// P-8: nothing of a choice is in clear in the log, nor in what is kept for repetitions.
func TestPreferencesAreSealed(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	who := tv.person(t, 1)
	if _, err := tv.choose(t, citizenCaller(who), who, uuid.New(), contract.PreferencesChoice{Language: "de", DocumentNotices: "none", ExpiryNotices: "none", AccessNotices: "none", ConsentNotices: "none"}); err != nil {
		t.Fatal(err)
	}
	events := 0
	for e, err := range tv.Log.Read(t.Context(), acting.CitizenStream(who), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := e.Data.(citizen.PreferencesSet); !ok {
			continue
		}
		events++
		for _, part := range [][]byte{e.Clear, e.Meta, e.Sealed} {
			if bytes.Contains(part, []byte("none")) || bytes.Contains(part, []byte(`"de"`)) {
				t.Errorf("P-8 a choice in clear: %s", part)
			}
		}
	}
	if events != 1 {
		t.Fatalf("%d choices in the log", events)
	}
}

package history_test

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/eventstore"
	"coffre/projections"
	"coffre/projections/consentlog"
	"coffre/projections/history"
	"coffre/projections/projectiontest"
	"coffre/projections/wallet"
)

// What the read models answer as of any leaf is what a fresh replay of the log to that leaf
// gives, in histories that nobody thought of, erasures and merges among them.
func TestReadModelsEqualAReplayAtEveryLeaf(t *testing.T) {
	projectiontest.OnEach(t, readModelsEqualAReplay)
}

func readModelsEqualAReplay(t *testing.T, place func(testing.TB) string) {
	compared := 0
	for seed := range uint64(3) {
		w := projectiontest.NewWorld()
		story, dice := projectiontest.NewStory(w, 400+seed), rand.New(rand.NewPCG(seed, 9))
		wallets, log := wallet.New(), consentlog.New()
		r := projectiontest.Start(t, w, place(t), wallets, log)
		for range 4 {
			story.Tell(t, 60)
			merge(t, story, dice)
		}
		r.CaughtUp(t)
		ends := []int64{0, projections.Latest}
		for range 12 {
			ends = append(ends, dice.Int64N(int64(len(w.Recorded()))))
		}
		for _, leaf := range ends {
			told := replay(w, leaf)
			now := story.Now.Add(-time.Duration(dice.IntN(3000)) * time.Hour)
			for who := range citizensOf(w) {
				compared += equal(t, leaf, who, told, wallets, log, now)
			}
		}
		r.Stop()
	}
	if compared < 1000 {
		t.Fatalf("only %d facts were compared: this proves little", compared)
	}
}

// merge makes two citizens one, or separates them again.
func merge(t *testing.T, story *projectiontest.Story, dice *rand.Rand) {
	former, survivor := story.Citizens[len(story.Citizens)-1], story.Citizens[0]
	stream := eventstore.Stream("citizen-" + former.String())
	story.World.Record(t, stream, former, citizen.MergedInto{Citizen: former, Survivor: survivor, At: story.Now})
	if dice.IntN(2) == 0 {
		story.World.Record(t, stream, former, citizen.Separated{Citizen: former, Survivor: survivor, At: story.Now})
	}
}

func replay(w *projectiontest.World, leaf int64, of ...domain.CitizenID) *history.History {
	h := history.New(leaf, of...)
	for _, e := range w.Recorded() {
		h.Apply(e.Data, e.Leaf)
	}
	return h
}

func citizensOf(w *projectiontest.World) map[domain.CitizenID]bool {
	all := map[domain.CitizenID]bool{}
	for _, e := range w.Recorded() {
		if !e.Citizen.IsZero() {
			all[e.Citizen] = true
		}
	}
	return all
}

func equal(t *testing.T, leaf int64, who domain.CitizenID, told *history.History, wallets *wallet.Wallets, log *consentlog.Log, now time.Time) (facts int) {
	t.Helper()
	ctx := t.Context()
	same := func(what string, got, want any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if g, w := text(t, got), text(t, want); g != w {
			t.Fatalf("%s as of leaf %d:\n%s\nwant\n%s", what, leaf, g, w)
		}
		facts++
	}
	lives, err := wallets.Lives(ctx, who, leaf)
	same("lives", lives, told.Lives(who), err)

	documents := []wallet.Document{}
	err = wallets.Of(ctx, who, leaf, func(h *wallet.Held) error {
		if h.Mandate == nil {
			d := h.Document
			d.ToLeaf = projections.Latest // what came after the leaf the row tells, too
			documents = append(documents, unsealed(d))
		}
		return nil
	})
	want := append([]wallet.Document{}, told.Documents(who)...)
	same("documents", documents, want, err)
	for _, d := range documents {
		rows, err := wallets.Versions(ctx, d.Document, leaf)
		for i := range rows {
			if rows[i] = unsealed(rows[i]); i == len(rows)-1 {
				rows[i].ToLeaf = projections.Latest
			}
		}
		same("versions", rows, told.Versions(d.Document), err)
	}
	readers, err := wallets.Readers(ctx, who, leaf)
	same("readers", readers, append([]wallet.Reader{}, told.Readers(who)...), err)

	var own, others []wallet.Mandate
	for _, m := range told.Mandates(who) {
		if m.Citizen == who {
			own = append(own, m)
		}
		if m.Representative == who {
			others = append(others, m)
		}
	}
	mandates, err := wallets.MandatesOf(ctx, who, leaf)
	same("mandates of others for them", withoutParts(mandates), append([]wallet.Mandate{}, own...), err)
	mandates, err = wallets.Represents(ctx, who, leaf)
	same("mandates for others", withoutParts(mandates), append([]wallet.Mandate{}, others...), err)

	consents, err := log.Of(ctx, who, leaf, now)
	same("consents", consents, append([]consentlog.Consent{}, told.Consents(who, now)...), err)
	return facts + len(documents) + len(consents) + len(readers)
}

func unsealed(d wallet.Document) wallet.Document {
	d.Place, d.Sealed = eventstore.Place{}, nil
	return d
}

func withoutParts(all []wallet.Mandate) []wallet.Mandate {
	for i := range all {
		all[i].Place, all[i].Sealed = eventstore.Place{}, nil
	}
	return all
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A history of one person tells of that person what the one of everybody tells.
func TestHistoryOfOnePerson(t *testing.T) {
	w := projectiontest.NewWorld()
	story := projectiontest.NewStory(w, 500)
	story.Tell(t, 300)
	leaf := int64(len(w.Recorded()) * 2 / 3)
	all, facts := replay(w, leaf), 0
	for who := range citizensOf(w) {
		one := replay(w, leaf, who)
		for what, pair := range map[string][2]any{
			"documents": {one.Documents(who), all.Documents(who)},
			"mandates":  {one.Mandates(who), all.Mandates(who)},
			"readers":   {one.Readers(who), all.Readers(who)},
			"consents":  {one.Consents(who, story.Now), all.Consents(who, story.Now)},
		} {
			if got, want := text(t, pair[0]), text(t, pair[1]); got != want {
				t.Fatalf("%s:\n%s\nwant\n%s", what, got, want)
			}
		}
		got, known := one.Person(who)
		if want, ok := all.Person(who); known != ok || text(t, got) != text(t, want) {
			t.Fatalf("%+v, want %+v", got, want)
		}
		facts += len(one.Documents(who)) + len(one.Mandates(who)) + len(one.Consents(who, story.Now))
	}
	if facts < 50 {
		t.Fatalf("only %d facts were compared", facts)
	}
}

// What the log says of a citizen's own stream is told as it stood at the leaf.
func TestPersonAtALeaf(t *testing.T) {
	id := domain.CitizenID{UUID: [16]byte{1}}
	hold, erasure := domain.HoldID{UUID: [16]byte{2}}, domain.ErasureID{UUID: [16]byte{3}}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	log := []any{
		citizen.Registered{Citizen: id, At: at},
		citizen.LegalHoldPlaced{Citizen: id, Hold: hold, At: at},
		citizen.Deceased{Citizen: id, At: at},
		citizen.LegalHoldLifted{Citizen: id, Hold: hold, At: at},
		citizen.DeathCorrected{Citizen: id, At: at},
		citizen.ErasureRequested{Citizen: id, Erasure: erasure, At: at},
		citizen.KeyDestroyed{Citizen: id, Erasure: erasure, At: at.Add(time.Hour)},
	}
	for leaf, want := range []history.Person{
		{RegisteredAt: at},
		{RegisteredAt: at, Holds: []domain.HoldID{hold}},
		{RegisteredAt: at, Holds: []domain.HoldID{hold}, DiedAt: at},
		{RegisteredAt: at, Holds: []domain.HoldID{}, DiedAt: at},
		{RegisteredAt: at, Holds: []domain.HoldID{}},
		{RegisteredAt: at, Holds: []domain.HoldID{}, Erasures: []history.Erasure{{Erasure: erasure, State: "requested", At: at}}},
		{RegisteredAt: at, Holds: []domain.HoldID{}, Erasures: []history.Erasure{{Erasure: erasure, State: "destroyed", At: at.Add(time.Hour)}}},
	} {
		h := history.New(int64(leaf), id)
		for n, e := range log {
			h.Apply(e, int64(n))
		}
		got, known := h.Person(id)
		if !known || text(t, got) != text(t, want) {
			t.Errorf("at leaf %d: %s, want %s", leaf, text(t, got), text(t, want))
		}
		if at, erased := h.ErasedLeaf(id); !erased || at != 6 {
			t.Errorf("erased at leaf %d, %v", at, erased)
		}
	}
}

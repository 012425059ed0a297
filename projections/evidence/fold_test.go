package evidence_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/eventstore"
	"coffre/projections"
	"coffre/projections/evidence"
	"coffre/projections/projectiontest"
)

// fold tells what is held at a leaf, the slow and obvious way.
func fold(all []projectiontest.Recorded, upTo int64) (held []*evidence.Holding, basis func(domain.CitizenID, domain.Organisation, time.Time) bool) {
	of := func(id domain.DocumentID) *evidence.Holding {
		for _, h := range held {
			if h.Document == id {
				return h
			}
		}
		return nil
	}
	granted, uses, dead := map[domain.ConsentID]consent.Granted{}, map[domain.ConsentID]int{}, map[domain.CitizenID]bool{}
	erased := map[domain.CitizenID]bool{}
	for _, e := range all {
		if f, ok := e.Data.(citizen.KeyDestroyed); ok {
			dead[f.Citizen] = true
			erased[f.Citizen] = true
		}
		if e.Leaf > upTo {
			continue
		}
		state := func(id domain.DocumentID, s evidence.State, from domain.Date) {
			if h := of(id); h != nil && (h.State != evidence.Revoked || from != "" && from < h.RevokedFrom) {
				h.State, h.RevokedFrom, h.FromLeaf = s, from, e.Leaf
			}
		}
		switch f := e.Data.(type) {
		case document.Issued:
			held = append(held, &evidence.Holding{Document: f.Document, Citizen: f.Citizen, Type: f.Type, Issuer: f.Issuer, Version: 1, State: evidence.Active,
				ValidFrom: f.ValidFrom, ValidUntil: f.ValidUntil, PersonalValidity: f.PersonalValidity, IssuedLeaf: e.Leaf, FromLeaf: e.Leaf})
		case document.Updated:
			if h := of(f.Document); h != nil {
				h.Version, h.ValidFrom, h.ValidUntil, h.EffectiveFrom, h.FromLeaf = f.Version, f.ValidFrom, f.ValidUntil, f.EffectiveFrom, e.Leaf
			}
		case document.Revoked:
			state(f.Document, evidence.Revoked, f.EffectiveFrom)
		case document.Suspended:
			state(f.Document, evidence.Suspended, "")
		case document.Reinstated:
			state(f.Document, evidence.Active, "")
		case document.ContentDestroyed:
			if h := of(f.Document); h != nil {
				h.Destroyed = true
			}
		case consent.Granted:
			granted[f.Consent] = f
		case consent.Withdrawn:
			delete(granted, f.Consent)
		case access.Authorized:
			if f.Attempt == 1 {
				uses[f.Consent]++
			}
		case citizen.Deceased:
			dead[f.Citizen] = true
		case citizen.DeathCorrected: // what the death ended stays ended
			dead[f.Citizen] = false
			for id, g := range granted {
				if g.Citizen == f.Citizen {
					delete(granted, id)
				}
			}
		}
	}
	held = slices.DeleteFunc(held, func(h *evidence.Holding) bool { return erased[h.Citizen] })
	return held, func(who domain.CitizenID, consumer domain.Organisation, now time.Time) bool {
		for id, f := range granted {
			limit := f.Terms.Limits.Uses
			if f.Citizen == who && f.Terms.Consumer == consumer && now.Before(f.Terms.Until) && !dead[who] && (limit == 0 || uses[id] < limit) {
				return true
			}
		}
		return false
	}
}

func tell(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEvidenceEqualsAFold(t *testing.T) { projectiontest.OnEach(t, evidenceEqualsAFold) }

func evidenceEqualsAFold(t *testing.T, place func(testing.TB) string) {
	yes, no, shown := 0, 0, 0
	for seed := range uint64(5) {
		w := projectiontest.NewWorld()
		story := projectiontest.NewStory(w, 400+seed)
		v := evidence.New()
		r := projectiontest.Start(t, w, place(t), v)
		for range 4 {
			story.Tell(t, 50)
			r.CaughtUp(t)
		}
		for _, stage := range []string{"live", "rebuilt"} {
			if stage == "rebuilt" {
				if err := r.Rebuild(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			all := w.Recorded()
			citizens := map[domain.CitizenID]bool{}
			for _, e := range all {
				citizens[e.Citizen] = true
			}
			for leaf := int64(0); leaf < int64(len(all)); leaf += 9 {
				held, _ := fold(all, leaf)
				for who := range citizens {
					for _, types := range [][]domain.DocumentType{nil, projectiontest.Types[:1]} {
						want := []evidence.Holding{}
						for _, h := range held {
							if h.Citizen == who && (types == nil || slices.Contains(types, h.Type)) {
								want = append(want, *h)
							}
						}
						got, err := v.Held(t.Context(), who, leaf, types...)
						if err != nil || tell(t, got) != tell(t, want) {
							t.Fatalf("%s at leaf %d:\n%s\nwant\n%s (%v)", stage, leaf, tell(t, got), tell(t, want), err)
						}
						shown += len(got)
					}
				}
			}
			_, basis := fold(all, projections.Latest)
			for who := range citizens {
				for _, consumer := range projectiontest.Consumers {
					got, err := v.HasConsent(t.Context(), who, consumer, story.Now)
					if want := basis(who, consumer, story.Now); err != nil || got != want {
						t.Fatalf("%s: %t, want %t (%v)", stage, got, want, err)
					}
					if got {
						yes++
					} else {
						no++
					}
				}
			}
		}
		r.Stop()
	}
	if yes < 5 || no < 5 || shown < 500 {
		t.Fatalf("%d times yes, %d no, %d shown: this proves little", yes, no, shown)
	}
}

func TestStatusOnADay(t *testing.T) {
	for _, c := range []struct {
		name string
		h    evidence.Holding
		want evidence.Status
	}{
		{"D-6 valid", evidence.Holding{State: evidence.Active, ValidFrom: "2026-03-01", ValidUntil: "2026-03-01"}, evidence.Valid},
		{"D-6 without end", evidence.Holding{State: evidence.Active, ValidFrom: "2026-03-01"}, evidence.Valid},
		{"D-6 not yet valid", evidence.Holding{State: evidence.Active, ValidFrom: "2026-03-02"}, evidence.NotYetValid},
		{"D-6 expired", evidence.Holding{State: evidence.Active, ValidFrom: "2026-01-01", ValidUntil: "2026-02-28"}, evidence.Expired},
		{"D-2 revoked", evidence.Holding{State: evidence.Revoked, RevokedFrom: "2026-03-01"}, evidence.IsRevoked},
		{"D-2 revoked from tomorrow", evidence.Holding{State: evidence.Revoked, RevokedFrom: "2026-03-02", ValidFrom: "2026-01-01"}, evidence.Valid},
		{"suspended", evidence.Holding{State: evidence.Suspended, ValidFrom: "2026-01-01"}, evidence.IsSuspended},
		{"dates sealed", evidence.Holding{State: evidence.Active, PersonalValidity: true}, evidence.SealedStatus},
		{"content gone", evidence.Holding{State: evidence.Active, Destroyed: true}, evidence.IsDestroyed},
	} {
		if got := c.h.On("2026-03-01"); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// The last use of a limited consent ends it; a repeat of the same access is no use.
func TestRepeatOfAnAccessIsNoUse(t *testing.T) { projectiontest.OnEach(t, repeatOfAnAccessIsNoUse) }

func repeatOfAnAccessIsNoUse(t *testing.T, place func(testing.TB) string) {
	w := projectiontest.NewWorld()
	who, id := domain.CitizenID{UUID: uuid.New()}, domain.ConsentID{UUID: uuid.New()}
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	consumer, s := projectiontest.Consumers[0], eventstore.Stream("consent-"+id.String())
	w.Record(t, s, who, consent.Granted{Consent: id, Citizen: who, At: now, Terms: consent.Terms{
		Consumer: consumer, Purpose: "socialBenefit", Types: projectiontest.Types, Until: now.AddDate(0, 1, 0), Limits: consent.Limits{Uses: 2},
	}})
	v := evidence.New()
	r := projectiontest.Start(t, w, place(t), v)
	first, second := domain.AccessID{UUID: uuid.New()}, domain.AccessID{UUID: uuid.New()}
	for _, step := range []struct {
		access  domain.AccessID
		attempt int
		want    bool
	}{{first, 1, true}, {first, 2, true}, {first, 3, true}, {second, 1, false}} {
		w.Record(t, s, who, access.Authorized{Access: step.access, Citizen: who, Kind: access.OpenedDocument, Role: domain.RoleConsumer, Consumer: consumer, Consent: id, Attempt: step.attempt, At: now})
		r.CaughtUp(t)
		if got, err := v.HasConsent(t.Context(), who, consumer, now); err != nil || got != step.want {
			t.Fatalf("after attempt %d: %t, want %t (%v)", step.attempt, got, step.want, err)
		}
	}
	if got, err := v.HasConsent(t.Context(), who, projectiontest.Consumers[1], now); err != nil || got {
		t.Fatal("another consumer has it", err)
	}
}

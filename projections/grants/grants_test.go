package grants_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/eventstore"
	"coffre/projections"
	"coffre/projections/grants"
	"coffre/projections/projectiontest"
)

// alone is a read model with nothing but the grants.
type alone struct{ view projections.View }

func (*alone) Name() string               { return "alone" }
func (*alone) Version() int               { return 1 }
func (*alone) Categories() []string       { return []string{"consent", "citizen"} }
func (*alone) Schema() projections.Schema { return grants.Schema }
func (a *alone) View() *projections.View  { return &a.view }
func (*alone) Apply(ctx context.Context, tx *projections.Tx, e eventstore.Event, leaf int64) error {
	return grants.Apply(ctx, tx, e, leaf)
}

const (
	railways = domain.Organisation("0203430576")
	school   = domain.Organisation("0316380841")
)

var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// Each consent of each citizen stands by itself: what ends one ends no other, whoever gave it
// and whomever it names. Every statement has two of everything to choose from.
func TestWhatEndsOneGrantEndsNoOther(t *testing.T) {
	projectiontest.OnEach(t, func(t *testing.T, place func(testing.TB) string) {
		w, model := projectiontest.NewWorld(), &alone{}
		ana, bob := domain.CitizenID{UUID: uuid.New()}, domain.CitizenID{UUID: uuid.New()}
		type given struct {
			id   domain.ConsentID
			of   domain.CitizenID
			to   domain.Organisation
			uses int
		}
		gave := func(of domain.CitizenID, to domain.Organisation, uses int) given {
			return given{domain.ConsentID{UUID: uuid.New()}, of, to, uses}
		}
		withdrawn, once, twice, lasting := gave(ana, railways, 0), gave(ana, railways, 1), gave(ana, railways, 2), gave(ana, school, 0)
		bobs, bobsOnce := gave(bob, railways, 0), gave(bob, railways, 1)
		at := func(g given) eventstore.Stream { return eventstore.Stream("consent-" + g.id.String()) }
		for _, g := range []given{withdrawn, once, twice, lasting, bobs, bobsOnce} {
			w.Record(t, at(g), g.of, consent.Granted{Consent: g.id, Citizen: g.of, At: noon,
				Terms: consent.Terms{Consumer: g.to, Purpose: "p", Types: projectiontest.Types[:1], Until: noon.AddDate(1, 0, 0), Limits: consent.Limits{Uses: g.uses}}})
		}
		use := func(g given, which domain.AccessID, attempt int) {
			w.Record(t, at(g), g.of, access.Authorized{Access: which, Citizen: g.of, Consent: g.id, Consumer: g.to, Role: domain.RoleConsumer, Kind: access.OpenedDocument, Attempt: attempt, At: noon})
		}
		r := projectiontest.Start(t, w, place(t), model)
		standing := func(want ...given) {
			t.Helper()
			r.CaughtUp(t)
			for _, who := range []domain.CitizenID{ana, bob} {
				for _, consumer := range []domain.Organisation{"", railways, school} {
					var got []grants.Reader
					var err error
					if consumer == "" {
						got, err = grants.Of(t.Context(), &model.view, who, projections.Latest)
					} else {
						got, err = grants.With(t.Context(), &model.view, who, consumer, projections.Latest)
					}
					var ids, wanted []domain.ConsentID
					for _, one := range got {
						ids = append(ids, one.Consent)
					}
					for _, g := range want {
						if g.of == who && (consumer == "" || g.to == consumer) {
							wanted = append(wanted, g.id)
						}
					}
					if err != nil || !slices.Equal(ids, wanted) {
						t.Errorf("of %v, by %q: %v (%v), want %v", who, consumer, ids, err, wanted)
					}
				}
			}
		}
		standing(withdrawn, once, twice, lasting, bobs, bobsOnce)
		w.Record(t, at(withdrawn), ana, consent.Withdrawn{Consent: withdrawn.id, Reason: consent.ByCitizen, At: noon})
		standing(once, twice, lasting, bobs, bobsOnce)
		use(once, domain.AccessID{UUID: uuid.New()}, 1)
		standing(twice, lasting, bobs, bobsOnce)
		first := domain.AccessID{UUID: uuid.New()}
		use(twice, first, 1)
		use(twice, first, 2) // the same access again takes no use
		standing(twice, lasting, bobs, bobsOnce)
		use(twice, domain.AccessID{UUID: uuid.New()}, 1)
		standing(lasting, bobs, bobsOnce)
		w.Record(t, eventstore.Stream(fmt.Sprintf("citizen-%s", bob)), bob, citizen.Deceased{Citizen: bob, At: noon})
		standing(lasting)
		if got, err := grants.Of(t.Context(), &model.view, ana, 5); err != nil || len(got) != 4 {
			t.Errorf("as of the last grant %d of four stand, %v", len(got), err)
		}
		w.Record(t, eventstore.Stream(fmt.Sprintf("citizen-%s", bob)), bob, citizen.DeathCorrected{Citizen: bob, At: noon})
		after := gave(bob, school, 0)
		w.Record(t, at(after), bob, consent.Granted{Consent: after.id, Citizen: bob, At: noon.Add(time.Hour),
			Terms: consent.Terms{Consumer: school, Purpose: "p", Types: projectiontest.Types[:1], Until: noon.AddDate(1, 0, 0)}})
		standing(lasting, after) // what the death ended stays ended
		w.Record(t, eventstore.Stream(fmt.Sprintf("citizen-%s", bob)), bob, citizen.KeyDestroyed{Citizen: bob, At: noon})
		standing(lasting)
	})
}

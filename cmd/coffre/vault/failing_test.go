package vault

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/ncruces/go-sqlite3"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/eventstore/quotas"
	"coffre/eventstore/seal"
	"coffre/eventstore/traffic"
	"coffre/handlers/acting"
	"coffre/handlers/api"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/work"
	"coffre/projections"
	"coffre/projections/projectiontest"
)

// stuck is a read model whose disk is full while it is ill.
type stuck struct {
	ill  atomic.Bool
	view projections.View
}

func (*stuck) Name() string               { return "stuck" }
func (*stuck) Version() int               { return 1 }
func (*stuck) Categories() []string       { return []string{"citizen"} }
func (s *stuck) View() *projections.View  { return &s.view }
func (*stuck) Schema() projections.Schema { return projections.Schema{} }
func (s *stuck) Apply(context.Context, *projections.Tx, eventstore.Event, int64) error {
	if s.ill.Load() {
		return sqlite3.FULL
	}
	return nil
}

// A read model that fails again and again makes the health DEGRADED and its metric 0;
// the process stays ready. Both recover with the read model.
func TestFailingReadModelIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p := projectiontest.NewWorld(), &stuck{}
		medium, _ := projectiontest.OpenMedium(t, t.TempDir())
		runner, err := projections.New(projections.Options{Medium: medium, Store: w, Codec: codec.Catalog, Logger: slog.New(slog.DiscardHandler)}, p)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- runner.Run(ctx) }()
		v := &Instance{Runner: runner, Ring: new(seal.Ring), gone: make(chan struct{}), alarm: newAlarm(slog.New(slog.DiscardHandler)), Core: &api.Vault{Worker: &work.Worker{Discloser: &disclosure.Discloser{
			Recorder: &acting.Recorder{Quotas: &quotas.Table{}},
		}}, Traffic: &traffic.Table{}}}
		record := func() {
			who := domain.CitizenID{UUID: uuid.New()}
			w.Record(t, eventstore.Stream("citizen-"+who.String()), who, citizen.Registered{Citizen: who})
		}
		want := func(health contract.HealthStatus, metric string) {
			t.Helper()
			synctest.Wait() // the model shows an event a moment before its state is told
			if got := v.Health(ctx); got != health {
				t.Errorf("health %s, want %s", got, health)
			}
			_, reasons := v.condition(ctx, v.witnesses(ctx))
			if said := strings.Join(reasons, ", "); (health == contract.HealthStatusUP) != (said == "") || said != "" && said != "the read model stuck is failing" {
				t.Errorf("%s is explained by %q", health, said)
			}
			page := httptest.NewRecorder()
			newMetrics(v).handler().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
			for _, line := range []string{`coffre_projection_running{projection="stuck"} ` + metric, `coffre_health{status="` + string(health) + `"} 1`} {
				if !strings.Contains(page.Body.String(), line+"\n") {
					t.Errorf("the metrics lack %s", line)
				}
			}
			if err := v.ready(ctx); err != nil {
				t.Errorf("not ready: %v", err)
			}
		}
		record()
		if err := runner.CatchUp(ctx); err != nil {
			t.Fatal(err)
		}
		want(contract.HealthStatusUP, "1")
		p.ill.Store(true)
		record()
		<-time.After(time.Minute) // of the bubble's time
		want(contract.HealthStatusDEGRADED, "0")
		p.ill.Store(false)
		if err := runner.CatchUp(ctx); err != nil {
			t.Fatal(err)
		}
		want(contract.HealthStatusUP, "1")
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

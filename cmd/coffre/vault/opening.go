package vault

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore"
	"coffre/eventstore/leaves"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections"
)

// Opening tells how far a vault is while [Open] puts it together. The zero value is at its
// first step. Its methods may be called concurrently.
type Opening struct {
	mu     sync.Mutex
	doing  contract.StartStep
	runner *projections.Runner // nil before it is made
	store  eventstore.Store
	leaves *leaves.Index // nil: the log's positions count its leaves
	asked  time.Time
	last   edge.Opening
}

// openingKept is how long an answer counts, so that many who ask cost little.
const openingKept = 200 * time.Millisecond

// openingPatience bounds how long a caller who asks waits for the log.
const openingPatience = 300 * time.Millisecond

// Handlers return what answers everybody and operators until the vault is open.
func (o *Opening) Handlers(logger *slog.Logger) (public, operators http.Handler) {
	s := &edge.Server{Now: time.Now, NewID: uuid.New, Slog: logger}
	return s.Opening(o.Now, false), s.Opening(o.Now, true)
}

// begin says what is done now. A nil Opening is nobody's.
func (o *Opening) begin(doing contract.StartStep, a *assembly) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.doing, o.asked = doing, time.Time{}
	o.runner, o.store = a.Runner, a.store
	if a.places != nil {
		o.leaves = a.places.leaves
	}
}

// failed says that what was opened is closed: Open is tried again, or the process ends.
func (o *Opening) failed() {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.runner, o.store, o.leaves, o.asked = nil, nil, nil, time.Time{}
}

// Now returns how far the vault is. The log is asked five times a second at most.
func (o *Opening) Now(ctx context.Context) edge.Opening {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.doing == "" {
		return edge.Opening{Doing: contract.StartStepDatabases}
	}
	if time.Since(o.asked) < openingKept {
		return o.last
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), openingPatience)
	defer cancel()
	o.last, o.asked = o.look(ctx), time.Now()
	return o.last
}

func (o *Opening) look(ctx context.Context) edge.Opening {
	if o.leaves != nil {
		if head, err := o.store.Head(ctx); err == nil && head.Commit > 0 {
			if at := o.leaves.Reached(); at.Compare(head) < 0 {
				return edge.Opening{Doing: contract.StartStepLeafNumbers, Known: true, Percent: percent(at.Commit, head.Commit)}
			}
		}
	}
	if o.runner == nil || o.doing != contract.StartStepReadModels {
		return edge.Opening{Doing: o.doing}
	}
	all, err := o.runner.Status(ctx)
	if err != nil {
		return edge.Opening{Doing: o.doing}
	}
	return slowest(all, time.Now())
}

// slowest tells of the read model that has come least far of those that are being built. While
// one of them was not begun, as far as is known, nobody can tell how far it is.
func slowest(all []projections.Status, now time.Time) edge.Opening {
	var at *projections.Status
	for i := range all {
		s := &all[i]
		if s.State == projections.Starting && s.RebuildingSince.IsZero() && s.FailingSince.IsZero() {
			return edge.Opening{Doing: contract.StartStepReadModels}
		}
		if !s.RebuildingSince.IsZero() && (at == nil || s.RebuiltTo < at.RebuiltTo) {
			at = s
		}
	}
	if at == nil {
		return edge.Opening{Doing: contract.StartStepReadModels}
	}
	found := edge.Opening{Doing: contract.StartStepReadModels, Known: true, Percent: percent(uint64(at.RebuiltTo+1), uint64(at.HeadLeaf+1))}
	took, done := now.Sub(at.RebuildingSince), at.RebuiltTo-at.RebuiltFrom
	if done > 0 && took > 0 {
		pace := float64(done) / took.Seconds()
		found.PerSecond = int64(pace)
		found.Left = time.Duration(float64(max(at.HeadLeaf-at.RebuiltTo, 0)) / pace * float64(time.Second))
	}
	return found
}

// percent of a whole, at most 99: what is done ends the step.
func percent(part, whole uint64) int {
	if whole == 0 {
		return 0
	}
	return int(min(float64(part)/float64(whole)*100, 99))
}

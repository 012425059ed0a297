package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"coffre/eventstore"
	"coffre/eventstore/kurrent/wire"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/spans"
	"coffre/eventstore/spans/otlp"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/handlers/api"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
	"coffre/handlers/reactors/broker"
	"coffre/handlers/reactors/clock"
	"coffre/handlers/reactors/ebox"
	"coffre/handlers/reactors/webhook"
	"coffre/projections"
	"coffre/projections/transparency"
)

// Instance is a vault that runs: everything of one data directory, put together. Requests
// go to its handlers; the core, the key ring and the read models' runner are there for
// benchmarks and tests.
type Instance struct {
	Core   *api.Vault
	Ring   *seal.Ring
	Runner *projections.Runner

	handler     http.Handler
	control     http.Handler // the same for the control socket, where this directory's own tokens count
	operators   http.Handler // metrics, and why the process is not ready
	keeper      Keeper
	store       eventstore.Store
	room        *sqlitedb.Reserve // nil: no database lies in files
	keys        *keysdb.DB
	damaged     atomic.Int64                     // records that the scrubber found last
	figures     atomic.Pointer[contract.Figures] // what was counted last; nil: another process counts, or none yet
	alarm       *alarm                           // what was found that is not what was recorded
	provider    *token.ProviderKeys              // nil: no identity provider vouches for callers
	unconfirmed atomic.Bool                      // the provider was recovered, and as far as is known no officer confirmed it
	portRefused atomic.Int64                     // calls on the port for KurrentDB's clients without a good password
	portDropped atomic.Int64                     // connections there that were closed before anybody was let in
	portPaused  atomic.Int64                     // addresses there that had to wait for their wrong passwords
	hook        *webhook.Webhook                 // nil: nobody is told of changes
	book        *webhook.Book                    // of the webhooks of organisations; nil in a process that answers nothing
	sender      *webhook.Sender                  // to them; nil with book
	clock       *clock.Clock                     // nil: this process announces nothing
	ebox        *ebox.Ebox                       // nil: nobody is written to
	eboxDesk    ebox.Desk                        // with ebox
	brokers     *broker.Links                    // nil: nobody is told through a broker
	tracer      *spans.Tracer                    // nil: nothing is recorded
	spans       *otlp.Provider                   // with tracer
	publisher   *transparency.Publisher
	cosigning   *transparency.Witnesses
	trusts      []ender        // certificates to trust where others are called, and the own
	failed      chan error     // a part that had to go on has stopped
	closers     []func() error // in the order of opening
	opened      atomic.Bool    // every read model has answered that could
	// rehearse reads what the first callers are likely to ask for; nil: nothing is read beforehand.
	rehearse func(context.Context)
	leaving  sync.Once
	gone     chan struct{} // closed when no more requests should be sent here
}

// Handler answers the whole contract.
func (v *Instance) Handler() http.Handler { return v.handler }

// Control answers the same on the control socket, where this directory's own tokens
// count, under the rules of edge.ControlSocket. NewControlServer serves it.
func (v *Instance) Control() http.Handler { return v.control }

// Operators answers operators, on an address of their own: metrics, and why the process is
// not ready.
func (v *Instance) Operators() http.Handler { return v.operators }

// Failed tells of a part of the background work that had to go on and has stopped; the
// process should end then.
func (v *Instance) Failed() <-chan error { return v.failed }

// OfferKurrent offers the log to KurrentDB's clients until end is called, and returns the
// connection string, "" when the log is not offered. That somebody reads is on record before
// anything is answered.
func (v *Instance) OfferKurrent(ctx context.Context, l KurrentListener) (where string, end func(), err error) {
	return l.Offer(ctx, wire.Options{
		Store: v.store, Logger: v.Core.Slog, Refused: func() { v.portRefused.Add(1) }, Dropped: func() { v.portDropped.Add(1) }, Paused: func() { v.portPaused.Add(1) },
		Reading: func(ctx context.Context, r wire.Reading) error {
			return v.Core.RecordPortReading(ctx, r.Name, r.Stream, r.From)
		},
	}, v.failed)
}

// Close stops everything, last opened first. What was acknowledged stays.
func (v *Instance) Close() error {
	v.Leave()
	var errs []error
	for i := len(v.closers) - 1; i >= 0; i-- {
		errs = append(errs, v.closers[i]())
	}
	v.closers = nil
	return errors.Join(errs...)
}

// onClose has Close call f, before what was opened earlier is closed.
func (v *Instance) onClose(f func() error) { v.closers = append(v.closers, f) }

// Leave makes /readyz say no, so that no more requests come; they are still answered.
func (v *Instance) Leave() { v.leaving.Do(func() { close(v.gone) }) }

// ready says whether requests should be sent here: every read model answers and
// the process is not leaving. Keys that are away are no reason: withdrawals,
// revocations and metadata go on without them; health and metrics tell. Nor is the
// log: metadata go on without it, and no other process has another one.
func (v *Instance) ready(context.Context) error {
	select {
	case <-v.gone:
		return errors.New("the process is stopping")
	default:
	}
	if names := v.Runner.Starting(); len(names) > 0 {
		return fmt.Errorf("read model %s is being opened", names[0])
	}
	return nil
}

// builtLook is how often it is asked whether the read models answer.
const builtLook = 20 * time.Millisecond

// Built returns a channel that is closed once every read model answers that can and what the
// first callers are likely to need was got ready, for half a second at most; a start waits for it
// before anybody is let in. It is closed when ctx ends, too.
func (v *Instance) Built(ctx context.Context) <-chan struct{} {
	built := make(chan struct{})
	go func() {
		defer close(built)
		look := time.NewTicker(builtLook)
		defer look.Stop()
		for !v.built() {
			select {
			case <-look.C:
			case <-ctx.Done():
				return
			}
		}
		v.getReady(ctx)
	}()
	return built
}

// built reports whether the vault was built: every read model that can answers, or did.
func (v *Instance) built() bool {
	if !v.opened.Load() && len(v.Runner.Missing()) == 0 {
		v.opened.Store(true)
	}
	return v.opened.Load()
}

// shortOfReserve reports whether the disk of files has no room but for what must pass.
func (v *Instance) shortOfReserve() bool { return v.room != nil && v.room.Short() }

// shortOfRoom reports whether a disk is full: that of files, or a server's of the log or the
// keys, which keeps no reserve.
func (v *Instance) shortOfRoom() bool {
	log, served := v.store.(interface{ Short() bool })
	return v.shortOfReserve() || served && log.Short() || v.keys != nil && v.keys.Short()
}

// strange reports whether nobody can be let in, because no key of the identity provider is
// known.
func (v *Instance) strange() bool {
	if v.provider == nil {
		return false
	}
	_, usable := v.provider.Usable()
	return !usable
}

// Health says what clients may expect: nothing before the read models were built, as
// [Opening] says on other addresses; then everything, or less while a read model is
// built, stopped or failing, the keys are away, the disk is full, rows of the key database
// are damaged, something recorded was changed or lost, a witness tells of another history of the
// log, the identity provider does not tell whose tokens count or was recovered and not confirmed,
// a certificate to trust ends within two weeks, the clock stands still or its time is in doubt, the
// receiver of the webhook answered 410, or a broker has not taken a message for some minutes.
func (v *Instance) Health(ctx context.Context) contract.HealthStatus {
	status, _ := v.Condition(ctx)
	return status
}

// Condition is the health with a sentence for each reason why it is not UP, for operators.
func (v *Instance) Condition(ctx context.Context) (status contract.HealthStatus, reasons []string) {
	return v.condition(ctx, v.witnesses(ctx))
}

// condition is the health with a sentence for each reason why it is not UP. The sentences are
// for operators: they name read models and counts, and nothing of a caller or a citizen.
func (v *Instance) condition(ctx context.Context, w witnesses) (status contract.HealthStatus, reasons []string) {
	all, err := v.Runner.Status(ctx)
	if err != nil {
		return contract.HealthStatusDOWN, []string{"the log cannot be read"}
	}
	if !v.built() {
		return contract.HealthStatusDOWN, []string{"the process is being started: its read models are built"}
	}
	because := func(holds bool, reason string, values ...any) {
		if holds {
			reasons = append(reasons, fmt.Sprintf(reason, values...))
		}
	}
	because(!v.keeper.well(ctx), "the keys cannot be reached, or a login at Vault is lost")
	because(v.shortOfReserve(), "the disk is full: only withdrawals, revocations and the like are recorded; make room")
	because(v.shortOfRoom() && !v.shortOfReserve(), "the disk of the PostgreSQL is full: nothing is recorded; make room")
	because(v.alarm.count() > 0, "something recorded was changed or is gone, in %d places: the process's log names them", v.alarm.count())
	because(v.damaged.Load() > 0, "%d records of the log are damaged: the process's log names them", v.damaged.Load())
	because(v.damagedRows() > 0, "%d rows of the key database are damaged: `coffre keys check` says how they are brought back", v.damagedRows())
	because(v.strange(), "the identity provider does not tell whose tokens count")
	because(v.recovering(ctx), "the identity provider was recovered and a second person has not confirmed it, or that cannot be told")
	because(w.disown(), "a witness tells of another history of this log, or forgot what it cosigned (deploy/runbooks/witnesses.md)")
	clock := v.clockTrouble(ctx)
	because(clock != "", "%s", clock)
	for _, f := range v.trusts {
		if ends := f.ending(time.Now()); ends != "" {
			because(true, "%s", ends)
		}
	}
	if v.hook != nil { // a receiver that wants nothing more, and an operator who has not seen it
		s, err := v.hook.Status(ctx)
		because(err != nil, "what the webhook remembers cannot be read")
		because(err == nil && !s.Disabled.IsZero(), "the webhook's receiver answered 410: `coffre webhooks enable` sends again")
	}
	links, err := v.waitingLinks(ctx)
	because(err != nil, "what the links to brokers remember cannot be read")
	because(links != "", "brokers do not take messages: %s (docs/brokers.md)", links)
	for _, s := range all {
		because(s.State != projections.Live && s.State != projections.CatchingUp, "the read model %s is %s", s.Name, s.State)
	}
	if len(reasons) > 0 {
		return contract.HealthStatusDEGRADED, reasons
	}
	return contract.HealthStatusUP, nil
}

// detail is what /readyz tells operators: why the health is not UP, and how old the last
// checkpoint is. Neither is a reason not to be ready.
func (v *Instance) detail(ctx context.Context) string {
	w := v.witnesses(ctx)
	status, reasons := v.condition(ctx, w)
	lines := make([]string, 0, len(reasons)+1)
	for _, reason := range reasons {
		lines = append(lines, string(status)+": "+reason)
	}
	return strings.Join(append(lines, v.proofDetail(ctx, w)), "\n")
}

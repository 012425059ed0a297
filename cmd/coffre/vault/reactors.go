package vault

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/spans"
	"coffre/handlers/api"
	"coffre/handlers/reactors"
	"coffre/handlers/reactors/ends"
	"coffre/handlers/reactors/webhook"
	"coffre/handlers/work"
	"coffre/projections"
)

// reach is how long a reactor waits for the read models it asks; then the event
// is delivered again.
const reach = 5 * time.Second

// reacting is what follows from events: reactors, which all processes share by parts of the
// citizens, and senders of what reactors stored, each of which runs in one process at a time.
type reacting struct {
	reactors []reactors.Reactor
	senders  []part
}

// add adds a reactor, and what sends what it stores, where there is such a thing.
func (r *reacting) add(reactor reactors.Reactor, senders ...part) {
	r.reactors = append(r.reactors, reactor)
	r.senders = append(r.senders, senders...)
}

// reacting lists what follows from events here: what a death ends, the webhooks of organisations, the
// clock, and what is configured: the operator's webhook, My eBox, brokers.
func (a *assembly) reacting() reacting {
	var all reacting
	all.add(endsOf(a.log, a.Core, a.Runner).Reactor())
	all.senders = append(all.senders, part{"webhooks of organisations", a.sender.Run}, part{"clock", a.clock.Run})
	if a.hook != nil {
		all.add(a.hook.Reactor(), part{"webhook", a.hook.Run})
	}
	if a.ebox != nil {
		all.add(a.ebox.Reactor(), part{"ebox", a.ebox.Run})
	}
	if a.brokers != nil {
		all.senders = append(all.senders, part{"brokers", a.brokers.Run})
	}
	return all
}

// react does what follows from events until ctx ends.
func (a *assembly) react(ctx context.Context) error {
	all := a.reacting()
	router, err := reactors.NewRouter(reactors.RouterOptions{
		DB: a.places.reactors, Log: a.log, Reactors: all.reactors, Logger: a.o.Logger, Lease: a.leaseOfPart(), Tracer: a.tracer,
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, 1+len(all.senders))
	var running sync.WaitGroup
	run := func(p part) {
		running.Go(func() {
			if err := p.run(ctx); err != nil && ctx.Err() == nil {
				failed <- fmt.Errorf("%s: %w", p.name, err)
				stop() // all or none: what is stored is to be sent
			}
		})
	}
	run(part{"router", router.Run})
	run(part{"senders", func(ctx context.Context) error {
		return a.inTurn(ctx, "reactors", func(ctx context.Context) error { return together(ctx, all.senders) })
	}})
	running.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// together runs parts until ctx ends or one of them fails, and returns that one's error.
func together(ctx context.Context, parts []part) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var running sync.WaitGroup
	for _, p := range parts {
		running.Go(func() {
			if err := p.run(ctx); err != nil && ctx.Err() == nil {
				stop(fmt.Errorf("%s: %w", p.name, err))
			}
		})
	}
	<-ctx.Done()
	running.Wait()
	if err := context.Cause(ctx); err != ctx.Err() {
		return err
	}
	return nil
}

// leaseOfPart returns what asks for a part of the citizens, of which one process works on each
// at a time; nil where no other process is there.
func (a *assembly) leaseOfPart() func(context.Context, int) (context.Context, func(), error) {
	leases := a.places.leases
	if leases == nil {
		return nil
	}
	return func(ctx context.Context, part int) (context.Context, func(), error) {
		return leases.Acquire(ctx, "reactors/"+strconv.Itoa(part))
	}
}

func endsOf(log *eventstore.Log, core *api.Vault, runner *projections.Runner) ends.Ends {
	origin := func(c ends.Cause) work.Consequence {
		return work.Consequence{ID: c.ID, Causation: c.Event, Correlation: c.Correlation}
	}
	return ends.Ends{
		WaitForLeaf: func(ctx context.Context, leaf int64) error {
			position, err := log.Leaves().Position(ctx, leaf)
			if err != nil {
				return err
			}
			wait, cancel := context.WithTimeout(ctx, reach)
			defer cancel()
			for _, name := range []string{core.Wallets.Name(), core.ConsentLog.Name()} {
				if err := runner.WaitFor(wait, name, position); err != nil {
					return fmt.Errorf("wait for %s: %w", name, err)
				}
			}
			return nil
		},
		OpenConsents: core.OpenConsents,
		Mandates:     core.MandatesOf,
		Withdraw: func(ctx context.Context, id domain.ConsentID, c ends.Cause) error {
			return core.WithdrawForDeath(ctx, id, origin(c))
		},
		EndMandate: func(ctx context.Context, id domain.MandateID, c ends.Cause) error {
			return core.EndForDeath(ctx, id, origin(c))
		},
	}
}

// WebhookOptions say whom to tell of changes.
type WebhookOptions struct {
	URL string
	// Secrets sign, and Read returns them as they are when they are to be read anew; nil: they
	// stay.
	Secrets []webhook.Secret
	Read    func() ([]webhook.Secret, error)
	Dev     bool // plain http on loopback is allowed, for trying out
}

func (w *WebhookOptions) open(ctx context.Context, db *reactors.DB, log *eventstore.Log, tracer *spans.Tracer, logger *slog.Logger) (*webhook.Webhook, error) {
	endpoint, err := webhook.ParseEndpoint(w.URL, webhook.Policy{Dev: w.Dev})
	if err != nil {
		return nil, err
	}
	return webhook.New(ctx, webhook.Options{DB: db, Log: log, Endpoint: endpoint, Secrets: w.Secrets, ReadSecrets: w.Read, Tracer: tracer, Logger: logger})
}

// notices tells what the webhook was told, and implements api.Notices.
type notices struct{ webhook.Told }

// About implements api.Notices.
func (n notices) About(ctx context.Context, documents []domain.DocumentID) ([]api.Notice, error) {
	deliveries, err := n.Told.About(ctx, documents)
	all := make([]api.Notice, 0, len(deliveries))
	for _, d := range deliveries {
		all = append(all, api.Notice{Event: d.Event, Document: d.Document, State: string(d.State), Changed: d.Changed})
	}
	return all, err
}

// webhooks is the desk of the webhook, and implements api.Webhooks.
type webhooks struct{ webhook.Desk }

// List implements api.Webhooks.
func (w webhooks) List(ctx context.Context) ([]api.WebhookState, error) {
	all, err := w.Receivers(ctx)
	states := make([]api.WebhookState, 0, len(all))
	for _, r := range all {
		states = append(states, api.WebhookState{
			ID: r.ID, Host: r.Host, Disabled: r.Disabled, Resume: r.Resume, Pending: r.Pending, Failed: r.Failed, Oldest: r.Oldest,
			Secrets: r.Secrets, Asked: r.Asked, Followed: r.Followed, Refused: r.Refused,
		})
	}
	return states, err
}

// reactorDesk is the desk of the reactors, and implements api.Reactors.
type reactorDesk struct {
	reactors.Desk
	log *eventstore.Log
}

// List implements api.Reactors.
func (d reactorDesk) List(ctx context.Context) ([]api.ReactorState, error) {
	all, err := d.Reactors(ctx)
	if err != nil {
		return nil, err
	}
	head, err := d.log.Head(ctx)
	if err != nil {
		return nil, err
	}
	last, err := d.log.Leaves().Leaf(ctx, head)
	if err != nil {
		return nil, err
	}
	states := make([]api.ReactorState, 0, len(all))
	for _, r := range all {
		passed, err := d.log.Leaves().Leaf(ctx, r.Passed)
		if err != nil {
			return nil, err
		}
		states = append(states, api.ReactorState{
			Name: r.Name, Parts: r.Parts, Behind: max(0, last-passed), Moved: r.Moved, Paused: r.Paused, SetAside: r.SetAside,
		})
	}
	return states, nil
}

// SetAside implements api.Reactors.
func (d reactorDesk) SetAside(ctx context.Context, limit int) ([]api.Poison, error) {
	all, err := d.Poisoned(ctx, "", limit)
	answer := make([]api.Poison, 0, len(all))
	for _, p := range all {
		answer = append(answer, poisonOf(p))
	}
	return answer, err
}

// Poison implements api.Reactors.
func (d reactorDesk) Poison(ctx context.Context, reactor string, leaf int64) (api.Poison, error) {
	p, err := d.Desk.SetAside(ctx, reactor, leaf)
	return poisonOf(p), err
}

func poisonOf(p reactors.Poison) api.Poison {
	return api.Poison{Reactor: p.Reactor, Leaf: p.Leaf, Event: p.Event, Type: p.Type, Reason: p.Reason, Attempts: p.Attempts, Tried: p.At}
}

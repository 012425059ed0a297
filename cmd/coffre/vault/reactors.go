package vault

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"coffre/domain"
	"coffre/eventstore"
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

// react does what follows from events until ctx ends: what a death ends, and the
// operator's webhook when one is configured.
func react(ctx context.Context, db *reactors.DB, o Options, hook *webhook.Webhook, log *eventstore.Log, core *api.Vault, runner *projections.Runner) error {
	all := []reactors.Reactor{endsOf(log, core, runner).Reactor()}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var sending sync.WaitGroup
	defer sending.Wait()
	if hook != nil {
		all = append(all, hook.Reactor())
		sending.Go(func() {
			if err := hook.Run(ctx); err != nil && ctx.Err() == nil {
				o.Logger.Error("the webhook stopped", "err", err)
				stop()
			}
		})
	}
	router, err := reactors.NewRouter(reactors.RouterOptions{DB: db, Log: log, Reactors: all, Logger: o.Logger})
	if err != nil {
		stop()
		return err
	}
	defer stop() // before the wait
	return router.Run(ctx)
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

func (w *WebhookOptions) open(ctx context.Context, db *reactors.DB, log *eventstore.Log, logger *slog.Logger) (*webhook.Webhook, error) {
	endpoint, err := webhook.ParseEndpoint(w.URL, webhook.Policy{Dev: w.Dev})
	if err != nil {
		return nil, err
	}
	return webhook.New(ctx, webhook.Options{DB: db, Log: log, Endpoint: endpoint, Secrets: w.Secrets, ReadSecrets: w.Read, Logger: logger})
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

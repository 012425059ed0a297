package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/eventstore"
	"coffre/eventstore/seal"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections/signals"
)

// Subscriptions is the port to the webhooks of organisations, whichever process sends. Its methods
// may be called concurrently; for an id that is none they return a refusal of the code not-found.
type Subscriptions interface {
	// Of returns the webhooks of an organisation in a role, oldest first; all when it is "".
	Of(ctx context.Context, role domain.Role, o domain.Organisation) ([]Subscription, error)
	// Check refuses an address that nothing is sent to, and a receiver that does not say that it
	// wants to be told.
	Check(ctx context.Context, url string) error
	// Add has a webhook be told what follows a leaf, and returns the key that its receiver verifies
	// with; "" when the id is there already.
	Add(ctx context.Context, s Subscription, url string, leaf int64) (key string, err error)
	Enable(ctx context.Context, id uuid.UUID) error
	Remove(ctx context.Context, id uuid.UUID) error
	// Rotate returns the new key, or "" when it finishes a rotation.
	Rotate(ctx context.Context, id uuid.UUID, finish bool) (key string, err error)
	// Replay returns how many deliveries are sent again; -1 where they are queued anew.
	Replay(ctx context.Context, id uuid.UUID, r SubscriptionReplay) (int64, error)
	// Deliveries returns at most limit deliveries behind a leaf.
	Deliveries(ctx context.Context, id uuid.UUID, after int64, limit int) ([]SubscriptionDelivery, error)
}

// Subscription is a webhook of an organisation.
type Subscription struct {
	ID              uuid.UUID
	Role            domain.Role
	Organisation    domain.Organisation
	Host            string
	Signature       string // "hmac" or "ed25519"
	Keys            []string
	Filter          SubscriptionFilter
	Gone            time.Time // when the receiver answered 410; zero: it did not
	Resume          time.Time // nothing is sent before; zero: no such wish
	Created         time.Time
	Pending, Failed int64
}

// SubscriptionFilter narrows what a webhook is told; an empty list is all.
type SubscriptionFilter struct {
	Types         []contract.SignalType
	DocumentTypes []domain.DocumentType
	Sources       []domain.Organisation
	CitizenRef    *domain.CitizenRef
}

// SubscriptionReplay selects what is sent again: one of its members, or all that failed.
type SubscriptionReplay struct {
	Event       *uuid.UUID
	From, Until *time.Time
	After       *int64 // the leaf behind which everything is sent again
}

// SubscriptionDelivery is what became of one event.
type SubscriptionDelivery struct {
	Leaf             int64
	Event            uuid.UUID
	State, Reason    string
	Attempts, Status int
	Next             time.Time
	Created, Changed time.Time
}

// SubscriptionSignal is a fact as a webhook is told of it.
type SubscriptionSignal struct {
	Leaf  int64
	Event uuid.UUID
	Body  []byte
}

// SignalsFor returns what the organisation of a webhook may hear today of the next limit signals
// behind a leaf that its filter admits, and the leaf of the last one that was looked at. It judges
// as [Vault.ListSignals] does (rule A-12).
func (v *Vault) SignalsFor(ctx context.Context, s Subscription, after int64, limit int) (told []SubscriptionSignal, last int64, err error) {
	in := acting.Intent{Actor: domain.Actor{Role: s.Role, Organisation: s.Organisation}, At: v.Timestamp(), Words: v.Words.Current()}
	f := signals.Filter{Types: s.Filter.DocumentTypes, Issuers: s.Filter.Sources}
	for _, t := range s.Filter.Types {
		f.What = append(f.What, signalTypes[t])
	}
	all, last, err := v.audibleSignals(ctx, in, f, after, limit)
	if err != nil || len(all) == 0 {
		return nil, last, err
	}
	if s.Filter.CitizenRef != nil {
		lives, err := v.livesOfRef(ctx, s.Organisation, *s.Filter.CitizenRef)
		if err != nil {
			return nil, after, err
		}
		all = slices.DeleteFunc(all, func(one signals.Signal) bool { return !slices.Contains(lives, one.Citizen) })
	}
	for _, one := range all {
		body, err := json.Marshal(signalItem(one))
		if err != nil {
			return nil, after, fmt.Errorf("encode an event: %w", err)
		}
		told = append(told, SubscriptionSignal{one.Leaf, one.Event, body})
	}
	return told, last, nil
}

// CheckSignalFilter refuses a filter with a type of event, or a word, that nothing has.
func (v *Vault) CheckSignalFilter(f SubscriptionFilter) error {
	_, err := signalFilter(acting.Intent{Words: v.Words.Current()}, f.Types, f.DocumentTypes, f.Sources)
	return err
}

// livesOfRef returns all ids of the citizen whom an organisation names by its reference; none once
// the citizen is erased, whose reference means nobody.
func (v *Vault) livesOfRef(ctx context.Context, o domain.Organisation, ref domain.CitizenRef) ([]domain.CitizenID, error) {
	id, err := v.Keys.ByRef(ctx, o, ref)
	switch {
	case isUnknown(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	p, err := v.LoadPerson(ctx, id)
	return p.Lives, err
}

// isUnknown reports whether an error of the key ring says that nobody is known by what was asked.
func isUnknown(err error) bool {
	return errors.Is(err, seal.ErrUnknown) || errors.Is(err, eventstore.ErrErased)
}

// RecordGone records that a webhook ended because its receiver answered 410 to an event, once for
// each event.
func (v *Vault) RecordGone(ctx context.Context, subscription, event uuid.UUID) error {
	at := v.Timestamp()
	w := v.SystemWrite(acting.AuditStream(at))
	w.ID, w.Settle = func(int) uuid.UUID { return uuid.NewSHA1(subscription, event[:]) }, true
	if _, err := acting.Audits.Transact(ctx, v.Log, w, audit.Operate{Act: audit.EndSubscription, On: subscription.String(), At: at}); err != nil {
		return fmt.Errorf("record the end of a webhook: %w", err)
	}
	return nil
}

// subscriptionsOf returns the webhooks that the caller sees: an organisation its own, an operator
// all.
func (v *Vault) subscriptionsOf(ctx context.Context, a domain.Actor) ([]Subscription, error) {
	if v.Subscriptions == nil {
		return nil, nil
	}
	if a.Role == domain.RoleOperator {
		return v.Subscriptions.Of(ctx, "", "")
	}
	return v.Subscriptions.Of(ctx, a.Role, a.Organisation)
}

// subscription returns one of the webhooks that the caller sees.
func (v *Vault) subscription(ctx context.Context, a domain.Actor, id uuid.UUID) (Subscription, error) {
	all, err := v.subscriptionsOf(ctx, a)
	if err != nil {
		return Subscription{}, err
	}
	i := slices.IndexFunc(all, func(s Subscription) bool { return s.ID == id })
	if i < 0 {
		return Subscription{}, edge.ErrNoResource
	}
	return all[i], nil
}

// subscriptionShown returns a webhook as an answer shows it, as it is now.
func (v *Vault) subscriptionShown(ctx context.Context, id uuid.UUID, key string) (contract.WebhookSubscription, error) {
	s, err := v.subscription(ctx, v.NewIntent(ctx).Actor, id)
	if err != nil {
		return contract.WebhookSubscription{}, err
	}
	item := subscriptionItem(s)
	item.Key = key
	return item, nil
}

func subscriptionItem(s Subscription) contract.WebhookSubscription {
	item := contract.WebhookSubscription{
		Href: subscriptionsPath, WebhookSubscriptionID: s.ID, Organization: s.Organisation, Host: s.Host, State: contract.WebhookSubscriptionStateEnabled,
		Signature: contract.WebhookSignature(s.Signature), Keys: s.Keys, Types: s.Filter.Types, DocumentTypes: s.Filter.DocumentTypes, Sources: s.Filter.Sources,
		GoneAt: s.Gone, ResumeAt: s.Resume, Pending: s.Pending, Failed: s.Failed, CreatedAt: s.Created,
	}
	if s.Filter.CitizenRef != nil {
		item.CitizenRef = *s.Filter.CitizenRef
	}
	if !s.Gone.IsZero() {
		item.State = contract.WebhookSubscriptionStateGone
	}
	return item
}

const subscriptionsPath = contract.Base + "/webhookSubscriptions"

// ListWebhookSubscriptions implements GET /webhookSubscriptions.
func (v *Vault) ListWebhookSubscriptions(ctx context.Context, _ contract.ListWebhookSubscriptionsRequestObject) (contract.ListWebhookSubscriptionsResponseObject, error) {
	answer := contract.ListWebhookSubscriptions200JSONResponse{Self: subscriptionsPath, Items: []contract.WebhookSubscription{}}
	all, err := v.subscriptionsOf(ctx, v.NewIntent(ctx).Actor)
	for _, s := range all {
		answer.Items = append(answer.Items, subscriptionItem(s))
	}
	return answer, err
}

// operateSubscription does an act on one of the caller's webhooks, once for a key, and records it
// before.
func operateSubscription[R any](ctx context.Context, v *Vault, key, id uuid.UUID, act audit.Act, do func(context.Context, acting.Intent) (R, error)) (R, error) {
	return acting.Once(ctx, v.Recorder, key, func(ctx context.Context, in acting.Intent) (result R, err error) {
		if _, err := v.subscription(ctx, in.Actor, id); err != nil {
			return result, err
		}
		if act != audit.RemoveSubscription {
			if err := v.Take(ctx, in.Call, &acting.WebhookActs, acting.Room{ID: in.ID(0)}); err != nil {
				return result, err
			}
			defer func() { v.FreeIfRefused(&acting.WebhookActs, in.ID(0), err) }()
		}
		if err := v.recordAct(ctx, in, audit.Operate{Act: act, On: id.String()}); err != nil {
			return result, err
		}
		return do(ctx, in)
	})
}

type none struct{}

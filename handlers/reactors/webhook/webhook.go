// Package webhook tells one operator-configured URL that documents changed: a
// signed POST (Standard Webhooks 1.0) of a thin CloudEvents 1.0 body, ids only, so
// that whoever wants to know more asks the vault and is recorded.
//
// Every notice is a row before it is sent and is tried over three days on a schedule
// that survives restarts. A notice that waits for its next try holds up no other.
// Consumers meet repetitions (same webhook-id) and, after failures, a wrong order:
// data.change counts a document's changes and tells what is newest.
//
// Invariant: nothing leaves but document id, version, state and ids of events; it
// leaves only to an address the operator allowed, and never follows a redirect.
package webhook

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/spans"
	"coffre/handlers/reactors"
)

const schema = `
CREATE TABLE IF NOT EXISTS webhook_deliveries (
	event      BLOB    NOT NULL PRIMARY KEY,
	document   BLOB    NOT NULL,
	change     INTEGER NOT NULL, -- counts the document's changes from 1
	body       BLOB    NOT NULL,
	state      TEXT    NOT NULL, -- pending, delivered, failed
	attempts   INTEGER NOT NULL,
	next_at    INTEGER NOT NULL, -- microseconds since 1970, as all times here
	reason     TEXT    NOT NULL, -- of the last failure: a class
	created_at INTEGER NOT NULL,
	changed_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS webhook_due ON webhook_deliveries (next_at) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS webhook_of_document ON webhook_deliveries (document, change) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS webhook_by_state ON webhook_deliveries (state, changed_at);

CREATE TABLE IF NOT EXISTS webhook_endpoints (
	url         BLOB    NOT NULL PRIMARY KEY, -- SHA-256 of the URL, which may hold a token
	disabled_at INTEGER NOT NULL,             -- 0: not disabled
	resume_at   INTEGER NOT NULL              -- nothing is sent before; from Retry-After
) STRICT;
`

// Webhook is the reactor that makes a delivery of each notice, and the sender of
// deliveries. Its methods may be called concurrently; Run runs once at a time.
type Webhook struct {
	o        Options
	client   *http.Client
	endpoint []byte        // key of its row
	wake     chan struct{} // holds one token when there may be something to send

	mu      sync.Mutex
	secrets []Secret // that sign
	signers []*standardwebhooks.Webhook
}

// Options of a Webhook. DB, Log, Endpoint and Secrets are required.
type Options struct {
	DB       *reactors.DB
	Log      *eventstore.Log
	Endpoint Endpoint
	// Secrets sign every delivery. Two while one replaces the other: consumers accept
	// a delivery when one signature fits.
	Secrets []Secret
	// ReadSecrets returns the secrets as they are now, when an operator says that they were
	// replaced. nil: they stay.
	ReadSecrets func() ([]Secret, error)
	// Source is the CloudEvents source, an absolute URI of this vault; default
	// "urn:coffre:vault".
	Source string
	// Roots are the certificate authorities trusted for the endpoint; nil means the system's.
	Roots  *x509.CertPool
	Logger *slog.Logger  // default slog.Default()
	Tracer *spans.Tracer // records deliveries; nil: nobody
	// LookEvery bounds the time until the sender reads what operators asked for in another
	// process; default a minute.
	LookEvery time.Duration
	// Jitter returns a number in [0, 1); default math/rand.
	Jitter func() float64
	// Transport replaces the guarded one, for tests in virtual time.
	Transport http.RoundTripper
}

// New creates missing tables and returns a Webhook. It sends nothing until Run.
func New(ctx context.Context, o Options) (*Webhook, error) {
	if o.Endpoint.url == nil || len(o.Secrets) == 0 {
		return nil, errors.New("webhook: an endpoint and a secret are required")
	}
	if o.Source == "" {
		o.Source = "urn:coffre:vault"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.LookEvery <= 0 {
		o.LookEvery = lookEvery
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	client := o.Endpoint.Client(tryTimeout, o.Roots)
	if o.Transport != nil {
		client.Transport = o.Transport
	}
	if err := o.DB.Ensure(ctx, schema+receivers); err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	sum := sha256.Sum256([]byte(o.Endpoint.url.String()))
	w := &Webhook{
		o: o, endpoint: sum[:], wake: o.DB.Signal(signalName),
		client: client,
	}
	if err := w.signWith(o.Secrets); err != nil {
		return nil, err
	}
	now := time.Now().UnixMicro()
	err := o.DB.Write(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, tx.Rebind(`INSERT INTO webhook_endpoints (url, disabled_at, resume_at) VALUES (?, 0, 0) ON CONFLICT DO NOTHING`), w.endpoint); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, tx.Rebind(`
			INSERT INTO webhook_receivers (url, host, secrets, asked, followed, refused, started_at) VALUES (?, ?, ?, 0, 0, 0, ?)
			ON CONFLICT (url) DO UPDATE SET host = excluded.host, started_at = excluded.started_at`),
			w.endpoint, o.Endpoint.String(), w.fingerprints(), now)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	status, err := w.Status(ctx)
	if err != nil {
		return nil, err
	}
	if !status.Disabled.IsZero() {
		o.Logger.Error("the webhook is disabled: the consumer answered 410; `coffre webhooks enable` lets deliveries go again",
			"endpoint", o.Endpoint.String(), "since", status.Disabled, "pending", status.Pending)
	}
	return w, nil
}

// signWith has these secrets sign from now on.
func (w *Webhook) signWith(secrets []Secret) error {
	var signers []*standardwebhooks.Webhook
	for _, s := range secrets {
		signer, err := standardwebhooks.NewWebhookRaw(s.key)
		if err != nil {
			return errors.New("webhook: the secret is not usable")
		}
		signers = append(signers, signer)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.secrets, w.signers = secrets, signers
	return nil
}

// Reactor returns the reactor for a Router: it stores a delivery for every change of a
// document from now on, and [Webhook.Run] sends them.
func (w *Webhook) Reactor() reactors.Reactor {
	return reactors.Reactor{Name: "webhook", Topics: []string{"document"}, From: reactors.FromNow, Handle: w.enqueue}
}

func (w *Webhook) enqueue(ctx context.Context, n reactors.Notice) (reactors.Effect, error) {
	body, document, change, err := w.body(ctx, n)
	if err != nil || body == nil {
		return reactors.Effect{}, err
	}
	return reactors.Effect{
		Store: func(ctx context.Context, tx *sqlx.Tx) error {
			return insert(ctx, tx, n.ID, document, change, body)
		},
		OnStored: w.signal,
	}, nil
}

// insert stores a delivery, once for each event.
func insert(ctx context.Context, tx *sqlx.Tx, event, document uuid.UUID, change int64, body []byte) error {
	now := time.Now().UnixMicro()
	_, err := tx.ExecContext(ctx, tx.Rebind(`
		INSERT INTO webhook_deliveries (event, document, change, body, state, attempts, next_at, reason, created_at, changed_at)
		VALUES (?, ?, ?, ?, 'pending', 0, ?, '', ?, ?) ON CONFLICT DO NOTHING`),
		event[:], document[:], change, body, now, now, now)
	return err
}

func (w *Webhook) signal() { wake(w.o.DB) }

// State is the state of a delivery.
type State string

const (
	Pending   State = "pending"   // waits for its next try
	Delivered State = "delivered" // the consumer answered 2xx
	Failed    State = "failed"    // every try of the schedule failed
)

// Delivery is one notice to the endpoint, with the state of its sending.
type Delivery struct {
	Event    uuid.UUID
	Document domain.DocumentID
	State    State
	Attempts int
	Next     time.Time // the next try, when pending
	Reason   string    // why the last try failed, a class; empty when none did
	Changed  time.Time
}

// Deliveries returns at most limit deliveries in that state, oldest change first.
func (w *Webhook) Deliveries(ctx context.Context, s State, limit int) ([]Delivery, error) {
	return listDeliveries(ctx, w.o.DB, `state = ? ORDER BY changed_at LIMIT ?`, s, limit)
}

// listDeliveries returns the deliveries that a condition with its order selects.
func listDeliveries(ctx context.Context, db *reactors.DB, which string, args ...any) ([]Delivery, error) {
	var rows []struct {
		Event, Document []byte
		State           State
		Attempts        int
		Next            int64 `db:"next_at"`
		Reason          string
		Changed         int64 `db:"changed_at"`
	}
	err := db.Reader().SelectContext(ctx, &rows, db.Reader().Rebind(`
		SELECT event, document, state, attempts, next_at, reason, changed_at FROM webhook_deliveries WHERE `+which), args...)
	if err != nil {
		return nil, fmt.Errorf("list deliveries: %w", err)
	}
	all := make([]Delivery, len(rows))
	for i, r := range rows {
		event, err1 := uuid.FromBytes(r.Event)
		document, err2 := uuid.FromBytes(r.Document)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("list deliveries: %w", err)
		}
		all[i] = Delivery{event, domain.DocumentID{UUID: document}, r.State, r.Attempts, time.UnixMicro(r.Next).UTC(), r.Reason, time.UnixMicro(r.Changed).UTC()}
	}
	return all, nil
}

// Told tells what a webhook was told, also in a process in which no webhook runs. Make it
// with NewTold; it may be used concurrently.
type Told struct{ db *reactors.DB }

// NewTold creates missing tables and returns what tells of the deliveries in db.
func NewTold(ctx context.Context, db *reactors.DB) (Told, error) {
	if err := db.Ensure(ctx, schema); err != nil {
		return Told{}, fmt.Errorf("webhook: %w", err)
	}
	return Told{db}, nil
}

// About returns the deliveries about documents, those of one document in the order in which
// they were made. What was delivered is forgotten after 30 days.
func (t Told) About(ctx context.Context, documents []domain.DocumentID) ([]Delivery, error) {
	var all []Delivery
	for _, d := range documents {
		one, err := listDeliveries(ctx, t.db, `document = ? ORDER BY created_at, change`, d.UUID[:])
		if err != nil {
			return nil, err
		}
		all = append(all, one...)
	}
	return all, nil
}

// errNoDelivery refuses the replay of an event that has no failed or pending delivery.
var errNoDelivery = domain.NewError(domain.NotFound, "noSuchDelivery", "that event has no delivery that could be tried again")

// Replay starts the schedule of one failed or waiting delivery again, now. The
// consumer meets the same webhook-id.
func (w *Webhook) Replay(ctx context.Context, event uuid.UUID) error {
	n, err := w.restart(ctx, `event = ? AND state IN ('failed', 'pending')`, event[:])
	if err == nil && n == 0 {
		return errNoDelivery
	}
	return err
}

// ReplayFailed starts every failed delivery again and returns how many there were.
func (w *Webhook) ReplayFailed(ctx context.Context) (int64, error) {
	return w.restart(ctx, `state = ?`, Failed)
}

func (w *Webhook) restart(ctx context.Context, which string, arg any) (n int64, err error) {
	if n, err = restart(ctx, w.o.DB, which, arg); err == nil {
		w.signal()
	}
	return n, err
}

// restart starts the schedule of the deliveries that a condition selects again, now.
func restart(ctx context.Context, db *reactors.DB, which string, arg any) (n int64, err error) {
	err = db.Write(ctx, func(tx *sqlx.Tx) error {
		now := time.Now().UnixMicro()
		done, err := tx.ExecContext(ctx, tx.Rebind(`
			UPDATE webhook_deliveries SET state = 'pending', attempts = 0, next_at = ?, changed_at = ? WHERE `+which), now, now, arg)
		if err != nil {
			return err
		}
		n, err = done.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("replay deliveries: %w", err)
	}
	return n, nil
}

// Status is the state of the endpoint, for status pages and metrics.
type Status struct {
	Disabled time.Time // since when, after the consumer answered 410; zero: it is not
	Resume   time.Time // nothing is sent before, as the consumer asked; zero: no such wish
	Pending  int64
	Failed   int64
	Oldest   time.Time // when the oldest pending notice was made; zero when none is
}

// Status returns how the endpoint does.
func (w *Webhook) Status(ctx context.Context) (Status, error) {
	return statusOf(ctx, w.o.DB, w.endpoint)
}

// statusOf returns how the endpoint does that has a row under the key.
func statusOf(ctx context.Context, db *reactors.DB, endpoint []byte) (Status, error) {
	var row struct {
		Disabled int64 `db:"disabled_at"`
		Resume   int64 `db:"resume_at"`
		Pending  int64
		Failed   int64
		Oldest   int64
	}
	err := db.Reader().GetContext(ctx, &row, db.Reader().Rebind(`
		SELECT disabled_at, resume_at,
			(SELECT count(*) FROM webhook_deliveries WHERE state = 'pending') AS pending,
			(SELECT count(*) FROM webhook_deliveries WHERE state = 'failed') AS failed,
			(SELECT coalesce(min(created_at), 0) FROM webhook_deliveries WHERE state = 'pending') AS oldest
		FROM webhook_endpoints WHERE url = ?`), endpoint)
	if err != nil {
		return Status{}, fmt.Errorf("status of the webhook: %w", err)
	}
	return Status{timeFromMicros(row.Disabled), timeFromMicros(row.Resume), row.Pending, row.Failed, timeFromMicros(row.Oldest)}, nil
}

// timeFromMicros converts a time of the tables; 0 is the zero time.
func timeFromMicros(micro int64) time.Time {
	if micro == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micro).UTC()
}

// Enable lets deliveries go again to an endpoint that answered 410. Deliveries that waited
// meanwhile are due.
func (w *Webhook) Enable(ctx context.Context) error {
	if err := w.updateEndpoint(ctx, `disabled_at = 0, resume_at = ?`, 0); err != nil {
		return err
	}
	w.o.Logger.Info("webhook enabled", "endpoint", w.o.Endpoint.String())
	w.signal()
	return nil
}

// updateEndpoint changes the endpoint's row.
func (w *Webhook) updateEndpoint(ctx context.Context, set string, value int64) error {
	err := w.o.DB.Write(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, tx.Rebind(`UPDATE webhook_endpoints SET `+set+` WHERE url = ?`), value, w.endpoint)
		return err
	})
	if err != nil {
		return fmt.Errorf("change the endpoint: %w", err)
	}
	return nil
}

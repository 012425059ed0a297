package webhook

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"coffre/domain"
	"coffre/eventstore/spans"
	"coffre/handlers/reactors"
)

const (
	// queueEvery is how often the sender looks, when nothing woke it.
	queueEvery = time.Second
	// queuePage is how many signals are queued in one transaction, queuePages how many times a
	// subscription gets that at one look, and maxQueued how many of its deliveries may wait: what
	// lies behind stays in the read model of signals.
	queuePage, queuePages, maxQueued = 100, 10, 10_000
	// maxTries bounds the tries that are on the wire at once, each of another subscription. It is
	// above what a dozen organisations can have in both roles, so that slow ones hold up nobody.
	maxTries = 512
	// maxHandshake bounds the bytes that are read of the answer to a handshake.
	maxHandshake = 4 << 10
)

// Signal is a fact that an organisation may hear of.
type Signal struct {
	Leaf  int64
	Event uuid.UUID
	Body  []byte // the CloudEvent, JSON
}

// SenderOptions of a Sender. Book and the functions are required.
type SenderOptions struct {
	Book   *Book
	Policy Policy
	// Next returns what the organisation of a subscription may hear today of the next limit signals
	// behind a leaf that its filter admits, and the leaf of the last one that was looked at.
	Next func(ctx context.Context, s Subscription, after int64, limit int) (told []Signal, last int64, err error)
	// Ended records that the receiver of a subscription answered 410 to an event, once for
	// each event.
	Ended func(ctx context.Context, s Subscription, event uuid.UUID) error

	// LookEvery bounds the time until the sender sees a new signal, and a try whose time has come;
	// default a second.
	LookEvery time.Duration
	Roots     *x509.CertPool // trusted for receivers; nil: the system's
	Logger    *slog.Logger   // default slog.Default()
	Tracer    *spans.Tracer  // records deliveries; nil: nobody
	Jitter    func() float64 // returns a number in [0, 1); default math/rand
	Transport http.RoundTripper
}

// Sender makes deliveries of signals, and sends those that are due. Run runs once at a time, in
// one process.
type Sender struct {
	o       SenderOptions
	db      *reactors.DB
	clients map[uuid.UUID]*client // of Run alone
}

// client is the connections to one receiver.
type client struct {
	url  string
	to   Endpoint
	http *http.Client
}

// NewSender returns a Sender. It sends nothing until Run.
func NewSender(o SenderOptions) *Sender {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.LookEvery <= 0 {
		o.LookEvery = queueEvery
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	return &Sender{o: o, db: o.Book.db, clients: map[uuid.UUID]*client{}}
}

// Run queues and sends until ctx ends. A try that ctx cuts short does not count: the next Run makes
// it again, with the same webhook-id. A receiver that is slow holds up no other.
func (s *Sender) Run(ctx context.Context) error {
	r := &round{Sender: s, busy: map[uuid.UUID]bool{}, tried: map[uuid.UUID]time.Time{}, done: make(chan uuid.UUID)}
	var pruned time.Time
	ticker := time.NewTicker(s.o.LookEvery)
	defer ticker.Stop()
	r.look(ctx)
	for ctx.Err() == nil {
		if now := time.Now(); now.Sub(pruned) >= pruneEvery {
			pruned = now
			s.prune(ctx, now)
		}
		select {
		case <-ctx.Done():
		case id := <-r.done:
			full := len(r.busy) == maxTries
			delete(r.busy, id)
			r.again(ctx, id)
			if full {
				r.look(ctx)
			}
		case <-s.db.Signal(subscriptionSignal):
			r.look(ctx)
		case <-ticker.C:
			r.look(ctx)
		}
	}
	for range r.busy {
		<-r.done
	}
	return nil
}

// round is what one Run has under way.
type round struct {
	*Sender
	busy  map[uuid.UUID]bool
	tried map[uuid.UUID]time.Time // the last try, so that who waits longest is next
	done  chan uuid.UUID
}

// look queues what follows, and begins a try of every subscription that has one due.
func (r *round) look(ctx context.Context) {
	all, err := r.o.Book.enabled(ctx)
	if err != nil {
		if ctx.Err() == nil {
			r.o.Logger.Warn("the sender of webhooks cannot read them")
		}
		return
	}
	slices.SortStableFunc(all, func(a, b Subscription) int { return r.tried[a.ID].Compare(r.tried[b.ID]) })
	for _, one := range all {
		if err := r.queue(ctx, one); err != nil && ctx.Err() == nil {
			r.o.Logger.Warn("a webhook cannot see what to send", "webhook", one.ID.String())
		}
		r.begin(ctx, one)
	}
	r.forget(all)
	maps.DeleteFunc(r.tried, func(id uuid.UUID, _ time.Time) bool {
		return !slices.ContainsFunc(all, func(s Subscription) bool { return s.ID == id })
	})
}

// again begins the next try of a subscription, behind one that ended.
func (r *round) again(ctx context.Context, id uuid.UUID) {
	all, err := r.o.Book.read(ctx, `0 AS pending, 0 AS failed`, `state = 'enabled' AND id = ?`, id[:])
	if err == nil && len(all) == 1 { // else the next look says so
		r.begin(ctx, all[0])
	}
}

// begin begins a try of a subscription that has one due and none under way.
func (r *round) begin(ctx context.Context, one Subscription) {
	now := time.Now()
	if r.busy[one.ID] || len(r.busy) == maxTries || one.Resume.After(now) {
		return
	}
	d, due, err := r.due(ctx, one.ID, now)
	if err != nil || !due {
		return
	}
	c, err := r.client(one)
	r.busy[one.ID], r.tried[one.ID] = true, now
	go func() {
		r.try(ctx, one, c, d, err)
		r.done <- one.ID
	}()
}

// queue makes deliveries of what follows, and moves the subscription's leaf with them.
func (s *Sender) queue(ctx context.Context, one Subscription) error {
	var waiting int
	if err := s.db.Reader().GetContext(ctx, &waiting, s.db.Reader().Rebind(`SELECT count(*) FROM signal_deliveries WHERE subscription = ? AND state = 'pending'`), one.ID[:]); err != nil {
		return err
	}
	for range queuePages {
		if waiting >= maxQueued {
			return nil
		}
		told, last, err := s.o.Next(ctx, one, one.leaf, queuePage)
		if err != nil || last == one.leaf {
			return err
		}
		moved, err := s.deliver(ctx, one, told, last)
		if err != nil || !moved {
			return err // a replay was faster, or it ended
		}
		waiting, one.leaf = waiting+len(told), last
	}
	return nil
}

// deliver makes deliveries of signals, unless the subscription is no longer where one says.
func (s *Sender) deliver(ctx context.Context, one Subscription, told []Signal, last int64) (moved bool, err error) {
	now := time.Now().UnixMicro()
	err = s.db.Write(ctx, func(tx *sqlx.Tx) error {
		done, err := tx.ExecContext(ctx, tx.Rebind(`UPDATE webhook_subscriptions SET leaf = ? WHERE id = ? AND leaf = ? AND state = 'enabled'`), last, one.ID[:], one.leaf)
		if err != nil {
			return err
		}
		n, err := done.RowsAffected()
		if moved = n == 1; err != nil || !moved {
			return err
		}
		for _, t := range told {
			if _, err := tx.ExecContext(ctx, tx.Rebind(`
				INSERT INTO signal_deliveries (subscription, leaf, event, state, attempts, status, reason, next_at, created_at, changed_at)
				VALUES (?, ?, ?, 'pending', 0, 0, '', ?, ?, ?) ON CONFLICT DO NOTHING`), one.ID[:], t.Leaf, t.Event[:], now, now, now); err != nil {
				return err
			}
		}
		return nil
	})
	return moved, err
}

// dueSignal is a delivery whose time has come.
type dueSignal struct {
	Leaf     int64
	Event    []byte
	Attempts int
}

func (s *Sender) due(ctx context.Context, id uuid.UUID, now time.Time) (d dueSignal, due bool, err error) {
	var all []dueSignal
	err = s.db.Reader().SelectContext(ctx, &all, s.db.Reader().Rebind(`
		SELECT leaf, event, attempts FROM signal_deliveries WHERE subscription = ? AND state = 'pending' AND next_at <= ? ORDER BY leaf LIMIT 1`), id[:], now.UnixMicro())
	if err != nil || len(all) == 0 {
		return d, false, err
	}
	return all[0], true, nil
}

// client returns the connections to a receiver; its address is judged anew when they are made, and
// every connection is judged when it is opened.
func (s *Sender) client(one Subscription) (*client, error) {
	if c := s.clients[one.ID]; c != nil && c.url == one.box.URL {
		return c, nil
	}
	to, err := ParseEndpoint(one.box.URL, s.o.Policy)
	if err != nil {
		return nil, err
	}
	c := &client{url: one.box.URL, to: to, http: to.Client(tryTimeout, s.o.Roots)}
	if s.o.Transport != nil {
		c.http.Transport = s.o.Transport
	}
	s.clients[one.ID] = c
	return c, nil
}

// forget closes the connections to receivers that are sent nothing any more.
func (s *Sender) forget(all []Subscription) {
	if len(s.clients) <= len(all) {
		return
	}
	still := map[uuid.UUID]bool{}
	for _, one := range all {
		still[one.ID] = true
	}
	for id, c := range s.clients {
		if !still[id] {
			c.http.CloseIdleConnections()
			delete(s.clients, id)
		}
	}
}

// try makes one try and records its result. A crash between the two repeats the try.
func (s *Sender) try(ctx context.Context, one Subscription, c *client, d dueSignal, refused error) {
	now := time.Now()
	// Whether the organisation may still hear of it is judged anew at each try.
	told, _, err := s.o.Next(ctx, one, d.Leaf-1, 1)
	if err != nil { // nothing was sent; a later look makes this try again
		s.o.Logger.Warn("a webhook cannot see what to send", "webhook", one.ID.String())
		select {
		case <-time.After(recordRetryPause):
		case <-ctx.Done():
		}
		return
	}
	result, status := tryResult{reason: "withheld"}, 0
	withheld := len(told) != 1 || told[0].Leaf != d.Leaf
	switch {
	case withheld:
	case refused != nil:
		result.reason = "addressRefused"
	default:
		sending, span := s.o.Tracer.Event(ctx, "webhook.deliver", uuid.Nil)
		span.ID("coffre.event_id", told[0].Event)
		result, status = post(sending, one, c, told[0], now)
		span.End(nil)
	}
	if ctx.Err() != nil {
		return
	}
	for s.record(ctx, one, d, result, status, withheld) != nil {
		s.o.Logger.Warn("a delivery of a webhook cannot be recorded", "webhook", one.ID.String())
		select {
		case <-time.After(recordRetryPause):
		case <-ctx.Done():
			return
		}
	}
}

// post sends one event, and returns the status of the answer, 0 when none came.
func post(ctx context.Context, one Subscription, c *client, what Signal, now time.Time) (tryResult, int) {
	if len(what.Body) > maxBody {
		return tryResult{reason: "tooLarge"}, 0
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.to.url.String(), bytes.NewReader(what.Body))
	if err != nil {
		return tryResult{reason: "unsendable"}, 0
	}
	signed, err := one.signatures(what.Event.String(), now, what.Body)
	if err != nil {
		return tryResult{reason: "unsignable"}, 0
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", "coffre")
	req.Header.Set(standardwebhooks.HeaderWebhookID, what.Event.String())
	req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(standardwebhooks.HeaderWebhookSignature, signed)
	res, err := c.http.Do(req)
	if err != nil {
		return tryResult{reason: classify(err)}, 0
	}
	defer res.Body.Close()
	io.CopyN(io.Discard, res.Body, maxAnswer) // what it says does not matter
	return judge(res.StatusCode, res.Header, now), res.StatusCode
}

// record stores the result of a try and the time of the next one.
func (s *Sender) record(ctx context.Context, one Subscription, d dueSignal, a tryResult, status int, withheld bool) error {
	event := uuid.UUID(d.Event)
	if a.gone {
		if err := s.o.Ended(ctx, one, event); err != nil {
			return err
		}
	}
	now := time.Now()
	state, next, attempts := Delivered, now, d.Attempts+1
	switch {
	case withheld:
		state = Withheld
	case a.reason != "" && attempts < len(schedule):
		state = Pending
		wait := schedule[attempts]
		next = now.Add(wait + time.Duration(jitter*s.o.Jitter()*float64(wait)))
	case a.reason != "":
		state = Failed
	}
	resume := now.Add(a.holdOff)
	if state == Pending && next.Before(resume) {
		next = resume
	}
	err := s.db.Write(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, tx.Rebind(`
			UPDATE signal_deliveries SET state = ?, attempts = ?, status = ?, reason = ?, next_at = ?, changed_at = ? WHERE subscription = ? AND leaf = ?`),
			state, attempts, status, a.reason, next.UnixMicro(), now.UnixMicro(), one.ID[:], d.Leaf); err != nil {
			return err
		}
		switch {
		case a.gone:
			_, err := tx.ExecContext(ctx, tx.Rebind(`UPDATE webhook_subscriptions SET state = 'gone', ended_at = ? WHERE id = ? AND state = 'enabled'`), now.UnixMicro(), one.ID[:])
			return err
		case a.holdOff > 0:
			_, err := tx.ExecContext(ctx, tx.Rebind(`UPDATE webhook_subscriptions SET resume_at = ? WHERE id = ? AND resume_at < ?`), resume.UnixMicro(), one.ID[:], resume.UnixMicro())
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	switch {
	case a.gone:
		s.o.Logger.Error("a webhook ended: its receiver answered 410; `coffre webhooks enable` lets deliveries go again", "webhook", one.ID.String(), "receiver", one.Host)
	case state == Failed:
		s.o.Logger.Error("a delivery of a webhook failed for good", "webhook", one.ID.String(), "event", event.String(), "reason", a.reason, "attempts", attempts)
	case state == Pending:
		s.o.Logger.Warn("a delivery of a webhook failed", "webhook", one.ID.String(), "event", event.String(), "reason", a.reason, "attempts", attempts, "next", next.UTC())
	}
	return nil
}

// prune forgets deliveries that ended long ago.
func (s *Sender) prune(ctx context.Context, now time.Time) {
	err := s.db.Write(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, tx.Rebind(`DELETE FROM signal_deliveries WHERE state IN ('delivered', 'withheld') AND changed_at < ?`), now.Add(-keepDelivered).UnixMicro())
		return err
	})
	if err != nil && ctx.Err() == nil {
		s.o.Logger.Warn("old deliveries of webhooks cannot be forgotten")
	}
}

// ErrHandshake refuses a receiver that does not say that it wants to be told.
var ErrHandshake = domain.NewError(domain.Invalid, "webhookHandshake",
	"the receiver did not answer OPTIONS with 200 and WebHook-Allowed-Origin, as CloudEvents' web hooks ask (docs/webhooks.md)")

// Handshake asks a receiver whether this origin may send to it (CloudEvents, HTTP 1.1 Web Hooks
// 4.1): an OPTIONS request with the header WebHook-Request-Origin, which is answered with the same
// origin or * in WebHook-Allowed-Origin. Its error is ErrHandshake for whatever goes wrong out
// there, so that nobody learns from it what else listens where.
func Handshake(ctx context.Context, to Endpoint, roots *x509.CertPool, origin string) error {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodOptions, to.url.String(), nil)
	if err != nil {
		return fmt.Errorf("prepare the handshake: %w", ErrEndpoint)
	}
	req.Header.Set("User-Agent", "coffre")
	req.Header.Set("WebHook-Request-Origin", origin)
	c := to.Client(tryTimeout, roots)
	defer c.CloseIdleConnections()
	res, err := c.Do(req)
	switch {
	case errors.Is(err, errAddress):
		return ErrEndpointAddress
	case err != nil:
		return ErrHandshake
	}
	defer res.Body.Close()
	io.CopyN(io.Discard, res.Body, maxHandshake) // what it says does not matter
	allowed := res.Header.Get("WebHook-Allowed-Origin")
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusNoContent || allowed != origin && allowed != "*" {
		return ErrHandshake
	}
	return nil
}

package webhook

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"coffre/domain"
	"coffre/handlers/reactors"
)

// subscriptionTables hold what organisations asked to be told, and what became of it. Where a
// receiver is, and what signs for it, is sealed.
const subscriptionTables = `
CREATE TABLE IF NOT EXISTS webhook_subscriptions (
	id           BLOB    NOT NULL PRIMARY KEY,
	role         TEXT    NOT NULL,
	organisation TEXT    NOT NULL,
	host         TEXT    NOT NULL, -- scheme and host: they hold no token
	filter       TEXT    NOT NULL, -- JSON
	signature    TEXT    NOT NULL,
	sealed       BLOB    NOT NULL, -- the URL and one or two keys
	state        TEXT    NOT NULL, -- enabled, gone, removed
	ended_at     INTEGER NOT NULL, -- 0: never
	resume_at    INTEGER NOT NULL, -- nothing is sent before; from Retry-After
	leaf         INTEGER NOT NULL, -- of the last signal that has a delivery or wants none
	created_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS webhook_subscriptions_of ON webhook_subscriptions (role, organisation, created_at);

CREATE TABLE IF NOT EXISTS signal_deliveries (
	subscription BLOB    NOT NULL,
	leaf         INTEGER NOT NULL,
	event        BLOB    NOT NULL,
	state        TEXT    NOT NULL, -- pending, delivered, failed, withheld
	attempts     INTEGER NOT NULL,
	status       INTEGER NOT NULL, -- of the last answer; 0: none came
	reason       TEXT    NOT NULL, -- of the last failure: a class
	next_at      INTEGER NOT NULL,
	created_at   INTEGER NOT NULL,
	changed_at   INTEGER NOT NULL,
	PRIMARY KEY (subscription, leaf)
) STRICT;
CREATE INDEX IF NOT EXISTS signal_due ON signal_deliveries (subscription, next_at) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS signal_failed ON signal_deliveries (subscription) WHERE state = 'failed';
CREATE INDEX IF NOT EXISTS signal_changed ON signal_deliveries (changed_at);
`

// SubscriptionState is how a subscription does.
type SubscriptionState string

const (
	SubscriptionEnabled SubscriptionState = "enabled"
	SubscriptionGone    SubscriptionState = "gone" // the receiver answered 410
	removed             SubscriptionState = "removed"
)

// Signature is how deliveries are signed.
type Signature string

const (
	HMAC    Signature = "hmac"    // v1: HMAC-SHA256 under a secret that both sides hold
	Ed25519 Signature = "ed25519" // v1a: the receiver holds the public key alone
)

// Withheld is the state of a delivery that its organisation may not hear of any more.
const Withheld State = "withheld"

// Filter narrows what a subscription is told; an empty list is all.
type Filter struct {
	Types         []string
	DocumentTypes []domain.DocumentType
	Sources       []domain.Organisation
	CitizenRef    *domain.CitizenRef
}

// Subscription is one organisation's wish to be told, in one of its roles.
type Subscription struct {
	ID           uuid.UUID
	Role         domain.Role
	Organisation domain.Organisation
	Host         string
	Filter       Filter
	Signature    Signature
	Keys         []string // fingerprints of the secrets, or the public keys (whpk_…), newest first
	State        SubscriptionState
	Ended        time.Time // when the receiver answered 410; zero: it did not
	Resume       time.Time // nothing is sent before; zero: no such wish
	Created      time.Time

	Pending, Failed int64

	leaf int64
	box  box
}

// box is the part of a subscription that is sealed.
type box struct {
	URL  string   `json:"url"`
	Keys [][]byte `json:"keys"` // newest first; seeds for Ed25519
}

// Sealer seals and opens what a subscription keeps secret. Its methods may be called
// concurrently.
type Sealer interface {
	Seal(use string, plain []byte) []byte
	Open(use string, sealed []byte) ([]byte, error)
}

var (
	// ErrRotating refuses a second rotation before the first one ended, and ErrNotRotating the end
	// of one that did not begin.
	ErrRotating    = domain.NewError(domain.Conflict, "webhookRotating", "two keys sign already; end that rotation first")
	ErrNotRotating = domain.NewError(domain.Conflict, "webhookNotRotating", "one key signs, and no rotation is under way")
	// ErrTooMany refuses a subscription more than an organisation may have.
	ErrTooMany = domain.NewError(domain.Conflict, "webhooksTooMany", "an organisation has at most twenty webhooks; remove one")
)

// maxSubscriptions bounds the subscriptions of one organisation in one role.
const maxSubscriptions = 20

// Book keeps subscriptions. Make it with NewBook; its methods may be called concurrently, in
// every process that shares the database.
type Book struct {
	db     *reactors.DB
	sealer Sealer
}

// NewBook creates missing tables and returns the book.
func NewBook(ctx context.Context, db *reactors.DB, s Sealer) (*Book, error) {
	if err := db.Ensure(ctx, subscriptionTables); err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	return &Book{db, s}, nil
}

// Add stores a subscription that is told what follows a leaf, and returns the key with which the
// receiver verifies: a secret (whsec_…), told this once, or a public key (whpk_…). Adding the
// same id again changes nothing and returns "".
func (b *Book) Add(ctx context.Context, s Subscription, to Endpoint, leaf int64) (key string, err error) {
	made := newKey()
	kept := box{URL: to.url.String(), Keys: [][]byte{made}}
	sealed, err := b.seal(s.ID, kept)
	if err != nil {
		return "", err
	}
	filter, err := json.Marshal(s.Filter)
	if err != nil {
		return "", fmt.Errorf("add a webhook: %w", err)
	}
	added := int64(0)
	err = b.db.Write(ctx, func(tx *sqlx.Tx) error {
		var has int
		if err := tx.GetContext(ctx, &has, tx.Rebind(`SELECT count(*) FROM webhook_subscriptions WHERE role = ? AND organisation = ? AND state <> 'removed' AND id <> ?`), string(s.Role), string(s.Organisation), s.ID[:]); err != nil {
			return err
		}
		if has >= maxSubscriptions {
			return ErrTooMany
		}
		done, err := tx.ExecContext(ctx, tx.Rebind(`
			INSERT INTO webhook_subscriptions (id, role, organisation, host, filter, signature, sealed, state, ended_at, resume_at, leaf, created_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, 'enabled', 0, 0, ?, ?) ON CONFLICT DO NOTHING`),
			s.ID[:], string(s.Role), string(s.Organisation), to.String(), string(filter), string(s.Signature), sealed, leaf, time.Now().UnixMicro())
		if err != nil {
			return err
		}
		added, err = done.RowsAffected()
		return err
	})
	if err != nil {
		return "", fmt.Errorf("add a webhook: %w", err)
	}
	if added == 0 {
		return "", nil
	}
	b.wake()
	return keyText(s.Signature, made), nil
}

// newKey returns 32 random bytes: a secret, or the seed of an Ed25519 key.
func newKey() []byte {
	key := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(key) // never fails
	return key
}

// keyText is what the receiver is given of a key.
func keyText(s Signature, key []byte) string {
	if s == Ed25519 {
		return "whpk_" + base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed(key).Public().(ed25519.PublicKey))
	}
	return secretPrefix + base64.StdEncoding.EncodeToString(key)
}

// keyName is what everybody may see of a key.
func keyName(s Signature, key []byte) string {
	if s == Ed25519 {
		return keyText(s, key)
	}
	return Secret{key}.Fingerprint()
}

func use(id uuid.UUID) string { return "webhook/" + id.String() }

func (b *Book) seal(id uuid.UUID, kept box) ([]byte, error) {
	plain, err := json.Marshal(kept)
	if err != nil {
		return nil, fmt.Errorf("seal a webhook: %w", err)
	}
	return b.sealer.Seal(use(id), plain), nil
}

// Of returns the subscriptions of an organisation in a role, oldest first; of all organisations
// when it is "".
func (b *Book) Of(ctx context.Context, role domain.Role, o domain.Organisation) ([]Subscription, error) {
	if o == "" {
		return b.list(ctx, `state <> 'removed' ORDER BY created_at, id`)
	}
	return b.list(ctx, `state <> 'removed' AND role = ? AND organisation = ? ORDER BY created_at, id`, string(role), string(o))
}

// Get returns one subscription; its error is ErrNoReceiver when there is none.
func (b *Book) Get(ctx context.Context, id uuid.UUID) (Subscription, error) {
	all, err := b.list(ctx, `state <> 'removed' AND id = ?`, id[:])
	if err == nil && len(all) == 0 {
		err = ErrNoReceiver
	}
	if err != nil {
		return Subscription{}, err
	}
	return all[0], nil
}

// enabled returns the subscriptions that are sent to, without what waits and what failed.
func (b *Book) enabled(ctx context.Context) ([]Subscription, error) {
	return b.read(ctx, `0 AS pending, 0 AS failed`, `state = 'enabled'`)
}

func (b *Book) list(ctx context.Context, which string, args ...any) ([]Subscription, error) {
	return b.read(ctx, `
			(SELECT count(*) FROM signal_deliveries AS d WHERE d.subscription = s.id AND d.state = 'pending') AS pending,
			(SELECT count(*) FROM signal_deliveries AS d WHERE d.subscription = s.id AND d.state = 'failed') AS failed`, which, args...)
}

func (b *Book) read(ctx context.Context, counts, which string, args ...any) ([]Subscription, error) {
	var rows []struct {
		ID, Sealed                       []byte
		Role, Organisation, Host, Filter string
		Signature, State                 string
		Ended                            int64 `db:"ended_at"`
		Resume                           int64 `db:"resume_at"`
		Leaf, Pending, Failed            int64
		Created                          int64 `db:"created_at"`
	}
	reader := b.db.Reader()
	err := reader.SelectContext(ctx, &rows, reader.Rebind(`
		SELECT id, sealed, role, organisation, host, filter, signature, state, ended_at, resume_at, leaf, created_at, `+counts+`
		FROM webhook_subscriptions AS s WHERE `+which), args...)
	if err != nil {
		return nil, fmt.Errorf("list webhooks: %w", err)
	}
	all := make([]Subscription, 0, len(rows))
	for _, r := range rows {
		s := Subscription{
			Role: domain.Role(r.Role), Organisation: domain.Organisation(r.Organisation), Host: r.Host, Signature: Signature(r.Signature), State: SubscriptionState(r.State),
			Ended: timeFromMicros(r.Ended), Resume: timeFromMicros(r.Resume), Created: timeFromMicros(r.Created), Pending: r.Pending, Failed: r.Failed, leaf: r.Leaf,
		}
		copy(s.ID[:], r.ID)
		plain, err := b.sealer.Open(use(s.ID), r.Sealed)
		if err == nil {
			err = errors.Join(json.Unmarshal(plain, &s.box), json.Unmarshal([]byte(r.Filter), &s.Filter))
		}
		if err != nil {
			return nil, errors.New("list webhooks: what is kept of one cannot be read") // the cause may quote it
		}
		for _, key := range s.box.Keys {
			s.Keys = append(s.Keys, keyName(s.Signature, key))
		}
		all = append(all, s)
	}
	return all, nil
}

// Enable lets deliveries go again to a receiver that answered 410; those that waited are due.
func (b *Book) Enable(ctx context.Context, id uuid.UUID) error {
	now := time.Now().UnixMicro()
	return b.change(ctx, "enable a webhook",
		statement{`UPDATE webhook_subscriptions SET state = 'enabled', ended_at = 0, resume_at = 0 WHERE id = ? AND state <> 'removed'`, []any{id[:]}},
		statement{`UPDATE signal_deliveries SET next_at = ? WHERE subscription = ? AND state = 'pending' AND next_at > ?`, []any{now, id[:], now}})
}

// Remove ends a subscription for good: its address and keys are overwritten, and what waited is
// not sent. What became of earlier deliveries is forgotten.
func (b *Book) Remove(ctx context.Context, id uuid.UUID) error {
	sealed, err := b.seal(id, box{})
	if err != nil {
		return err
	}
	return b.change(ctx, "remove a webhook",
		statement{`UPDATE webhook_subscriptions SET state = 'removed', sealed = ?, filter = '{}', host = '' WHERE id = ?`, []any{sealed, id[:]}},
		statement{`DELETE FROM signal_deliveries WHERE subscription = ?`, []any{id[:]}})
}

// Rotate puts a new key before the one that signs, so that both sign, and returns what the
// receiver verifies with; or, to finish, takes the old one out and returns "".
func (b *Book) Rotate(ctx context.Context, id uuid.UUID, finish bool) (key string, err error) {
	s, err := b.Get(ctx, id)
	if err != nil {
		return "", err
	}
	kept := s.box
	switch {
	case finish && len(kept.Keys) < maxSecrets:
		return "", ErrNotRotating
	case finish:
		kept.Keys = kept.Keys[:1]
	case len(kept.Keys) >= maxSecrets:
		return "", ErrRotating
	default:
		made := newKey()
		kept.Keys, key = [][]byte{made, kept.Keys[0]}, keyText(s.Signature, made)
	}
	sealed, err := b.seal(id, kept)
	if err != nil {
		return "", err
	}
	return key, b.change(ctx, "rotate a webhook's key", statement{`UPDATE webhook_subscriptions SET sealed = ? WHERE id = ?`, []any{sealed, id[:]}})
}

// Replayed selects what a replay sends again.
type Replayed struct {
	Event *uuid.UUID // one event
	// From and Until bound when the events were queued: From included, Until not; nil: open.
	From, Until *time.Time
	// After is the leaf behind which everything is sent again, also what no delivery remembers any
	// more; nil: not by leaf.
	After *int64
}

// Replay begins the schedule anew of what a choice selects, or of all that failed when it selects
// nothing in particular, and returns how many deliveries that is; -1 where the answer is only known
// once they are queued. The receiver meets the same webhook-ids.
func (b *Book) Replay(ctx context.Context, id uuid.UUID, r Replayed) (n int64, err error) {
	if _, err := b.Get(ctx, id); err != nil {
		return 0, err
	}
	now := time.Now().UnixMicro()
	again, args := `UPDATE signal_deliveries SET state = 'pending', attempts = 0, next_at = ?, changed_at = ? WHERE subscription = ?`, []any{now, now, id[:]}
	switch {
	case r.After != nil:
		err = b.change(ctx, "replay deliveries",
			statement{`DELETE FROM signal_deliveries WHERE subscription = ? AND leaf > ?`, []any{id[:], *r.After}},
			statement{`UPDATE webhook_subscriptions SET leaf = ? WHERE id = ?`, []any{*r.After, id[:]}})
		return -1, err
	case r.Event != nil:
		again, args = again+` AND event = ?`, append(args, r.Event[:])
	case r.From == nil && r.Until == nil:
		again += ` AND state = 'failed'`
	default:
		from, until := int64(0), now+1
		if r.From != nil {
			from = r.From.UnixMicro()
		}
		if r.Until != nil {
			until = r.Until.UnixMicro()
		}
		again, args = again+` AND created_at >= ? AND created_at < ?`, append(args, from, until)
	}
	err = b.db.Write(ctx, func(tx *sqlx.Tx) error {
		done, err := tx.ExecContext(ctx, tx.Rebind(again), args...)
		if err != nil {
			return err
		}
		n, err = done.RowsAffected()
		return err
	})
	if err == nil && n == 0 && r.Event != nil {
		err = errNoDelivery
	}
	if err != nil {
		return 0, fmt.Errorf("replay deliveries: %w", err)
	}
	b.wake()
	return n, nil
}

// Sent is one delivery of a subscription.
type Sent struct {
	Leaf     int64
	Event    uuid.UUID
	State    State
	Attempts int
	Status   int    // of the last answer; 0: none came
	Reason   string // why the last try failed, a class
	Next     time.Time
	Created  time.Time
	Changed  time.Time
}

// Deliveries returns at most limit deliveries of a subscription behind a leaf, in the order of the
// log. What arrived is forgotten after 30 days.
func (b *Book) Deliveries(ctx context.Context, id uuid.UUID, after int64, limit int) ([]Sent, error) {
	var rows []struct {
		Leaf     int64
		Event    []byte
		State    State
		Attempts int
		Status   int
		Reason   string
		Next     int64 `db:"next_at"`
		Created  int64 `db:"created_at"`
		Changed  int64 `db:"changed_at"`
	}
	reader := b.db.Reader()
	if err := reader.SelectContext(ctx, &rows, reader.Rebind(`
		SELECT leaf, event, state, attempts, status, reason, next_at, created_at, changed_at FROM signal_deliveries
		WHERE subscription = ? AND leaf > ? ORDER BY leaf LIMIT ?`), id[:], after, limit); err != nil {
		return nil, fmt.Errorf("list deliveries: %w", err)
	}
	all := make([]Sent, 0, len(rows))
	for _, r := range rows {
		one := Sent{Leaf: r.Leaf, State: r.State, Attempts: r.Attempts, Status: r.Status, Reason: r.Reason, Created: timeFromMicros(r.Created), Changed: timeFromMicros(r.Changed)}
		if r.State == Pending {
			one.Next = timeFromMicros(r.Next)
		}
		copy(one.Event[:], r.Event)
		all = append(all, one)
	}
	return all, nil
}

// statement is one statement with its arguments.
type statement struct {
	sql  string
	args []any
}

// change runs statements in one transaction and has the sender look.
func (b *Book) change(ctx context.Context, what string, all ...statement) error {
	err := b.db.Write(ctx, func(tx *sqlx.Tx) error {
		for _, s := range all {
			if _, err := tx.ExecContext(ctx, tx.Rebind(s.sql), s.args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	b.wake()
	return nil
}

func (b *Book) wake() {
	select {
	case b.db.Signal(subscriptionSignal) <- struct{}{}:
	default: // it will look anyway
	}
}

// subscriptionSignal names the signal that has the sender look.
const subscriptionSignal = "subscriptions"

// signatures returns the header webhook-signature: one signature for each key.
func (s Subscription) signatures(id string, at time.Time, body []byte) (string, error) {
	signed := ""
	for _, key := range s.box.Keys {
		one := ""
		switch s.Signature {
		case Ed25519:
			message := append([]byte(id+"."+strconv.FormatInt(at.Unix(), 10)+"."), body...)
			one = "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(ed25519.NewKeyFromSeed(key), message))
		default:
			signer, err := standardwebhooks.NewWebhookRaw(key)
			if err != nil {
				return "", errors.New("the key is not usable")
			}
			if one, err = signer.Sign(id, at, body); err != nil {
				return "", errors.New("the key does not sign")
			}
		}
		if signed != "" {
			signed += " "
		}
		signed += one
	}
	return signed, nil
}

// Package broker tells organisations through their message brokers what GET /signals would answer
// them: the same CloudEvents, in the order of the log, each under the id of its event.
//
// A [Link] is one organisation's way, in one of its roles, through one broker: NATS JetStream
// ([NATS]), AMQP 0.9.1 ([AMQP]) or a table in the organisation's PostgreSQL ([Outbox]). [Links]
// follows each link by itself, asks before each try what its organisation may hear today, and
// keeps how far the link is in the reactors' database.
//
// Invariant: a link moves behind a signal only when its broker said that it keeps it, or when the
// organisation may not hear of it any more. A broker that is away holds up its own link, and
// nothing else.
package broker

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/nats-io/nats.go"

	"coffre/domain"
	"coffre/eventstore/spans"
	"coffre/handlers/reactors"
)

const (
	// lookEvery bounds the time until a link sees a new signal.
	lookEvery = time.Second
	// page is how many signals are looked at before the link's place is stored again.
	page = 100
	// tryTimeout bounds the wait for the broker's word on one page.
	tryTimeout = 15 * time.Second
	// serviceName begins the type of every event, and is left out of subjects and routing keys.
	serviceName = "be.coffre.vault.v1."

	contentType = "application/cloudevents+json"
)

const tables = `
CREATE TABLE IF NOT EXISTS broker_links (
	name         TEXT    NOT NULL PRIMARY KEY,
	role         TEXT    NOT NULL,
	organisation TEXT    NOT NULL,
	leaf         INTEGER NOT NULL, -- of the last signal that the broker keeps, or that is not told
	published    INTEGER NOT NULL, -- signals so far
	published_at INTEGER NOT NULL, -- microseconds since 1970; 0: never
	failing      INTEGER NOT NULL, -- since when no try succeeds; 0: the last one did
	reason       TEXT    NOT NULL  -- of the last failure: a class
) STRICT;
`

// Tables creates every missing table of the package, for a copy of the database.
func Tables(ctx context.Context, db *reactors.DB) error { return db.Ensure(ctx, tables) }

// Link is one organisation's way through one broker.
type Link struct {
	// Name is what operators call it, and the key of its place: two to forty of a-z, 0-9 and -.
	Name         string
	Role         domain.Role // of a consumer or of an issuer
	Organisation domain.Organisation
	// Kept says that a link that is new begins with the signals that are kept, ninety days of them;
	// else it begins with what follows.
	Kept bool
	// Connect returns what publishes to the broker. It is called again after each failure.
	Connect func(ctx context.Context) (Publisher, error)
}

// Publisher hands messages to a broker: Watermill's, whose Publish returns once the broker
// keeps the messages. The topic is the event's type without the vault's name,
// "documents.notify.revoked".
type Publisher = message.Publisher

// Signal is a fact that an organisation may hear of.
type Signal struct {
	Leaf  int64
	Event uuid.UUID
	Body  []byte // the CloudEvent, JSON
}

// Options of Links. DB, Next and Last are required.
type Options struct {
	DB    *reactors.DB
	Links []Link
	// Next returns what the organisation of a link may hear today of the next limit signals behind a
	// leaf that the link admits, and the leaf of the last one that was looked at.
	Next func(ctx context.Context, l Link, after int64, limit int) (told []Signal, last int64, err error)
	// Last returns the leaf of the newest signal for the organisation; -1 when there is none.
	Last func(ctx context.Context, l Link) (int64, error)

	LookEvery time.Duration // default a second
	Tracer    *spans.Tracer // records what is published; nil: nobody
	Backoff   reactors.Backoff
	Logger    *slog.Logger // default slog.Default()
}

// Links publishes to brokers. Make it with New.
type Links struct{ o Options }

var (
	linkName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,38}[a-z0-9]$`)

	// ErrLink refuses a link whose name is taken or malformed, or that lacks something.
	ErrLink = errors.New("broker: a link has a name of its own of two to forty characters a-z, 0-9 and -, a role, an organisation and a broker")
	// ErrOtherOrganisation refuses a link under a name that stood for another organisation: its
	// place means nothing there.
	ErrOtherOrganisation = errors.New("broker: the link's name stood for another organisation or role before: give it another name")
)

// New creates the missing table and returns links that publish nothing until Run.
func New(ctx context.Context, o Options) (*Links, error) {
	if o.LookEvery <= 0 {
		o.LookEvery = lookEvery
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	names := map[string]bool{}
	for _, l := range o.Links {
		if !linkName.MatchString(l.Name) || names[l.Name] || l.Role == "" || l.Organisation.IsZero() || l.Connect == nil {
			return nil, ErrLink
		}
		names[l.Name] = true
	}
	if err := o.DB.Ensure(ctx, tables); err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	links := &Links{o}
	for _, l := range o.Links {
		at, found, err := links.row(ctx, l.Name)
		if err != nil {
			return nil, err
		}
		if found && (at.Role != l.Role || at.Organisation != l.Organisation) {
			return nil, fmt.Errorf("link %q: %w", l.Name, ErrOtherOrganisation)
		}
	}
	return links, nil
}

// Run publishes until ctx ends, in one process at a time.
func (ls *Links) Run(ctx context.Context) error {
	var running sync.WaitGroup
	for _, l := range ls.o.Links {
		f := &follower{Links: ls, link: l}
		running.Go(func() { f.run(ctx) })
	}
	<-ctx.Done()
	running.Wait()
	return nil
}

// follower follows one link.
type follower struct {
	*Links
	link      Link
	publisher Publisher // nil: not connected
	failures  int
	reason    string // of the failure that was logged last
}

func (f *follower) run(ctx context.Context) {
	defer f.disconnect()
	for ctx.Err() == nil {
		more, err := f.step(ctx)
		wait := f.o.LookEvery
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			f.disconnect()
			f.failed(ctx, err)
			f.failures++
			wait = f.o.Backoff.After(f.failures)
		case more:
			f.failures = 0
			continue
		default:
			f.failures = 0
		}
		_ = reactors.Pause(ctx, wait) // the loop looks at its end
	}
}

func (f *follower) disconnect() {
	if f.publisher != nil {
		_ = f.publisher.Close() // what it did not confirm is published again
		f.publisher = nil
	}
}

// step publishes one page, and reports whether there may be more.
func (f *follower) step(ctx context.Context) (more bool, err error) {
	at, found, err := f.row(ctx, f.link.Name)
	if err != nil {
		return false, failure{"database", err}
	}
	if !found {
		if at.Leaf, err = f.begin(ctx); err != nil {
			return false, err
		}
	}
	told, last, err := f.o.Next(ctx, f.link, at.Leaf, page)
	if err != nil {
		return false, failure{"vault", err}
	}
	if last == at.Leaf && at.Failing == 0 {
		return false, nil
	}
	n, err := f.publish(ctx, told)
	if err != nil {
		if n > 0 {
			err = errors.Join(err, f.moved(ctx, told[n-1].Leaf, n))
		}
		return false, err
	}
	return last != at.Leaf, f.moved(ctx, last, n)
}

// begin stores the place of a link that is new.
func (f *follower) begin(ctx context.Context) (leaf int64, err error) {
	leaf = -1
	if !f.link.Kept {
		if leaf, err = f.o.Last(ctx, f.link); err != nil {
			return leaf, failure{"vault", err}
		}
	}
	err = f.o.DB.Write(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, tx.Rebind(`
			INSERT INTO broker_links (name, role, organisation, leaf, published, published_at, failing, reason) VALUES (?, ?, ?, ?, 0, 0, 0, '')`),
			f.link.Name, string(f.link.Role), string(f.link.Organisation), leaf)
		return err
	})
	if err != nil {
		return leaf, failure{"database", err}
	}
	return leaf, nil
}

// publish hands signals to the broker, one after the other, and returns how many it keeps.
func (f *follower) publish(ctx context.Context, told []Signal) (n int, err error) {
	if f.publisher == nil {
		if f.publisher, err = f.connect(ctx); err != nil {
			return 0, err
		}
	}
	for _, s := range told {
		m, topic, err := messageOf(s)
		if err != nil {
			return n, failure{"unreadable", err}
		}
		try, cancel := context.WithTimeout(ctx, tryTimeout)
		try, span := f.o.Tracer.Event(try, "broker.publish", uuid.Nil)
		span.Word("coffre.link", spans.Word(f.link.Name))
		m.SetContext(try)
		err = f.publisher.Publish(topic, m)
		span.End(err)
		cancel()
		if err != nil {
			return n, classified(err)
		}
		n++
	}
	return n, nil
}

func (f *follower) connect(ctx context.Context) (Publisher, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	p, err := f.link.Connect(ctx)
	if err != nil {
		return nil, classified(err)
	}
	return p, nil
}

// messageOf returns a signal as Watermill's message, and its topic.
func messageOf(s Signal) (*message.Message, string, error) {
	var event struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(s.Body, &event); err != nil {
		return nil, "", err
	}
	topic, ours := strings.CutPrefix(event.Type, serviceName)
	if !ours {
		return nil, "", errors.New("an event of another service")
	}
	return message.NewMessage(s.Event.String(), s.Body), topic, nil
}

// moved stores that the broker keeps what lies up to a leaf.
func (f *follower) moved(ctx context.Context, leaf int64, published int) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tryTimeout) // a shutdown as well
	defer cancel()
	err := f.o.DB.Write(ctx, func(tx *sqlx.Tx) error {
		at := time.Now().UnixMicro()
		_, err := tx.ExecContext(ctx, tx.Rebind(`
			UPDATE broker_links SET leaf = ?, published = published + ?, published_at = CASE WHEN ? > 0 THEN ? ELSE published_at END, failing = 0, reason = '' WHERE name = ?`),
			leaf, published, published, at, f.link.Name)
		return err
	})
	if err != nil {
		return failure{"database", err}
	}
	if f.failures > 0 {
		f.o.Logger.Info("a broker keeps messages again", "link", f.link.Name)
	}
	return nil
}

// failed stores that a try failed, and says so at the first and when the reason is another.
func (f *follower) failed(ctx context.Context, err error) {
	reason := "unreachable"
	var known failure
	if errors.As(err, &known) {
		reason = known.class
	}
	if f.failures == 1 || f.reason != reason {
		f.reason = reason
		f.o.Logger.Warn("a link to a broker waits", "link", f.link.Name, "reason", reason)
	}
	// What cannot be stored is stored at the next try.
	_ = f.o.DB.Write(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, tx.Rebind(`UPDATE broker_links SET failing = CASE WHEN failing = 0 THEN ? ELSE failing END, reason = ? WHERE name = ?`),
			time.Now().UnixMicro(), reason, f.link.Name)
		return err
	})
}

// failure is an error with its class, which alone is told: brokers' texts may name anything.
type failure struct {
	class string
	err   error
}

func (f failure) Error() string { return "broker: " + f.class }
func (f failure) Unwrap() error { return f.err }

// classified names what went wrong at a broker, whose own words stay out of logs and tables.
func classified(err error) error {
	var known failure
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, nats.ErrNoStreamResponse), errors.Is(err, errUnroutable):
		return failure{"nobodyKeepsIt", err}
	case errors.Is(err, errNotKept):
		return failure{"notKept", err}
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), isAccessRefused(err):
		return failure{"refused", err}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return failure{"timeout", err}
	}
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) || strings.Contains(fmt.Sprint(err), "tls: ") {
		return failure{"tls", err}
	}
	return failure{"unreachable", err}
}

// State is how a link does.
type State struct {
	Name         string
	Role         domain.Role
	Organisation domain.Organisation
	Leaf         int64     // of the last signal that the broker keeps, or that is not told
	Published    int64     // signals so far
	Last         time.Time // when the last of them was published; zero: never
	Failing      time.Time // since when no try succeeds; zero: the last one did
	Reason       string    // of the last failure: a class
}

// States returns how the links do that once ran, by name; those of the configuration alone.
func (ls *Links) States(ctx context.Context) ([]State, error) {
	var all []State
	for _, l := range ls.o.Links {
		at, found, err := ls.row(ctx, l.Name)
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		s := State{Name: l.Name, Role: at.Role, Organisation: at.Organisation, Leaf: at.Leaf, Published: at.Published, Reason: at.Reason}
		if at.PublishedAt != 0 {
			s.Last = time.UnixMicro(at.PublishedAt).UTC()
		}
		if at.Failing != 0 {
			s.Failing = time.UnixMicro(at.Failing).UTC()
		}
		all = append(all, s)
	}
	return all, nil
}

type row struct {
	Role         domain.Role         `db:"role"`
	Organisation domain.Organisation `db:"organisation"`
	Leaf         int64               `db:"leaf"`
	Published    int64               `db:"published"`
	PublishedAt  int64               `db:"published_at"`
	Failing      int64               `db:"failing"`
	Reason       string              `db:"reason"`
}

func (ls *Links) row(ctx context.Context, name string) (r row, found bool, err error) {
	var all []row
	db := ls.o.DB.Reader()
	if err := db.SelectContext(ctx, &all, db.Rebind(`SELECT role, organisation, leaf, published, published_at, failing, reason FROM broker_links WHERE name = ?`), name); err != nil {
		return r, false, fmt.Errorf("broker: place of a link: %w", err)
	}
	if len(all) == 0 {
		return r, false, nil
	}
	return all[0], true, nil
}

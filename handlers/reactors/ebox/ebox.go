// Package ebox writes to citizens in My eBox: of documents that are issued, changed, revoked or
// end, of who read them, and of consents that are asked for and end.
//
// An event becomes a notice, one row of ids and codes. Notices become messages as the citizen
// chose, one each or one for a day, and messages are published by the REST API 2.1 of the eBox
// federation: those of one citizen one after the other, those of others meanwhile, each again
// until eBox has it. What eBox tells of them, that they were read, or not for 15 days, or that
// they end, is read back by its event API 1.1.1.
//
// Invariant: a message is published under one key however often it is tried, after its access
// is on record; and nothing personal is kept here or leaves but what eBox's contract demands,
// the citizen's number and what the message says.
package ebox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/spans"
	"coffre/handlers/reactors"
)

const schema = `
CREATE TABLE IF NOT EXISTS ebox_notices (
	event        BLOB    NOT NULL PRIMARY KEY,
	citizen      BLOB    NOT NULL,
	leaf         INTEGER NOT NULL,             -- orders the notices of a citizen
	topic        TEXT    NOT NULL,
	kind         TEXT    NOT NULL,
	document     BLOB    NOT NULL,             -- the zero id: none
	type         TEXT    NOT NULL,
	organisation TEXT    NOT NULL,
	purpose      TEXT    NOT NULL,
	days         INTEGER NOT NULL,             -- from at to the last day of what ends
	correlation  BLOB    NOT NULL,
	at           INTEGER NOT NULL,             -- microseconds since 1970, as all times here
	message      BLOB    NOT NULL              -- the zero id: none yet
) STRICT;
CREATE INDEX IF NOT EXISTS ebox_notices_by_message ON ebox_notices (message, leaf);
CREATE INDEX IF NOT EXISTS ebox_notices_of_citizen ON ebox_notices (citizen);

CREATE TABLE IF NOT EXISTS ebox_messages (
	id          BLOB    NOT NULL PRIMARY KEY,  -- the key under which it is published, and its access's id
	citizen     BLOB    NOT NULL,
	topic       TEXT    NOT NULL,
	daily       INTEGER NOT NULL,
	leaf        INTEGER NOT NULL,              -- of its first notice
	state       TEXT    NOT NULL,              -- gathering, pending, published, noDigitalUser, withheld, unwanted, failed
	attempts    INTEGER NOT NULL,
	tries_since INTEGER NOT NULL,              -- when it was first to be sent, or an operator said again
	next_at     INTEGER NOT NULL,
	reason      TEXT    NOT NULL,              -- of the last failure: a class
	ebox_id     TEXT    NOT NULL,              -- eBox's name of it; empty where it told none
	expires_at  INTEGER NOT NULL,              -- in eBox; 0: not told
	read_at     INTEGER NOT NULL,
	reminded_at INTEGER NOT NULL,
	alerted_at  INTEGER NOT NULL,              -- when eBox told that it ends soon, unread
	created_at  INTEGER NOT NULL,
	changed_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS ebox_messages_due ON ebox_messages (next_at) WHERE state IN ('gathering', 'pending');
CREATE INDEX IF NOT EXISTS ebox_messages_of_citizen ON ebox_messages (citizen, leaf);
CREATE INDEX IF NOT EXISTS ebox_messages_by_state ON ebox_messages (state, changed_at);
CREATE INDEX IF NOT EXISTS ebox_messages_by_ebox_id ON ebox_messages (ebox_id) WHERE ebox_id <> '';

CREATE TABLE IF NOT EXISTS ebox_turns (
	citizen BLOB    NOT NULL PRIMARY KEY,      -- whose messages a process sends
	owner   BLOB    NOT NULL,
	until   INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS ebox_events (
	source   TEXT    NOT NULL PRIMARY KEY,
	sequence INTEGER NOT NULL                  -- the last event that was read
) STRICT;
`

// Ebox is the reactor that makes notices of events, and the sender of messages. Its methods may
// be called concurrently; Run runs once at a time in a process, and in several processes.
type Ebox struct {
	o     Options
	owner uuid.UUID
	texts map[domain.Language]texts
	wake  chan struct{}
}

// Vault is what the sender asks of the vault.
type Vault interface {
	// WrittenTo returns a citizen as a message is judged by; without a choice of theirs, what
	// holds then.
	WrittenTo(ctx context.Context, c domain.CitizenID) (Addressee, error)
	// Deliver records that a message is about to leave and calls send with the citizen's
	// number; or returns why it may not leave.
	Deliver(ctx context.Context, m Message, send func(context.Context, domain.SSIN) error) error
	// Delivered records that a message left.
	Delivered(ctx context.Context, m Message) error
	// Label returns the name of a code in a language; the code where it has none.
	Label(list Labels, code string, lang domain.Language) string
}

// Labels names a list of codes that have names.
type Labels string

// The lists of codes that a message names.
const (
	TypeLabels         Labels = "documentTypes"
	OrganisationLabels Labels = "organizations"
	PurposeLabels      Labels = "purposes"
)

// Message is a message as the record of its access has it.
type Message struct {
	ID          uuid.UUID
	Citizen     domain.CitizenID
	Made        time.Time
	Correlation uuid.UUID
	Document    *domain.DocumentID // the one it is about; nil: none, or several
	Type        domain.DocumentType
	Tried       bool // it may have left before
}

// Options of an Ebox. DB, Log, Vault and Client are required.
type Options struct {
	DB     *reactors.DB
	Log    *eventstore.Log
	Vault  Vault
	Client *Client
	Logger *slog.Logger   // default slog.Default()
	Tracer *spans.Tracer  // records what is sent; nil: nobody
	Jitter func() float64 // in [0, 1); default math/rand
}

// TryTimeout bounds one call.
const TryTimeout = 30 * time.Second

const (
	workers = 4
	// turnLasts is the right of a process to send a citizen's messages, which it renews before
	// each.
	turnLasts = 3 * TryTimeout
	lookEvery = time.Minute
	readEvery = 5 * time.Minute
	// dailyHour is when the message of a day goes out, on the morning after.
	dailyHour = 7
	// firstPause doubles up to maxPause; a message that eBox did not take within giveUpAfter
	// fails.
	firstPause  = 5 * time.Second
	maxPause    = time.Hour
	giveUpAfter = 7 * 24 * time.Hour
	// keepSent is how long a message that is done is remembered, which is longer than it is
	// kept unread in eBox.
	keepSent   = 400 * 24 * time.Hour
	signalName = "ebox"
)

// defaultLanguage is the first language of the contract.
const defaultLanguage domain.Language = "nl"

// New creates missing tables and returns an Ebox. It sends nothing until Run.
func New(ctx context.Context, o Options) (*Ebox, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	said, err := loadTexts()
	if err != nil {
		return nil, err
	}
	if err := o.DB.Ensure(ctx, schema); err != nil {
		return nil, fmt.Errorf("ebox: %w", err)
	}
	return &Ebox{o: o, owner: uuid.New(), texts: said, wake: o.DB.Signal(signalName)}, nil
}

func signal(db *reactors.DB) {
	select {
	case db.Signal(signalName) <- struct{}{}:
	default: // it will look anyway
	}
}

// Run makes messages of notices, publishes them and reads what became of them until ctx ends. A
// try that ctx cuts short is made again under the same key.
func (e *Ebox) Run(ctx context.Context) error {
	var read time.Time
	for ctx.Err() == nil {
		now := time.Now().Round(0)
		if err := e.Turn(ctx, now); err != nil && ctx.Err() == nil {
			e.o.Logger.Warn("messages for My eBox wait", "reason", class(err))
		}
		if now.Sub(read) >= readEvery {
			read = now
			if err := e.ReadBack(ctx); err != nil && ctx.Err() == nil {
				e.o.Logger.Warn("events of My eBox cannot be read", "reason", class(err))
			}
			if err := e.prune(ctx, now); err != nil && ctx.Err() == nil {
				e.o.Logger.Warn("old messages for My eBox stay", "reason", class(err))
			}
		}
		e.wait(ctx, now)
	}
	return nil
}

// wait waits until a message is due, a notice came, a minute is over or ctx ends.
func (e *Ebox) wait(ctx context.Context, now time.Time) {
	pause := lookEvery
	var next int64
	err := e.o.DB.Reader().GetContext(ctx, &next, `SELECT coalesce(min(next_at), 0) FROM ebox_messages WHERE state IN ('gathering', 'pending')`)
	if err == nil && next > 0 {
		pause = min(pause, max(time.UnixMicro(next).Sub(now), firstPause/5))
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-e.wake:
	case <-timer.C:
	}
}

// class names the kind of an error without any of its text.
func class(err error) string {
	var refusal *domain.Error
	var answer *Answer
	switch {
	case err == nil:
		return ""
	case errors.As(err, &answer):
		return answer.Reason
	case errors.As(err, &refusal):
		return "refused:" + refusal.Slug
	case errors.Is(err, eventstore.ErrErased):
		return "erased"
	case errors.Is(err, eventstore.ErrKeysUnavailable):
		return "keysUnavailable"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, http.ErrHandlerTimeout):
		return "timeout"
	}
	return "fault"
}

func (e *Ebox) prune(ctx context.Context, now time.Time) error {
	return e.o.DB.Write(ctx, func(tx *sqlx.Tx) error {
		before := now.Add(-keepSent).UnixMicro()
		const done = `state NOT IN ('gathering', 'pending') AND changed_at < ?`
		if _, err := tx.ExecContext(ctx, tx.Rebind(`DELETE FROM ebox_notices WHERE message IN (SELECT id FROM ebox_messages WHERE `+done+`)`), before); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, tx.Rebind(`DELETE FROM ebox_messages WHERE `+done), before); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, tx.Rebind(`DELETE FROM ebox_turns WHERE until < ?`), now.UnixMicro())
		return err
	})
}

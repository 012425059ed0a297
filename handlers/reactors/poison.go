package reactors

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/codec"
)

// Poison is an event that a reactor could not handle and that was set aside, so
// that later ones go on. It holds ids only; the event itself stays in the log.
type Poison struct {
	Reactor  string
	Leaf     int64
	Event    uuid.UUID // Nil when the record is damaged
	Type     string    // stored name with form; empty when the record is damaged
	Reason   string    // a class: "panic", "timeout", "refused:…", "undecodable", "unreadable", "erased", "corrupt", "fault"
	Attempts int       // tries so far, replays included
	At       time.Time // of the last try, UTC
}

// errNotSetAside refuses the replay of an event that is not among those set aside.
var errNotSetAside = domain.NewError(domain.NotFound, "notSetAside", "that reactor set no event aside at that place")

type poisonRow struct {
	Reactor  string
	Leaf     int64
	Event    []byte
	Type     string
	Reason   string
	Attempts int
	At       int64
}

func (r poisonRow) poison() (Poison, error) {
	id, err := uuid.FromBytes(r.Event)
	if err != nil {
		return Poison{}, fmt.Errorf("id of the event set aside: %w", err)
	}
	return Poison{r.Reactor, r.Leaf, id, r.Type, r.Reason, r.Attempts, time.UnixMicro(r.At).UTC()}, nil
}

// Poisoned returns at most limit events that were set aside, oldest first, of one reactor
// or, for "", of all.
func (db *DB) Poisoned(ctx context.Context, reactor string, limit int) ([]Poison, error) {
	var rows []poisonRow
	err := db.sql.Reader.SelectContext(ctx, &rows, db.sql.Reader.Rebind(`
		SELECT reactor, leaf, event, type, reason, attempts, at FROM reactor_poison
		WHERE ? IN ('', reactor) ORDER BY leaf, reactor LIMIT ?`), reactor, limit)
	if err != nil {
		return nil, fmt.Errorf("list what was set aside: %w", err)
	}
	all := make([]Poison, len(rows))
	for i, r := range rows {
		if all[i], err = r.poison(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// setAside keeps p; attempts of the same event add up.
func (db *DB) setAside(ctx context.Context, p Poison) error {
	_, err := db.sql.Writer.ExecContext(ctx, db.sql.Writer.Rebind(`
		INSERT INTO reactor_poison (reactor, leaf, event, type, reason, attempts, at) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (reactor, leaf) DO UPDATE SET
			reason = excluded.reason, attempts = reactor_poison.attempts + excluded.attempts, at = excluded.at`),
		p.Reactor, p.Leaf, p.Event[:], p.Type, p.Reason, p.Attempts, time.Now().UnixMicro())
	if err != nil {
		return fmt.Errorf("%w: set aside: %w", ErrLater, err)
	}
	return nil
}

// findPoison returns the event that a reactor set aside at a leaf, or errNotSetAside.
func (db *DB) findPoison(ctx context.Context, reactor string, leaf int64) (Poison, error) {
	var row poisonRow
	err := db.sql.Reader.GetContext(ctx, &row, db.sql.Reader.Rebind(`
		SELECT reactor, leaf, event, type, reason, attempts, at FROM reactor_poison
		WHERE reactor = ? AND leaf = ?`), reactor, leaf)
	if errors.Is(err, sql.ErrNoRows) {
		return Poison{}, errNotSetAside
	}
	if err != nil {
		return Poison{}, fmt.Errorf("find what was set aside: %w", err)
	}
	return row.poison()
}

func (db *DB) removePoison(ctx context.Context, reactor string, leaf int64) error {
	if _, err := db.sql.Writer.ExecContext(ctx, db.sql.Writer.Rebind(`DELETE FROM reactor_poison WHERE reactor = ? AND leaf = ?`), reactor, leaf); err != nil {
		return fmt.Errorf("take back what was set aside: %w", err)
	}
	return nil
}

// errPanicked stands for a panic; what it carried may be personal and is dropped.
var errPanicked = errors.New("reactors: the handler panicked")

// class names the kind of an error without any of its text.
func class(err error) string {
	var refusal *domain.Error
	var damaged *eventstore.Corrupt
	var undecodable *eventstore.Undecodable
	switch {
	case err == nil:
		return ""
	case errors.Is(err, errPanicked):
		return "panic"
	case errors.As(err, &refusal):
		return "refused:" + refusal.Slug
	case errors.As(err, &damaged):
		return "corrupt"
	case errors.As(err, &undecodable), errors.Is(err, codec.ErrUnknownType), errors.Is(err, codec.ErrMalformed):
		return "undecodable"
	case errors.Is(err, eventstore.ErrErased):
		return "erased"
	case errors.Is(err, ErrNotANotice):
		return "unreadable"
	case errors.Is(err, errStalled):
		return "stalled"
	case errors.Is(err, errMoved):
		return "moved"
	case isLater(err):
		return "later"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return "fault"
}

// outages lists the errors of stores and keys that say nothing about an event.
var outages = []error{
	ErrLater,
	eventstore.ErrUnavailable, eventstore.ErrOverloaded, eventstore.ErrDiskFull, eventstore.ErrFailed,
	eventstore.ErrClosed, eventstore.ErrOutcomeUnknown, eventstore.ErrKeysUnavailable,
}

// isLater reports whether the event is not to blame for err.
func isLater(err error) bool {
	for _, e := range outages {
		if errors.Is(err, e) {
			return true
		}
	}
	var refusal *domain.Error
	if errors.As(err, &refusal) {
		return refusal.Code == domain.Unavailable || refusal.Code == domain.Full || refusal.Code == domain.TooMany
	}
	return false
}

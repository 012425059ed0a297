package ebox

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"coffre/domain"
	"coffre/handlers/reactors"
)

// Desk is where operators see what became of messages and have them tried again, also in a
// process that sends none. Make it with NewDesk; it may be used concurrently.
type Desk struct{ db *reactors.DB }

// NewDesk creates missing tables and returns the desk of the messages in db.
func NewDesk(ctx context.Context, db *reactors.DB) (Desk, error) {
	if err := db.Ensure(ctx, schema); err != nil {
		return Desk{}, fmt.Errorf("ebox: %w", err)
	}
	return Desk{db}, nil
}

// Tables creates every missing table of the package, for a copy of the database.
func Tables(ctx context.Context, db *reactors.DB) error { return db.Ensure(ctx, schema) }

// Status says how many messages are how far.
type Status struct {
	Messages map[State]int64 // every state
	Loose    int64           // notices that belong to no message yet
	Read     int64           // messages that were read, as far as eBox told
	Reminded int64           // messages of which eBox reminded, and that are not read
	Oldest   time.Time       // when the oldest message that waits was made; zero: none does
	Event    int64           // number of the last event of eBox that was read
}

// Status returns how messages do.
func (d Desk) Status(ctx context.Context) (Status, error) {
	s := Status{Messages: map[State]int64{}}
	for _, state := range States {
		s.Messages[state] = 0
	}
	var rows []struct {
		State State
		N     int64
	}
	err := d.db.Reader().SelectContext(ctx, &rows, `SELECT state, count(*) AS n FROM ebox_messages GROUP BY state`)
	for _, r := range rows {
		s.Messages[r.State] = r.N
	}
	var rest struct{ Loose, Read, Reminded, Oldest, Event int64 }
	if err == nil {
		err = d.db.Reader().GetContext(ctx, &rest, d.db.Reader().Rebind(`
			SELECT (SELECT count(*) FROM ebox_notices WHERE message = ?) AS loose,
				(SELECT count(*) FROM ebox_messages WHERE read_at <> 0) AS read,
				(SELECT count(*) FROM ebox_messages WHERE reminded_at <> 0 AND read_at = 0) AS reminded,
				(SELECT coalesce(min(created_at), 0) FROM ebox_messages WHERE state = 'pending') AS oldest,
				(SELECT coalesce(max(sequence), 0) FROM ebox_events) AS event`), uuid.Nil[:])
	}
	if err != nil {
		return Status{}, fmt.Errorf("status of messages: %w", err)
	}
	s.Loose, s.Read, s.Reminded, s.Oldest, s.Event = rest.Loose, rest.Read, rest.Reminded, timeOf(rest.Oldest), rest.Event
	return s, nil
}

// Sent is a message as operators see it: without whom it goes to and what it says.
type Sent struct {
	ID       uuid.UUID
	Topic    Topic
	Daily    bool
	State    State
	Attempts int
	Next     time.Time // of the next try, or the end of its day; zero: there is none
	Reason   string    // of the last failure: a class
	Made     time.Time
	Changed  time.Time
	Read     time.Time // zero: not, or eBox did not tell
	Reminded time.Time
	Expires  time.Time
}

// Messages returns at most limit messages of one state, or of every one for "", the oldest first.
func (d Desk) Messages(ctx context.Context, in State, limit int) ([]Sent, error) {
	var rows []struct {
		ID                                           []byte
		Topic                                        Topic
		Daily                                        bool
		State                                        State
		Attempts                                     int
		Reason                                       string
		Next, Made, Changed, Read, Reminded, Expires int64
	}
	err := d.db.Reader().SelectContext(ctx, &rows, d.db.Reader().Rebind(`
		SELECT id, topic, daily, state, attempts, reason, next_at AS next, created_at AS made, changed_at AS changed, read_at AS read, reminded_at AS reminded, expires_at AS expires
		FROM ebox_messages WHERE ? IN ('', state) ORDER BY created_at, id LIMIT ?`), in, limit)
	if err != nil {
		return nil, fmt.Errorf("list messages: %w", err)
	}
	all := make([]Sent, len(rows))
	for i, r := range rows {
		all[i] = Sent{
			Topic: r.Topic, Daily: r.Daily, State: r.State, Attempts: r.Attempts, Reason: r.Reason,
			Made: timeOf(r.Made), Changed: timeOf(r.Changed), Read: timeOf(r.Read), Reminded: timeOf(r.Reminded), Expires: timeOf(r.Expires),
		}
		copy(all[i].ID[:], r.ID)
		if r.State == Pending || r.State == Gathering {
			all[i].Next = timeOf(r.Next)
		}
	}
	return all, nil
}

// ErrNoMessage refuses to try a message again that is not there, or did not fail.
var ErrNoMessage = domain.NewError(domain.NotFound, "noSuchMessage", "no such message failed or waits")

// Retry has a message that failed or waits tried again, now; nil: all that failed. It returns
// how many. eBox meets the same key.
func (d Desk) Retry(ctx context.Context, message *uuid.UUID) (n int64, err error) {
	err = d.db.Write(ctx, func(tx *sqlx.Tx) error {
		now := time.Now().UnixMicro()
		which, args := `state = 'failed'`, []any{now, now, now}
		if message != nil {
			which, args = `id = ? AND state IN ('failed', 'pending')`, append(args, message[:])
		}
		done, err := tx.ExecContext(ctx, tx.Rebind(`
			UPDATE ebox_messages SET state = 'pending', next_at = ?, tries_since = ?, changed_at = ? WHERE `+which), args...)
		if err != nil {
			return err
		}
		n, err = done.RowsAffected()
		return err
	})
	switch {
	case err != nil:
		return 0, fmt.Errorf("try messages again: %w", err)
	case message != nil && n == 0:
		return 0, ErrNoMessage
	}
	signal(d.db)
	return n, nil
}

// timeOf converts a time of the tables; 0 is the zero time.
func timeOf(micro int64) time.Time {
	if micro == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micro).UTC()
}

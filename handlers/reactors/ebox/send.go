package ebox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/eventstore"
)

// State is how far a message is.
type State string

// The states of a message.
const (
	Gathering     State = "gathering"     // a daily one, whose day is not over
	Pending       State = "pending"       // waits for its next try
	Published     State = "published"     // eBox has it
	NoDigitalUser State = "noDigitalUser" // eBox has it, and the citizen no digital eBox
	Withheld      State = "withheld"      // nothing allows it any more: a death, a restriction
	Unwanted      State = "unwanted"      // the citizen chose not to hear of it meanwhile
	Failed        State = "failed"        // eBox refused it, or did not take it for a week
)

// States lists every state.
var States = []State{Gathering, Pending, Published, NoDigitalUser, Withheld, Unwanted, Failed}

// Addressee is a citizen as a message is judged by.
type Addressee struct {
	Standing     citizen.Standing
	Preferences  citizen.Preferences
	Restrictions citizen.Restrictions
}

// namespace derives the ids of messages.
var namespace = uuid.MustParse("6d0f7d3e-8a0c-5f43-9a55-5a3a1f3c4d1e")

// Turn makes messages of new notices and publishes what is due, once. It returns when nothing
// is under way; its error says that something waits for another turn.
func (e *Ebox) Turn(ctx context.Context, now time.Time) error {
	if err := e.place(ctx, now); err != nil {
		return err
	}
	err := e.o.DB.Write(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, tx.Rebind(`UPDATE ebox_messages SET state = 'pending' WHERE state = 'gathering' AND next_at <= ?`), now.UnixMicro())
		return err
	})
	if err != nil {
		return fmt.Errorf("end the day of messages: %w", err)
	}
	for {
		due, err := e.due(ctx, now)
		if err != nil || len(due) == 0 {
			return err
		}
		if failed := e.sendTo(ctx, now, due); failed != nil {
			return failed
		}
	}
}

// place makes messages of the notices that belong to none.
func (e *Ebox) place(ctx context.Context, now time.Time) error {
	for {
		loose, err := e.notices(ctx, uuid.Nil, 500)
		if err != nil || len(loose) == 0 {
			return err
		}
		people := map[domain.CitizenID]Addressee{}
		for _, n := range loose {
			if _, known := people[n.Citizen]; known {
				continue
			}
			if people[n.Citizen], err = e.o.Vault.WrittenTo(ctx, n.Citizen); err != nil {
				return fmt.Errorf("read what a citizen chose: %w", err)
			}
		}
		err = e.o.DB.Write(ctx, func(tx *sqlx.Tx) error {
			for _, n := range loose {
				if err := placeOne(ctx, tx, n, people[n.Citizen], now); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("make messages: %w", err)
		}
	}
}

// placeOne gives a notice to a message, or drops it where nobody wants to hear of it.
func placeOne(ctx context.Context, tx *sqlx.Tx, n Notice, who Addressee, now time.Time) error {
	way := wayOf(who.Preferences, n.Topic)
	if who.Standing != citizen.Living || way == citizen.NoNotice {
		_, err := tx.ExecContext(ctx, tx.Rebind(`DELETE FROM ebox_notices WHERE event = ?`), n.ID[:])
		return err
	}
	id, state, due := uuid.NewSHA1(namespace, n.ID[:]), Pending, now
	if way == citizen.ByEboxDaily {
		for day := domain.BelgianDate(now); ; day = day.AddDays(1) {
			id, state = uuid.NewSHA1(n.Citizen.UUID, []byte(string(n.Topic)+" "+string(day))), Gathering
			due = domain.BelgianDayEnd(day).Add(dailyHour * time.Hour)
			var taken int
			if err := tx.GetContext(ctx, &taken, tx.Rebind(`SELECT count(*) FROM ebox_messages WHERE id = ? AND state <> 'gathering'`), id[:]); err != nil {
				return err
			}
			if taken == 0 { // else that day's message left before the clock was set back
				break
			}
		}
	}
	_, err := tx.ExecContext(ctx, tx.Rebind(`
		INSERT INTO ebox_messages (id, citizen, topic, daily, leaf, state, attempts, tries_since, next_at, reason, ebox_id, expires_at, read_at, reminded_at, alerted_at, created_at, changed_at)
		VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, '', '', 0, 0, 0, 0, ?, ?) ON CONFLICT DO NOTHING`),
		id[:], n.Citizen.UUID[:], n.Topic, asInteger(state == Gathering), n.Leaf, state, due.UnixMicro(), due.UnixMicro(), now.UnixMicro(), now.UnixMicro())
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, tx.Rebind(`UPDATE ebox_notices SET message = ? WHERE event = ?`), id[:], n.ID[:])
	return err
}

// notices returns the first notices of a message, of the zero id those of none.
func (e *Ebox) notices(ctx context.Context, message uuid.UUID, limit int) ([]Notice, error) {
	var rows []struct {
		Event, Citizen, Document, Correlation []byte
		Leaf, At                              int64
		Topic                                 Topic
		Kind                                  Kind
		Type                                  domain.DocumentType
		Organisation                          domain.Organisation
		Purpose                               domain.Purpose
		Days                                  int
	}
	err := e.o.DB.Reader().SelectContext(ctx, &rows, e.o.DB.Reader().Rebind(`
		SELECT event, citizen, leaf, topic, kind, document, type, organisation, purpose, days, correlation, at
		FROM ebox_notices WHERE message = ? ORDER BY leaf, event LIMIT ?`), message[:], limit)
	if err != nil {
		return nil, fmt.Errorf("read notices: %w", err)
	}
	all := make([]Notice, len(rows))
	for i, r := range rows {
		all[i] = Notice{Leaf: r.Leaf, Topic: r.Topic, Kind: r.Kind, Type: r.Type, Organisation: r.Organisation, Purpose: r.Purpose, Days: r.Days, At: time.UnixMicro(r.At).UTC()}
		copy(all[i].ID[:], r.Event)
		copy(all[i].Citizen.UUID[:], r.Citizen)
		copy(all[i].Document.UUID[:], r.Document)
		copy(all[i].Correlation[:], r.Correlation)
	}
	return all, nil
}

// due returns citizens whose first message that is not done is due, and whom no process writes
// to now.
func (e *Ebox) due(ctx context.Context, now time.Time) ([]domain.CitizenID, error) {
	var rows [][]byte
	err := e.o.DB.Reader().SelectContext(ctx, &rows, e.o.DB.Reader().Rebind(`
		SELECT m.citizen FROM ebox_messages AS m
		WHERE m.state = 'pending' AND m.next_at <= ?
		AND NOT EXISTS (SELECT 1 FROM ebox_messages AS b WHERE b.citizen = m.citizen AND b.state = 'pending' AND b.next_at > ? AND (b.leaf < m.leaf OR b.leaf = m.leaf AND b.id < m.id))
		AND NOT EXISTS (SELECT 1 FROM ebox_turns AS t WHERE t.citizen = m.citizen AND t.until > ?)
		GROUP BY m.citizen ORDER BY min(m.next_at) LIMIT ?`), now.UnixMicro(), now.UnixMicro(), now.UnixMicro(), 16*workers)
	if err != nil {
		return nil, fmt.Errorf("find what is due: %w", err)
	}
	all := make([]domain.CitizenID, len(rows))
	for i, r := range rows {
		copy(all[i].UUID[:], r)
	}
	return all, nil
}

// sendTo publishes what is due to citizens, to several at a time and to each in order.
func (e *Ebox) sendTo(ctx context.Context, now time.Time, all []domain.CitizenID) error {
	var working sync.WaitGroup
	todo, failed := make(chan domain.CitizenID), make([]error, workers)
	for i := range workers {
		working.Go(func() {
			for c := range todo {
				if err := e.sendAll(ctx, now, c); err != nil {
					failed[i] = err
				}
			}
		})
	}
	for _, c := range all {
		if ctx.Err() == nil {
			todo <- c
		}
	}
	close(todo)
	working.Wait()
	return errors.Join(append(failed, ctx.Err())...)
}

// sendAll publishes what is due to a citizen, the earliest first, until one has to wait.
func (e *Ebox) sendAll(ctx context.Context, now time.Time, c domain.CitizenID) error {
	for {
		mine, err := e.claim(ctx, c)
		if err != nil || !mine {
			return err
		}
		more, err := e.sendNext(ctx, now, c)
		if err != nil || !more {
			return errors.Join(err, e.release(context.WithoutCancel(ctx), c))
		}
	}
}

// claim takes the turn to write to a citizen, or keeps it; false while another process has it.
func (e *Ebox) claim(ctx context.Context, c domain.CitizenID) (mine bool, err error) {
	err = e.o.DB.Write(ctx, func(tx *sqlx.Tx) error {
		now := time.Now()
		done, err := tx.ExecContext(ctx, tx.Rebind(`
			INSERT INTO ebox_turns (citizen, owner, until) VALUES (?, ?, ?)
			ON CONFLICT (citizen) DO UPDATE SET owner = excluded.owner, until = excluded.until
			WHERE ebox_turns.owner = excluded.owner OR ebox_turns.until <= ?`),
			c.UUID[:], e.owner[:], now.Add(turnLasts).UnixMicro(), now.UnixMicro())
		if err != nil {
			return err
		}
		n, err := done.RowsAffected()
		mine = n == 1
		return err
	})
	if err != nil {
		return false, fmt.Errorf("take a turn: %w", err)
	}
	return mine, nil
}

func (e *Ebox) release(ctx context.Context, c domain.CitizenID) error {
	return e.o.DB.Write(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, tx.Rebind(`DELETE FROM ebox_turns WHERE citizen = ? AND owner = ?`), c.UUID[:], e.owner[:])
		return err
	})
}

// queued is a message that waits.
type queued struct {
	ID       []byte
	Topic    Topic
	Daily    bool
	Attempts int
	Since    int64 `db:"tries_since"`
	Next     int64 `db:"next_at"`
	Created  int64 `db:"created_at"`
}

// sendNext publishes the first message of a citizen that waits, when it is due, and reports
// whether the next one may follow.
func (e *Ebox) sendNext(ctx context.Context, now time.Time, c domain.CitizenID) (more bool, err error) {
	var rows []queued
	err = e.o.DB.Reader().SelectContext(ctx, &rows, e.o.DB.Reader().Rebind(`
		SELECT id, topic, daily, attempts, tries_since, next_at, created_at FROM ebox_messages
		WHERE citizen = ? AND state = 'pending' ORDER BY leaf, id LIMIT 1`), c.UUID[:])
	if err != nil {
		return false, fmt.Errorf("find the next message: %w", err)
	}
	if len(rows) == 0 || rows[0].Next > now.UnixMicro() {
		return false, nil
	}
	q := rows[0]
	id, err := uuid.FromBytes(q.ID)
	if err != nil {
		return false, fmt.Errorf("id of a message: %w", err)
	}
	who, err := e.o.Vault.WrittenTo(ctx, c)
	if err != nil {
		return false, e.later(ctx, id, q, now, err)
	}
	switch {
	case who.Standing == citizen.Erased, who.Standing == citizen.Erasing:
		return false, e.o.DB.Write(ctx, func(tx *sqlx.Tx) error { return forget(ctx, tx, c) })
	case who.Standing != citizen.Living:
		return true, e.finish(ctx, id, outcome{state: Withheld, reason: "notLiving"})
	case wayOf(who.Preferences, q.Topic) == citizen.NoNotice:
		return true, e.finish(ctx, id, outcome{state: Unwanted})
	}
	notices, err := e.notices(ctx, id, maxListed)
	if err != nil {
		return false, err
	}
	told := slices.DeleteFunc(slices.Clone(notices), func(n Notice) bool { return who.Restrictions.Cover(n.Document) })
	if len(told) == 0 {
		return true, e.finish(ctx, id, outcome{state: Withheld, reason: "processingRestricted"})
	}
	return e.publish(ctx, id, c, q, who.Preferences.Language, told, now)
}

// publish makes one try, and reports whether the next message may follow.
func (e *Ebox) publish(ctx context.Context, id uuid.UUID, c domain.CitizenID, q queued, lang domain.Language, notices []Notice, now time.Time) (more bool, err error) {
	m := Message{ID: id, Citizen: c, Made: time.UnixMicro(q.Created).UTC(), Tried: q.Attempts > 0}
	if len(notices) == 1 {
		m.Correlation, m.Type = notices[0].Correlation, notices[0].Type
		if !notices[0].Document.IsZero() {
			m.Document = &notices[0].Document
		}
	}
	count, err := e.count(ctx, id)
	if err != nil {
		return false, err
	}
	letter := e.compose(lang, q.Topic, q.Daily, notices, max(count, len(notices)))
	// A try that a crash cuts short may have left: the row says so before it does.
	if err := e.update(ctx, id, `attempts = attempts + 1`); err != nil {
		return false, err
	}
	q.Attempts++
	var receipt Receipt
	left := false
	sending, span := e.o.Tracer.Event(ctx, "ebox.publish", notices[0].Correlation)
	err = e.o.Vault.Deliver(sending, m, func(ctx context.Context, number domain.SSIN) error {
		limited, cancel := context.WithTimeout(ctx, TryTimeout)
		defer cancel()
		var err error
		receipt, err = e.o.Client.Publish(limited, id, number, letter)
		left = err == nil
		return err
	})
	span.End(err)
	var answer *Answer
	var refusal *domain.Error
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case left:
		if err := e.o.Vault.Delivered(ctx, m); err != nil {
			return false, e.later(ctx, id, q, now, err)
		}
		state := Published
		if receipt.NoDigitalUser {
			state = NoDigitalUser
		}
		return true, e.finish(ctx, id, outcome{state: state, receipt: receipt})
	case errors.As(err, &answer) && answer.Final:
		if err := e.o.Vault.Delivered(ctx, m); err != nil { // the number left
			return false, e.later(ctx, id, q, now, err)
		}
		return true, e.finish(ctx, id, outcome{state: Failed, reason: answer.Reason})
	case errors.Is(err, eventstore.ErrErased):
		return false, nil // the event of its end forgets the rows
	case errors.As(err, &refusal) && refusal.Code != domain.Unavailable && refusal.Code != domain.Full && refusal.Code != domain.TooMany:
		return true, e.finish(ctx, id, outcome{state: Withheld, reason: refusal.Slug})
	}
	return false, e.later(ctx, id, q, now, err)
}

func (e *Ebox) count(ctx context.Context, message uuid.UUID) (n int, err error) {
	err = e.o.DB.Reader().GetContext(ctx, &n, e.o.DB.Reader().Rebind(`SELECT count(*) FROM ebox_notices WHERE message = ?`), message[:])
	return n, err
}

// outcome is what a message came to.
type outcome struct {
	state   State
	reason  string
	receipt Receipt
}

// finish records what a message came to.
func (e *Ebox) finish(ctx context.Context, id uuid.UUID, o outcome) error {
	var expires int64
	if !o.receipt.Expires.IsZero() {
		expires = o.receipt.Expires.UnixMicro()
	}
	return e.update(ctx, id, `state = ?, reason = ?, ebox_id = ?, expires_at = ?`, o.state, o.reason, o.receipt.MessageID, expires)
}

// later has a message tried again after a pause, or lets it fail after a week.
func (e *Ebox) later(ctx context.Context, id uuid.UUID, q queued, now time.Time, why error) error {
	if now.Sub(time.UnixMicro(q.Since)) > giveUpAfter {
		return e.finish(ctx, id, outcome{state: Failed, reason: class(why)})
	}
	pause := maxPause
	if n := min(q.Attempts, 30); firstPause<<n < maxPause && n < 12 {
		pause = firstPause << n
	}
	pause += time.Duration(float64(pause) * 0.1 * e.o.Jitter())
	var answer *Answer
	if errors.As(why, &answer) {
		pause = max(pause, min(answer.RetryAfter, 24*time.Hour))
	}
	return e.update(ctx, id, `next_at = ?, reason = ?`, now.Add(pause).UnixMicro(), class(why))
}

// update changes the row of a message.
func (e *Ebox) update(ctx context.Context, id uuid.UUID, set string, values ...any) error {
	err := e.o.DB.Write(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, tx.Rebind(`UPDATE ebox_messages SET `+set+`, changed_at = ? WHERE id = ?`), append(values, time.Now().UnixMicro(), bytes.Clone(id[:]))...)
		return err
	})
	if err != nil {
		return fmt.Errorf("record a message: %w", err)
	}
	return nil
}

// asInteger returns 1 for true, as the tables have it.
func asInteger(b bool) int {
	if b {
		return 1
	}
	return 0
}

package ebox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"
)

// The members of a page of events, as the event API's document has them.
type (
	eventPage struct {
		Events []eventItem `json:"EboxEnterpriseDocumentEvents"`
		Info   struct {
			Last int64 `json:"lastSequenceNbr"`
			More bool  `json:"hasNext"`
		} `json:"pageInfo"`
	}
	eventItem struct {
		Sequence int64     `json:"eventSequenceNbr"`
		At       time.Time `json:"eventTime"`
		Data     struct {
			Type      string    `json:"eventType"`
			MessageID string    `json:"messageId"`
			Expires   time.Time `json:"expirationDate"`
		} `json:"eventData"`
	}
)

const eventsPerPage = 100

// Events returns the events after one, in order, the number of the last one that was looked at,
// and whether there are more. Its error is an *Answer.
func (c *Client) Events(ctx context.Context, after int64) (events []Event, last int64, more bool, err error) {
	at := c.o.Events.JoinPath("ebox", "enterprise", "document", "events")
	at.RawQuery = "lastSequenceNbr=" + strconv.FormatInt(after, 10) + "&pageSize=" + strconv.Itoa(eventsPerPage)
	a, err := c.call(ctx, func(ctx context.Context) (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	})
	if err != nil {
		return nil, after, false, err
	}
	if a.status != http.StatusOK {
		return nil, after, false, a.answer()
	}
	var page eventPage
	if json.Unmarshal(a.body, &page) != nil {
		return nil, after, false, &Answer{Reason: "unreadable"}
	}
	last = max(after, page.Info.Last)
	for _, one := range page.Events {
		events = append(events, Event{one.Data.Type, one.Data.MessageID, one.At, one.Data.Expires})
		last = max(last, one.Sequence)
	}
	return events, last, page.Info.More && last > after, nil // a page that leads nowhere ends the reading
}

// Event is what eBox tells of a message.
type Event struct {
	Type      string
	MessageID string
	At        time.Time
	Expires   time.Time
}

// columns hold the time of the first event of a type.
var columns = map[string]string{"readDocument": "read_at", "newDocumentReminder": "reminded_at", "documentExpirationAlert": "alerted_at"}

// ReadBack reads what eBox tells of messages since the last time. Events of messages that are
// not ours, and those read twice, change nothing.
func (e *Ebox) ReadBack(ctx context.Context) error {
	if e.o.Client.o.Events == nil {
		return nil
	}
	source := e.o.Client.o.Events.String()
	for {
		var after int64
		if err := e.o.DB.Reader().GetContext(ctx, &after, e.o.DB.Reader().Rebind(`SELECT coalesce(max(sequence), 0) FROM ebox_events WHERE source = ?`), source); err != nil {
			return fmt.Errorf("find the last event: %w", err)
		}
		limited, cancel := context.WithTimeout(ctx, TryTimeout)
		events, last, more, err := e.o.Client.Events(limited, after)
		cancel()
		if err != nil {
			return err
		}
		err = e.o.DB.Write(ctx, func(tx *sqlx.Tx) error {
			for _, one := range events {
				if err := learn(ctx, tx, one); err != nil {
					return err
				}
			}
			_, err := tx.ExecContext(ctx, tx.Rebind(`
				INSERT INTO ebox_events (source, sequence) VALUES (?, ?)
				ON CONFLICT (source) DO UPDATE SET sequence = excluded.sequence WHERE ebox_events.sequence < excluded.sequence`), source, last)
			return err
		})
		if err != nil {
			return fmt.Errorf("record events: %w", err)
		}
		if !more {
			return nil
		}
	}
}

// learn records what an event tells of a message; the first of a type counts.
func learn(ctx context.Context, tx *sqlx.Tx, one Event) error {
	if one.MessageID == "" {
		return nil
	}
	if column := columns[one.Type]; column != "" {
		if _, err := tx.ExecContext(ctx, tx.Rebind(`UPDATE ebox_messages SET `+column+` = ? WHERE ebox_id = ? AND `+column+` = 0`), one.At.UnixMicro(), one.MessageID); err != nil {
			return err
		}
	}
	if one.Expires.IsZero() {
		return nil
	}
	_, err := tx.ExecContext(ctx, tx.Rebind(`UPDATE ebox_messages SET expires_at = ? WHERE ebox_id = ?`), one.Expires.UnixMicro(), one.MessageID)
	return err
}

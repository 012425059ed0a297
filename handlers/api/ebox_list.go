package api

import (
	"cmp"
	"context"
	"time"

	"github.com/google/uuid"

	"coffre/handlers/contract"
)

// EboxDesk is the port to what became of messages in My eBox, whichever process sends them. Its
// methods may be called concurrently.
type EboxDesk interface {
	// Messages returns at most limit messages in a state, the oldest first.
	Messages(ctx context.Context, state contract.EboxMessageState, limit int) ([]EboxMessage, error)
	// Retry has a message that failed or waits tried again, nil: all that failed, and returns how
	// many; its error is a refusal of the code not-found for one that is none of these.
	Retry(ctx context.Context, message *uuid.UUID) (int64, error)
}

// EboxMessage is a message as operators see it.
type EboxMessage struct {
	ID       uuid.UUID
	Topic    string
	Daily    bool
	State    contract.EboxMessageState
	Attempts int
	Reason   string    // of the last failure: a class
	Next     time.Time // zero: there is no further try
	Made     time.Time
	Changed  time.Time
	Read     time.Time // zero: not, or My eBox did not tell
	Reminded time.Time // likewise
	Expires  time.Time // likewise
}

const (
	eboxPath = contract.Base + "/eboxMessages"
	// eboxListed is how many messages are listed at most.
	eboxListed = 200
)

// ListEboxMessages implements GET /eboxMessages.
func (v *Vault) ListEboxMessages(ctx context.Context, r contract.ListEboxMessagesRequestObject) (contract.ListEboxMessagesResponseObject, error) {
	answer := contract.ListEboxMessages200JSONResponse{Self: eboxPath, Items: []contract.EboxMessage{}}
	if r.Params.State != "" {
		answer.Self += contract.Href("?state=" + string(r.Params.State))
	}
	if v.Ebox == nil {
		return answer, nil
	}
	all, err := v.Ebox.Messages(ctx, cmp.Or(r.Params.State, contract.EboxMessageStateFailed), eboxListed)
	for _, m := range all {
		answer.Items = append(answer.Items, contract.EboxMessage{
			Href: eboxPath, MessageID: m.ID, Topic: m.Topic, Daily: m.Daily, State: m.State, Attempts: m.Attempts, Reason: m.Reason, NextAt: m.Next,
			CreatedAt: m.Made, ChangedAt: m.Changed, ReadAt: m.Read, RemindedAt: m.Reminded, ExpiresAt: m.Expires,
		})
	}
	return answer, err
}

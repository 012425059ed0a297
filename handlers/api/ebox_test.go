package api

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// letterID is the id of the message of oneLetter.
var letterID = uuid.UUID{7}

// oneLetter is a desk of My eBox with one message, which failed, and counts what is tried again.
type oneLetter struct{ retried int }

func (*oneLetter) Messages(_ context.Context, state contract.EboxMessageState, _ int) ([]EboxMessage, error) {
	if state != contract.EboxMessageStateFailed {
		return nil, nil
	}
	return []EboxMessage{{ID: letterID, Topic: "documents", State: state, Attempts: 3, Reason: "status500"}}, nil
}

func (o *oneLetter) Retry(_ context.Context, message *uuid.UUID) (int64, error) {
	if message != nil && *message != letterID {
		return 0, domain.NewError(domain.NotFound, "noSuchMessage", "none")
	}
	o.retried++
	return 1, nil
}

// Operators see messages that failed, without whom they go to, and have them tried again once for
// each request.
func TestOperatorsSeeToMessages(t *testing.T) {
	tv := newVault(t)
	listed := func(state contract.EboxMessageState) []contract.EboxMessage {
		t.Helper()
		answer, err := tv.ListEboxMessages(tv.as(t, operator, "listEboxMessages", nil), contract.ListEboxMessagesRequestObject{Params: contract.ListEboxMessagesParams{State: state}})
		if err != nil {
			t.Fatal(err)
		}
		return answer.(contract.ListEboxMessages200JSONResponse).Items
	}
	retry := func(key uuid.UUID, message *uuid.UUID) (int64, error) {
		answer, err := tv.RetryEboxMessages(tv.as(t, operator, "retryEboxMessages", nil), contract.RetryEboxMessagesRequestObject{
			Params: contract.RetryEboxMessagesParams{IdempotencyKey: key}, Body: &contract.EboxRetry{MessageID: message, Reason: "repaired"},
		})
		if err != nil {
			return 0, err
		}
		return answer.(contract.RetryEboxMessages200JSONResponse).Messages, nil
	}
	if _, err := retry(uuid.New(), nil); !errors.Is(err, edge.ErrNoResource) || len(listed("")) != 0 {
		t.Errorf("where nobody is written to: %v", err)
	}
	letters := &oneLetter{}
	tv.Ebox = letters
	if all := listed(""); len(all) != 1 || all[0].MessageID != letterID || all[0].Reason != "status500" || len(listed(contract.EboxMessageStatePending)) != 0 {
		t.Errorf("%+v", all)
	}
	key := uuid.New()
	for range 2 {
		if n, err := retry(key, nil); err != nil || n != 1 || letters.retried != 1 {
			t.Errorf("%d, %v, %d times", n, err, letters.retried)
		}
	}
	if _, err := retry(uuid.New(), new(uuid.New())); !errors.Is(err, edge.ErrNoResource) {
		t.Errorf("another message: %v", err)
	}
}

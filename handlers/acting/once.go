package acting

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/requests"
	"coffre/handlers/edge"
)

var errNilKey = domain.NewError(domain.Invalid, "nilIdempotencyKey", "the nil UUID is no Idempotency-Key; choose one at random for each request")

// Once runs do at most once per Idempotency-Key, and answers every repetition with the
// kept result. The result is stored as JSON, so it holds ids, versions and states only,
// nothing personal. A refusal is not kept: a repetition is judged again. When do ends with
// an error for which MayHaveWritten holds, the key stays claimed until its lease ends, and
// the next attempt looks for the events first.
func Once[R any](ctx context.Context, rec *Recorder, key uuid.UUID, do func(context.Context, Intent) (R, error)) (R, error) {
	return OncePreparing(ctx, rec, key, nil, do)
}

// OncePreparing does the same as Once, and runs ahead while the claim of the key becomes
// durable, so that both wait for the disk together. ahead may judge the request and make
// keys; it appends nothing, because the claim may still be refused. nil skips it.
func OncePreparing[R any](ctx context.Context, rec *Recorder, key uuid.UUID, ahead func(context.Context, Intent), do func(context.Context, Intent) (R, error)) (R, error) {
	var result R
	in := rec.NewIntent(ctx)
	request := RequestOf(in.Call, key)
	outcome, err := rec.beginPreparing(ctx, request, in, ahead)
	switch {
	case err != nil:
		return result, err
	case outcome.Standing == requests.Repeat:
		if err := json.Unmarshal(outcome.Result, &result); err != nil {
			return result, fmt.Errorf("kept answer of %s: not readable", in.Call.Operation)
		}
		return result, nil
	}
	in.Settle = outcome.Standing == requests.Unfinished
	// A key is forgotten after a week and may then name another request, so the time
	// of its first use goes into the ids.
	since := binary.BigEndian.AppendUint64(nil, uint64(outcome.Since.UnixMicro()))
	in.ID = func(i int) uuid.UUID {
		return uuid.NewSHA1(requests.EventID(request.Owner, request.Operation, key, i), since)
	}
	if err = rec.takeAct(ctx, in); err == nil {
		result, err = do(ctx, in)
		rec.freeAct(in, err)
	}
	if err != nil {
		if !MayHaveWritten(err) {
			err = errors.Join(err, rec.Requests.Abandon(outcome.Claim))
		}
		return result, err
	}
	kept, err := json.Marshal(result)
	if err != nil {
		return result, fmt.Errorf("keep the answer of %s: %w", in.Call.Operation, err)
	}
	if err := rec.Requests.Finish(outcome.Claim, SucceededStatus, kept); err != nil {
		// It happened all the same; whoever repeats it is led to its events.
		rec.Slog.WarnContext(ctx, "an answer is not kept", slog.String("operation", in.Call.Operation), slog.Any("error", err))
	}
	return result, nil
}

// takeAct takes a place among the acts of the caller's day.
func (rec *Recorder) takeAct(ctx context.Context, in Intent) error {
	acts := ActsOf(in.Call.Role)
	if acts == nil || TakesBack[in.Call.Operation] {
		return nil
	}
	return rec.Take(ctx, in.Call, acts, Room{ID: in.ID(0), Class: reservedOperations[in.Call.Operation]})
}

// freeAct gives the place of an act back that was refused with err.
func (rec *Recorder) freeAct(in Intent, err error) {
	if acts := ActsOf(in.Call.Role); acts != nil && !TakesBack[in.Call.Operation] {
		rec.FreeIfRefused(acts, in.ID(0), err)
	}
}

// Begin claims a request under its idempotency key; every call that carries a key passes
// here. The nil UUID is refused: it has the contract's form, and a client that forgot to
// choose a key sends it.
func (rec *Recorder) Begin(ctx context.Context, r requests.Request) (requests.Outcome, error) {
	if r.Key == uuid.Nil {
		return requests.Outcome{}, errNilKey
	}
	return rec.Requests.Begin(ctx, r)
}

// beginPreparing claims the request, and calls ahead meanwhile unless it is nil.
func (rec *Recorder) beginPreparing(ctx context.Context, r requests.Request, in Intent, ahead func(context.Context, Intent)) (requests.Outcome, error) {
	if ahead == nil || r.Key == uuid.Nil {
		return rec.Begin(ctx, r)
	}
	var outcome requests.Outcome
	var err error
	begun := make(chan struct{})
	go func() {
		defer close(begun)
		outcome, err = rec.Begin(ctx, r)
	}()
	ahead(ctx, in) // here, where a panic ends the request and not the process
	<-begun
	return outcome, err
}

// SucceededStatus is the HTTP status stored with every kept result; refusals are not kept.
const SucceededStatus = 200

// RequestOf returns the entry of the idempotency table for a call: the owner, the
// operation, the key, and the target and body that a repetition must have as well.
func RequestOf(c *edge.Call, key uuid.UUID) requests.Request {
	return requests.Request{
		Owner: RequestOwner(c), Operation: c.Operation, Key: key, Lease: edge.MaxTime,
		Body: slices.Concat([]byte(c.Target), []byte{0}, c.Body), Class: reservedOperations[c.Operation],
	}
}

// reservedOperations may use the room of the disk that is kept in reserve (rule C-6).
var reservedOperations = map[string]eventstore.Class{
	"withdrawConsent": eventstore.Reserved, "revokeDocument": eventstore.Reserved, "suspendDocument": eventstore.Reserved,
	"endMandate": eventstore.Reserved, "placeHold": eventstore.Reserved, "requestErasure": eventstore.Reserved, "restrictProcessing": eventstore.Reserved,
}

// MayHaveWritten reports whether events may be in the log although a request ended with
// this error: the store does not know, or the time ran out.
func MayHaveWritten(err error) bool {
	return errors.Is(err, eventstore.ErrOutcomeUnknown) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// RequestOwner returns the owner of a call's idempotency keys: an organisation, a citizen,
// or one officer or operator.
func RequestOwner(c *edge.Call) string {
	switch {
	case c.Role == domain.RoleIssuer, c.Role == domain.RoleConsumer:
		return "org:" + string(c.Organisation)
	case !c.Citizen.IsZero():
		return "citizen:" + c.Citizen.String()
	}
	return "subject:" + c.Subject
}

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

// Once runs a request that changes something at most once per Idempotency-Key.
// The result is kept for repetitions, so it holds ids, versions and states only,
// nothing personal. A refusal keeps nothing: asked again, it is judged again. When
// nobody knows whether anything was appended the key stays claimed until its lease
// ends, and the next attempt looks for the events.
func Once[R any](ctx context.Context, rec *Recorder, key uuid.UUID, do func(context.Context, Intent) (R, error)) (R, error) {
	return OncePreparing(ctx, rec, key, nil, do)
}

// OncePreparing is once for a request that can be made ready while its claim becomes
// durable, so that both wait for the medium together. What ahead does may be for
// nothing: it judges the request and makes keys, and appends nothing.
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
	// A key is forgotten after a week and may then name another request, so the moment
	// at which it was first used goes into the ids.
	since := binary.BigEndian.AppendUint64(nil, uint64(outcome.Since.UnixMicro()))
	in.ID = func(i int) uuid.UUID {
		return uuid.NewSHA1(requests.EventID(request.Owner, request.Operation, key, i), since)
	}
	if result, err = do(ctx, in); err != nil {
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

// Begin claims a request under its idempotency key: the one way in for every call that
// carries one. It refuses the nil UUID, which has the contract's form and is what a client
// sends that forgot to choose a key.
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

// SucceededStatus stands for the status of every answer that is kept: refusals are not.
const SucceededStatus = 200

// RequestOf identifies a call by its key and all that it asks for.
func RequestOf(c *edge.Call, key uuid.UUID) requests.Request {
	return requests.Request{
		Owner: RequestOwner(c), Operation: c.Operation, Key: key, Lease: edge.MaxTime,
		Body: slices.Concat([]byte(c.Target), []byte{0}, c.Body), Class: reservedOperations[c.Operation],
	}
}

// reservedOperations are the operations that must pass when there is hardly room (rule C-6).
var reservedOperations = map[string]eventstore.Class{
	"withdrawConsent": eventstore.Reserved, "revokeDocument": eventstore.Reserved, "suspendDocument": eventstore.Reserved,
	"endMandate": eventstore.Reserved, "placeHold": eventstore.Reserved, "requestErasure": eventstore.Reserved,
}

// MayHaveWritten reports whether something may have been written all the same.
func MayHaveWritten(err error) bool {
	return errors.Is(err, eventstore.ErrOutcomeUnknown) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// RequestOwner is whose idempotency keys these are: an organisation's, a citizen's, or
// those of one officer or operator.
func RequestOwner(c *edge.Call) string {
	switch {
	case c.Role == domain.RoleIssuer, c.Role == domain.RoleConsumer:
		return "org:" + string(c.Organisation)
	case !c.Citizen.IsZero():
		return "citizen:" + c.Citizen.String()
	}
	return "subject:" + c.Subject
}

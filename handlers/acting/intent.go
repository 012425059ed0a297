package acting

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/handlers/edge"
	"coffre/projections/vocabulary"
)

// NoCitizen stands for the owner of streams that have nothing personal: no key seals them.
var NoCitizen domain.CitizenID

// Intent is what one request that changes something brings to each of its writes.
type Intent struct {
	Call   *edge.Call
	Actor  domain.Actor
	At     time.Time // the one moment of the whole request, UTC, whole microseconds
	Words  *vocabulary.View
	ID     func(i int) uuid.UUID
	Settle bool
}

// stepSize is how many events one step of a request may append.
const stepSize = 100

// Write returns what is recorded with the events of one step. Steps of one
// request have numbers of their own, so that a repetition derives the same event
// ids whatever the first attempt left undone.
func (in Intent) Write(step int, s eventstore.Stream, citizen domain.CitizenID, basedOn ...eventstore.Reference) eventstore.Write {
	return eventstore.Write{
		Stream: s, Citizen: citizen, Settle: in.Settle,
		Meta: eventstore.Meta{Actor: in.Actor, OnBehalfOf: in.Call.OnBehalfOf, Correlation: in.Call.Trace, Registry: in.Words.Version(), BasedOn: basedOn},
		ID:   func(i int) uuid.UUID { return in.ID(step*stepSize + i) },
	}
}

// ErrReason refuses a reason that the registry does not list.
var ErrReason = domain.NewError(domain.Invalid, "unknownReason", "the registry knows no such reason for this")

// Reason refuses a reason that is not in the registry's list of its kind, so that
// what stands in clear is a word of ours. None is the command's to judge.
func (in Intent) Reason(kind registry.ReasonKind, code domain.ReasonCode) error {
	if code != "" && !in.Words.Reason(kind, code) {
		return ErrReason
	}
	return nil
}

// WithRepresented adds to a write for whom a representative acts.
func WithRepresented(w eventstore.Write, represented domain.CitizenID) eventstore.Write {
	w.Meta.Represents = represented
	return w
}

// NewIntent begins a change that the idempotency table does not guard.
func (rec *Recorder) NewIntent(ctx context.Context) Intent {
	call := edge.CallFrom(ctx)
	fresh := rec.NewID()
	return Intent{
		Call: call, Actor: rec.actor(call), At: rec.Now().UTC().Truncate(time.Microsecond), Words: rec.Words.Current(),
		ID: func(i int) uuid.UUID { return uuid.NewSHA1(fresh, binary.BigEndian.AppendUint32(nil, uint32(i))) },
	}
}

// SystemWrite returns what is recorded with an event that Coffre appends by itself, in
// nobody's name.
func (rec *Recorder) SystemWrite(s eventstore.Stream) eventstore.Write {
	return eventstore.Write{Stream: s, Citizen: NoCitizen, Meta: eventstore.Meta{
		Actor: domain.Actor{Role: domain.RoleSystem}, Registry: rec.Words.Current().Version(),
	}}
}

// Timestamp returns the time now as facts record it: UTC, in whole microseconds.
func (rec *Recorder) Timestamp() time.Time { return rec.Now().UTC().Truncate(time.Microsecond) }

package acting

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/handlers/edge"
	"coffre/projections/vocabulary"
)

// NoCitizen is the owner of streams that hold nothing personal, which no key seals.
var NoCitizen domain.CitizenID

// Intent holds the values that all writes of one request share: the caller, the time, the
// vocabulary, and the ids of the events.
type Intent struct {
	Call  *edge.Call
	Actor domain.Actor // the caller as the log names them
	At    time.Time    // the time of every fact of the request, UTC, whole microseconds
	Words *vocabulary.View
	// ID returns the id of the request's event number i, the same at every repetition.
	ID func(i int) uuid.UUID
	// Settle makes each write look for events of an earlier attempt first. It is true when
	// nobody knows whether that attempt appended any.
	Settle bool
}

// stepSize bounds the events that one step of a request may append.
const stepSize = 100

// Write returns the stream, the metadata and the event ids with which one step of the
// request appends. Each step of a request has a number of its own, so that a repetition
// derives the same event ids, whichever steps the first attempt left undone.
func (in Intent) Write(step int, s eventstore.Stream, citizen domain.CitizenID, basedOn ...eventstore.Reference) eventstore.Write {
	return eventstore.Write{
		Stream: s, Citizen: citizen, Settle: in.Settle,
		Meta: eventstore.Meta{Actor: in.Actor, OnBehalfOf: in.Call.OnBehalfOf, Correlation: in.Call.Trace, Registry: in.Words.Version(), BasedOn: basedOn},
		ID:   func(i int) uuid.UUID { return in.ID(step*stepSize + i) },
	}
}

// WithCall returns the write of an access with what the Belgian audit trail tells of the call.
func WithCall(w eventstore.Write, call *edge.Call) eventstore.Write {
	made := eventstore.Call{Operation: call.Operation, Client: call.Client}
	if call.TokenHash != ([len(call.TokenHash)]byte{}) {
		made.Token = call.TokenHash[:]
	}
	w.Meta.Call = &made
	return w
}

// WithRepresented returns the write with the citizen for whom a representative acts in
// its metadata.
func WithRepresented(w eventstore.Write, represented domain.CitizenID) eventstore.Write {
	w.Meta.Represents = represented
	return w
}

// NewIntent returns the intent of a request that the idempotency table does not guard: its
// event ids are fresh, so a repetition is another request.
func (rec *Recorder) NewIntent(ctx context.Context) Intent {
	call := edge.CallFrom(ctx)
	fresh := rec.NewID()
	return Intent{
		Call: call, Actor: rec.actor(call), At: rec.Now().UTC().Truncate(time.Microsecond), Words: rec.Words.Current(),
		ID: func(i int) uuid.UUID { return uuid.NewSHA1(fresh, binary.BigEndian.AppendUint32(nil, uint32(i))) },
	}
}

// Renew returns the intent with the time and the vocabulary of now, for a second look at
// what was judged before.
func (rec *Recorder) Renew(in Intent) Intent {
	in.At, in.Words = rec.Timestamp(), rec.Words.Current()
	return in
}

// SystemWrite returns the write of an event that Coffre appends by itself: the actor is
// the system, and the stream belongs to no citizen.
func (rec *Recorder) SystemWrite(s eventstore.Stream) eventstore.Write {
	return eventstore.Write{Stream: s, Citizen: NoCitizen, Meta: eventstore.Meta{
		Actor: domain.Actor{Role: domain.RoleSystem}, Registry: rec.Words.Current().Version(),
	}}
}

// Timestamp returns the current time as facts record it: UTC, in whole microseconds.
func (rec *Recorder) Timestamp() time.Time { return rec.Now().UTC().Truncate(time.Microsecond) }

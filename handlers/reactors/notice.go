package reactors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
)

// Notice is an event in the form in which reactors get it: ids and clear facts, nothing
// sealed.
type Notice struct {
	ID          uuid.UUID // of the event
	Type        string    // stored name with form, "document.revoked/1"
	Stream      eventstore.Stream
	Revision    eventstore.Revision
	Leaf        int64
	Recorded    time.Time // when the event was recorded, UTC
	Correlation uuid.UUID // of the request that caused it; Nil when it names none
	// Citizen is whom the event is about: who is named by it, or else by the first event of its
	// stream. It is zero for events about nobody.
	Citizen domain.CitizenID
	Clear   []byte // JSON of the clear fields
}

// Name returns the event's permanent name without its form, "document.revoked".
func (n Notice) Name() string { return eventName(n.Type) }

func eventName(typ string) string {
	name, _, _ := strings.Cut(typ, "/")
	return name
}

// Keys of a message's metadata. None is personal. The message's UUID is the
// event's id, its payload the clear JSON.
const (
	MetaType        = "type"
	MetaStream      = "stream"
	MetaRevision    = "revision"
	MetaLeaf        = "leaf"
	MetaRecorded    = "recorded"
	MetaCorrelation = "correlation" // absent when the event names none
	MetaCitizen     = "citizen"     // an id that the vault made; absent when the event is about nobody
	metaAttempt     = "attempt"     // set by the router: tries so far
)

// numbered returns a notice with the number of the leaf at its position.
func numbered(ctx context.Context, l *eventstore.Log, n Notice, at eventstore.Position) (Notice, error) {
	leaf, err := l.Leaves().Leaf(ctx, at)
	if err != nil {
		return Notice{}, fmt.Errorf("number of the leaf: %w", err)
	}
	n.Leaf = leaf
	return n, nil
}

// unnumbered is the notice of r without the number of its leaf.
func unnumbered(r eventstore.Record, citizen domain.CitizenID) Notice {
	n := Notice{ID: r.ID, Type: r.Type, Stream: r.Stream, Revision: r.Revision, Recorded: r.Time, Clear: r.Clear, Citizen: citizen}
	// Metadata this program cannot read costs the correlation, not the delivery.
	if meta, err := r.Metadata(); err == nil {
		n.Correlation = meta.Correlation
	}
	return n
}

// Message returns n as a Watermill message that shares nothing with n.
func (n Notice) Message() *message.Message {
	m := message.NewMessage(n.ID.String(), message.Payload(bytes.Clone(n.Clear)))
	m.Metadata = message.Metadata{
		MetaType:     n.Type,
		MetaStream:   string(n.Stream),
		MetaRevision: strconv.FormatInt(int64(n.Revision), 10),
		MetaLeaf:     strconv.FormatInt(n.Leaf, 10),
		MetaRecorded: n.Recorded.Format(time.RFC3339Nano),
	}
	if n.Correlation != uuid.Nil {
		m.Metadata[MetaCorrelation] = n.Correlation.String()
	}
	if !n.Citizen.IsZero() {
		m.Metadata[MetaCitizen] = n.Citizen.String()
	}
	return m
}

// ErrNotANotice reports a message that [Notice.Message] did not make.
var ErrNotANotice = errors.New("reactors: the message is not one of ours")

// fromMessage returns the notice in a message that [Notice.Message] made; its error,
// ErrNotANotice, quotes nothing.
func fromMessage(m *message.Message) (Notice, error) {
	id, idErr := uuid.Parse(m.UUID)
	revision, revisionErr := strconv.ParseInt(m.Metadata.Get(MetaRevision), 10, 64)
	leaf, leafErr := strconv.ParseInt(m.Metadata.Get(MetaLeaf), 10, 64)
	recorded, timeErr := time.Parse(time.RFC3339Nano, m.Metadata.Get(MetaRecorded))
	n := Notice{
		ID:       id,
		Type:     m.Metadata.Get(MetaType),
		Stream:   eventstore.Stream(m.Metadata.Get(MetaStream)),
		Revision: eventstore.Revision(revision),
		Leaf:     leaf,
		Recorded: recorded.UTC(),
		Clear:    m.Payload,
	}
	var correlationErr, citizenErr error
	if c := m.Metadata.Get(MetaCorrelation); c != "" {
		n.Correlation, correlationErr = uuid.Parse(c)
	}
	if c := m.Metadata.Get(MetaCitizen); c != "" {
		n.Citizen.UUID, citizenErr = uuid.Parse(c)
	}
	switch {
	case citizenErr != nil, idErr != nil, revisionErr != nil, leafErr != nil, timeErr != nil, correlationErr != nil,
		n.ID == uuid.Nil, n.Type == "", n.Stream == "", n.Revision < 0, n.Leaf < 0:
		return Notice{}, ErrNotANotice
	}
	return n, nil
}

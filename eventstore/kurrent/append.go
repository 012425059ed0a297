package kurrent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"coffre/eventstore"
	"coffre/eventstore/kurrent/form"
)

const (
	// settleWithin bounds how long an append whose outcome is unknown is tried again.
	settleWithin = 20 * time.Second
	lookBehind   = 16 // events beyond a batch's own that a look at a stream's end takes in
	unknownTries = 5  // of an append that fails in a way nobody has a name for
)

// Append implements eventstore.Store. A batch of more than one record costs a second
// call, which tells the place of its last.
func (s *Store) Append(ctx context.Context, b eventstore.Batch) (eventstore.Appended, error) {
	if err := b.Check(); err != nil {
		return eventstore.Appended{}, err
	}
	if err := s.usable(ctx); err != nil {
		return eventstore.Appended{}, err
	}
	if err := s.whole(b.Stream); err != nil {
		return eventstore.Appended{}, err
	}
	if err := s.waiting.take(b.Class == eventstore.Reserved); err != nil {
		return eventstore.Appended{}, err
	}
	defer s.waiting.leave()
	unlock, err := s.locks.Lock(ctx, s.waiting.end, b.Stream)
	if err != nil {
		return eventstore.Appended{}, err
	}
	defer unlock()
	select {
	case s.flight <- struct{}{}:
		defer func() { <-s.flight }()
	case <-s.waiting.end:
		return eventstore.Appended{}, eventstore.ErrClosed
	case <-ctx.Done():
		return eventstore.Appended{}, ctx.Err()
	}
	s.mu.Lock() // so that Close either waits for this append or it does not begin
	if s.closed {
		s.mu.Unlock()
		return eventstore.Appended{}, eventstore.ErrClosed
	}
	s.appending.Add(1)
	s.mu.Unlock()
	defer s.appending.Done()

	if b.Expected == eventstore.Any || b.Expected == eventstore.StreamExists {
		return s.appendAnywhere(ctx, b)
	}
	return s.appendAt(ctx, b, eventstore.Revision(b.Expected))
}

// appendAt appends after the revision that the batch expects.
func (s *Store) appendAt(ctx context.Context, b eventstore.Batch, after eventstore.Revision) (eventstore.Appended, error) {
	if after > lastRevision-eventstore.MaxBatch {
		return eventstore.Appended{}, s.wrong(ctx, b)
	}
	if end, known := s.ends.Get(b.Stream); known && end > after { // streams do not shrink
		return s.settled(ctx, b, after, conflict{})
	}
	if b.Follows != uuid.Nil { // what stands at a revision stands there for ever
		if at, err := s.there(ctx, eventstore.Batch{Stream: b.Stream, Records: []eventstore.Record{{ID: b.Follows}}}, after); err != nil || at.IsZero() {
			if err != nil {
				return eventstore.Appended{}, err
			}
			return s.settled(ctx, b, after, conflict{})
		}
	}
	done, err := s.write(ctx, b, after)
	if err == nil {
		s.remember(b, after)
	}
	moved, ok := errors.AsType[conflict](err)
	if !ok {
		return done, err
	}
	return s.settled(ctx, b, after, moved)
}

// settled tells what became of a batch whose stream is at another revision: it is
// there already, or it never will be.
func (s *Store) settled(ctx context.Context, b eventstore.Batch, after eventstore.Revision, moved conflict) (eventstore.Appended, error) {
	// One look at the stream's end is enough, unless it has gone far beyond.
	p, err := s.streamPage(ctx, b.Stream, esdb.End{}, esdb.Backwards, uint64(len(b.Records))+lookBehind)
	if err != nil {
		return eventstore.Appended{}, moved.or(err)
	}
	actual := eventstore.Revision(-1)
	if len(p.events) > 0 {
		actual = eventstore.Revision(p.events[0].EventNumber)
		s.ends.Add(b.Stream, actual)
	}
	last := after + eventstore.Revision(len(b.Records))
	var at eventstore.Position
	switch {
	case actual < last:
	case eventstore.Revision(p.events[len(p.events)-1].EventNumber) > after+1:
		at, err = s.there(ctx, b, after+1)
	default:
		slices.Reverse(p.events)
		first := after + 1 - eventstore.Revision(p.events[0].EventNumber)
		at, err = matching(b, p.events[first:], after+1)
	}
	switch {
	case err != nil:
		return eventstore.Appended{}, moved.or(err)
	case at.IsZero():
		return eventstore.Appended{}, &eventstore.WrongRevision{Stream: b.Stream, Expected: b.Expected, Actual: actual}
	}
	return eventstore.Appended{First: after + 1, Last: last, Position: at, Repeated: true}, nil
}

// matching returns the position of the batch's last record if the events from the
// first on, which is at that revision, are its records; else the zero position.
func matching(b eventstore.Batch, events []*esdb.RecordedEvent, first eventstore.Revision) (eventstore.Position, error) {
	for i, want := range b.Records {
		if i == len(events) {
			return eventstore.Position{}, nil
		}
		r, err := record(b.Stream, events[i])
		if err != nil || r.Revision != first+eventstore.Revision(i) || r.ID != want.ID {
			return eventstore.Position{}, err
		}
		if i == len(b.Records)-1 {
			return r.Position, nil
		}
	}
	return eventstore.Position{}, nil
}

// appendAnywhere appends after whatever is there, unless the ids are.
func (s *Store) appendAnywhere(ctx context.Context, b eventstore.Batch) (eventstore.Appended, error) {
	for {
		c, err := s.contents(ctx, b.Stream)
		if err != nil {
			return eventstore.Appended{}, err
		}
		first, known := c.ids[b.Records[0].ID]
		for i := 1; i < len(b.Records); i++ {
			at, here := c.ids[b.Records[i].ID]
			if here != known || known && at != first+eventstore.Revision(i) {
				return eventstore.Appended{}, s.wrong(ctx, b)
			}
		}
		if known {
			at, err := s.there(ctx, b, first)
			if err != nil {
				return eventstore.Appended{}, err
			}
			return eventstore.Appended{First: first, Last: first + eventstore.Revision(len(b.Records)) - 1, Position: at, Repeated: true}, nil
		}
		if c.last < 0 && b.Expected == eventstore.StreamExists {
			return eventstore.Appended{}, s.wrong(ctx, b)
		}
		done, err := s.write(ctx, b, c.last)
		if err == nil {
			s.remember(b, c.last)
		}
		moved, ok := errors.AsType[conflict](err)
		if !ok {
			return done, err
		}
		// Somebody outside this process was faster, or an append of ours that nobody
		// heard of: look what it was.
		if err := s.refresh(ctx, b.Stream, c); err != nil {
			return eventstore.Appended{}, moved.or(err)
		}
	}
}

// wrong tells where the stream is.
func (s *Store) wrong(ctx context.Context, b eventstore.Batch) error {
	p, err := s.streamPage(ctx, b.Stream, esdb.End{}, esdb.Backwards, 1)
	if err != nil {
		return err
	}
	actual := eventstore.Revision(-1)
	if len(p.events) > 0 {
		actual = eventstore.Revision(p.events[0].EventNumber)
	}
	return &eventstore.WrongRevision{Stream: b.Stream, Expected: b.Expected, Actual: actual}
}

// there returns the position of the batch's last record if the stream has exactly
// its ids from revision first on; else the zero position.
func (s *Store) there(ctx context.Context, b eventstore.Batch, first eventstore.Revision) (eventstore.Position, error) {
	want := b.Records
	for len(want) > 0 {
		p, err := s.streamPage(ctx, b.Stream, esdb.Revision(uint64(first)), esdb.Forwards, uint64(len(want)))
		if err != nil || len(p.events) == 0 {
			return eventstore.Position{}, err
		}
		for _, e := range p.events {
			r, err := record(b.Stream, e)
			if err != nil || r.Revision != first || r.ID != want[0].ID {
				return eventstore.Position{}, err
			}
			if first, want = first+1, want[1:]; len(want) == 0 {
				return r.Position, nil
			}
		}
	}
	return eventstore.Position{}, nil
}

// write appends the batch after a revision (-1 for a stream that is not there) and
// tries again while the outcome is unknown, which the revision makes safe: of all
// tries one can succeed. It returns a conflict when the stream is somewhere else,
// which after such a try may be its own doing.
func (s *Store) write(ctx context.Context, b eventstore.Batch, after eventstore.Revision) (eventstore.Appended, error) {
	events, size := make([]esdb.EventData, len(b.Records)), 0
	for i, r := range b.Records {
		r.Stream, r.Revision = b.Stream, after+1+eventstore.Revision(i)
		data, metadata := form.Encode(&r) // copies, because the client may still read when the caller has gone
		events[i] = esdb.EventData{EventID: uuid.New(), EventType: r.Type, ContentType: esdb.ContentTypeBinary, Data: data, Metadata: metadata}
		if size += len(data) + len(metadata) + 2*len(r.Type); size > s.o.MaxAppend { // as the server counts
			return eventstore.Appended{}, fmt.Errorf("the server's limit of an append: %w", eventstore.ErrTooLarge)
		}
	}
	var expected esdb.ExpectedRevision = esdb.NoStream{}
	if after >= 0 {
		expected = esdb.Revision(uint64(after))
	}
	settle, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	unknown := false // a try may have succeeded
	for try := 1; ; try++ {
		result, err := use(settle, s.link, func(ctx context.Context, client *esdb.Client) (*esdb.WriteResult, error) {
			deadline := callTimeout
			return client.AppendToStream(ctx, form.StreamName(b.Stream), esdb.AppendToStreamOptions{ExpectedRevision: expected, Deadline: &deadline}, events...)
		})
		if err == nil {
			return s.written(ctx, b, after, result)
		}
		v := judge(b, err)
		switch {
		case v == moved:
			return eventstore.Appended{}, conflict{unknown}
		case v.refusal != nil && !unknown:
			return eventstore.Appended{}, v.refusal
		case v.refusal != nil && !errors.Is(v.refusal, eventstore.ErrOverloaded):
			return eventstore.Appended{}, eventstore.ErrOutcomeUnknown
		}
		unknown = unknown || v.unknown
		if settle.Err() != nil || v.nameless && try >= unknownTries {
			if unknown {
				return eventstore.Appended{}, eventstore.ErrOutcomeUnknown
			}
			return eventstore.Appended{}, cmp.Or(ctx.Err(), eventstore.ErrUnavailable)
		}
		rest := time.NewTimer(rand.N(time.Duration(min(try, 10)) * shortRest))
		select {
		case <-rest.C:
		case <-settle.Done():
		}
		rest.Stop()
	}
}

// conflict: the stream is not where the append said. Where a try before may have
// succeeded, it may be there because of it.
type conflict struct{ unknown bool }

func (conflict) Error() string { return "kurrent: the stream is at another revision" }

// or returns err, unless the append's own outcome is open as long as err is.
func (c conflict) or(err error) error {
	if c.unknown {
		return eventstore.ErrOutcomeUnknown
	}
	return err
}

// verdict is what the error of a try means.
type verdict struct {
	refusal  error // this try wrote nothing, and none will
	unknown  bool  // it may have happened
	nameless bool  // it failed in a way that nobody has a name for
}

// moved is the verdict that the stream is at another revision.
var moved = verdict{refusal: conflict{}}

func judge(b eventstore.Batch, err error) verdict {
	if n, ok := errors.AsType[noClient](err); ok {
		return verdict{refusal: n.why}
	}
	switch codeOf(err) {
	case esdb.ErrorCodeWrongExpectedVersion:
		return moved
	case esdb.ErrorCodeNotLeader: // the client goes to the leader by itself
		return verdict{}
	case esdb.ErrorCodeAccessDenied, esdb.ErrorCodeUnauthenticated:
		return verdict{refusal: fmt.Errorf("%w: it does not let this user append", eventstore.ErrUnavailable)}
	case esdb.ErrorCodeStreamDeleted:
		return verdict{refusal: &eventstore.Corrupt{Stream: b.Stream, Revision: -1}}
	}
	switch status.Code(unwrapped(err)) {
	case codes.InvalidArgument:
		return verdict{refusal: fmt.Errorf("the server's limit of an append: %w", eventstore.ErrTooLarge)}
	case codes.ResourceExhausted:
		return verdict{refusal: eventstore.ErrOverloaded}
	case codes.FailedPrecondition:
		return verdict{refusal: eventstore.ErrFailed}
	}
	return verdict{unknown: true, nameless: !errors.Is(err, errLost)}
}

// written is the answer to an append that succeeded now.
func (s *Store) written(ctx context.Context, b eventstore.Batch, after eventstore.Revision, result *esdb.WriteResult) (eventstore.Appended, error) {
	last := after + eventstore.Revision(len(b.Records))
	if result.NextExpectedVersion != uint64(last) { // what the client says when it was told nothing
		return eventstore.Appended{}, eventstore.ErrOutcomeUnknown
	}
	at := eventstore.Position{Commit: result.CommitPosition, Prepare: result.PreparePosition}
	if len(b.Records) > 1 || at.IsZero() { // servers differ in which of the batch's positions they answer with
		var err error
		if at, err = s.there(ctx, b, after+1); err != nil || at.IsZero() {
			return eventstore.Appended{}, eventstore.ErrOutcomeUnknown // it happened; where will be read
		}
	}
	s.tail.saw(at)
	return eventstore.Appended{First: after + 1, Last: last, Position: at}, nil
}

// contents is what is known of a stream: its ids up to a revision. A contents is
// used by whoever holds the stream's lock.
type contents struct {
	ids  map[uuid.UUID]eventstore.Revision
	last eventstore.Revision
}

// contents returns what is in the stream, as far as this process knows or, the first
// time, as the server says.
func (s *Store) contents(ctx context.Context, name eventstore.Stream) (*contents, error) {
	if c, ok := s.known.Get(name); ok {
		return c, nil
	}
	c := &contents{ids: map[uuid.UUID]eventstore.Revision{}, last: -1}
	return c, s.refresh(ctx, name, c)
}

// refresh reads what came to the stream since.
func (s *Store) refresh(ctx context.Context, name eventstore.Stream, c *contents) error {
	for r, err := range s.stream(ctx, name, c.last+1) {
		if err != nil {
			s.known.Remove(name)
			return err
		}
		c.ids[r.ID], c.last = r.Revision, r.Revision
	}
	if len(c.ids) > knownIDs {
		s.known.Remove(name)
	} else {
		s.known.Add(name, c)
	}
	return nil
}

// remember notes what was appended: where the stream ends now and, where it is known
// up to there, its ids.
func (s *Store) remember(b eventstore.Batch, after eventstore.Revision) {
	s.ends.Add(b.Stream, after+eventstore.Revision(len(b.Records)))
	c, ok := s.known.Peek(b.Stream)
	if !ok || c.last != after {
		return
	}
	for i, r := range b.Records {
		c.last = after + 1 + eventstore.Revision(i)
		c.ids[r.ID] = c.last
	}
	if len(c.ids) > knownIDs {
		s.known.Remove(b.Stream)
	}
}

// places bounds the appends that wait or are under way.
type places struct {
	most int

	mu    sync.Mutex
	taken int
	end   chan struct{} // closed when nobody waits any longer
	ended bool
}

func (p *places) take(reserved bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	most := p.most
	if !reserved {
		most -= (most + reservedShare - 1) / reservedShare
	}
	switch {
	case p.ended:
		return eventstore.ErrClosed
	case p.taken > 0 && p.taken >= most: // an append alone is always taken
		return eventstore.ErrOverloaded
	}
	p.taken++
	return nil
}

func (p *places) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
}

func (p *places) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	close(p.end)
}

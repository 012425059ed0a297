// Package memory is an eventstore.Store that forgets everything when the process
// ends: for tests, for trying Coffre out, and as the reference the other stores
// are compared with. It keeps the whole contract except durability.
//
// Invariant: the n-th record appended has position n, counted from 1, and no
// record changes afterwards.
package memory

import (
	"bytes"
	"context"
	"iter"
	"sync"

	"github.com/google/uuid"

	"coffre/eventstore"
)

// Store keeps records in memory. Its methods may be called concurrently.
type Store struct {
	mu      sync.Mutex
	closed  bool
	all     []eventstore.Record
	streams map[eventstore.Stream]*stream
	grown   chan struct{} // closed and replaced whenever all grows or the store closes
}

type stream struct {
	records []int // indexes into all, by revision
	ids     map[uuid.UUID]eventstore.Revision
}

var _ eventstore.Together = (*Store)(nil)

// New returns an empty store.
func New() *Store {
	return &Store{streams: map[eventstore.Stream]*stream{}, grown: make(chan struct{})}
}

// Append implements eventstore.Store. It never answers ErrOutcomeUnknown.
func (m *Store) Append(ctx context.Context, b eventstore.Batch) (eventstore.Appended, error) {
	if err := b.Check(); err != nil {
		return eventstore.Appended{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx); err != nil {
		return eventstore.Appended{}, err
	}
	done, err := m.append(b)
	if err == nil && !done.Repeated {
		m.wake()
	}
	return done, err
}

// AppendTogether implements eventstore.Together.
func (m *Store) AppendTogether(ctx context.Context, batches []eventstore.Batch) error {
	if err := eventstore.CheckTogether(batches); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx); err != nil {
		return err
	}
	before := len(m.all)
	for _, b := range batches {
		if _, err := m.append(b); err != nil {
			m.cut(before)
			return err
		}
	}
	m.wake()
	return nil
}

func (m *Store) usable(ctx context.Context) error {
	if m.closed {
		return eventstore.ErrClosed
	}
	return ctx.Err()
}

func (m *Store) append(b eventstore.Batch) (eventstore.Appended, error) {
	s := m.streams[b.Stream]
	if s == nil {
		s = &stream{ids: map[uuid.UUID]eventstore.Revision{}}
	}
	if first, repeated := m.repeated(s, b); repeated {
		last := first + eventstore.Revision(len(b.Records)) - 1
		return eventstore.Appended{First: first, Last: last, Position: m.all[s.records[last]].Position, Repeated: true}, nil
	}
	head := eventstore.Revision(len(s.records)) - 1
	if !m.admits(s, b, head) {
		return eventstore.Appended{}, &eventstore.WrongRevision{Stream: b.Stream, Expected: b.Expected, Actual: head}
	}

	m.streams[b.Stream] = s
	for i, r := range b.Records {
		r = clone(r)
		r.Sum = [32]byte{}
		n := uint64(len(m.all)) + 1
		r.Stream = b.Stream
		r.Revision = head + 1 + eventstore.Revision(i)
		r.Position = eventstore.Position{Commit: n, Prepare: n}
		s.ids[r.ID] = r.Revision
		s.records = append(s.records, len(m.all))
		m.all = append(m.all, r)
	}
	return eventstore.Appended{
		First:    head + 1,
		Last:     head + eventstore.Revision(len(b.Records)),
		Position: m.all[len(m.all)-1].Position,
	}, nil
}

// cut takes back every record from the n-th on, which nobody has seen.
func (m *Store) cut(n int) {
	for _, r := range m.all[n:] {
		s := m.streams[r.Stream]
		s.records = s.records[:len(s.records)-1]
		delete(s.ids, r.ID)
		if len(s.records) == 0 {
			delete(m.streams, r.Stream)
		}
	}
	m.all = m.all[:n]
}

// repeated tells whether the batch is in the stream already, and from where.
func (m *Store) repeated(s *stream, b eventstore.Batch) (first eventstore.Revision, ok bool) {
	switch b.Expected {
	case eventstore.Any, eventstore.StreamExists:
		if first, ok = s.ids[b.Records[0].ID]; !ok {
			return 0, false
		}
	default: // NoStream is -1: the first record it would write is 0
		first = eventstore.Revision(b.Expected) + 1
	}
	if first < 0 || int(first) > len(s.records)-len(b.Records) {
		return 0, false
	}
	for i, r := range b.Records {
		if m.all[s.records[int(first)+i]].ID != r.ID {
			return 0, false
		}
	}
	return first, true
}

// admits tells whether a batch that is no repetition may follow head.
func (m *Store) admits(s *stream, b eventstore.Batch, head eventstore.Revision) bool {
	switch b.Expected {
	case eventstore.Any, eventstore.StreamExists:
		for _, r := range b.Records {
			if _, known := s.ids[r.ID]; known {
				return false
			}
		}
		return b.Expected == eventstore.Any || head >= 0
	default:
		return eventstore.Revision(b.Expected) == head && (b.Follows == uuid.Nil || m.all[s.records[head]].ID == b.Follows)
	}
}

// ReadStream implements eventstore.Store.
func (m *Store) ReadStream(ctx context.Context, name eventstore.Stream, from eventstore.Revision) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		m.mu.Lock()
		var found []eventstore.Record
		if s := m.streams[name]; s != nil {
			for _, i := range s.records[min(max(int(from), 0), len(s.records)):] {
				found = append(found, m.all[i])
			}
		}
		closed := m.closed
		m.mu.Unlock()
		emit(ctx, found, closed, yield)
	}
}

// ReadAll implements eventstore.Store.
func (m *Store) ReadAll(ctx context.Context, after eventstore.Position, limit int) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		m.mu.Lock()
		found := m.after(after)
		closed := m.closed
		m.mu.Unlock()
		emit(ctx, found[:min(limit, len(found))], closed, yield)
	}
}

// emit yields copies, so that a caller who changes what it got changes nothing here.
func emit(ctx context.Context, found []eventstore.Record, closed bool, yield func(eventstore.Record, error) bool) {
	switch {
	case closed:
		yield(eventstore.Record{}, eventstore.ErrClosed)
		return
	case ctx.Err() != nil:
		yield(eventstore.Record{}, ctx.Err())
		return
	}
	for _, r := range found {
		if ctx.Err() != nil {
			yield(eventstore.Record{}, ctx.Err())
			return
		}
		if !yield(clone(r), nil) {
			return
		}
	}
}

// after returns the records that lie after p. The caller holds mu.
func (m *Store) after(p eventstore.Position) []eventstore.Record {
	n := min(p.Commit, uint64(len(m.all)))
	if n > 0 && m.all[n-1].Position.Compare(p) > 0 {
		n--
	}
	return m.all[n:len(m.all):len(m.all)]
}

// Wait implements eventstore.Store.
func (m *Store) Wait(ctx context.Context, after eventstore.Position) error {
	for {
		m.mu.Lock()
		closed, ready, grown := m.closed, len(m.after(after)) > 0, m.grown
		m.mu.Unlock()
		switch {
		case closed:
			return eventstore.ErrClosed
		case ctx.Err() != nil:
			return ctx.Err()
		case ready:
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
		}
	}
}

// Head implements eventstore.Store.
func (m *Store) Head(ctx context.Context) (eventstore.Position, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return eventstore.Position{}, eventstore.ErrClosed
	case ctx.Err() != nil:
		return eventstore.Position{}, ctx.Err()
	case len(m.all) == 0:
		return eventstore.Position{}, nil
	}
	return m.all[len(m.all)-1].Position, nil
}

// Close implements eventstore.Store.
func (m *Store) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.closed = true
		m.wake()
	}
	return nil
}

// wake wakes everyone in Wait. The caller holds mu.
func (m *Store) wake() {
	close(m.grown)
	m.grown = make(chan struct{})
}

// clone copies the bytes of r; empty ones become nil, as on every store.
func clone(r eventstore.Record) eventstore.Record {
	r.Meta, r.Clear, r.Sealed = copied(r.Meta), copied(r.Clear), copied(r.Sealed)
	return r
}

func copied(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return bytes.Clone(b)
}

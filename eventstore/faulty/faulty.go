// Package faulty makes a store fail on command, before a call has its effect or
// after, so that whoever uses a store can be tested against both. Its subpackages
// do the same beneath a store: faultfs to the file system under SQLite, faultnet to
// the network before a server.
//
// Invariant: as long as no rule says otherwise, the wrapped store is the store.
package faulty

import (
	"context"
	"iter"
	"sync"

	"coffre/eventstore"
)

// Method names a method of eventstore.Store.
type Method int

const (
	Append Method = iota
	ReadStream
	ReadAll
	Wait
	Head
	methods
)

// Call is one call of a method.
type Call struct {
	Method Method
	N      int // 1 for the first of its method
}

// Fault is how a call fails. The zero Fault lets it pass.
type Fault struct {
	Before error // returned without calling the store
	After  error // returned after the store was called; a read yields it behind its records
}

// Rule decides about each call. It may block; it is called concurrently.
type Rule func(Call) Fault

// At is a rule for one call: the n-th of a method.
func At(m Method, n int, f Fault) Rule {
	return func(c Call) Fault {
		if c == (Call{m, n}) {
			return f
		}
		return Fault{}
	}
}

// Store is an eventstore.Store that fails by rule.
type Store struct {
	inner eventstore.Store

	mu     sync.Mutex
	rule   Rule
	change Change
	counts [methods]int
}

// Change alters a record that is read, as somebody might who can write to the database; it
// may not change the bytes that the record points to. false takes the record away. It is
// called concurrently.
type Change func(*eventstore.Record) bool

// SetChange replaces the change that every record that is read goes through; nil for none.
func (s *Store) SetChange(change Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change = change
}

var _ eventstore.Together = (*Store)(nil)

// New wraps inner. A nil rule lets everything pass. Close closes inner.
func New(inner eventstore.Store, rule Rule) *Store {
	return &Store{inner: inner, rule: rule}
}

// SetRule replaces the rule and counts calls from 1 again.
func (s *Store) SetRule(rule Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rule, s.counts = rule, [methods]int{}
}

func (s *Store) decide(m Method) Fault {
	s.mu.Lock()
	s.counts[m]++
	rule, call := s.rule, Call{m, s.counts[m]}
	s.mu.Unlock()
	if rule == nil {
		return Fault{}
	}
	return rule(call)
}

// Append implements eventstore.Store.
func (s *Store) Append(ctx context.Context, b eventstore.Batch) (eventstore.Appended, error) {
	f := s.decide(Append)
	if f.Before != nil {
		return eventstore.Appended{}, f.Before
	}
	done, err := s.inner.Append(ctx, b)
	if err == nil && f.After != nil {
		return eventstore.Appended{}, f.After
	}
	return done, err
}

// AppendTogether implements eventstore.Together; it fails as an Append does, as a whole.
func (s *Store) AppendTogether(ctx context.Context, batches []eventstore.Batch) error {
	f := s.decide(Append)
	if f.Before != nil {
		return f.Before
	}
	if err := eventstore.AppendTogether(ctx, s.inner, batches); err != nil {
		return err
	}
	return f.After
}

// ReadStream implements eventstore.Store.
func (s *Store) ReadStream(ctx context.Context, name eventstore.Stream, from eventstore.Revision) iter.Seq2[eventstore.Record, error] {
	return s.read(ReadStream, s.inner.ReadStream(ctx, name, from))
}

// ReadAll implements eventstore.Store.
func (s *Store) ReadAll(ctx context.Context, after eventstore.Position, limit int) iter.Seq2[eventstore.Record, error] {
	return s.read(ReadAll, s.inner.ReadAll(ctx, after, limit))
}

func (s *Store) read(m Method, records iter.Seq2[eventstore.Record, error]) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		f := s.decide(m)
		if f.Before != nil {
			yield(eventstore.Record{}, f.Before)
			return
		}
		s.mu.Lock()
		change := s.change
		s.mu.Unlock()
		for r, err := range records {
			if err == nil && change != nil {
				if r.Sum = [32]byte{}; !change(&r) {
					continue
				}
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
		if f.After != nil {
			yield(eventstore.Record{}, f.After)
		}
	}
}

// Wait implements eventstore.Store.
func (s *Store) Wait(ctx context.Context, after eventstore.Position) error {
	f := s.decide(Wait)
	if f.Before != nil {
		return f.Before
	}
	if err := s.inner.Wait(ctx, after); err != nil {
		return err
	}
	return f.After
}

// Head implements eventstore.Store.
func (s *Store) Head(ctx context.Context) (eventstore.Position, error) {
	f := s.decide(Head)
	if f.Before != nil {
		return eventstore.Position{}, f.Before
	}
	head, err := s.inner.Head(ctx)
	if err == nil && f.After != nil {
		return eventstore.Position{}, f.After
	}
	return head, err
}

// Close implements eventstore.Store.
func (s *Store) Close() error { return s.inner.Close() }

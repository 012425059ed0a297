// Package faultyblob makes a store of blobs fail on command, before a call has its
// effect or after.
//
// Invariant: as long as no rule says otherwise, the wrapped store is the store.
package faultyblob

import (
	"context"
	"io"
	"sync"

	"github.com/google/uuid"

	"coffre/eventstore/blob"
)

// Method names a method of blob.Store.
type Method int

const (
	Put Method = iota
	Open
	Delete
	Walk
	methods
)

// Fault is how a call fails. The zero Fault lets it pass.
type Fault struct {
	Before error // returned without calling the store
	After  error // returned after the store was called
}

// Rule decides about the n-th call of a method, from 1. It may block; it is called
// concurrently.
type Rule func(m Method, n int) Fault

// At is a rule for one call.
func At(m Method, n int, f Fault) Rule {
	return func(called Method, nth int) Fault {
		if called == m && nth == n {
			return f
		}
		return Fault{}
	}
}

// Store is a blob.Store that fails by rule.
type Store struct {
	inner blob.Store

	mu     sync.Mutex
	rule   Rule
	counts [methods]int
}

var _ blob.Store = (*Store)(nil)

// New wraps inner. A nil rule lets everything pass.
func New(inner blob.Store, rule Rule) *Store { return &Store{inner: inner, rule: rule} }

// SetRule replaces the rule and counts calls from 1 again.
func (s *Store) SetRule(rule Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rule, s.counts = rule, [methods]int{}
}

func (s *Store) decide(m Method) Fault {
	s.mu.Lock()
	s.counts[m]++
	rule, n := s.rule, s.counts[m]
	s.mu.Unlock()
	if rule == nil {
		return Fault{}
	}
	return rule(m, n)
}

func (s *Store) run(m Method, call func() error) error {
	f := s.decide(m)
	if f.Before != nil {
		return f.Before
	}
	if err := call(); err != nil {
		return err
	}
	return f.After
}

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, name uuid.UUID, content io.Reader, size int64) error {
	return s.run(Put, func() error { return s.inner.Put(ctx, name, content, size) })
}

// Open implements blob.Store.
func (s *Store) Open(ctx context.Context, name uuid.UUID, offset int64) (r io.ReadCloser, err error) {
	err = s.run(Open, func() (err error) { r, err = s.inner.Open(ctx, name, offset); return err })
	if err != nil && r != nil {
		_ = r.Close() // it was opened and is not handed out
		return nil, err
	}
	return r, err
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, name uuid.UUID) error {
	return s.run(Delete, func() error { return s.inner.Delete(ctx, name) })
}

// Walk implements blob.Store.
func (s *Store) Walk(ctx context.Context, each func(blob.Info) error) error {
	return s.run(Walk, func() error { return s.inner.Walk(ctx, each) })
}

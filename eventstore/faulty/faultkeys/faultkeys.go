// Package faultkeys makes a keeper of keys fail on command, before a call has its
// effect or after.
//
// Invariant: as long as no rule says otherwise, the wrapped keeper is the keeper.
package faultkeys

import (
	"context"
	"crypto/ed25519"
	"sync"

	"coffre/eventstore/faulty"
	"coffre/eventstore/seal"
)

// Keys is everything a keeper offers.
type Keys interface {
	seal.KEK
	seal.KEKRotator
	seal.Signer
}

// Method names a method of a keeper.
type Method int

const (
	Wrap Method = iota
	Unwrap
	Rewrap
	Versions
	Rotate
	SetMinDecryption
	Trim
	Sign
	PublicKey
	methods
)

// Methods lists every method.
func Methods() (all []Method) {
	for m := range methods {
		all = append(all, m)
	}
	return all
}

// Call is one call of a method.
type Call struct {
	Method Method
	N      int // 1 for the first of its method
}

// Rule decides about each call; the zero Fault lets it pass. It may block; it is
// called concurrently.
type Rule func(Call) faulty.Fault

// At is a rule for one call: the n-th of a method.
func At(m Method, n int, f faulty.Fault) Rule {
	return func(c Call) faulty.Fault {
		if c == (Call{m, n}) {
			return f
		}
		return faulty.Fault{}
	}
}

// Keeper is a keeper that fails by rule.
type Keeper struct {
	inner Keys

	mu     sync.Mutex
	rule   Rule
	counts [methods]int
}

var _ Keys = (*Keeper)(nil)

// New wraps inner, which stays the caller's to close. A nil rule lets everything
// pass.
func New(inner Keys, rule Rule) *Keeper { return &Keeper{inner: inner, rule: rule} }

// SetRule replaces the rule and counts calls from 1 again.
func (k *Keeper) SetRule(rule Rule) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rule, k.counts = rule, [methods]int{}
}

// Calls returns how often a method was called since the last SetRule.
func (k *Keeper) Calls(m Method) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.counts[m]
}

func (k *Keeper) decide(m Method) faulty.Fault {
	k.mu.Lock()
	k.counts[m]++
	rule, call := k.rule, Call{m, k.counts[m]}
	k.mu.Unlock()
	if rule == nil {
		return faulty.Fault{}
	}
	return rule(call)
}

// through calls the keeper unless the rule says otherwise.
func through[T any](k *Keeper, m Method, call func() (T, error)) (T, error) {
	var nothing T
	f := k.decide(m)
	if f.Before != nil {
		return nothing, f.Before
	}
	out, err := call()
	if err == nil && f.After != nil {
		return nothing, f.After
	}
	return out, err
}

// Wrap implements seal.KEK.
func (k *Keeper) Wrap(ctx context.Context, items []seal.WrapItem) ([]seal.Wrapped, error) {
	return through(k, Wrap, func() ([]seal.Wrapped, error) { return k.inner.Wrap(ctx, items) })
}

// Unwrap implements seal.KEK.
func (k *Keeper) Unwrap(ctx context.Context, items []seal.UnwrapItem) ([]seal.Unwrapped, error) {
	return through(k, Unwrap, func() ([]seal.Unwrapped, error) { return k.inner.Unwrap(ctx, items) })
}

// Rewrap implements seal.KEK.
func (k *Keeper) Rewrap(ctx context.Context, items []seal.UnwrapItem) ([]seal.Wrapped, error) {
	return through(k, Rewrap, func() ([]seal.Wrapped, error) { return k.inner.Rewrap(ctx, items) })
}

// Versions implements seal.KEK.
func (k *Keeper) Versions(ctx context.Context) (seal.Versions, error) {
	return through(k, Versions, func() (seal.Versions, error) { return k.inner.Versions(ctx) })
}

// Rotate implements seal.KEKRotator.
func (k *Keeper) Rotate(ctx context.Context) (int, error) {
	return through(k, Rotate, func() (int, error) { return k.inner.Rotate(ctx) })
}

// SetMinDecryption implements seal.KEKRotator.
func (k *Keeper) SetMinDecryption(ctx context.Context, oldest int) error {
	_, err := through(k, SetMinDecryption, func() (struct{}, error) { return struct{}{}, k.inner.SetMinDecryption(ctx, oldest) })
	return err
}

// Trim implements seal.KEKRotator.
func (k *Keeper) Trim(ctx context.Context, oldest int) error {
	_, err := through(k, Trim, func() (struct{}, error) { return struct{}{}, k.inner.Trim(ctx, oldest) })
	return err
}

// Sign implements seal.Signer.
func (k *Keeper) Sign(ctx context.Context, message []byte) (signature []byte, keyID string, err error) {
	signature, err = through(k, Sign, func() ([]byte, error) {
		s, id, err := k.inner.Sign(ctx, message)
		keyID = id
		return s, err
	})
	if err != nil {
		keyID = ""
	}
	return signature, keyID, err
}

// PublicKey implements seal.Signer.
func (k *Keeper) PublicKey(ctx context.Context, keyID string) (key ed25519.PublicKey, id string, err error) {
	key, err = through(k, PublicKey, func() (ed25519.PublicKey, error) {
		public, same, err := k.inner.PublicKey(ctx, keyID)
		id = same
		return public, err
	})
	if err != nil {
		id = ""
	}
	return key, id, err
}

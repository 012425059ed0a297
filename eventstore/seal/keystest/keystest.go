// Package keystest is the contract of seal.KEK, seal.KEKRotator and seal.Signer as
// tests: every keeper of the key-encryption key runs it, and so does every wrapper
// around one.
package keystest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"

	"coffre/eventstore/seal"
)

// Keys is everything a keeper offers.
type Keys interface {
	seal.KEK
	seal.KEKRotator
	seal.Signer
}

// Run tests the contract. open returns a keeper with a fresh key at version 1;
// reopen, called with the same t, returns one over the same key as a restarted
// process would.
func Run(t *testing.T, open, reopen func(t *testing.T) Keys) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, k Keys)
	}{
		{"round trip", roundTrip},
		{"other AAD is refused", otherAAD},
		{"damage is refused", damage},
		{"one bad item spoils no other", partial},
		{"batch limits", limits},
		{"rotation", rotation},
		{"rewrap", rewrap},
		{"versions that may not be chosen", badVersions},
		{"concurrent use", concurrent},
		{"cancelled context", cancelled},
		{"no aliasing", aliasing},
		{"two wraps differ", randomised},
		{"signatures", signatures},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
	t.Run("reopen", func(t *testing.T) { reopened(t, open, reopen) })
}

func items(n int) []seal.WrapItem {
	out := make([]seal.WrapItem, n)
	for i := range out {
		out[i] = seal.WrapItem{Plain: make([]byte, 32), AAD: fmt.Appendf(nil, "use %d", i)}
		rand.Read(out[i].Plain)
	}
	return out
}

func wrap(t *testing.T, k Keys, in []seal.WrapItem) []seal.UnwrapItem {
	t.Helper()
	wrapped, err := k.Wrap(t.Context(), in)
	if err != nil || len(wrapped) != len(in) {
		t.Fatalf("wrapped %d of %d: %v", len(wrapped), len(in), err)
	}
	out := make([]seal.UnwrapItem, len(in))
	for i, w := range wrapped {
		if w.Err != nil || len(w.Bytes) == 0 || len(w.Bytes) > 1536 || len(in[i].Plain) >= 16 && bytes.Contains(w.Bytes, in[i].Plain) {
			t.Fatalf("item %d: %d bytes, %v", i, len(w.Bytes), w.Err)
		}
		out[i] = seal.UnwrapItem{Wrapped: w.Bytes, AAD: in[i].AAD}
	}
	return out
}

func unwrap(t *testing.T, k Keys, in []seal.UnwrapItem) []seal.Unwrapped {
	t.Helper()
	plain, err := k.Unwrap(t.Context(), in)
	if err != nil || len(plain) != len(in) {
		t.Fatalf("unwrapped %d of %d: %v", len(plain), len(in), err)
	}
	return plain
}

// opens fails the test unless in unwraps to the plain keys of want.
func opens(t *testing.T, k Keys, in []seal.UnwrapItem, want []seal.WrapItem) {
	t.Helper()
	for i, u := range unwrap(t, k, in) {
		if u.Err != nil || !bytes.Equal(u.Plain, want[i].Plain) {
			t.Fatalf("item %d does not open to what was wrapped: %v", i, u.Err)
		}
	}
}

// refused fails the test unless in, alone, is refused with want.
func refused(t *testing.T, k Keys, in seal.UnwrapItem, want error) {
	t.Helper()
	if u := unwrap(t, k, []seal.UnwrapItem{in})[0]; !errors.Is(u.Err, want) || u.Plain != nil {
		t.Fatalf("unwrap gave %d bytes and %v, want %v", len(u.Plain), u.Err, want)
	}
	w, err := k.Rewrap(t.Context(), []seal.UnwrapItem{in})
	if err != nil {
		t.Fatal(err)
	}
	if !errors.Is(w[0].Err, want) || w[0].Bytes != nil {
		t.Fatalf("rewrap gave %d bytes and %v, want %v", len(w[0].Bytes), w[0].Err, want)
	}
}

func roundTrip(t *testing.T, k Keys) {
	for _, n := range []int{1, 2, seal.MaxBatch} {
		in := items(n)
		opens(t, k, wrap(t, k, in), in)
	}
	odd := []seal.WrapItem{{Plain: []byte{1}}, {Plain: bytes.Repeat([]byte{2}, 1024), AAD: bytes.Repeat([]byte{3}, 300)}}
	opens(t, k, wrap(t, k, odd), odd)
}

func otherAAD(t *testing.T, k Keys) {
	in := items(2)
	w := wrap(t, k, in)
	w[0].AAD, w[1].AAD = w[1].AAD, w[0].AAD
	for _, item := range w {
		refused(t, k, item, seal.ErrRefused)
	}
	w[0].AAD = nil
	refused(t, k, w[0], seal.ErrRefused)
}

func damage(t *testing.T, k Keys) {
	good := wrap(t, k, items(1))[0]
	for i := range good.Wrapped {
		bad := seal.UnwrapItem{Wrapped: bytes.Clone(good.Wrapped), AAD: good.AAD}
		bad.Wrapped[i] ^= 0x04
		// A version cut down to an older one may be called retired instead.
		if u := unwrap(t, k, []seal.UnwrapItem{bad})[0]; u.Err == nil || u.Plain != nil {
			t.Fatalf("byte %d changed and it still opens", i)
		}
		cut := seal.UnwrapItem{Wrapped: good.Wrapped[:i], AAD: good.AAD}
		if u := unwrap(t, k, []seal.UnwrapItem{cut})[0]; u.Err == nil || u.Plain != nil {
			t.Fatalf("cut to %d bytes and it still opens", i)
		}
	}
	refused(t, k, seal.UnwrapItem{Wrapped: append(bytes.Clone(good.Wrapped), 'A'), AAD: good.AAD}, seal.ErrRefused)
}

func partial(t *testing.T, k Keys) {
	in := items(5)
	w := wrap(t, k, in)
	w[1].AAD = []byte("elsewhere")
	w[3].Wrapped = []byte("not a wrapped key")
	rewrapped, err := k.Rewrap(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	for i, u := range unwrap(t, k, w) {
		bad := i == 1 || i == 3
		if bad != errors.Is(u.Err, seal.ErrRefused) || !bad && !bytes.Equal(u.Plain, in[i].Plain) {
			t.Errorf("unwrap item %d: %v", i, u.Err)
		}
		if bad != errors.Is(rewrapped[i].Err, seal.ErrRefused) {
			t.Errorf("rewrap item %d: %v", i, rewrapped[i].Err)
		}
	}
}

func limits(t *testing.T, k Keys) {
	ctx := t.Context()
	for _, n := range []int{0, seal.MaxBatch + 1} {
		if _, err := k.Wrap(ctx, items(n)); !errors.Is(err, seal.ErrBatch) {
			t.Errorf("wrap of %d: %v", n, err)
		}
		if _, err := k.Unwrap(ctx, make([]seal.UnwrapItem, n)); !errors.Is(err, seal.ErrBatch) {
			t.Errorf("unwrap of %d: %v", n, err)
		}
		if _, err := k.Rewrap(ctx, make([]seal.UnwrapItem, n)); !errors.Is(err, seal.ErrBatch) {
			t.Errorf("rewrap of %d: %v", n, err)
		}
	}
	for _, size := range []int{0, 1025} {
		if _, err := k.Wrap(ctx, []seal.WrapItem{{Plain: make([]byte, size)}}); !errors.Is(err, seal.ErrBatch) {
			t.Errorf("wrap of a key of %d bytes: %v", size, err)
		}
	}
}

func versions(t *testing.T, k Keys, want seal.Versions) {
	t.Helper()
	if got, err := k.Versions(t.Context()); err != nil || got != want {
		t.Fatalf("versions %+v, want %+v: %v", got, want, err)
	}
}

func rotate(t *testing.T, k Keys, want int) {
	t.Helper()
	if got, err := k.Rotate(t.Context()); err != nil || got != want {
		t.Fatalf("rotated to %d, want %d: %v", got, want, err)
	}
}

func rotation(t *testing.T, k Keys) {
	ctx := t.Context()
	in := items(3)
	first := wrap(t, k, in)
	versions(t, k, seal.Versions{Latest: 1, MinDecryption: 1, MinAvailable: 1})
	rotate(t, k, 2)
	rotate(t, k, 3)
	versions(t, k, seal.Versions{Latest: 3, MinDecryption: 1, MinAvailable: 1})
	opens(t, k, first, in) // old ones open until told otherwise
	third := wrap(t, k, in)

	if err := k.SetMinDecryption(ctx, 2); err != nil {
		t.Fatal(err)
	}
	refused(t, k, first[0], seal.ErrRetired)
	opens(t, k, third, in)
	if err := k.SetMinDecryption(ctx, 1); err != nil {
		t.Fatal(err)
	}
	opens(t, k, first, in) // not trimmed: it comes back

	if err := k.SetMinDecryption(ctx, 3); err != nil {
		t.Fatal(err)
	}
	if err := k.Trim(ctx, 3); err != nil {
		t.Fatal(err)
	}
	versions(t, k, seal.Versions{Latest: 3, MinDecryption: 3, MinAvailable: 3})
	if err := k.SetMinDecryption(ctx, 1); err == nil {
		t.Error("a trimmed version was brought back")
	}
	refused(t, k, first[0], seal.ErrRetired)
	opens(t, k, third, in)
}

func rewrap(t *testing.T, k Keys) {
	in := items(4)
	first := wrap(t, k, in)
	rotate(t, k, 2)
	w, err := k.Rewrap(t.Context(), first)
	if err != nil || len(w) != len(in) {
		t.Fatal(len(w), err)
	}
	moved := make([]seal.UnwrapItem, len(w))
	for i, item := range w {
		if item.Err != nil || item.Version != 2 {
			t.Fatalf("item %d is at version %d: %v", i, item.Version, item.Err)
		}
		moved[i] = seal.UnwrapItem{Wrapped: item.Bytes, AAD: in[i].AAD}
	}
	opens(t, k, moved, in)
	if err := k.SetMinDecryption(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	opens(t, k, moved, in)
	refused(t, k, first[0], seal.ErrRetired)
}

func badVersions(t *testing.T, k Keys) {
	ctx := t.Context()
	rotate(t, k, 2)
	for _, min := range []int{-1, 0, 3} {
		if err := k.SetMinDecryption(ctx, min); err == nil {
			t.Errorf("minimum for decryption %d was taken", min)
		}
	}
	for _, min := range []int{-1, 0, 2} { // 2: still allowed for decryption
		if err := k.Trim(ctx, min); err == nil {
			t.Errorf("trim to %d was taken", min)
		}
	}
	versions(t, k, seal.Versions{Latest: 2, MinDecryption: 1, MinAvailable: 1})
}

func concurrent(t *testing.T, k Keys) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				in := items(20)
				wrapped, err := k.Wrap(t.Context(), in)
				if err != nil {
					t.Error(err)
					return
				}
				back := make([]seal.UnwrapItem, len(in))
				for i := range in {
					back[i] = seal.UnwrapItem{Wrapped: wrapped[i].Bytes, AAD: in[i].AAD}
				}
				plain, err := k.Unwrap(t.Context(), back)
				if err != nil {
					t.Error(err)
					return
				}
				for i := range in {
					if !bytes.Equal(plain[i].Plain, in[i].Plain) {
						t.Errorf("item %d: %v", i, plain[i].Err)
					}
				}
			}
		})
	}
	wg.Go(func() {
		for range 3 {
			if _, err := k.Rotate(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
}

func cancelled(t *testing.T, k Keys) {
	w := wrap(t, k, items(1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"Wrap":             func() error { _, err := k.Wrap(ctx, items(1)); return err },
		"Unwrap":           func() error { _, err := k.Unwrap(ctx, w); return err },
		"Rewrap":           func() error { _, err := k.Rewrap(ctx, w); return err },
		"Versions":         func() error { _, err := k.Versions(ctx); return err },
		"Rotate":           func() error { _, err := k.Rotate(ctx); return err },
		"SetMinDecryption": func() error { return k.SetMinDecryption(ctx, 1) },
		"Trim":             func() error { return k.Trim(ctx, 1) },
		"Sign":             func() error { _, _, err := k.Sign(ctx, nil); return err },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	versions(t, k, seal.Versions{Latest: 1, MinDecryption: 1, MinAvailable: 1})
}

func aliasing(t *testing.T, k Keys) {
	in := items(1)
	want := []seal.WrapItem{{Plain: bytes.Clone(in[0].Plain), AAD: bytes.Clone(in[0].AAD)}}
	w := wrap(t, k, in)
	w[0].AAD = bytes.Clone(w[0].AAD)
	clear(in[0].Plain)
	clear(in[0].AAD)
	opens(t, k, w, want)

	before := bytes.Clone(w[0].Wrapped)
	u := unwrap(t, k, w)
	clear(u[0].Plain)
	if !bytes.Equal(w[0].Wrapped, before) {
		t.Fatal("unwrap wrote to its argument")
	}
	opens(t, k, w, want)

	public, _, err := k.PublicKey(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	clear(public)
	if again, _, err := k.PublicKey(t.Context(), ""); err != nil || bytes.Equal(again, public) {
		t.Fatal("the public key is shared with the caller", err)
	}
}

func randomised(t *testing.T, k Keys) {
	in := items(1)
	if bytes.Equal(wrap(t, k, in)[0].Wrapped, wrap(t, k, in)[0].Wrapped) {
		t.Fatal("wrapping twice gives the same bytes")
	}
}

func signatures(t *testing.T, k Keys) {
	ctx := t.Context()
	for _, message := range [][]byte{nil, []byte("checkpoint"), make([]byte, 10_000)} {
		signature, id, err := k.Sign(ctx, message)
		if err != nil || id == "" {
			t.Fatalf("key %q: %v", id, err)
		}
		public, same, err := k.PublicKey(ctx, id)
		if err != nil || same != id || !ed25519.Verify(public, message, signature) {
			t.Fatalf("the signature does not verify under key %q, %q: %v", id, same, err)
		}
		if ed25519.Verify(public, append(bytes.Clone(message), 0), signature) {
			t.Fatal("the signature verifies for another message")
		}
	}
	if _, _, err := k.PublicKey(ctx, "no such key"); !errors.Is(err, seal.ErrNoSigningKey) {
		t.Fatal(err)
	}
}

func reopened(t *testing.T, open, reopen func(t *testing.T) Keys) {
	k := open(t)
	in := items(2)
	first := wrap(t, k, in)
	rotate(t, k, 2)
	second := wrap(t, k, in)
	signature, id, err := k.Sign(t.Context(), []byte("m"))
	if err != nil {
		t.Fatal(err)
	}
	k = reopen(t)
	versions(t, k, seal.Versions{Latest: 2, MinDecryption: 1, MinAvailable: 1})
	opens(t, k, first, in)
	opens(t, k, second, in)
	public, _, err := k.PublicKey(t.Context(), id)
	if err != nil || !ed25519.Verify(public, []byte("m"), signature) {
		t.Fatal("the signing key changed", err)
	}
	if err := k.SetMinDecryption(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if err := k.Trim(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	k = reopen(t)
	versions(t, k, seal.Versions{Latest: 2, MinDecryption: 2, MinAvailable: 2})
	refused(t, k, first[0], seal.ErrRetired)
	opens(t, k, second, in)
}

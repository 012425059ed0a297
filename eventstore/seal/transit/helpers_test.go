package transit_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"sync"
	"testing"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/ringtest"
)

var plainKey = bytes.Repeat([]byte{7}, 32)

func wrapOne(t *testing.T, k seal.KEK) error {
	t.Helper()
	_, err := k.Wrap(t.Context(), []seal.WrapItem{{Plain: plainKey, AAD: []byte("use")}})
	return err
}

func wrapped(t *testing.T, k seal.KEK) seal.UnwrapItem {
	t.Helper()
	w, err := k.Wrap(t.Context(), []seal.WrapItem{{Plain: plainKey, AAD: []byte("use")}})
	if err != nil || w[0].Err != nil {
		t.Fatal(err, w)
	}
	return seal.UnwrapItem{Wrapped: w[0].Bytes, AAD: []byte("use")}
}

func items(item ...seal.UnwrapItem) []seal.UnwrapItem { return item }

func unwrapOne(t *testing.T, k seal.KEK, item seal.UnwrapItem) error {
	t.Helper()
	u, err := k.Unwrap(t.Context(), items(item))
	if err != nil {
		return err
	}
	if u[0].Err == nil && !bytes.Equal(u[0].Plain, plainKey) {
		t.Fatal("it unwraps to another key")
	}
	return u[0].Err
}

func opens(t *testing.T, k seal.KEK, item seal.UnwrapItem) {
	t.Helper()
	if err := unwrapOne(t, k, item); err != nil {
		t.Fatal(err)
	}
}

// away fails the test unless err is the one that callers wait out.
func away(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, eventstore.ErrKeysUnavailable) || errors.Is(err, seal.ErrNoIdentity) {
		t.Fatalf("%v, want keys unavailable", err)
	}
}

func noIdentity(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, seal.ErrNoIdentity) || !errors.Is(err, eventstore.ErrKeysUnavailable) {
		t.Fatalf("%v, want no identity", err)
	}
}

// signs fails the test unless signatures verify, and returns the key's name.
func signs(t *testing.T, s seal.Signer) string {
	t.Helper()
	signature, id, err := s.Sign(t.Context(), []byte("m"))
	if err != nil {
		t.Fatal(err)
	}
	public, same, err := s.PublicKey(t.Context(), id)
	if err != nil || same != id || !ed25519.Verify(public, []byte("m"), signature) {
		t.Fatalf("key %q, %q: %v", id, same, err)
	}
	return id
}

// enrolMany enrols n people, many at a time, so that few calls wrap their keys.
func enrolMany(t *testing.T, r *ringtest.Ring, n int) []domain.CitizenID {
	t.Helper()
	citizens := make([]domain.CitizenID, n)
	const workers = 64
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for i := worker; i < n; i += workers {
				var err error
				if citizens[i], _, err = r.Enroll(t.Context(), ringtest.SSIN(i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return citizens
}

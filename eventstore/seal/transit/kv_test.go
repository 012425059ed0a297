package transit_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/checkpoints"
	"coffre/eventstore/checkpoints/checkpointstest"
	"coffre/eventstore/seal/transit"
	"coffre/eventstore/seal/transit/vaulttest"
)

// newKV makes a key-value engine with the policy of deploy/vault, and returns its server and the
// name of a place that is not taken.
func newKV(t *testing.T) (*vaulttest.Server, func() string) {
	t.Helper()
	s := vaulttest.Shared(t)
	s.MountCheckpoints(t)
	var n atomic.Int64
	return s, func() string { return fmt.Sprintf("%s/vault-%d", vaulttest.CheckpointsMount, n.Add(1)) }
}

func openKV(t *testing.T, s *vaulttest.Server, place string) *transit.KV {
	t.Helper()
	k, err := transit.OpenKV(t.Context(), s.Config(t), place)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return k
}

func TestCheckpointsInVault(t *testing.T) {
	s, free := newKV(t)
	checkpointstest.Run(t, func(t *testing.T) func() checkpoints.Place {
		place := free()
		return func() checkpoints.Place { return openKV(t, s, place) }
	})
	t.Run("a deleted version is not none", func(t *testing.T) {
		place := free()
		k := openKV(t, s, place)
		if err := k.Replace(t.Context(), nil, checkpointstest.Note(1)); err != nil {
			t.Fatal(err)
		}
		mount, path, _ := strings.Cut(place, "/")
		if _, err := s.Admin().Logical().DeleteWithContext(t.Context(), mount+"/data/"+path); err != nil {
			t.Fatal(err)
		}
		if last, err := k.Last(t.Context()); err == nil || !strings.Contains(err.Error(), "was deleted") {
			t.Fatalf("%q, %v", last, err)
		}
		if err := k.Replace(t.Context(), nil, checkpointstest.Note(2)); err == nil || errors.Is(err, checkpoints.ErrOvertaken) {
			t.Fatalf("%v", err)
		}
	})
	t.Run("what is no checkpoint, and no engine, is told", func(t *testing.T) {
		place := free()
		mount, path, _ := strings.Cut(place, "/")
		s.Write(t, mount+"/data/"+path, map[string]any{"options": map[string]any{"cas": 0}, "data": map[string]any{"password": "secret42"}})
		if _, err := openKV(t, s, place).Last(t.Context()); err == nil || !strings.Contains(err.Error(), "no checkpoint") || strings.Contains(err.Error(), "secret42") {
			t.Errorf("%v", err)
		}
		if last, err := openKV(t, s, "nowhere/"+path).Last(t.Context()); err == nil {
			t.Errorf("an engine that is not there: %q", last)
		}
	})
	t.Run("the application can neither delete nor destroy", func(t *testing.T) {
		place := free()
		if err := openKV(t, s, place).Replace(t.Context(), nil, checkpointstest.Note(1)); err != nil {
			t.Fatal(err)
		}
		mount, path, _ := strings.Cut(place, "/")
		application := s.ApplicationWithCheckpoints(t)
		for _, act := range []func() error{
			func() error {
				_, err := application.Logical().DeleteWithContext(t.Context(), mount+"/data/"+path)
				return err
			},
			func() error {
				_, err := application.Logical().DeleteWithContext(t.Context(), mount+"/metadata/"+path)
				return err
			},
			func() error {
				_, err := application.Logical().WriteWithContext(t.Context(), mount+"/destroy/"+path, map[string]any{"versions": []int{1}})
				return err
			},
			func() error { // without saying what it replaces
				_, err := application.Logical().WriteWithContext(t.Context(), mount+"/data/"+path, map[string]any{"data": map[string]any{"note": "AAAA"}})
				return err
			},
		} {
			if act() == nil {
				t.Error("it could")
			}
		}
	})
}

// While Vault is away nothing is kept and nothing is taken for none; it goes on when it is back.
func TestCheckpointsWhileVaultIsAway(t *testing.T) {
	s, free := newKV(t)
	k := openKV(t, s, free())
	if err := k.Replace(t.Context(), nil, checkpointstest.Note(1)); err != nil {
		t.Fatal(err)
	}
	s.Seal(t)
	if last, err := k.Last(t.Context()); err == nil || !errors.Is(err, eventstore.ErrKeysUnavailable) {
		t.Errorf("%q, %v", last, err)
	}
	if err := k.Replace(t.Context(), checkpointstest.Note(1), checkpointstest.Note(2)); err == nil || errors.Is(err, checkpoints.ErrOvertaken) {
		t.Errorf("%v", err)
	}
	s.Unseal(t)
	if last, err := k.Last(t.Context()); err != nil || !bytes.Equal(last, checkpointstest.Note(1)) {
		t.Errorf("%q, %v", last, err)
	}
	if err := k.Replace(t.Context(), checkpointstest.Note(1), checkpointstest.Note(2)); err != nil {
		t.Error(err)
	}
}

func TestPlacesInVaultHaveNames(t *testing.T) {
	for _, place := range []string{"", "mount", "mount/", "/path", "mount/../path", "mount/a b", "mount/a?b", "mount//a"} {
		if _, err := transit.OpenKV(t.Context(), transit.Config{}, place); err == nil || !strings.Contains(err.Error(), "MOUNT/PATH") {
			t.Errorf("%q: %v", place, err)
		}
	}
}

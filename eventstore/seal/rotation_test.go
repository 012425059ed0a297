package seal_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/ringtest"
)

// finish takes what is under way to its end, as a process does that starts.
func finish(t *testing.T, r *ringtest.Ring) error {
	ctx := t.Context()
	for {
		step, err := r.NextStep(ctx)
		if err != nil {
			return err
		}
		switch step {
		case seal.StepRewrap:
			err = r.RewrapAll(ctx, nil)
		case seal.StepBackUp:
			now := time.Now().Add(time.Second)
			s, _ := r.Status(ctx)
			err = r.NoteBackup(ctx, seal.BackupNote{Taken: now, Verified: now, OldestVersion: s.Oldest(), SHA256: [32]byte{byte(s.Oldest())}})
		case seal.StepRetire:
			err = r.Retire(ctx)
		case seal.StepTrim:
			err = r.Trim(ctx)
		case seal.StepRotate:
			s, err := r.PepperStatus(ctx)
			if err != nil || s.Phase == seal.PepperSettled {
				return err
			}
			return replacePepper(ctx, r)
		}
		if err != nil {
			return err
		}
	}
}

func replacePepper(ctx context.Context, r *ringtest.Ring) error {
	if err := r.BackfillPepper(ctx, nil); err != nil {
		return err
	}
	if err := r.SwitchPepper(ctx); err != nil {
		return err
	}
	return r.DropPepper(ctx, nil)
}

// rotateAll replaces the key-encryption key, then the pepper.
func rotateAll(t *testing.T, r *ringtest.Ring) error {
	if _, err := r.Rotate(t.Context()); err != nil {
		return err
	}
	if err := finish(t, r); err != nil {
		return err
	}
	if err := r.BeginPepper(t.Context()); err != nil {
		return err
	}
	return finish(t, r)
}

// world is some people whom no rotation may lose.
type world struct {
	citizens []domain.CitizenID
	parts    [][]byte
}

func settle(t *testing.T, r *ringtest.Ring) (w world) {
	for n := range 3 {
		c := ringtest.Citizen(t, r, n)
		part, err := seal.Sealer{Ring: r.Ring}.Seal(t.Context(), c, place(n), []byte("secret"))
		check(t, err)
		w.citizens, w.parts = append(w.citizens, c), append(w.parts, part)
	}
	return w
}

func (w world) whole(t *testing.T, r *ringtest.Ring, at int) {
	t.Helper()
	for n, c := range w.citizens {
		if got, err := r.Resolve(t.Context(), ringtest.SSIN(n)); err != nil || got != c {
			t.Fatalf("call %d: a citizen is lost: %v", at, err)
		}
		if _, err := (seal.Opener{Ring: r.Ring}).Open(t.Context(), nil, place(n), w.parts[n]); err != nil {
			t.Fatalf("call %d: %v", at, err)
		}
	}
}

// someCalls returns the first call to break and how far the next one is: every call
// in a soak, otherwise every fourth, from a random one on.
func someCalls(t *testing.T) (first, step int) {
	t.Helper()
	step = 4
	if os.Getenv("COFFRE_SOAK") == "1" {
		step = 1
	}
	first = rand.IntN(step)
	t.Logf("every call %d modulo %d", first, step)
	return first, step
}

// Whatever call to the medium is the last one, the next process ends the rotation.
func TestRotationKilledAtEveryCall(t *testing.T) {
	first, step := someCalls(t)
	for n := first; ; n += step {
		dir := t.TempDir()
		medium := ringtest.NewMedium(t)
		kek := ringtest.OpenKeeper(t, dir)
		r, db := ringOn(t, dir, medium, kek)
		w := settle(t, r)
		medium.BreakAfter(n)
		err := rotateAll(t, r)
		broken := medium.Broken()
		if err != nil && !errors.Is(err, eventstore.ErrKeysUnavailable) {
			t.Fatalf("call %d: %v", n, err)
		}
		medium.BreakAfter(0)
		r.Close()
		db.Close()

		again := ringtest.OpenRing(t, ringtest.OpenDB(t, dir), kek, seal.Config{})
		w.whole(t, again, n)
		if err := finish(t, again); err != nil {
			t.Fatalf("call %d: not ended: %v", n, err)
		}
		w.whole(t, again, n)
		check(t, rotateAll(t, again))
		w.whole(t, again, n)
		v, err := kek.Versions(t.Context())
		if s, statusErr := again.PepperStatus(t.Context()); errors.Join(err, statusErr) != nil || s.Phase != seal.PepperSettled || v.MinAvailable != v.Latest {
			t.Fatalf("call %d: %+v, %+v, %v", n, s, v, errors.Join(err, statusErr))
		}
		if !broken {
			if n < 20 {
				t.Fatalf("only %d calls: this test broke nothing", n)
			}
			return
		}
	}
}

// mortal is a keeper whose n-th call is its last: it has its effect or it has none,
// and nobody learns which.
type mortal struct {
	*ringtest.Keeper
	left   int // calls
	effect bool
}

var errDied = errors.New("test: died")

func (m *mortal) call(do func() error) error {
	m.left--
	if m.left == 0 && m.effect {
		if err := do(); err != nil {
			return err
		}
	}
	if m.left <= 0 {
		return errDied
	}
	return do()
}

func (m *mortal) Rotate(ctx context.Context) (version int, err error) {
	err = m.call(func() (err error) { version, err = m.Keeper.Rotate(ctx); return err })
	return version, err
}

func (m *mortal) SetMinDecryption(ctx context.Context, oldest int) error {
	return m.call(func() error { return m.Keeper.SetMinDecryption(ctx, oldest) })
}

func (m *mortal) Trim(ctx context.Context, oldest int) error {
	return m.call(func() error { return m.Keeper.Trim(ctx, oldest) })
}

func (m *mortal) Wrap(ctx context.Context, items []seal.WrapItem) (out []seal.Wrapped, err error) {
	err = m.call(func() (err error) { out, err = m.Keeper.Wrap(ctx, items); return err })
	return out, err
}

func (m *mortal) Unwrap(ctx context.Context, items []seal.UnwrapItem) (out []seal.Unwrapped, err error) {
	err = m.call(func() (err error) { out, err = m.Keeper.Unwrap(ctx, items); return err })
	return out, err
}

func (m *mortal) Rewrap(ctx context.Context, items []seal.UnwrapItem) (out []seal.Wrapped, err error) {
	err = m.call(func() (err error) { out, err = m.Keeper.Rewrap(ctx, items); return err })
	return out, err
}

// Whatever call to the keeper is the last one, the next process ends the rotation.
func TestRotationWithAKeeperThatDies(t *testing.T) {
	for _, effect := range []bool{false, true} {
		for n := 1; ; n++ {
			dir := t.TempDir()
			kek := ringtest.OpenKeeper(t, dir)
			db := ringtest.OpenDB(t, dir)
			w := settle(t, ringtest.OpenRing(t, db, kek, seal.Config{}))
			m := &mortal{Keeper: kek, left: 1 << 30, effect: effect}
			r := ringtest.OpenRing(t, db, m, seal.Config{}) // its keys are not in memory
			m.left = n
			err := rotateAll(t, r)
			died := m.left <= 0
			if died != (err != nil) || err != nil && !errors.Is(err, eventstore.ErrKeysUnavailable) {
				t.Fatalf("call %d: %v", n, err)
			}
			again := ringtest.OpenRing(t, db, kek, seal.Config{})
			w.whole(t, again, n)
			if err := finish(t, again); err != nil {
				t.Fatalf("call %d: not ended: %v", n, err)
			}
			w.whole(t, again, n)
			if !died {
				if n < 6 {
					t.Fatalf("only %d calls", n)
				}
				break
			}
		}
	}
}

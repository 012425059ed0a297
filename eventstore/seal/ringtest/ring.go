package ringtest

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"coffre/domain"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/keystest"
	"coffre/eventstore/seal/localkek"
	"coffre/eventstore/sqlite/sqlitedb"
)

// New returns a ring over a database and a key file in a directory of its own;
// all end with the test.
func New(t testing.TB) *Ring {
	t.Helper()
	dir := t.TempDir()
	return OpenRing(t, OpenDB(t, dir), OpenKeeper(t, dir), seal.Config{})
}

// OpenDB opens keys.db in dir until the test ends.
func OpenDB(t testing.TB, dir string) *keysdb.DB {
	t.Helper()
	db, err := keysdb.Open(t.Context(), filepath.Join(dir, "keys.db"), sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// Table returns a table of a database on which a ring is open.
func Table(t testing.TB, db *keysdb.DB, name string) *keysdb.Table {
	t.Helper()
	for _, table := range db.Tables() {
		if table.Name == name {
			return table
		}
	}
	t.Fatalf("no rows of a table %s carry MACs", name)
	return nil
}

// OpenPostgres opens the key database in the PostgreSQL that dsn names until the
// test ends.
func OpenPostgres(t testing.TB, dsn string) *keysdb.DB {
	t.Helper()
	db, _, err := keysdb.OpenPostgres(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// Ring is a ring with every authority over it: its tests rotate and destroy.
type Ring struct {
	*seal.Ring
	seal.Ledger
	seal.Files
	*seal.Destroyer
	*seal.Rotator
}

// TakeAll takes every authority over a ring, whose keeper also rotates. The ring stays
// the caller's to close.
func TakeAll(t testing.TB, r *seal.Ring, kek seal.KEK) *Ring {
	t.Helper()
	keeper, ok := kek.(seal.KEKRotator)
	if !ok {
		t.Fatal("this keeper does not rotate")
	}
	destroyer, err := r.TakeDestroyer()
	if err != nil {
		t.Fatal(err)
	}
	rotator, err := r.TakeRotator(keeper)
	if err != nil {
		t.Fatal(err)
	}
	return &Ring{r, r.Ledger(), r.Files(), destroyer, rotator}
}

// OpenRing opens a ring until the test ends.
func OpenRing(t testing.TB, db *keysdb.DB, kek seal.KEK, cfg seal.Config) *Ring {
	t.Helper()
	r, err := seal.OpenRing(t.Context(), db, kek, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return TakeAll(t, r, kek)
}

// OpenKeeper opens the key file in dir until the test ends.
func OpenKeeper(t testing.TB, dir string) *Keeper {
	t.Helper()
	k, err := localkek.Open(filepath.Join(dir, "kek.json"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return NewKeeper(k)
}

// NewKeeper returns a keeper around another one, which stays the caller's to close.
func NewKeeper(inner keystest.Keys) *Keeper {
	return &Keeper{Keys: inner, calls: map[string]int{}}
}

// Keeper is a key-encryption key that counts its calls and fails where told. It
// passes keystest.
type Keeper struct {
	keystest.Keys

	mu     sync.Mutex
	calls  map[string]int
	before func(method string) error
	after  func(method string)
}

// Calls returns how often a method was called.
func (k *Keeper) Calls(method string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.calls[method]
}

// Before makes every later call ask f first, without holding a lock, and fail with
// what it returns; nil ends it.
func (k *Keeper) Before(f func(method string) error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.before = f
}

// After makes every later call tell f, without holding a lock, once it had its
// effect and before it answers; nil ends it.
func (k *Keeper) After(f func(method string)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.after = f
}

func (k *Keeper) answering(method string) {
	k.mu.Lock()
	after := k.after
	k.mu.Unlock()
	if after != nil {
		after(method)
	}
}

func (k *Keeper) called(method string) error {
	k.mu.Lock()
	k.calls[method]++
	before := k.before
	k.mu.Unlock()
	if before == nil {
		return nil
	}
	return before(method)
}

// Wrap implements seal.KEK.
func (k *Keeper) Wrap(ctx context.Context, items []seal.WrapItem) ([]seal.Wrapped, error) {
	if err := k.called("Wrap"); err != nil {
		return nil, err
	}
	defer k.answering("Wrap")
	return k.Keys.Wrap(ctx, items)
}

// Unwrap implements seal.KEK.
func (k *Keeper) Unwrap(ctx context.Context, items []seal.UnwrapItem) ([]seal.Unwrapped, error) {
	if err := k.called("Unwrap"); err != nil {
		return nil, err
	}
	defer k.answering("Unwrap")
	return k.Keys.Unwrap(ctx, items)
}

// Rewrap implements seal.KEK.
func (k *Keeper) Rewrap(ctx context.Context, items []seal.UnwrapItem) ([]seal.Wrapped, error) {
	if err := k.called("Rewrap"); err != nil {
		return nil, err
	}
	defer k.answering("Rewrap")
	return k.Keys.Rewrap(ctx, items)
}

// SSIN returns the n-th of about 997 million valid numbers; whether a person has
// it is chance, as with any number that passes the check.
func SSIN(n int) domain.SSIN {
	base := n/998*1000 + n%998 + 1
	ssin, err := domain.ParseSSIN(fmt.Sprintf("%09d%02d", base, 97-base%97))
	if err != nil {
		panic(err)
	}
	return ssin
}

// Citizen enrols and activates the n-th person.
func Citizen(t testing.TB, r *Ring, n int) domain.CitizenID {
	t.Helper()
	citizen, _, err := r.Enroll(t.Context(), SSIN(n))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Activate(citizen); err != nil {
		t.Fatal(err)
	}
	return citizen
}

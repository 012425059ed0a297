package vault

import (
	"errors"
	"os"
	"testing"

	"coffre/eventstore/postgres/pgtest"
)

// A directory whose databases are on a server is never taken for a vault of its own that lost
// its log: whoever forgets their addresses is told so, and nothing is made in it.
func TestADirectoryServedElsewhereIsNotOpenedAsItsOwn(t *testing.T) {
	at := pgtest.Shared(t).Database(t)
	dir := DataDir(t.TempDir())
	open := func(stores StoresConfig) error {
		v, err := Open(t.Context(), dir, Options{Duty: Alone, Stores: stores})
		if err != nil {
			return err
		}
		return v.Close()
	}
	if err := open(StoresConfig{Log: at}); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadDir(string(dir))
	if err != nil {
		t.Fatal(err)
	}
	for name, stores := range map[string]StoresConfig{
		"nothing is said":        {},
		"the log is not":         {Keys: at, ReadModels: at},
		"another folder is said": {Log: "sqlite:" + t.TempDir()},
	} {
		if err := open(stores); !errors.Is(err, ErrElsewhere) || errors.Is(err, ErrOlderLog) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after, err := os.ReadDir(string(dir)); err != nil || len(after) != len(before) {
		t.Errorf("%d files became %d: %v", len(before), len(after), err)
	}
	if err := open(StoresConfig{Log: at}); err != nil {
		t.Error(err)
	}
}

// A log in KurrentDB leaves its leaf index in the directory.
func TestADirectoryWithALeafIndexNeedsItsLog(t *testing.T) {
	dir := DataDir(t.TempDir())
	if err := os.WriteFile(dir.File(leavesFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := elsewhere(dir, StoresConfig{}.In(dir)); !errors.Is(err, ErrElsewhere) {
		t.Error(err)
	}
	if err := elsewhere(dir, StoresConfig{Log: "esdb://h"}.In(dir)); err != nil {
		t.Error(err)
	}
}

// A second process of a shared database makes no key-encryption key of its own: it is told
// that it needs the one there is, and starts once it has it.
func TestASecondProcessNeedsTheKeyFileOfTheFirst(t *testing.T) {
	at := pgtest.Shared(t).Database(t)
	first, second := DataDir(t.TempDir()), DataDir(t.TempDir())
	open := func(dir DataDir) error {
		v, err := Open(t.Context(), dir, Options{Duty: Alone, Stores: StoresConfig{Log: at}})
		if err != nil {
			return err
		}
		return v.Close()
	}
	if err := open(first); err != nil {
		t.Fatal(err)
	}
	if err := open(second); !errors.Is(err, ErrKeyFileOfAnother) {
		t.Errorf("without the key file: %v", err)
	}
	if made, err := isThere(second.File(KEKFile)); err != nil || made {
		t.Error("a key file was made", err)
	}
	key, err := os.ReadFile(first.File(KEKFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(second.File(KEKFile), key, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(second); err != nil {
		t.Error(err)
	}
}

package shred

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore/seal"
)

// What Add acknowledged is on the medium: the line with the file, and the file with its
// folder. While one of them cannot be synced nothing is acknowledged.
func TestAddIsDurable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shred.list")
	var synced []string
	var lines int // in the file when it was synced
	broken := -1  // the call that fails
	l := Open(path)
	l.sync = func(f *os.File) error {
		if len(synced) == broken {
			return errors.New("no medium")
		}
		synced = append(synced, f.Name())
		if f.Name() == path {
			all, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			lines = bytes.Count(all, []byte("\n"))
		}
		return nil
	}
	who := seal.DestroyedSubject{Citizen: domain.CitizenID{UUID: uuid.New()}}
	if err := l.AddCitizen(who, time.Now()); err != nil {
		t.Fatal(err)
	}
	if len(synced) != 2 || synced[0] != path || synced[1] != filepath.Dir(path) || lines != 1 {
		t.Errorf("synced %v with %d lines", synced, lines)
	}
	for broken = range 2 {
		synced = nil
		if err := l.AddStream(seal.DestroyedStream{Stream: "document-a", Citizen: who.Citizen}, time.Now()); err == nil {
			t.Errorf("acknowledged although sync %d failed", broken)
		}
	}
}

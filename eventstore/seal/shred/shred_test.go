package shred_test

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/ringtest"
	"coffre/eventstore/seal/shred"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func citizen(n byte) seal.DestroyedSubject {
	return seal.DestroyedSubject{Citizen: domain.CitizenID{UUID: uuid.UUID{n}}, Suppression: seal.Suppression{Basis: "legalObligation", Until: noon}}
}

func read(t *testing.T, l *shred.List) ([]seal.DestroyedSubject, []seal.DestroyedStream) {
	t.Helper()
	citizens, streams, err := l.Read()
	if err != nil {
		t.Fatal(err)
	}
	return citizens, streams
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestListGrows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shredded.jsonl")
	if citizens, streams := read(t, shred.Open(path)); len(citizens)+len(streams) != 0 {
		t.Fatal("a list that was never written is not empty")
	}
	stream := seal.DestroyedStream{Stream: "document-1", Citizen: citizen(2).Citizen}
	check(t, shred.Open(path).AddCitizen(citizen(1), noon))
	check(t, shred.Open(path).AddStream(stream, noon))
	check(t, shred.Open(path).AddCitizen(citizen(1), noon)) // again does no harm
	citizens, streams := read(t, shred.Open(path))
	if !slices.Equal(citizens, []seal.DestroyedSubject{citizen(1), citizen(1)}) || !slices.Equal(streams, []seal.DestroyedStream{stream}) {
		t.Fatalf("%+v %+v", citizens, streams)
	}
	info, err := os.Stat(path)
	check(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

// Whoever dies while a line is written loses that line and no other.
func TestLineCutOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shredded.jsonl")
	check(t, shred.Open(path).AddCitizen(citizen(1), noon))
	whole, err := os.ReadFile(path)
	check(t, err)
	for n := range len(whole) {
		check(t, os.WriteFile(path, append(slices.Clone(whole), whole[:n]...), 0o600))
		if citizens, _ := read(t, shred.Open(path)); len(citizens) != 1 {
			t.Fatalf("cut off at %d: %d citizens", n, len(citizens))
		}
		check(t, shred.Open(path).AddCitizen(citizen(2), noon))
		citizens, _ := read(t, shred.Open(path))
		if len(citizens) < 2 || citizens[len(citizens)-1] != citizen(2) {
			t.Fatalf("cut off at %d, then written to: %+v", n, citizens)
		}
	}
}

func TestDamageIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shredded.jsonl")
	for _, damage := range []string{"?\n", "{}\n", `{"citizen":"x"}` + "\n", `{"citizen":"01000000-0000-0000-0000-000000000000"} 1` + "\n", string(make([]byte, 8<<10)) + "\n"} {
		check(t, os.WriteFile(path, []byte(damage), 0o600))
		if _, _, err := shred.Open(path).Read(); err == nil {
			t.Errorf("%.20q is taken for a list", damage)
		}
	}
}

func TestConcurrent(t *testing.T) {
	l := shred.Open(filepath.Join(t.TempDir(), "shredded.jsonl"))
	var all sync.WaitGroup
	for n := range byte(20) {
		all.Go(func() {
			if err := l.AddCitizen(citizen(n+1), noon); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if citizens, _ := read(t, l); len(citizens) != 20 {
		t.Errorf("%d citizens", len(citizens))
	}
}

// E-3: a copy of the ring from before is shredded again by the list alone.
func TestRestoredCopyIsShreddedAgain(t *testing.T) {
	ring := ringtest.New(t) // as it was before the erasure
	id := ringtest.Citizen(t, ring, 1)
	p := eventstore.Place{Stream: "document-" + eventstore.Stream(uuid.NewString()), ID: uuid.New(), Type: "document.issued/1"}
	part, err := seal.Sealer{Ring: ring.Ring}.Seal(t.Context(), id, p, []byte("secret"))
	check(t, err)
	l := shred.Open(filepath.Join(t.TempDir(), "shredded.jsonl"))
	check(t, l.AddCitizen(seal.DestroyedSubject{Citizen: id}, noon))
	citizens, streams := read(t, l)
	check(t, ring.ReapplyDestroyed(t.Context(), citizens, streams))
	if _, err := (seal.Opener{Ring: ring.Ring}).Open(t.Context(), nil, p, part); err == nil {
		t.Error("it opens again")
	}
}

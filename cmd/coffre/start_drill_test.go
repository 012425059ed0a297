package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain/audit"
	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/eventstore/sqlite"
	"coffre/handlers/contract"
)

// many is how many events a start has to read: dozens of pages, so that a kill hits the middle.
const many, inBatch = 300_000, 100

// TestAKilledStartGoesOn kills a server that builds its read models, as a platform does whose
// patience ends, starts it again and asks it to end: the port listens from the first moment,
// says how far the start is, lets nobody in, and no later start begins at the first event. A
// server that nobody was let in to ends at once: it gives no notice.
func TestAKilledStartGoesOn(t *testing.T) {
	d := newDrill(t)
	s, err := d.start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.terminate(t.Context()); err != nil {
		t.Fatal(err)
	}
	lengthen(t, string(d.dir))
	if err := os.RemoveAll(d.dir.File("readmodels")); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)

	if s, err = d.launchIn(d.dir, "--listen", address); err != nil {
		t.Fatal(err)
	}
	first := d.untilBuilt(t, s, "http://"+address, 5)
	s.kill()
	if first.Percent == nil {
		t.Fatalf("the server was ready before it said how far it was: %+v", first)
	}
	if s, err = d.launchIn(d.dir, "--listen", address, "--leave-notice", "1m"); err != nil {
		t.Fatal(err)
	}
	second := d.untilBuilt(t, s, "http://"+address, 30)
	soonEnough, cancel := context.WithTimeout(t.Context(), readyIn)
	defer cancel()
	if err := s.terminate(soonEnough); err != nil {
		t.Fatal(err)
	}
	if second.Percent == nil {
		t.Fatalf("the server was ready before it said how far it was: %+v", second)
	}
	if went, models := d.wentOn(t, s, many/20); went != models {
		t.Errorf("%d of %d read models went on where the end found them:\n%s", went, models, strings.Join(s.said, "\n"))
	}
	if s, err = d.launchIn(d.dir, "--listen", address); err != nil {
		t.Fatal(err)
	}
	if err := d.awaitReady(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	s.kill()
	d.wentOn(t, s, many*3/10) // fewer, where the one before had time to finish some
}

// wentOn demands of a server that ended that it began no build at the first event, nor went on
// with one before so many events. It returns with how many of how many read models it went on.
func (d *drill) wentOn(t *testing.T, s *serving, least int64) (went, all int) {
	t.Helper()
	for _, line := range s.said {
		var said struct {
			Msg  string `json:"msg"`
			Leaf int64  `json:"leaf"`
		}
		if json.Unmarshal([]byte(line), &said) != nil {
			continue
		}
		switch {
		case strings.HasPrefix(said.Msg, "building from the first event"):
			t.Errorf("a build began anew:\n%s", strings.Join(s.said, "\n"))
		case strings.HasPrefix(said.Msg, "going on with an interrupted build"):
			if went++; said.Leaf < least-1 {
				t.Errorf("a build went on after leaf %d, %d events were taken in", said.Leaf, least)
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(d.dir.File("readmodels"), "*"))
	models := map[string]bool{}
	for _, file := range files {
		name, _, _ := strings.Cut(filepath.Base(file), ".")
		models[name] = true
	}
	if err != nil || len(models) == 0 {
		t.Fatalf("%d read models: %v", len(models), err)
	}
	return went, len(models)
}

// soon is when a start is looked at again.
func soon() time.Time { return time.Now().Add(20 * time.Millisecond) }

// lengthen records events in a log that nobody serves.
func lengthen(t *testing.T, dir string) {
	store, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	typ, clear, _, err := codec.Catalog.Encode(audit.LogRead{Session: uuid.New(), At: at})
	if err != nil {
		t.Fatal(err)
	}
	meta := []byte(`{"actor":{"role":"auditor","sub":"aGFzaGhhc2hoYXNoaGFzaA"},"schemaVersion":1,"registry":1}`)
	for range many / inBatch {
		batch := eventstore.Batch{Stream: "audit-202603", Expected: eventstore.Any}
		for range inBatch {
			batch.Records = append(batch.Records, eventstore.Record{ID: uuid.New(), Type: typ, Clear: clear, Meta: meta, Time: at})
		}
		if _, err := store.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
}

// untilBuilt asks a server that starts how far it is until that is so many per cent, and holds
// what it answers meanwhile to the promise.
func (d *drill) untilBuilt(t *testing.T, s *serving, url string, percent int) (start contract.HealthStart) {
	t.Helper()
	get := func(path string) *http.Response {
		answer, err := d.http.Get(url + path)
		if err != nil {
			return nil // it does not listen yet
		}
		t.Cleanup(func() { _ = answer.Body.Close() })
		return answer
	}
	err := poll(t.Context(), func() (bool, time.Time, error) {
		select {
		case <-s.ended:
			t.Fatalf("the server ended:\n%s", strings.Join(s.said, "\n"))
		default:
		}
		answer := get("/health")
		if answer == nil {
			return false, soon(), nil
		}
		var health contract.Health
		if err := json.NewDecoder(answer.Body).Decode(&health); err != nil {
			return false, time.Time{}, err
		}
		if start = health.Start; start.Doing == "" {
			return true, time.Time{}, nil // ready
		}
		if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" || health.Status != contract.HealthStatusDOWN {
			t.Errorf("while it starts: /health %d %s, Retry-After %q", answer.StatusCode, health.Status, answer.Header.Get("Retry-After"))
		}
		if live := get("/livez"); live.StatusCode != http.StatusOK {
			t.Errorf("while it starts: /livez %d", live.StatusCode)
		}
		for _, path := range []string{"/readyz", contract.Base + "/consents"} {
			if other := get(path); other.StatusCode == http.StatusServiceUnavailable && other.Header.Get("Retry-After") == "" {
				t.Errorf("while it starts: %s %d without Retry-After", path, other.StatusCode)
			}
		}
		return start.Percent != nil && *start.Percent >= percent, soon(), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return start
}

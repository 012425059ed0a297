package main

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"coffre/cmd/coffre/bench"
	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/eventstore/postgres/pgtest"
	"coffre/handlers/contract"
)

// A vault on a full disk starts, reads and withdraws, says so, and goes on as soon as
// there is room (rule C-6). It needs the right to mount; that each database takes its
// reserve is shown without, on a file system of our own.
func TestStartOnAFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=96m"); err != nil {
		t.Skip("may not mount:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil { // also of a vault that a failure left open
			t.Error(err)
		}
	})
	var told bytes.Buffer
	w := &withdrawal{dir: vault.DataDir(filepath.Join(disk, "data")), o: vault.Options{Logger: slog.New(slog.NewTextHandler(&told, nil))}}
	if err := w.dir.Create(); err != nil {
		t.Fatal(err)
	}
	r := w.open(t)
	w.grant(t, r)
	if code := w.access(t, r); code != http.StatusOK {
		t.Fatal(code)
	}
	if got := r.Health(t.Context()); got != contract.HealthStatusUP {
		t.Fatalf("health is %s", got)
	}
	r.close(t)

	ballast := filepath.Join(disk, "ballast")
	fillDisk(t, ballast)
	r = w.open(t)
	me := grantFor(domain.RoleCitizen, "", r.citizen(t, bench.SSIN(1).Reveal()))
	short := func(when string) {
		t.Helper()
		if got := r.Health(t.Context()); got != contract.HealthStatusDEGRADED {
			t.Errorf("%s: health is %s", when, got)
		}
		if code := r.status(t, me, "/consents"); code != http.StatusOK {
			t.Errorf("%s: reading is answered %d", when, code)
		}
		if got := r.issue(t, uuid.New(), bench.SSIN(4).Reveal(), "full"); got.Code != http.StatusInsufficientStorage {
			t.Errorf("%s: issuing is answered %d %s", when, got.Code, got.Body)
		}
		if code := w.access(t, r); code == http.StatusOK {
			t.Errorf("%s: a disclosure that cannot be recorded", when)
		}
	}
	short("after a start")
	if got := scrape(r); !strings.Contains(got, "coffre_disk_short 1") {
		t.Errorf("the metrics do not tell of it: %s", got)
	}
	r.post(t, me, "/consents/"+w.consent+"/withdraw", "", nil)
	short("after a withdrawal")
	r.close(t)
	if !strings.Contains(told.String(), "the disk is full") || strings.Count(told.String(), "the disk is full") != 1 {
		t.Errorf("the log says %q", told.String())
	}

	r = w.open(t) // the reserve is gone by now
	short("after a second start")
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if got := r.issue(t, uuid.New(), bench.SSIN(4).Reveal(), "room"); got.Code != http.StatusCreated {
		t.Errorf("with room again issuing is answered %d %s", got.Code, got.Body)
	}
	if got := r.Health(t.Context()); got != contract.HealthStatusUP {
		t.Errorf("with room again health is %s", got)
	}
	if code := w.access(t, r); code != http.StatusForbidden {
		t.Errorf("C-4 after the withdrawal: %d", code)
	}

	// A disk that fills while the vault runs: the same, and the reserve is whole.
	fillDisk(t, ballast)
	var full *httptest.ResponseRecorder
	for n := 0; full == nil || full.Code == http.StatusCreated; n++ { // what was allocated is used up first
		full = r.issue(t, uuid.New(), bench.SSIN(4).Reveal(), uuid.NewString())
		if n > 100_000 {
			t.Fatal("the disk does not fill")
		}
	}
	if full.Code != http.StatusInsufficientStorage {
		t.Fatalf("on a full disk issuing is answered %d %s", full.Code, full.Body)
	}
	short("while it runs")
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if got := r.issue(t, uuid.New(), bench.SSIN(4).Reveal(), "again"); got.Code != http.StatusCreated {
		t.Errorf("with room again issuing is answered %d %s", got.Code, got.Body)
	}
	r.close(t)
}

// A vault whose PostgreSQL has no room left reads and discloses nothing that it cannot record,
// says so, starts, and goes on by itself when there is room. It needs the right to mount.
func TestFullPostgres(t *testing.T) {
	server := pgtest.Start(t)
	dsn := server.Database(t)
	disk, resize := server.SmallDisk(t, dsn, 64)
	w := &withdrawal{dir: vault.DataDir(t.TempDir()), o: vault.Options{Stores: vault.StoresConfig{Log: dsn, ReadModels: dsn, Keys: dsn}}}
	r := w.open(t)
	w.grant(t, r)
	if code := w.access(t, r); code != http.StatusOK {
		t.Fatal(code)
	}
	if got := r.Health(t.Context()); got != contract.HealthStatusUP {
		t.Fatalf("health is %s", got)
	}
	fillDisk(t, filepath.Join(disk, "ballast"))
	me := grantFor(domain.RoleCitizen, "", r.citizen(t, bench.SSIN(1).Reveal()))
	short := func(when string) {
		t.Helper()
		var full *httptest.ResponseRecorder
		for n := 0; full == nil || full.Code == http.StatusCreated; n++ { // pages that are there are used up first
			full = r.issue(t, uuid.New(), bench.SSIN(4).Reveal(), uuid.NewString())
			if n > 10_000 {
				t.Fatal("the disk does not fill")
			}
		}
		if full.Code != http.StatusInsufficientStorage || !strings.Contains(full.Body.String(), "storageFull") {
			t.Errorf("%s: issuing is answered %d %s", when, full.Code, full.Body)
		}
		if got := r.Health(t.Context()); got != contract.HealthStatusDEGRADED {
			t.Errorf("%s: health is %s", when, got)
		}
		if got := scrape(r); !strings.Contains(got, "coffre_disk_short 1") {
			t.Errorf("%s: the metrics do not tell of it", when)
		}
		if code := r.status(t, me, "/consents"); code != http.StatusOK {
			t.Errorf("%s: reading is answered %d", when, code)
		}
	}
	short("while it runs")
	r.close(t)
	r = w.start(t)
	<-r.Built(t.Context()) // until then it is DOWN
	short("after a start")

	resize(128)
	if got := r.issue(t, uuid.New(), bench.SSIN(4).Reveal(), "room"); got.Code != http.StatusCreated {
		t.Errorf("with room again issuing is answered %d %s", got.Code, got.Body)
	}
	r.close(t)
}

// scrape returns the metrics.
func scrape(r *rig) string {
	answer := httptest.NewRecorder()
	r.Operators().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return answer.Body.String()
}

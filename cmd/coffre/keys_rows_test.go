package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"coffre/cmd/coffre/vault"
	"coffre/domain/audit"
	"coffre/eventstore/requests"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/ringtest"
	"coffre/eventstore/seal/transit"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/handlers/contract"
)

// hit runs a statement on the key database of a vault that nobody serves.
func hit(t *testing.T, dir vault.DataDir, query string, args ...any) {
	t.Helper()
	db, err := keysdb.Open(t.Context(), dir.File(vault.KeysFile), sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n, err := keysdb.Do(t.Context(), db, func(tx *keysdb.Tx) (int64, error) { return tx.Exec(query, args...) })
	if err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// One changed bit in the key database: it is named, and the health and a metric say so;
// the citizen whose row it is waits, and everybody else is served; an erased person is not
// issued to. A backup brings the rows back, without a word about anybody else's.
func TestChangedBitInTheKeyDatabase(t *testing.T) {
	y := newYesterday(t)
	s := &shell{t: t}
	back := filepath.Join(t.TempDir(), "back")
	s.must(0, "restore", y.archive, "--data", back, "--identity-file", y.key, "--shred-list", y.list)
	tomorrow := filepath.Join(t.TempDir(), "tomorrow.age")
	s.must(0, "backup", "--data", string(y.dir), "--out", tomorrow, "--recipient", y.id.Recipient().String())
	newer := filepath.Join(t.TempDir(), "newer")
	s.must(0, "restore", tomorrow, "--data", newer, "--identity-file", y.key, "--shred-list", y.list)
	if got := s.must(0, "keys", "check", "--data", string(y.dir)); !strings.Contains(got.out, "as it was written") {
		t.Fatalf("before: %s", got.out)
	}

	hit(t, y.dir, `UPDATE suppressions SET until = until + 1`)
	hit(t, y.dir, `UPDATE subject_ssins SET blind = ? WHERE citizen = ?`, make([]byte, 32), y.b.UUID[:])
	r := rigOn(t, y.dir)
	if found, err := r.Ring.Check(t.Context()); err != nil || len(found) != 2 {
		t.Fatal(found, err)
	}
	if got := r.Health(t.Context()); got != contract.HealthStatusDEGRADED {
		t.Errorf("health %s", got)
	}
	w := httptest.NewRecorder()
	r.Operators().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if page := w.Body.String(); !strings.Contains(page, "\ncoffre_key_damaged_rows 2\n") {
		t.Error("the metric does not say two damaged rows")
	}
	for _, ssin := range []string{ssinA, ssinB} { // A is erased, B's number is not found
		if w := r.issue(t, uuid.New(), ssin, "c"+ssin[:2]); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "keysUnavailable") {
			t.Errorf("issuing answers %d %s", w.Code, w.Body)
		}
	}
	if w := r.issue(t, uuid.New(), ssinC, "c1"); w.Code != http.StatusCreated {
		t.Errorf("somebody else: %d %s", w.Code, w.Body)
	}
	r.close(t)

	got := s.must(exitTamper, "keys", "check", "--data", string(y.dir), "--json")
	var said struct{ Damaged []damagedRow }
	if err := json.Unmarshal([]byte(got.out), &said); err != nil || len(said.Damaged) != 2 || said.Damaged[0].Table != "subject_ssins" || said.Damaged[1].Table != "suppressions" {
		t.Fatalf("%s %v", got.out, err)
	}
	for _, secret := range []string{ssinA, ssinB, y.a.String(), y.b.String()} {
		if strings.Contains(got.out+got.err, secret) {
			t.Error("a damaged row is named by somebody's number or id")
		}
	}
	// Yesterday's backup has B's number and not the suppression of A.
	if got := s.must(exitTamper, "keys", "restore", "--data", string(y.dir), "--from", back); !strings.Contains(got.out, "subject_ssins") || !strings.Contains(got.out, "still damaged") {
		t.Errorf("%s", got.out)
	}
	s.must(0, "keys", "restore", "--data", string(y.dir), "--from", newer)
	r = rigOn(t, y.dir)
	if all := r.operated(t, audit.RestoreKeyRows); len(all) != 2 {
		t.Errorf("two restores of rows are on record as %+v", all)
	}
	if w := r.issue(t, uuid.New(), ssinA, "c2"); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "citizenErased") {
		t.Errorf("the erased: %d %s", w.Code, w.Body)
	}
	if w := r.issue(t, uuid.New(), ssinB, "c3"); w.Code != http.StatusCreated {
		t.Errorf("the citizen: %d %s", w.Code, w.Body)
	}
	if found, err := r.Ring.Check(t.Context()); err != nil || len(found) > 0 || r.Health(t.Context()) != contract.HealthStatusUP {
		t.Errorf("%v %v %s", found, err, r.Health(t.Context()))
	}
	r.close(t)

	// A row that concerns everybody: the start says which, and it comes back all the same.
	hit(t, y.dir, `UPDATE deployment_keys SET wrapped = ? WHERE name = 'rows'`, make([]byte, 60))
	if _, err := vault.Open(t.Context(), y.dir, vault.Options{}); err == nil || !strings.Contains(err.Error(), "rows/1 of deployment_keys") {
		t.Errorf("a damaged deployment key: %v", err)
	}
	s.must(0, "keys", "restore", "--data", string(y.dir), "--from", newer)
	s.must(0, "keys", "check", "--data", string(y.dir))

	// A row that no backup has as it last was: only with the operator's word.
	hit(t, y.dir, `DELETE FROM subject_ssins WHERE citizen = ?`, y.b.UUID[:])
	s.must(0, "keys", "restore", "--data", string(y.dir), "--from", newer)
	hit(t, y.dir, `UPDATE ring_state SET kek_floor = 2`)
	s.must(0, "keys", "restore", "--data", string(y.dir), "--from", newer)
	s.must(exitUsage, "keys", "restore", "--data", string(y.dir), "--from", newer, "--accept-missing")
	s.must(exitUsage, "keys", "restore", "--data", string(y.dir))
	s.must(1, "keys", "restore", "--data", string(y.dir), "--from", t.TempDir())
}

// A new vault's files carry MACs from the first row, and every table of the key database
// either has them or says here why not.
func TestEveryTableOfTheKeyDatabaseIsProtected(t *testing.T) {
	without := map[string]string{
		"schema_versions": "how far migrations ran: a wrong number fails a start or a statement",
		"row_sums":        "sealed as a whole",
		"restores":        "written by restores, which have no key; a row too many only makes certificates later",
		"imitations":      "counts waits for nobody",
		"log_end":         "up to where the log was seen: a part of the guard against older files",
		"losses":          "accepted losses, which are on record in the log: a part of the guard against older files",
		"quota_days":      "counts of one day: a changed bit is gone the day after",
		"quota_people":    "keyed digests of one day: a changed bit counts somebody twice",
		"quota_minutes":   "counts of one minute",
		"quota_places":    "places of budgets, which end by themselves: a changed bit bounds a little more or less",
		"quota_sums":      "sums of such places",
		"quota_amounts":   "counts of one day: a changed bit is gone the day after",
		"traffic_days":    "sums of requests: a changed bit changes a figure that decides nothing",
		"traffic_months":  "sums of requests: a changed bit changes a figure that decides nothing, and the price of a usage that its organisation can check",
		"traffic_writes":  "numbers of a process's last write: a changed bit has one minute count twice, or not",
		"page_sessions":   "what pages sealed under keys that browsers alone have: a changed bit ends a session, or moves its end",
		"used_proofs":     "keyed digests of some minutes: a changed bit has one proof count twice, and only by whoever holds its key",
		"jobs":            "how work goes that somebody asked for: it decides nothing, and names nobody",
		"job_findings":    "what such work found, in ids, numbers and codes: coffre audit projections finds the same in the databases themselves",
		"exports":         "what privacy officers asked for, which is on record, and how it goes, for seven days: contents are sealed, under a key that a changed salt is none of",
		"certificates":    "each is signed, and whoever reads one verifies it",
		"checkpoint_last": "it is signed, and compared with the one outside the databases",
		"checkpoints":     "each is signed, and whoever reads one verifies it",
		"cosignatures":    "each is signed, by the log and by witnesses, and whoever reads one verifies it",
		"witnesses_seen":  "how far each witness came: a changed row has it asked from another size, which it corrects",
		"offline_acts":    "what was done while nobody served the vault, until the next start records it: whoever deletes such a row has the database, where nothing else tells of it either",
		"guard":           "up to where the log was compared with the ring: a part of the guard against older files",
	}
	dir := vault.DataDir(t.TempDir())
	rigOn(t, dir).close(t)
	db, err := keysdb.Open(t.Context(), dir.File(vault.KeysFile), sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	read := func(query string) (names []string) {
		t.Helper()
		s, err := db.Read(query)
		if err == nil {
			err = s.SelectContext(t.Context(), &names)
		}
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	tables := read(`SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`)
	if len(tables) < 15 {
		t.Fatalf("only %d tables", len(tables))
	}
	protected := map[string]bool{}
	for _, name := range tables {
		for _, column := range read(`SELECT name FROM pragma_table_info('` + name + `')`) {
			protected[name] = protected[name] || column == "mac"
		}
		if protected[name] == (without[name] != "") {
			t.Errorf("the rows of %s: MACs %v", name, protected[name])
		}
	}
	for name := range without {
		if _, known := protected[name]; !known {
			t.Errorf("there is no table %s", name)
		}
	}
}

// A key database from before, in a PostgreSQL whose roles are kept apart: the process that
// serves may not write the MACs of its rows and says who may; once the rotator was started
// everything is as it was, and verified.
func TestRotatorGivesMACsToAKeyDatabaseFromBefore(t *testing.T) {
	d := newDuties(t)
	serving := d.open(vault.Serving)
	if w := serving.issue(t, uuid.New(), ssinA, "a"); w.Code != http.StatusCreated {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	serving.close(t)
	kek, err := transit.Open(t.Context(), d.vault.Adapter())
	if err != nil {
		t.Fatal(err)
	}
	defer kek.Close()
	db := ringtest.OpenPostgres(t, d.owner)
	ring, err := seal.OpenRing(t.Context(), db, kek, seal.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(requests.Protect(t.Context(), db), ring.Close()); err != nil {
		t.Fatal(err)
	}
	ringtest.MakeFormer(t, db, kek)

	at := d.roles[vault.Serving]
	_, err = vault.Open(t.Context(), vault.DataDir(t.TempDir()), vault.Options{
		Stores: vault.StoresConfig{Log: at, ReadModels: at, Keys: at}, Duty: vault.Serving, Transit: d.vault,
	})
	if !errors.Is(err, keysdb.ErrMayNotProtect) {
		t.Fatalf("serving a key database from before: %v", err)
	}
	d.open(vault.Rotating).close(t)
	serving = d.open(vault.Serving)
	if found, err := serving.Ring.Check(t.Context()); err != nil || len(found) > 0 {
		t.Errorf("%v %v", found, err)
	}
	if w := serving.issue(t, uuid.New(), ssinA, "b"); w.Code != http.StatusCreated {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

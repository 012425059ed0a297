package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"coffre/cmd/coffre/bench"
	"coffre/domain"
	"coffre/eventstore/postgres/pgdb"
)

// diskMegabytes is the size of the disk of an installation's database, of which some 20 are used.
const diskMegabytes = 96

// fund is an organisation that the sample registry lets read cards by law.
const fund = domain.Organisation("0206653946")

// signal sends a signal to a process of the installation.
func (i *installation) signal(t *testing.T, name string, s syscall.Signal) {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(readFile(t, filepath.Join(i.env["STATE"], name+".pid"))))
	if err == nil {
		err = syscall.Kill(pid, s)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// officers gives whoever types tokens of two privacy officers and an auditor.
func (i *installation) officers(t *testing.T) {
	t.Helper()
	i.env["OFFICER"], i.env["SECOND"] = i.tokenFile(t, domain.RolePrivacyOfficer, "anna", ""), i.tokenFile(t, domain.RolePrivacyOfficer, "ben", "")
	i.env["AUDITOR"] = i.tokenFile(t, domain.RoleAuditor, "audit", "")
}

// usageAndTracesAreLost starts the first process with a collector of traces that is not there, takes
// the right to write usage from it, and calls it.
func usageAndTracesAreLost(t *testing.T, i *installation) {
	t.Helper()
	there := httptest.NewServer(&collector{})
	t.Cleanup(there.Close)
	i.env["OPS"], i.env["COLLECTOR"] = freeAddress(t), there.URL
	i.types(t, fmt.Sprintf("export COFFRE_OPS_LISTEN='%s'\nprintf 'COFFRE_TRACES_ENDPOINT=http://%s\\nCOFFRE_TRACES_RATIO=1\\n' >> \"$SETTINGS/coffre.env\"\nstop one; start one; ready \"$ONE\"; well one\n", i.env["OPS"], freeAddress(t)))
	db, err := pgdb.Open(i.database.Superuser(t, i.owner.String()), pgdb.Options{Schema: "coffre_keys", Conns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`REVOKE INSERT, UPDATE, DELETE ON traffic_months FROM coffre`); err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(i.env["SETTINGS"], "secrets", "issuer.token")
	if code, said := i.post(t, token, "/documents/query", `{}`); code >= http.StatusInternalServerError { // nothing else asks this
		t.Fatal(code, string(said))
	}
}

// tracesEnd has the first process run as before, and checks that its usage was not lost.
func tracesEnd(t *testing.T, i *installation) {
	t.Helper()
	i.types(t, "unset COFFRE_OPS_LISTEN\nsed -i '/^COFFRE_TRACES_/d' \"$SETTINGS/coffre.env\"\nstop one; start one; ready \"$ONE\"; well one\n")
	if said := i.types(t, "coffre traffic show --data \"$STATE/one\" --why incident --csv\n"); !strings.Contains(said, "queryDocuments") {
		t.Errorf("the figures of traffic do not have what was asked while they were not written:\n%s", said)
	}
}

// somebodyToForget issues a document to somebody, whom the law wants forgotten.
func somebodyToForget(t *testing.T, i *installation) {
	t.Helper()
	i.officers(t)
	i.issue(t, http.StatusCreated)
	i.forgotten = i.issued
	i.env["PERSON"], i.env["APART"] = file(t, "ssin.txt", bench.SSIN(i.issued).Reveal()+"\n"), t.TempDir()
}

// nobodyIsForgottenElsewhere checks that the list kept apart is that of the destroyer, and that
// what is erased is gone.
func nobodyIsForgottenElsewhere(t *testing.T, i *installation) {
	t.Helper()
	kept := readFile(t, filepath.Join(i.env["APART"], "shred.list"))
	if destroyed := readFile(t, filepath.Join(i.env["STATE"], "destroyer", "shred.list")); kept == "" || kept != destroyed {
		t.Errorf("%d bytes of the shred list are kept apart, of %d", len(kept), len(destroyed))
	}
	if code, said := i.issueTo(t, i.forgotten); code != http.StatusConflict || !strings.Contains(string(said), "citizenErased") {
		t.Errorf("issuing to somebody erased is answered %d %s", code, said)
	}
}

// aConsumerReads has an organisation read somebody's document twice, and whoever types be told.
func aConsumerReads(t *testing.T, i *installation) {
	t.Helper()
	i.officers(t)
	i.env["REGISTRY"], i.env["EVIDENCE"] = t.TempDir(), filepath.Join(t.TempDir(), "evidence")
	err := fs.WalkDir(os.DirFS("../../deploy/registry"), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".json" {
			return err
		}
		to := filepath.Join(i.env["REGISTRY"], path)
		return errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.WriteFile(to, []byte(readFile(t, filepath.Join("../../deploy/registry", path))), 0o600))
	})
	if err != nil {
		t.Fatal(err)
	}
	i.env["CONSUMER"], i.env["TYPE"], i.env["FROM"], i.env["UNTIL"] = string(fund), "isiPlusCard", "2026-01-01", "2100-01-01"
	code, said := i.tryIssue(t)
	var issued struct{ DocumentID string }
	if err := json.Unmarshal(said, &issued); err != nil || code != http.StatusCreated {
		t.Fatal(code, string(said), err)
	}
	i.read = issued.DocumentID
	for range 2 {
		if code, said := i.access(t); code != http.StatusOK {
			t.Fatalf("an access by law is answered %d %s", code, said)
		}
	}
}

// access has the organisation read the document.
func (i *installation) access(t *testing.T) (code int, said []byte) {
	t.Helper()
	return i.post(t, i.tokenFile(t, domain.RoleConsumer, "fund", fund), "/documents/"+i.read+"/access",
		`{"purpose":"socialSecurityRights","legalBasis":"legalObligation","deliberation":"EX-26/002"}`)
}

// looked changes when the vault last looked for what ends by so many hours, while no process runs
// that looks. To a process that starts it is as if the machine's clock had moved the other way.
func (i *installation) looked(t *testing.T, hours int) {
	t.Helper()
	db, err := pgdb.Open(i.database.Superuser(t, i.owner.String()), pgdb.Options{Schema: "coffre_reactors", Conns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	changed, err := db.Exec(`UPDATE clock_looks SET at = at + $1 * 3600 * 1000000::bigint`, hours)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := changed.RowsAffected(); err != nil || n != 1 {
		t.Fatal(n, err)
	}
}

// theClockJumped has the first process find its time 30 hours later than expected.
func theClockJumped(t *testing.T, i *installation) {
	t.Helper()
	i.officers(t)
	i.types(t, "stop one; stop two\n")
	i.looked(t, -30)
	i.types(t, "start one; ready \"$ONE\"\n")
	i.until(t, "DEGRADED", func() {})
	i.types(t, "start two; ready \"$TWO\"\n")
	i.env["FROM"], i.env["UNTIL"] = "2026-01-01T00:00:00Z", "2100-01-01T00:00:00Z"
}

// theClockIsRight takes the jump back.
func theClockIsRight(t *testing.T, i *installation) {
	t.Helper()
	i.looked(t, 30)
	i.types(t, "stop one; start one; ready \"$ONE\"\n")
}

// theDiskIsFull fills the disk of the database, and issues until nothing more fits.
func theDiskIsFull(t *testing.T, i *installation) {
	t.Helper()
	if i.resize == nil {
		t.Skip("the database has no disk of its own: this test may not mount")
	}
	fillDisk(t, filepath.Join(i.disk, "ballast"))
	i.until(t, "DEGRADED", func() {
		for code := http.StatusCreated; code == http.StatusCreated; {
			var said []byte
			if code, said = i.tryIssue(t); code != http.StatusCreated && code != http.StatusInsufficientStorage {
				t.Fatalf("on a full disk issuing is answered %d %s", code, said)
			}
		}
	})
}

// placesForBackups makes the folders that whoever takes backups has.
func placesForBackups(t *testing.T, i *installation) {
	t.Helper()
	for _, name := range []string{"BACKUPS", "APART", "SCRATCH"} {
		i.env[name] = t.TempDir()
	}
	i.env["DRILL"], i.env["FOUR"] = filepath.Join(t.TempDir(), "drill"), freeAddress(t)
}

// aKeyForBackups makes the key of the backups.
func aKeyForBackups(t *testing.T, i *installation) {
	t.Helper()
	id, identity := ageKey(t)
	i.env["RECIPIENT"], i.env["IDENTITY"], i.env["BACKUPS"] = id.Recipient().String(), identity, t.TempDir()
}

// aRowIsDamaged changes a bit of somebody's row in the key database.
func aRowIsDamaged(t *testing.T, i *installation) {
	t.Helper()
	db, err := pgdb.Open(i.database.Superuser(t, i.owner.String()), pgdb.Options{Schema: "coffre_keys", Conns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`UPDATE subjects SET mac = set_byte(mac, 0, get_byte(mac, 0) # 1) WHERE citizen = (SELECT citizen FROM subjects WHERE wrapped IS NOT NULL LIMIT 1)`); err != nil {
		t.Fatal(err)
	}
}

// aVaultOnALaptop makes a vault that was for trying out, and an empty database with the settings of
// the processes that served another one; those are stopped.
func aVaultOnALaptop(t *testing.T, i *installation) {
	t.Helper()
	i.env["SOURCE"] = filepath.Join(t.TempDir(), "laptop")
	(&shell{t: t}).must(0, "demo", "--data", i.env["SOURCE"])
	i.types(t, "for name in one two destroyer rotator; do stop $name; mv \"$STATE/$name\" \"$STATE/$name.former\"; done\n")
	former := i.env["DATABASE"]
	i.moveTo(t, i.database)
	i.types(t, fmt.Sprintf("export DATABASE='%[2]s' OWNER='%[3]s'\nsed -i \"s|%[1]s|%[2]s|\" \"$SETTINGS\"/*.env \"$SETTINGS/site\"\n", former, i.env["DATABASE"], i.env["OWNER"]))
}

// fillDisk writes to path until the disk takes no byte more.
func fillDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

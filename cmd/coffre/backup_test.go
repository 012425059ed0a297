package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"coffre/cmd/coffre/files"
	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/domain/audit"
	"coffre/eventstore"
	"coffre/eventstore/backup"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/shred"
	"coffre/eventstore/sqlite"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/handlers/contract"
	"coffre/handlers/edge/apitest"
	"coffre/handlers/edge/token"
)

// rigOn is a rig on a directory that the test closes itself.
func rigOn(t *testing.T, dir vault.DataDir) *rig {
	t.Helper()
	v, err := vault.Open(t.Context(), dir, vault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return rigOf(t, v, dir)
}

// rigOf returns a rig over a vault that was opened in a directory.
func rigOf(t *testing.T, v *vault.Instance, dir vault.DataDir) *rig {
	t.Helper()
	key, err := token.OpenDevKey(dir.File(vault.DevKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &rig{Instance: v, dir: dir, key: key}
}

func (r *rig) close(t *testing.T) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// ageKey is a pair of keys and the file of the secret one.
func ageKey(t *testing.T) (id *age.X25519Identity, file string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "backup.key")
	if err := os.WriteFile(file, []byte("# for a test\n"+id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return id, file
}

// attestor issues what no law obliges to keep.
var attestor = grantFor(domain.RoleIssuer, socialSecurity, domain.CitizenID{})

// identity is a request for a document, the same each time.
func identity(ssin, reference string, files ...string) string {
	ids := ""
	if len(files) > 0 {
		ids = `"attachments":["` + strings.Join(files, `","`) + `"],`
	}
	return `{"ssin":"` + ssin + `","documentType":"identityData","sourceReference":"` + reference + `","validFrom":"2024-01-01",` + ids + `"content":{"given_name":"Given","family_name":"4711-` + reference + `","birthdate":"1971-02-25"}}`
}

// issue issues an attestation of identity with the files of those ids.
func (r *rig) issue(t *testing.T, key uuid.UUID, ssin, reference string, files ...string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequest(http.MethodPost, contract.Base+"/documents", strings.NewReader(identity(ssin, reference, files...)))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key.String())
	return r.ask(req, r.bearer(t, attestor))
}

// erase has something of a citizen erased, to the end.
func (r *rig) erase(t *testing.T, ask string, c domain.CitizenID) {
	t.Helper()
	var e struct{ ErasureID string }
	r.post(t, grantFor(domain.RoleCitizen, "", c), "/erasures", ask, &e)
	if err := r.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := token.Grant{Role: domain.RolePrivacyOfficer, Subject: "second"}
	r.post(t, second, "/erasures/"+e.ErasureID+"/approve", "", nil)
	if err := poll(t.Context(), func() (bool, time.Time, error) {
		var now struct{ State contract.ErasureState }
		if err := json.Unmarshal(r.get(t, second, "/erasures/"+e.ErasureID).Body.Bytes(), &now); err != nil {
			return false, time.Time{}, err
		}
		return now.State == contract.ErasureStateKeysDestroyed || now.State == contract.ErasureStateFinal, time.Time{}, nil
	}); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) status(t *testing.T, g token.Grant, path string) int {
	t.Helper()
	return r.ask(httptest.NewRequest(http.MethodGet, contract.Base+path, nil), r.bearer(t, g)).Code
}

// yesterday is a vault with two citizens, a backup of it, and what happened since:
// one citizen and one document of the other were erased.
type yesterday struct {
	dir     vault.DataDir
	archive string
	key     string              // identity file
	id      *age.X25519Identity // in it
	list    string              // today's shred list, kept apart
	kek     string              // kept apart

	a, b    domain.CitizenID
	a1      string            // documents
	b1, b2  string            // b1 is erased since
	later   string            // of b, issued since
	files   map[string]string // the file of a document, by reference
	first   uuid.UUID
	answer  string // to the first request
	records int64  // in the log when the backup was taken
}

func newYesterday(t *testing.T) *yesterday {
	t.Helper()
	y := &yesterday{dir: vault.DataDir(t.TempDir()), archive: filepath.Join(t.TempDir(), "yesterday.age"), first: uuid.New()}
	y.id, y.key = ageKey(t)
	r := rigOn(t, y.dir)
	document := func(w *httptest.ResponseRecorder) string {
		t.Helper()
		var d struct{ DocumentID string }
		if w.Code != http.StatusCreated {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil {
			t.Fatal(err)
		}
		return d.DocumentID
	}
	y.files = map[string]string{}
	for _, reference := range []string{"a1", "b1", "b2"} {
		y.files[reference] = r.upload(t, attestor, apitest.PDF)
	}
	first := r.issue(t, y.first, ssinA, "a1", y.files["a1"])
	y.answer = first.Body.String()
	y.a1 = document(first)
	y.b1, y.b2 = document(r.issue(t, uuid.New(), ssinB, "b1", y.files["b1"])), document(r.issue(t, uuid.New(), ssinB, "b2", y.files["b2"]))
	y.a, y.b = r.citizen(t, ssinA), r.citizen(t, ssinB)
	head, err := r.Core.Log.Store().Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	y.records = int64(head.Commit)
	r.close(t)

	s := &shell{t: t}
	s.must(0, "backup", "--data", string(y.dir), "--out", y.archive, "--recipient", y.id.Recipient().String())

	r = rigOn(t, y.dir)
	r.erase(t, `{"citizenId":"`+y.a.String()+`","scope":"citizen","reason":"citizenRequest"}`, y.a)
	r.erase(t, `{"citizenId":"`+y.b.String()+`","scope":"document","documentId":"`+y.b1+`","reason":"citizenRequest"}`, y.b)
	y.later = document(r.issue(t, uuid.New(), ssinB, "later"))
	r.close(t)

	kept := t.TempDir()
	y.list, y.kek = filepath.Join(kept, "list"), filepath.Join(kept, "kek")
	for to, from := range map[string]string{y.list: y.dir.File(vault.ShredFile), y.kek: y.dir.File(vault.KEKFile)} {
		if err := files.Copy(to, from); err != nil {
			t.Fatal(err)
		}
	}
	return y
}

// sealedOpens reports whether the sealed bytes of a stream open with a vault's keys.
func (r *rig) sealedOpens(t *testing.T, stream string) error {
	t.Helper()
	sealed := 0
	for record, err := range r.Core.Log.Store().ReadStream(t.Context(), eventstore.Stream(stream), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if record.Sealed == nil {
			continue
		}
		sealed++
		if _, err := (seal.Opener{Ring: r.Ring}).Open(t.Context(), nil, record.Place(), record.Sealed); err != nil {
			return err
		}
	}
	if sealed == 0 {
		t.Fatalf("%s has nothing sealed", stream)
	}
	return nil
}

// The drill (R15, I7, E-3, E-4): yesterday's copies of everything come back, and who
// was erased since stays erased; everybody else reads.
func TestRestoreKeepsErasedWhatWasErased(t *testing.T) {
	y := newYesterday(t)
	to := vault.DataDir(filepath.Join(t.TempDir(), "restored"))
	s := &shell{t: t}
	got := s.must(0, "restore", y.archive, "--data", string(to), "--identity-file", y.key, "--shred-list", y.list, "--kek-file", y.kek, "--json")
	var done restoreDone
	if err := json.Unmarshal([]byte(got.out), &done); err != nil {
		t.Fatal(err)
	}
	if done.Manifest.Log.Records != y.records || !done.ShredList || done.Shredded != 2 || done.Unlisted != 0 || done.Manifest.Blobs.Count != 3 || done.Removed != 2 || !strings.Contains(got.err, fmt.Sprintf("with %d events", y.records)) || !strings.Contains(got.err, "is lost") {
		t.Errorf("%+v\n%s", done, got.err)
	}
	if was, is := readFile(t, y.list), readFile(t, to.File(vault.ShredFile)); was != is {
		t.Error("the restored directory has another shred list")
	}
	if info, err := os.Stat(to.File(vault.KeysFile + "-wal")); err == nil && info.Size() > 0 {
		t.Error("the write-ahead log of the key ring was not emptied")
	}

	r := rigOn(t, to)
	defer r.close(t)
	for what, stream := range map[string]string{"the document of who was erased": "document-" + y.a1, "a document that was erased": "document-" + y.b1} {
		if err := r.sealedOpens(t, stream); !errors.Is(err, eventstore.ErrErased) {
			t.Errorf("%s opens: %v", what, err)
		}
	}
	if err := r.sealedOpens(t, "document-"+y.b2); err != nil {
		t.Errorf("what was not erased: %v", err)
	}
	for path, want := range map[string]int{"/documents/" + y.a1: 410, "/documents/" + y.b1: 410, "/documents/" + y.b2: 200, "/documents/" + y.later: 404} {
		if code := r.status(t, attestor, path); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
	if w := r.get(t, attestor, "/documents/"+y.b2); !strings.Contains(w.Body.String(), "4711-b2") {
		t.Errorf("%s", w.Body)
	}
	if w := r.get(t, attestor, "/documents/"+y.b2+"/attachments/"+y.files["b2"]); w.Body.String() != apitest.PDF {
		t.Errorf("the file of what was not erased: %q", w.Body)
	}
	left := 0
	if err := filepath.WalkDir(to.File(vault.BlobsFolder), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			left++
			if d.Name() != y.files["b2"] {
				t.Errorf("the file %s is still there", d.Name())
			}
		}
		return err
	}); err != nil || left != 1 {
		t.Errorf("%d files, %v", left, err)
	}
	if w := r.issue(t, uuid.New(), ssinA, "again"); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "citizenErased") {
		t.Errorf("issuing to who was erased: %d %s", w.Code, w.Body)
	}
	if w := r.issue(t, uuid.New(), ssinB, "again"); w.Code != http.StatusCreated {
		t.Errorf("issuing to somebody else: %d %s", w.Code, w.Body)
	}
	if w := r.issue(t, y.first, ssinA, "a1", y.files["a1"]); w.Body.String() != y.answer {
		t.Errorf("the first request, repeated: %d %s, was %s", w.Code, w.Body, y.answer)
	}
	if w := r.issue(t, y.first, ssinB, "other"); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("its key with another body: %d", w.Code)
	}
}

// operated returns the acts of one name in the log of a vault, with who did each.
func (r *rig) operated(t *testing.T, act audit.Act) (all []audit.Operated) {
	t.Helper()
	for e, err := range r.Core.Log.ReadAll(t.Context(), eventstore.Position{}, 1<<20) {
		if err != nil {
			t.Fatal(err)
		}
		fact, ok := e.Data.(audit.Operated)
		if !ok || fact.Act != act {
			continue
		}
		if meta, err := e.Metadata(); err != nil || meta.Actor.Role != domain.RoleOperator || !slices.Contains(r.Ring.Audit().Subjects("os-account:"+strconv.Itoa(os.Getuid())), meta.Actor.Subject) {
			t.Errorf("%s was done by %+v, %v", act, meta.Actor, err)
		}
		all = append(all, fact)
	}
	return all
}

// A restore is on record in the vault that it made, once, whatever dies on the way: with the
// backup's digest and the account that ran it. A restore that is read for a test makes no vault.
func TestRestoreIsOnRecordOnce(t *testing.T) {
	y := newYesterday(t)
	to := vault.DataDir(filepath.Join(t.TempDir(), "restored"))
	s := &shell{t: t}
	s.must(0, "restore", y.archive, "--data", string(to), "--identity-file", y.key, "--shred-list", y.list, "--kek-file", y.kek)
	sum := sha256.Sum256([]byte(readFile(t, y.archive)))
	for _, died := range []bool{false, false, true, false} {
		if died { // between the event and the note of it
			hit(t, to, `UPDATE offline_acts SET recorded = 0`)
		}
		r := rigOn(t, to)
		if all := r.operated(t, audit.RestoreBackup); len(all) != 1 || all[0].Digest != hex.EncodeToString(sum[:]) || all[0].At.IsZero() {
			t.Errorf("on record: %+v", all)
		}
		r.close(t)
	}
	r := rigOn(t, y.dir)
	defer r.close(t)
	if all := r.operated(t, audit.RestoreBackup); len(all) != 0 {
		t.Errorf("in the vault that was backed up: %+v", all)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Without a list it is as it was, which somebody must have said twice; and a list
// older than the backup is completed from the log.
func TestRestoreWithoutOrWithAnOldList(t *testing.T) {
	y := newYesterday(t)
	s := &shell{t: t}
	to := filepath.Join(t.TempDir(), "restored")
	if got := s.must(exitUsage, "restore", y.archive, "--data", to, "--identity-file", y.key, "--no-shred-list"); !strings.Contains(got.err, "--yes") {
		t.Error(got.err)
	}
	if _, err := os.Stat(to); !errors.Is(err, fs.ErrNotExist) {
		t.Error("something was made", err)
	}
	s.must(exitUsage, "restore", y.archive, "--data", to, "--identity-file", y.key)
	got := s.must(0, "restore", y.archive, "--data", to, "--identity-file", y.key, "--no-shred-list", "--yes", "--kek-file", y.kek)
	if !strings.Contains(got.err, "can be read again") {
		t.Error(got.err)
	}
	r := rigOn(t, vault.DataDir(to))
	if code := r.status(t, attestor, "/documents/"+y.a1); code != 200 {
		t.Errorf("%d", code) // so the other test's 410 comes of the list
	}
	r.close(t)

	today := filepath.Join(t.TempDir(), "today.age")
	s.must(0, "backup", "--data", string(y.dir), "--out", today, "--recipient", y.id.Recipient().String())
	empty := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	again := vault.DataDir(filepath.Join(t.TempDir(), "restored"))
	got = s.must(0, "restore", today, "--data", string(again), "--identity-file", y.key, "--shred-list", empty, "--kek-file", y.kek)
	if !strings.Contains(got.err, "2 destroyed keys that the shred list lacked") {
		t.Error(got.err)
	}
	citizens, streams, err := shred.Open(again.File(vault.ShredFile)).Read()
	if err != nil || len(citizens) != 1 || citizens[0].Citizen != y.a || len(streams) != 1 || string(streams[0].Stream) != "document-"+y.b1 {
		t.Error(citizens, streams, err)
	}
	for says, args := range map[string][]string{
		"--no-shred-list": {today, "--shred-list", filepath.Join(t.TempDir(), "absent")},
		"--kek-file":      {today, "--shred-list", empty, "--kek-file", filepath.Join(t.TempDir(), "absent")},
		"backup":          {filepath.Join(t.TempDir(), "absent"), "--shred-list", empty},
		"whole backup":    {y.key, "--shred-list", empty}, // it is none
	} {
		to := filepath.Join(t.TempDir(), "x")
		got := s.run(append([]string{"restore", "--data", to, "--identity-file", y.key}, args...)...)
		if got.code == 0 || !strings.Contains(got.err, says) {
			t.Errorf("%s: %d, %q", says, got.code, got.err)
		}
		if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the directory is there: %v", says, err)
		}
	}
}

// killed is the panic that ends a restore as a kill would, between two steps.
type killed struct{}

// Wherever a restore is killed, the directory is no vault until it is restored again.
func TestRestoreKilledAtEachStep(t *testing.T) {
	t.Parallel()
	y := newYesterday(t)
	with := []age.Identity{y.id}
	restoreUntil := func(dir vault.DataDir, stop string) (steps []string, ended bool, err error) {
		release, err := dir.Own()
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := release(); err != nil {
				t.Error(err)
			}
			if p := recover(); p != nil && p != (killed{}) {
				panic(p)
			}
		}()
		f, err := os.Open(y.archive)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r := &vault.Restore{Dir: dir, Identities: with, ShredList: y.list, KEKFile: y.kek, BeforeStep: func(step string) {
			steps = append(steps, step)
			if step == stop {
				panic(killed{})
			}
		}}
		_, err = r.Run(t.Context(), f)
		return steps, true, err
	}
	all, ended, err := restoreUntil(vault.DataDir(t.TempDir()), "")
	if err != nil || !ended || len(all) < 8 {
		t.Fatal(all, ended, err)
	}
	for i, stop := range all {
		dir := vault.DataDir(t.TempDir())
		if steps, ended, err := restoreUntil(dir, stop); ended || err != nil || len(steps) != i+1 {
			t.Fatalf("%s: %v %t %v", stop, steps, ended, err)
		}
		if stop != "mark" { // before the first there is only an empty directory
			for range 2 {
				if v, err := vault.Open(t.Context(), dir, vault.Options{}); !errors.Is(err, vault.ErrUnfinishedRestore) {
					if v != nil {
						v.Close()
					}
					t.Fatalf("killed before %q, it opens: %v", stop, err)
				}
			}
			if got := (&shell{t: t}).must(exitFailed, "documents", "import", "--data", string(dir), y.key); !strings.Contains(got.err, "coffre restore") {
				t.Errorf("%s: %s", stop, got.err)
			}
		}
		if _, ended, err := restoreUntil(dir, ""); !ended || err != nil {
			t.Fatalf("killed before %q, it cannot be restored again: %v", stop, err)
		}
		r := rigOn(t, dir)
		if err := r.sealedOpens(t, "document-"+y.a1); !errors.Is(err, eventstore.ErrErased) {
			t.Errorf("killed before %q and restored again, what was erased opens: %v", stop, err)
		}
		if err := r.sealedOpens(t, "document-"+y.b2); err != nil {
			t.Errorf("killed before %q: %v", stop, err)
		}
		r.close(t)
	}
}

// An archive that is not as it was written makes no vault (exit code 3), wherever it
// is changed or cut.
func TestRestoreOfADamagedArchive(t *testing.T) {
	y := newYesterday(t)
	whole := []byte(readFile(t, y.archive))
	parent := t.TempDir()
	n := 0
	refused := func(t interface{ Fatalf(string, ...any) }, b []byte, what string) {
		n++
		dir := vault.DataDir(filepath.Join(parent, fmt.Sprint(n)))
		if err := dir.Create(); err != nil {
			t.Fatalf("%v", err)
		}
		_, err := (&vault.Restore{Dir: dir, Identities: []age.Identity{y.id}, ShredList: y.list}).Run(context.Background(), bytes.NewReader(b))
		if !errors.Is(err, backup.ErrDamaged) && !errors.Is(err, backup.ErrNotForUs) {
			t.Fatalf("%s: %v", what, err)
		}
		if left, err := os.ReadDir(string(dir)); err != nil || len(left) > 0 {
			t.Fatalf("%s: it left %v, %v", what, left, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.IntRange(0, len(whole)-1).Draw(t, "at")
		refused(t, whole[:at], fmt.Sprintf("cut off at %d", at))
		flipped := slices.Clone(whole)
		flipped[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		refused(t, flipped, fmt.Sprintf("flipped at %d", at))
	})
	s := &shell{t: t}
	cut := file(t, "cut.age", string(whole[:len(whole)/2]))
	if got := s.must(exitTamper, "restore", cut, "--data", filepath.Join(parent, "cli"), "--identity-file", y.key, "--shred-list", y.list); !strings.Contains(got.err, "not a whole backup") {
		t.Error(got.err)
	}
	s.must(exitTamper, "backup", "verify", cut, "--identity-file", y.key)
	_, stranger := ageKey(t)
	if got := s.must(exitFailed, "restore", y.archive, "--data", filepath.Join(parent, "cli"), "--identity-file", stranger, "--shred-list", y.list); !strings.Contains(got.err, "none of these identities") {
		t.Error(got.err)
	}
	if got := s.must(exitFailed, "restore", y.archive, "--data", string(y.dir), "--identity-file", y.key, "--shred-list", y.list); !strings.Contains(got.err, "not empty") {
		t.Error(got.err)
	}
	if r := rigOn(t, y.dir); r.status(t, attestor, "/documents/"+y.later) != 200 {
		t.Error("the vault that was there is gone")
	} else {
		r.close(t)
	}
}

// altered returns the archive with one of its parts made from other databases.
func (y *yesterday) altered(t *testing.T, alter func(dir vault.DataDir)) []byte {
	t.Helper()
	dir := vault.DataDir(t.TempDir())
	f, err := os.Open(y.archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := backup.Read(t.Context(), f, []age.Identity{y.id}, &vault.RestoreTarget{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	alter(dir)
	c := backup.Contents{Manifest: m, Now: time.Now, Blobs: backup.Folder(dir.File(vault.BlobsFolder))}
	c.Manifest.Parts, c.Manifest.Blobs = nil, backup.BlobTotal{}
	for name, path := range map[string]string{"keys": vault.KeysFile, "reactors": vault.ReactorsFile, "events": sqlite.FileName} {
		s, err := sqlitedb.OpenSnapshot(t.Context(), dir.File(path), sqlitedb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Take(); err != nil {
			t.Fatal(err)
		}
		c.Parts = append(c.Parts, backup.Source{Name: name, WriterTo: s})
	}
	var b bytes.Buffer
	if _, err := backup.Write(t.Context(), &b, []age.Recipient{y.id.Recipient()}, c); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What was wrong before it was encrypted is found, too: keys that are missing, records
// that are not what their checksum says, a log without its end.
func TestRestoreReadsEverything(t *testing.T) {
	y := newYesterday(t)
	run := func(archive []byte) error {
		_, err := (&vault.Restore{Dir: vault.DataDir(t.TempDir()), Identities: []age.Identity{y.id}, ShredList: y.list, KEKFile: y.kek}).Run(t.Context(), bytes.NewReader(archive))
		return err
	}
	statement := func(path, sql string) func(vault.DataDir) {
		return func(dir vault.DataDir) {
			t.Helper()
			db, err := sqlitedb.Open(t.Context(), dir.File(path), sqlitedb.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.Writer.Exec(sql); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := run(y.altered(t, func(vault.DataDir) {})); err != nil {
		t.Fatalf("as it was: %v", err)
	}
	const drop = `DROP TRIGGER events_are_never_changed; DROP TRIGGER events_are_never_deleted; `
	for what, alter := range map[string]func(vault.DataDir){
		"a content key is missing":    statement(vault.KeysFile, `DELETE FROM stream_keys WHERE stream = 'document-`+y.b2+`'`),
		"a content key is another":    statement(vault.KeysFile, `UPDATE stream_keys SET key_id = zeroblob(16) WHERE stream = 'document-`+y.b2+`'`),
		"a citizen is missing":        statement(vault.KeysFile, fmt.Sprintf(`DELETE FROM subjects WHERE citizen = x'%x'`, y.b.UUID[:])),
		"keys of another version":     statement(vault.KeysFile, `UPDATE subjects SET kek_version = 7 WHERE wrapped IS NOT NULL`),
		"a record was changed":        statement(sqlite.FileName, drop+`UPDATE events SET clear = x'7b7d' WHERE position = 3`),
		"the last record is missing":  statement(sqlite.FileName, drop+`DELETE FROM events WHERE position = (SELECT max(position) FROM events)`),
		"a record between is missing": statement(sqlite.FileName, drop+`DELETE FROM events WHERE position = 2`),
	} {
		want := backup.ErrDamaged
		if what == "a citizen is missing" {
			want = vault.ErrOldKeys
		}
		if err := run(y.altered(t, alter)); !errors.Is(err, want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	other := vault.DataDir(t.TempDir())
	rigOn(t, other).close(t)
	_, err := (&vault.Restore{Dir: vault.DataDir(t.TempDir()), Identities: []age.Identity{y.id}, ShredList: y.list, KEKFile: other.File(vault.KEKFile)}).Run(t.Context(), strings.NewReader(readFile(t, y.archive)))
	if !errors.Is(err, vault.ErrOtherKEK) {
		t.Errorf("with another vault's key file: %v", err)
	}
}

// A backup is verified on another machine, and the vault that made it is told; of one
// that it did not make it says so.
func TestBackupIsVerifiedAndReported(t *testing.T) {
	dir := t.TempDir()
	r := rigOn(t, vault.DataDir(dir))
	r.issue(t, uuid.New(), ssinA, "a")
	r.close(t)
	id, key := ageKey(t)
	second, secondKey := ageKey(t)
	s := &shell{t: t}
	out := filepath.Join(t.TempDir(), "coffre.age")
	to := file(t, "recipients.txt", "# two\n"+id.Recipient().String()+"\n"+second.Recipient().String()+"\n")
	var done backupDone
	read := func(got typed) backupDone {
		t.Helper()
		done = backupDone{}
		if err := json.Unmarshal([]byte(got.out), &done); err != nil {
			t.Fatal(err, got.out)
		}
		return done
	}
	scratch := t.TempDir()
	if read(s.must(0, "backup", "--data", dir, "--out", out, "--recipients-file", to, "--verify", "--identity-file", key, "--scratch", scratch, "--json")); !done.Verified || !done.Reported || done.Manifest.Keys != (backup.Keys{Oldest: 1, Latest: 1}) {
		t.Errorf("%+v", done)
	}
	info, err := os.Stat(out)
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != done.Size {
		t.Error(info, err)
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("the test left %v, %v", left, err)
	}
	if read(s.must(0, "backup", "verify", out, "--identity-file", secondKey, "--json")); !done.Verified || done.Reported {
		t.Errorf("%+v", done)
	}
	if got := s.must(0, "backup", "verify", out, "--identity-file", secondKey, "--data", dir); !strings.Contains(got.out, "needs key versions") {
		t.Error(got.out)
	}
	r = rigOn(t, vault.DataDir(dir))
	note, found, err := r.Ring.Ledger().LastBackup(t.Context())
	if err != nil || !found || note.SHA256 != done.SHA256 || note.OldestVersion != 1 || !note.Taken.Equal(done.Manifest.Taken) || note.Verified.Before(note.Taken) {
		t.Errorf("%+v %t %v", note, found, err)
	}
	r.close(t)

	other := t.TempDir()
	rigOn(t, vault.DataDir(other)).close(t)
	if got := s.must(exitFailed, "backup", "verify", out, "--identity-file", key, "--data", other); !strings.Contains(got.err, "made no such backup") {
		t.Error(got.err)
	}
	for _, bad := range [][]string{
		{"backup", "--data", dir, "--out", out + "2"},
		{"backup", "--data", dir, "--out", out + "2", "--recipient", "age1x"},
		{"backup", "--data", dir, "--out", out + "2", "--recipient", "age1am7276m2dhz9s2s8xe4v77aru3azm3mxu2c29zgr3jp9xqc30cjsc6uh7v"}, // the contract's example
		{"backup", "--data", dir, "--out", out + "2", "--recipient", id.Recipient().String(), "--verify"},
		{"backup", "--data", dir, "--recipient", id.Recipient().String()},
	} {
		s.must(exitUsage, bad...)
	}
	if _, err := os.Stat(out + "2"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a file of nothing", err)
	}
}

// One backup at a time; an answer that is cut off is an error and no file; a vault
// backed up by other tools says which.
func TestBackupOverHTTP(t *testing.T) {
	r := newRig(t)
	id, _ := ageKey(t)
	body := `{"recipients":["` + id.Recipient().String() + `"]}`
	operator := grantFor(domain.RoleOperator, "", domain.CitizenID{})
	ask := func(body string) *httptest.ResponseRecorder {
		req := httptest.NewRequest(http.MethodPost, contract.Base+"/backups", strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		return r.ask(req, r.bearer(t, operator))
	}
	w := ask(body)
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/octet-stream" || w.Header().Get("Coffre-Position") == "" || !strings.HasPrefix(w.Body.String(), "age-encryption.org/v1") {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	open, err := r.Core.Backups.Begin(t.Context(), []age.Recipient{id.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	if w := ask(body); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "backupUnderWay") {
		t.Errorf("a second one: %d %s", w.Code, w.Body)
	}
	if err := open.Close(); err != nil {
		t.Fatal(err)
	}
	if w := ask(`{"recipients":["age1qqqqqqqqqqqqqqqqqqqqqqqqq"]}`); w.Code != http.StatusBadRequest || strings.Contains(w.Body.String(), "qqqq") {
		t.Errorf("%d %s", w.Code, w.Body)
	}

	req := httptest.NewRequest(http.MethodPost, contract.Base+"/backups", strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+r.bearer(t, operator))
	func() {
		defer func() {
			if p := recover(); p != http.ErrAbortHandler {
				t.Errorf("the answer ends as if it were whole: %v", p)
			}
		}()
		r.Handler().ServeHTTP(&brokenAnswer{ResponseRecorder: httptest.NewRecorder()}, req)
	}()
	if w := ask(body); w.Code != 200 {
		t.Errorf("after one that was cut off: %d %s", w.Code, w.Body)
	}

	r.Core.Backups = nil
	if w := ask(body); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "their own tools") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// brokenAnswer is a connection that breaks after some bytes.
type brokenAnswer struct {
	*httptest.ResponseRecorder
	n int
}

func (b *brokenAnswer) Write(p []byte) (int, error) {
	if b.n += len(p); b.n > 300 {
		return 0, io.ErrClosedPipe
	}
	return b.ResponseRecorder.Write(p)
}

// A backup that is written while somebody is erased holds them, or not; restored with
// the list of afterwards it does not (R23, E-3). The erasure ends once it is written.
func TestBackupDuringAnErasure(t *testing.T) {
	dir := vault.DataDir(t.TempDir())
	r := rigOn(t, dir)
	var d struct{ DocumentID string }
	if err := json.Unmarshal(r.issue(t, uuid.New(), ssinA, "a").Body.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	a := r.citizen(t, ssinA)
	id, key := ageKey(t)
	taken, err := r.Core.Backups.Begin(t.Context(), []age.Recipient{id.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	var e struct{ ErasureID string }
	r.post(t, grantFor(domain.RoleCitizen, "", a), "/erasures", `{"citizenId":"`+a.String()+`","scope":"citizen","reason":"citizenRequest"}`, &e)
	if err := r.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := token.Grant{Role: domain.RolePrivacyOfficer, Subject: "second"}
	r.post(t, second, "/erasures/"+e.ErasureID+"/approve", "", nil)
	archive := filepath.Join(t.TempDir(), "coffre.age")
	if err := files.WriteWhole(archive, func(w io.Writer) error { _, err := taken.WriteTo(w); return err }); err != nil {
		t.Fatal(err)
	}
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	if err := poll(t.Context(), func() (bool, time.Time, error) {
		var now struct{ State contract.ErasureState }
		err := json.Unmarshal(r.get(t, second, "/erasures/"+e.ErasureID).Body.Bytes(), &now)
		return now.State == contract.ErasureStateKeysDestroyed, time.Time{}, err
	}); err != nil {
		t.Fatal(err)
	}
	if err := r.sealedOpens(t, "document-"+d.DocumentID); !errors.Is(err, eventstore.ErrErased) {
		t.Errorf("after the erasure: %v", err)
	}
	r.close(t)
	for _, list := range [][]string{{"--shred-list", dir.File(vault.ShredFile)}, {"--no-shred-list", "--yes"}} {
		to := vault.DataDir(filepath.Join(t.TempDir(), "restored"))
		(&shell{t: t}).must(0, append([]string{"restore", archive, "--data", string(to), "--identity-file", key, "--kek-file", dir.File(vault.KEKFile)}, list...)...)
		r := rigOn(t, to)
		if err := r.sealedOpens(t, "document-"+d.DocumentID); errors.Is(err, eventstore.ErrErased) != (list[0] == "--shred-list") {
			t.Errorf("restored with %s: %v", list[0], err)
		}
		r.close(t)
	}
}

// What follows stands for every backup: taken from a running server by its control
// socket while clients write and the server goes on, it holds everything that was
// acknowledged before it was begun, every key of what it holds, and no answer whose
// events it lacks (R23).
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	d := newDrill(t)
	ctx, fail := context.WithCancelCause(t.Context())
	defer fail(nil)
	server, err := d.start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	for i := range drillClients {
		c := &drillClient{drill: d, rng: rand.New(rand.NewPCG(20261125, uint64(i))), name: fmt.Sprintf("backup-%d", i)}
		clients.Go(func() {
			if err := c.live(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
				fail(err)
			}
		})
	}
	id, key := ageKey(t)
	s := &shell{t: t}
	type taken struct {
		archive string
		told    map[domain.DocumentID]paper
	}
	var all []taken
	for i := range 4 {
		if err := d.burn(ctx, 150); err != nil {
			t.Fatal(err)
		}
		d.mu.Lock()
		told := maps.Clone(d.told.documents)
		d.mu.Unlock()
		out := filepath.Join(t.TempDir(), fmt.Sprintf("%d.age", i))
		s.must(0, "backup", "--data", string(d.dir), "--out", out, "--recipient", id.Recipient().String())
		all = append(all, taken{out, told})
	}
	d.leaving.Store(true)
	if err := server.terminate(ctx); err != nil {
		t.Fatal(err)
	}
	clients.Wait()
	for _, one := range all {
		to := vault.DataDir(filepath.Join(t.TempDir(), "restored"))
		s.must(0, "restore", one.archive, "--data", string(to), "--identity-file", key, "--no-shred-list", "--yes", "--kek-file", d.dir.File(vault.KEKFile))
		if len(one.told) == 0 {
			t.Fatal("nobody was told anything before the backup")
		}
		acknowledged(t, to, one.told)
		r := rigOn(t, to)
		for doc := range one.told {
			if err := r.sealedOpens(t, "document-"+doc.String()); err != nil {
				t.Errorf("an acknowledged document: %v", err)
			}
		}
		r.close(t)
	}
}

// acknowledged compares a restored log with what clients were told before, and what
// the key database says was answered with the log.
func acknowledged(t *testing.T, dir vault.DataDir, told map[domain.DocumentID]paper) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), string(dir), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	there := map[string]int{} // the last revision of each stream
	for record, err := range store.ReadAll(t.Context(), eventstore.Position{}, 1<<30) {
		if err != nil {
			t.Fatal(err)
		}
		there[string(record.Stream)] = int(record.Revision) + 1
	}
	for doc, p := range told {
		if there["document-"+doc.String()] < p.version {
			t.Errorf("a document at version %d was acknowledged before the backup, and %d events are in it", p.version, there["document-"+doc.String()])
		}
	}
	db, err := keysdb.Open(t.Context(), dir.File(vault.KeysFile), sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	query, err := db.Read(`SELECT result FROM requests WHERE status IS NOT NULL`)
	if err != nil {
		t.Fatal(err)
	}
	var results []string
	if err := query.Select(&results); err != nil {
		t.Fatal(err)
	}
	documents := 0
	for _, result := range results {
		var issued struct {
			Receipt struct{ DocumentID string }
		}
		if json.Unmarshal([]byte(result), &issued) != nil || issued.Receipt.DocumentID == "" {
			continue
		}
		documents++
		if there["document-"+issued.Receipt.DocumentID] == 0 {
			t.Error("an answer is remembered whose event is not in the log")
		}
	}
	if documents == 0 {
		t.Errorf("none of %d answers names a document: this test sees nothing", len(results))
	}
}

// backupHoldsNothingPersonal looks into an archive of the vault, as it is and decrypted.
func (p *played) backupHoldsNothingPersonal(t *testing.T, f finder) {
	id, _ := ageKey(t)
	out := filepath.Join(t.TempDir(), "coffre.age")
	(&shell{t: t}).must(0, "backup", "--data", p.dir, "--out", out, "--recipient", id.Recipient().String())
	hits := map[string]string{}
	f.in("the archive", []byte(readFile(t, out)), hits)
	clear := t.TempDir()
	archive, err := age.Decrypt(strings.NewReader(readFile(t, out)), id)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(archive)
	if err != nil || len(b) < 50_000 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	f.in("what is in the archive", b, hits)
	if _, err := backup.Read(t.Context(), strings.NewReader(readFile(t, out)), []age.Identity{id}, &vault.RestoreTarget{Dir: vault.DataDir(clear)}); err != nil {
		t.Fatal(err)
	}
	if files := f.below(t, hits, clear); files < 3 {
		t.Fatalf("%d files", files)
	}
	for canary, where := range hits {
		t.Errorf("%q stands in %s", canary, where)
	}
	for _, secret := range []string{vault.KEKFile, vault.ShredFile, vault.DevKeyFile} { // these are kept apart
		if held := strings.TrimSpace(readFileIf(t, filepath.Join(p.dir, secret))); held != "" && bytes.Contains(b, []byte(held)) {
			t.Errorf("%s is in the archive", secret)
		}
	}
}

func readFileIf(t *testing.T, path string) string {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return readFile(t, path)
}

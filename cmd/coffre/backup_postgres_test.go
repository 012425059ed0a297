package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/uuid"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/domain/audit"
	"coffre/eventstore"
	"coffre/eventstore/blob/s3"
	"coffre/eventstore/blob/s3/s3test"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/seal/transit/vaulttest"
	"coffre/handlers/api"
	"coffre/handlers/contract"
	"coffre/handlers/edge/apitest"
)

// onServers is a fleet of processes on one PostgreSQL, with files in one bucket and keys in Vault.
type onServers struct {
	*fleet
	objects *s3test.Server
}

// bucketOf returns the configuration of a new bucket, and the variables that say it.
func (o *onServers) bucketOf(t *testing.T) (*vault.BlobsConfig, []string) {
	t.Helper()
	b := o.objects.Bucket(t)
	ca, secret := o.objects.Files(t, b)
	c := &vault.BlobsConfig{Bucket: b.Bucket, Prefix: b.Prefix, Endpoint: b.Endpoint, Region: b.Region, AccessKey: b.AccessKey, SecretKeyFile: secret, CAFile: ca}
	return c, []string{
		"COFFRE_BLOBS=" + bucketAddress(b), "COFFRE_BLOBS_ENDPOINT=" + b.Endpoint, "COFFRE_BLOBS_REGION=" + b.Region,
		"COFFRE_BLOBS_ACCESS_KEY=" + b.AccessKey, "COFFRE_BLOBS_SECRET_KEY_FILE=" + secret, "COFFRE_BLOBS_CA_FILE=" + ca,
	}
}

func bucketAddress(b s3.Options) string {
	if b.Prefix == "" {
		return "s3://" + b.Bucket
	}
	return "s3://" + b.Bucket + "/" + b.Prefix
}

// open opens a process on a directory inside this one.
func (o *onServers) open(t *testing.T, dir vault.DataDir) *rig {
	t.Helper()
	v, err := vault.Open(t.Context(), dir, o.options)
	if err != nil {
		t.Fatal(err)
	}
	return rigOf(t, v, dir)
}

// shell types commands with the fleet's variables, and these.
func (o *onServers) shell(t *testing.T, more ...string) *shell {
	known := map[string]string{}
	for _, line := range slices.Concat(o.env, more) {
		name, value, _ := strings.Cut(line, "=")
		known[name] = value
	}
	return inEnvironment(t, known)
}

// loggedIn returns an address as it may be typed, and lets this process log in with it.
func loggedIn(t *testing.T, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	t.Setenv("PGPASSWORD", password)
	u.User = url.User(u.User.Username())
	return u.String()
}

// The drill on PostgreSQL (R15, R23, I7, E-3): a backup that one process takes while others
// write holds all that was acknowledged before it; restored on another server, or into files, it
// is that vault, and who was erased since stays erased.
func TestBackupOnPostgreSQL(t *testing.T) {
	t.Setenv("COFFRE_LIMITS", "documents.pair=1000000") // each client issues to one person as fast as it can
	first := pgtest.Start(t)
	database := first.Database(t)
	o := &onServers{newFleetOn(t, 2, database), s3test.Start(t)}
	transit := vaultOf(t, vaulttest.Shared(t))
	bucket, said := o.bucketOf(t)
	withVault := slices.Clone(o.env[1:])
	o.env = append(o.env, said...)
	o.options = vault.Options{Stores: vault.StoresConfig{Log: database}, Transit: transit, Blobs: bucket, KeyLease: time.Second}

	// What was there before the storm: two people, each with a file.
	r := o.open(t, o.dirs[0])
	files := map[string]string{}
	documents := map[string]string{}
	for ssin, reference := range map[string]string{ssinA: "a1", ssinB: "b1"} {
		files[reference] = r.upload(t, attestor, apitest.PDF)
		var d struct{ DocumentID string }
		w := r.issue(t, uuid.New(), ssin, reference, files[reference])
		if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || w.Code != http.StatusCreated {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		documents[reference] = d.DocumentID
	}
	a := r.citizen(t, ssinA)
	r.close(t)

	o.start(t, 0, 1)
	var mu sync.Mutex
	told := map[domain.DocumentID]bool{}
	var sent atomic.Int64
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	var clients sync.WaitGroup
	for c := range 4 {
		clients.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				reply, _, err := o.post(context.WithoutCancel(ctx), o.all[n%2], issueTo(c, fmt.Sprintf("storm-%d-%d", c, n)), "")
				var got contract.DocumentReceipt
				if err == nil && reply.status == http.StatusCreated {
					err = json.Unmarshal(reply.body, &got)
				}
				if err != nil || got.DocumentID == (domain.DocumentID{}) {
					t.Errorf("client %d: %d %s %v", c, reply.status, reply.body, err)
					return
				}
				mu.Lock()
				told[got.DocumentID] = true
				mu.Unlock()
				sent.Add(1)
			}
		})
	}
	until := func(n int64) {
		t.Helper()
		if err := poll(t.Context(), func() (bool, time.Time, error) { return sent.Load() >= n || t.Failed(), time.Time{}, nil }); err != nil || t.Failed() {
			t.Fatal(err)
		}
	}
	id, identity := ageKey(t)
	archive := filepath.Join(t.TempDir(), "postgres.age")
	s := o.shell(t)
	until(60)
	mu.Lock()
	before := maps.Clone(told)
	mu.Unlock()
	var done backupDone
	if err := json.Unmarshal([]byte(s.must(0, "backup", "--data", string(o.dirs[1]), "--out", archive, "--recipient", id.Recipient().String(), "--verify", "--identity-file", identity, "--json").out), &done); err != nil {
		t.Fatal(err)
	}
	if !done.Verified || !done.Reported || done.Manifest.Log.Records < int64(len(before)) || done.Manifest.Blobs.Count != 2 {
		t.Errorf("%+v", done.Manifest)
	}
	until(sent.Load() + 20)
	leave()
	clients.Wait()
	for _, one := range o.all {
		if err := one.terminate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}

	// What happened since: one is erased, and something is issued. Then the server is gone.
	r = o.open(t, o.dirs[0])
	r.erase(t, `{"citizenId":"`+a.String()+`","scope":"citizen","reason":"citizenRequest"}`, a)
	var later struct{ DocumentID string }
	if err := json.Unmarshal(r.issue(t, uuid.New(), ssinB, "later").Body.Bytes(), &later); err != nil {
		t.Fatal(err)
	}
	r.close(t)
	list := filepath.Join(t.TempDir(), "shred.list")
	if err := os.WriteFile(list, []byte(readFile(t, o.dirs[0].File(vault.ShredFile))), 0o600); err != nil {
		t.Fatal(err)
	}
	// A process that has no bucket and not the files of the others would leave them out.
	lonely := o.options
	lonely.Blobs = nil
	v, err := vault.Open(t.Context(), vault.DataDir(t.TempDir()), lonely)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Core.Backups.Begin(t.Context(), []age.Recipient{id.Recipient()}); !errors.Is(err, api.ErrFilesElsewhere) {
		t.Errorf("files lie elsewhere, and a backup begins: %v", err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	first.Stop(t)

	onServer, inFiles := vault.DataDir(filepath.Join(t.TempDir(), "server")), vault.DataDir(filepath.Join(t.TempDir(), "files"))
	second := loggedIn(t, pgtest.Shared(t).Database(t))
	other, saidOther := o.bucketOf(t)
	restore := []string{"restore", archive, "--identity-file", identity, "--shred-list", list, "--json", "--data"}
	var restored restoreDone
	got := o.shell(t, saidOther...).must(0, append(restore, string(onServer), "--store", second)...)
	if err := json.Unmarshal([]byte(got.out), &restored); err != nil {
		t.Fatal(err)
	}
	if restored.Manifest.Log.Records != done.Manifest.Log.Records || restored.Shredded != 1 || restored.Unlisted != 0 || restored.Removed != 1 {
		t.Errorf("%+v", restored)
	}
	for _, name := range []string{vault.KeysFile, vault.ReactorsFile, "events.db", vault.BlobsFolder} {
		if _, err := os.Stat(onServer.File(name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still in the directory: %v", name, err)
		}
	}
	bare := &onServers{fleet: &fleet{drill: &drill{env: withVault}}}
	bare.shell(t).must(0, append(restore, string(inFiles))...)

	for dir, options := range map[vault.DataDir]vault.Options{
		onServer: {Stores: vault.StoresConfig{Log: second}, Transit: transit, Blobs: other, KeyLease: time.Second},
		inFiles:  {Transit: transit},
	} {
		o.options = options
		r := o.open(t, dir)
		there := map[string]bool{}
		for record, err := range r.Core.Log.Store().ReadAll(t.Context(), eventstore.Position{}, 1<<30) {
			if err != nil {
				t.Fatal(err)
			}
			there[string(record.Stream)] = true
		}
		for document := range before {
			if !there["document-"+document.String()] {
				t.Errorf("%s was acknowledged before the backup and is not in it", document)
			} else if err := r.sealedOpens(t, "document-"+document.String()); err != nil {
				t.Errorf("an acknowledged document: %v", err)
			}
		}
		for path, want := range map[string]int{"/documents/" + documents["a1"]: 410, "/documents/" + documents["b1"]: 200, "/documents/" + later.DocumentID: 404} {
			if code := r.status(t, attestor, path); code != want {
				t.Errorf("%s: %d, want %d", path, code, want)
			}
		}
		if err := r.sealedOpens(t, "document-"+documents["a1"]); !errors.Is(err, eventstore.ErrErased) {
			t.Errorf("the document of who was erased opens: %v", err)
		}
		if w := r.get(t, attestor, "/documents/"+documents["b1"]+"/attachments/"+files["b1"]); w.Body.String() != apitest.PDF {
			t.Errorf("the file of who was not erased: %q", w.Body)
		}
		if w := r.issue(t, uuid.New(), ssinA, "again"); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "citizenErased") {
			t.Errorf("issuing to who was erased: %d %s", w.Code, w.Body)
		}
		if w := r.issue(t, uuid.New(), ssinB, "again"); w.Code != http.StatusCreated {
			t.Errorf("issuing to somebody else: %d %s", w.Code, w.Body)
		}
		if all := r.operated(t, audit.RestoreBackup); len(all) != 1 {
			t.Errorf("the restore is on record %d times", len(all))
		}
		if health := r.ask(httptest.NewRequest(http.MethodGet, "/health", nil), ""); !strings.Contains(health.Body.String(), `"UP"`) {
			t.Errorf("%s", health.Body)
		}
		r.close(t)
	}
	if all := o.objects.Objects(t, other.Bucket); len(all) != 1 || !strings.HasSuffix(all[0], files["b1"]) {
		t.Errorf("in the bucket: %q", all)
	}
	there := o.shell(t, vault.StoreVariable+"="+second, vault.KeysVariable+"="+second)
	if said := there.must(0, "audit", "verify", string(onServer)); !strings.Contains(said.out, "the log is whole") {
		t.Errorf("%s", said.out)
	}
	there.must(0, "keys", "check", "--data", string(onServer))
	// A database in use is nobody's to restore onto.
	if said := o.shell(t, saidOther...).must(exitFailed, append(restore, filepath.Join(t.TempDir(), "again"), "--store", second)...); !strings.Contains(said.err, "in use already") {
		t.Errorf("%s", said.err)
	}
}

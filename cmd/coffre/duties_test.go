package main

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/eventstore"
	"coffre/eventstore/blob/s3/s3test"
	"coffre/eventstore/codec"
	"coffre/eventstore/postgres/pgdb"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/seal/transit/vaulttest"
	"coffre/handlers/certificate"
	"coffre/handlers/contract"
	"coffre/handlers/edge/apitest"
	"coffre/handlers/edge/token"
)

// duties is a vault in one PostgreSQL, prepared as the runbook says, with a role and a login
// at Vault for each duty.
type duties struct {
	*shell
	server *pgtest.Server
	owner  string // address of the database
	vault  *vault.TransitConfig
	roles  map[vault.Duty]string // addresses of the database
	bucket *vault.BlobsConfig    // nil: each process has a folder
}

func newDuties(t *testing.T) *duties {
	t.Helper()
	server := pgtest.Shared(t)
	owner := server.Database(t)
	u, err := url.Parse(owner)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	name := u.User.Username()
	d := &duties{
		shell: inEnvironment(t, map[string]string{vault.StoreVariable: owner}), server: server, owner: owner,
		vault: vaultOf(t, vaulttest.Shared(t)), roles: map[vault.Duty]string{},
	}
	names := map[vault.Duty]string{vault.Serving: "app_" + name, vault.Destroying: "destroyer_" + name, vault.Rotating: "rotator_" + name}
	prepare := []string{"store", "prepare", "--role", names[vault.Serving], "--destroyer-role", names[vault.Destroying], "--rotator-role", names[vault.Rotating]}
	for range 2 { // repeated, it changes nothing
		said := d.must(0, prepare...)
		for _, role := range names {
			if !strings.Contains(said.out, role) {
				t.Errorf("nothing of %s is said: %s", role, said.out)
			}
		}
	}
	for duty, role := range names {
		server.Exec(t, `ALTER ROLE "`+role+`" PASSWORD '`+password+`'`)
		u.User = url.UserPassword(role, password)
		d.roles[duty] = u.String()
	}
	return d
}

// open opens the process of a duty as its command does, with a bucket for files if there is
// one.
func (d *duties) open(duty vault.Duty) *rig {
	d.t.Helper()
	dir := vault.DataDir(d.t.TempDir())
	serving := d.roles[vault.Serving]
	v, err := vault.Open(d.t.Context(), dir, vault.Options{
		Stores: vault.StoresConfig{Log: serving, ReadModels: serving, Keys: d.roles[duty]},
		Duty:   duty, Transit: d.vault, Blobs: d.bucket, KeyLease: time.Second,
		Retentions: &citizen.Retentions{Backups: 1, Archives: 1, Snapshots: 1},
	})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		if err := v.Close(); err != nil {
			d.t.Error(err)
		}
	})
	return rigOf(d.t, v, dir)
}

// as returns a connection of a duty's role to the key database.
func (d *duties) as(duty vault.Duty) *sqlx.DB {
	d.t.Helper()
	db, err := pgdb.Open(d.roles[duty], pgdb.Options{Schema: "coffre_keys", Conns: 1})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { db.Close() })
	return db
}

// signingKey returns a public key that the vault says it signs with.
func (r *rig) signingKey(t *testing.T, id string) ed25519.PublicKey {
	t.Helper()
	var keys contract.SigningKeys
	if err := json.Unmarshal(r.get(t, asOperator, "/signingKeys").Body.Bytes(), &keys); err != nil {
		t.Fatal(err)
	}
	for _, k := range keys.Keys {
		if k.SigningKeyID == id {
			return k.PublicKey
		}
	}
	t.Fatalf("no signing key %s", id)
	return nil
}

// What a process may do with keys is kept by the database: whoever has taken over the one
// that answers requests can neither destroy nor replace a key.
func TestDutiesAreKeptApartByTheDatabase(t *testing.T) {
	d := newDuties(t)
	serving := d.open(vault.Serving)
	issued := serving.issue(t, uuid.New(), ssinA, "a")
	if issued.Code != http.StatusCreated {
		t.Fatalf("%d %s", issued.Code, issued.Body)
	}
	everybody := []string{
		`DELETE FROM subjects`, `DELETE FROM stream_keys`, `TRUNCATE subjects`, `DROP TABLE subjects`, `ALTER TABLE subjects DISABLE TRIGGER ALL`,
		`DELETE FROM rotations`, `DELETE FROM schema_versions`, `DELETE FROM signing_keys`, `UPDATE signing_keys SET public = ''`,
		`CREATE TABLE mine (n int)`,
	}
	neither := []string{`UPDATE index_keys SET wrapped = ''`, `DELETE FROM exposed_streams`, `UPDATE stream_keys SET wrapped = ''`, `UPDATE stream_keys SET state = 2`, `DELETE FROM citizen_refs`, `UPDATE subjects SET state = 4`,
		`INSERT INTO destructions (seq, at) VALUES (1, 1)`, `UPDATE destruction_clock SET seq = 0`, `INSERT INTO suppressions VALUES ('', 0, '')`}
	noRotation := []string{`UPDATE deployment_keys SET wrapped = ''`, `DELETE FROM deployment_keys`, `UPDATE ring_state SET kek_floor = 9`, `INSERT INTO rotations VALUES (9, 0, 0, 0, 0)`}
	for duty, refused := range map[vault.Duty][]string{
		vault.Serving: append(append([]string{
			`UPDATE subjects SET wrapped = ''`, `UPDATE subjects SET kek_version = 9`, `UPDATE subjects SET destroyed = 1`, `UPDATE citizen_refs SET organisation = ''`,
			`UPDATE subject_ssins SET citizen = ''`, `UPDATE certificates SET signed = ''`, `DELETE FROM certificates`,
		}, noRotation...), append(neither[:5:5], neither[6:]...)...),
		vault.Destroying: noRotation,
		vault.Rotating:   append(neither, `INSERT INTO subjects (citizen, state, kek_version, created) VALUES ('', 1, 1, 1)`, `INSERT INTO certificates VALUES ('', '', 0, '', '')`),
	} {
		db := d.as(duty)
		for _, statement := range append(everybody, refused...) {
			if _, err := db.ExecContext(t.Context(), statement); !pgdb.NotAllowed(err) {
				t.Errorf("duty %d: %s: %v", duty, statement, err)
			}
		}
	}
}

// An erasure that is approved where requests are answered is carried out and certified by
// the destroyer, and keys are replaced by the rotator, each as a process of its own.
func TestDestroyerAndRotatorAreProcessesOfTheirOwn(t *testing.T) {
	d := newDuties(t)
	serving := d.open(vault.Serving)
	if w := serving.issue(t, uuid.New(), ssinA, "a"); w.Code != http.StatusCreated {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	who := serving.citizen(t, ssinA)
	var asked contract.Erasure
	serving.post(t, grantFor(domain.RoleCitizen, "", who), "/erasures", fmt.Sprintf(`{"citizenId":"%s","scope":"citizen","reason":"citizenRequest"}`, who), &asked)
	second := token.Grant{Role: domain.RolePrivacyOfficer, Subject: "second"}
	at := "/erasures/" + asked.ErasureID.String()
	serving.post(t, second, at+"/approve", "", nil)

	if code := serving.status(t, second, at+"/certificate"); code != http.StatusConflict {
		t.Errorf("a certificate before anything was destroyed: %d", code)
	}
	destroyer := d.open(vault.Destroying)
	var signed []byte
	if err := poll(t.Context(), func() (bool, time.Time, error) {
		w := serving.ask(httptest.NewRequest(http.MethodGet, contract.Base+at+"/certificate", nil), serving.bearer(t, second))
		signed = w.Body.Bytes()
		return w.Code == http.StatusOK, time.Time{}, nil
	}); err != nil {
		t.Fatal(err)
	}
	var c contract.ErasureCertificate
	if err := json.Unmarshal(signed, &c); err != nil {
		t.Fatal(err)
	}
	if _, err := certificate.Read(signed, serving.signingKey(t, c.SigningKey)); err != nil {
		t.Error(err)
	}
	if again := serving.get(t, second, at+"/certificate").Body.Bytes(); string(again) != string(signed) {
		t.Error("asked again, it says something else")
	}

	// Nothing replaces keys where requests are answered, and nobody but the rotator does.
	for _, step := range []string{"rotate", "retire", "trim", "rotatePepper"} {
		for _, r := range []*rig{serving, destroyer} {
			if w := r.send(t, asOperator, "/keys/"+step, ""); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "rotatorElsewhere") {
				t.Errorf("%s: %d %s", step, w.Code, w.Body)
			}
		}
	}
	rotator := d.open(vault.Rotating)
	rotator.post(t, asOperator, "/keys/rotate", "", nil)
	rotator.until(t, func(s contract.KeyState) bool {
		return s.Rotation.State == contract.TaskStateDone && s.NextStep == contract.RotationStepBackUp
	})
	rotator.post(t, asOperator, "/keys/rotatePepper", "", nil)
	rotator.until(t, func(s contract.KeyState) bool {
		return s.Pepper.Rotation.State == contract.TaskStateDone && s.Pepper.Phase == contract.PepperPhaseSettled
	})
	if w := serving.issue(t, uuid.New(), ssinB, "b"); w.Code != http.StatusCreated {
		t.Errorf("after the rotation: %d %s", w.Code, w.Body)
	}
	if w := serving.issue(t, uuid.New(), ssinA, "c"); w.Code != http.StatusConflict {
		t.Errorf("the erased person: %d %s", w.Code, w.Body)
	}
}

// An export that one process made is listed, told of and served by every other: from the bucket
// that they share, and without one with an answer that says where it is, and no 404.
func TestExportsOfOtherProcesses(t *testing.T) {
	server := s3test.Start(t)
	bucket := server.Bucket(t)
	ca, secret := server.Files(t, bucket)
	shared := &vault.BlobsConfig{Bucket: bucket.Bucket, Prefix: bucket.Prefix, Endpoint: bucket.Endpoint, Region: bucket.Region, AccessKey: bucket.AccessKey, SecretKeyFile: secret, CAFile: ca}
	officer := grantFor(domain.RolePrivacyOfficer, "", domain.CitizenID{})
	d := newDuties(t)
	for name, at := range map[string]struct {
		bucket *vault.BlobsConfig
		code   int
		says   string
	}{
		"with a bucket":    {shared, http.StatusOK, "decidedAt,decision,"},
		"without a bucket": {nil, http.StatusServiceUnavailable, "exportElsewhere"},
	} {
		t.Run(name, func(t *testing.T) {
			d.t, d.bucket = t, at.bucket
			here, there := d.open(vault.Serving), d.open(vault.Serving)
			var made contract.Export
			here.post(t, officer, "/exports", `{"kind":"consentLog","format":"csv","reason":"audit"}`, &made)
			if err := here.Core.WaitIdle(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, r := range []*rig{here, there} {
				var told contract.Export
				if err := json.Unmarshal(r.get(t, officer, "/exports/"+made.ExportID.String()).Body.Bytes(), &told); err != nil || told.Status.State != contract.TaskStateDone {
					t.Errorf("%+v %v", told, err)
				}
				if list := r.get(t, officer, "/exports"); !strings.Contains(list.Body.String(), made.ExportID.String()) {
					t.Errorf("it is not listed: %s", list.Body)
				}
			}
			content := "/exports/" + made.ExportID.String() + "/content"
			if w := here.get(t, officer, content); !strings.HasPrefix(w.Body.String(), "decidedAt,decision,") {
				t.Errorf("%s", w.Body)
			}
			w := there.ask(httptest.NewRequest(http.MethodGet, contract.Base+content, nil), there.bearer(t, officer))
			if w.Code != at.code || !strings.Contains(w.Body.String(), at.says) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

// One document is forgotten by the destroyer, and files wait for their document while the
// rotator works, each with its own role, while another process answers with the keys of before.
func TestDutiesForgetADocumentAndKeepFiles(t *testing.T) {
	d := newDuties(t)
	serving := d.open(vault.Serving)
	var gone, kept struct{ DocumentID string }
	for reference, doc := range map[string]any{"gone": &gone, "kept": &kept} {
		w := serving.issue(t, uuid.New(), ssinA, reference)
		if err := json.Unmarshal(w.Body.Bytes(), doc); err != nil || w.Code != http.StatusCreated {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	file := serving.upload(t, attestor, apitest.PDF)
	who := serving.citizen(t, ssinA)
	destroyer := d.open(vault.Destroying)
	serving.erase(t, fmt.Sprintf(`{"citizenId":"%s","scope":"document","documentId":"%s","reason":"citizenRequest"}`, who, gone.DocumentID), who)
	var exposed, replaced int
	db := d.as(vault.Serving)
	if err := errors.Join(db.Get(&exposed, `SELECT count(*) FROM exposed_streams`), db.Get(&replaced, `SELECT count(*) FROM index_keys`)); err != nil || exposed != 0 || replaced != 1 {
		t.Errorf("E-3 %d content keys are exposed, %d data keys were replaced: %v", exposed, replaced, err)
	}
	rotator := d.open(vault.Rotating)
	rotator.post(t, asOperator, "/keys/rotate", "", nil)
	rotator.until(t, func(s contract.KeyState) bool { return s.Rotation.State == contract.TaskStateDone })
	for _, r := range []*rig{serving, d.open(vault.Serving)} {
		if code := r.status(t, attestor, "/documents/"+gone.DocumentID); code != http.StatusGone {
			t.Errorf("E-3 the erased document: %d", code)
		}
		if w := r.get(t, attestor, "/documents/"+kept.DocumentID); !strings.Contains(w.Body.String(), "4711-kept") {
			t.Errorf("another document: %d %s", w.Code, w.Body)
		}
	}
	if w := serving.issue(t, uuid.New(), ssinA, "late", file); w.Code != http.StatusCreated {
		t.Errorf("with a file from before the rotation: %d %s", w.Code, w.Body)
	}
	destroyer.close(t)
}

// A ring that holds a key again which was destroyed is not served by a process that may not
// destroy it; the destroyer mends it.
func TestServingRefusesDestroyedKeysThatCameBack(t *testing.T) {
	d := newDuties(t)
	serving := d.open(vault.Serving)
	serving.issue(t, uuid.New(), ssinA, "a")
	who := serving.citizen(t, ssinA)
	super, err := pgdb.Open(d.server.Superuser(t, d.roles[vault.Serving]), pgdb.Options{Schema: "coffre_keys", Conns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close()
	keep := func(statement string) {
		t.Helper()
		if _, err := super.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range []string{"subjects", "stream_keys", "subject_ssins"} {
		keep(`CREATE TABLE public.old_` + table + ` AS SELECT * FROM coffre_keys.` + table)
	}
	destroyer := d.open(vault.Destroying)
	destroyer.erase(t, fmt.Sprintf(`{"citizenId":"%s","scope":"citizen","reason":"citizenRequest"}`, who), who)
	serving.close(t)
	destroyer.close(t)
	keep(`DELETE FROM coffre_keys.guard`)
	for _, table := range []string{"subjects", "stream_keys", "subject_ssins"} {
		keep(`DELETE FROM coffre_keys.` + table)
		keep(`INSERT INTO coffre_keys.` + table + ` SELECT * FROM public.old_` + table)
	}
	at := d.roles[vault.Serving]
	open := func() error {
		v, err := vault.Open(t.Context(), vault.DataDir(t.TempDir()), vault.Options{Stores: vault.StoresConfig{Log: at}, Duty: vault.Serving, Transit: d.vault, KeyLease: time.Second})
		if err != nil {
			return err
		}
		return v.Close()
	}
	if err := open(); err == nil || !strings.Contains(err.Error(), "coffre destroyer") {
		t.Errorf("served: %v", err)
	}
	d.open(vault.Destroying)
	if err := open(); err != nil {
		t.Error(err)
	}
}

// The commands say what they need and refuse what they cannot do.
func TestDutyCommandsRefuse(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"destroyer", "rotator"} {
		if got := inEnvironment(t, nil).must(exitUsage, name, "--data", dir); !strings.Contains(got.err, "PostgreSQL") {
			t.Error(got.err)
		}
		env := map[string]string{vault.StoreVariable: "postgres://u@127.0.0.1:1/d", "COFFRE_VAULT_ADDR": "https://127.0.0.1:1", "COFFRE_VAULT_ROLE": "r", "COFFRE_VAULT_SECRET_ID_FILE": "f"}
		if got := inEnvironment(t, env).must(exitUsage, name, "--data", dir); !strings.Contains(got.err, "COFFRE_VAULT_"+strings.ToUpper(name)+"_ROLE") {
			t.Error(got.err)
		}
	}
}

// A record of destroyed keys that somebody wrote into the log destroys nothing: no erasure
// was asked for, approved and started before it.
func TestForgedDestructionDestroysNothing(t *testing.T) {
	d := newDuties(t)
	serving := d.open(vault.Serving)
	serving.issue(t, uuid.New(), ssinA, "a")
	who := serving.citizen(t, ssinA)
	stream, store := eventstore.Stream("citizen-"+who.String()), serving.Core.Log.Store()
	var last eventstore.Record
	for r, err := range store.ReadStream(t.Context(), stream, 0) {
		if err != nil {
			t.Fatal(err)
		}
		last = r
	}
	form, clear, _, err := codec.Catalog.Encode(citizen.KeyDestroyed{Citizen: who, Erasure: domain.ErasureID{UUID: uuid.New()}, At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	at := last.Revision
	last.ID, last.Type, last.Clear, last.Sealed = uuid.New(), form, clear, nil
	if _, err := store.Append(t.Context(), eventstore.Batch{Stream: stream, Expected: eventstore.Expected(at), Records: []eventstore.Record{last}}); err != nil {
		t.Fatal(err)
	}
	serving.close(t)
	app := d.roles[vault.Serving]
	_, err = vault.Open(t.Context(), vault.DataDir(t.TempDir()), vault.Options{
		Stores: vault.StoresConfig{Log: app, ReadModels: app, Keys: d.roles[vault.Destroying]}, Duty: vault.Destroying, Transit: d.vault, KeyLease: time.Second,
	})
	var corrupt *eventstore.Corrupt
	if !errors.As(err, &corrupt) || corrupt.Stream != stream || corrupt.Revision != at+1 {
		t.Errorf("opened: %v", err)
	}
	var destroyed int
	if err := d.as(vault.Serving).GetContext(t.Context(), &destroyed, `SELECT count(*) FROM subjects WHERE wrapped IS NULL`); err != nil || destroyed > 0 {
		t.Errorf("%d keys were destroyed: %v", destroyed, err)
	}
}

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/google/uuid"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/eventstore/blob/s3"
	"coffre/eventstore/blob/s3/s3test"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/edge/apitest"
	"coffre/handlers/edge/token"
)

// A vault that keeps its files in a bucket, from upload to erasure of a document; a
// process that is not told of the bucket does not start on its directory.
func TestFilesInABucket(t *testing.T) {
	server := s3test.Start(t)
	bucket := server.Bucket(t)
	ca, secret := server.Files(t, bucket)
	config := &vault.BlobsConfig{Bucket: bucket.Bucket, Prefix: bucket.Prefix, Endpoint: bucket.Endpoint, Region: bucket.Region, AccessKey: bucket.AccessKey, SecretKeyFile: secret, CAFile: ca}
	dir := vault.DataDir(t.TempDir())
	v, err := vault.Open(t.Context(), dir, vault.Options{Blobs: config})
	if err != nil {
		t.Fatal(err)
	}
	key, err := token.OpenDevKey(dir.File(vault.DevKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Instance: v, dir: dir, key: key}
	<-v.Built(t.Context())
	issuer := grantFor(domain.RoleIssuer, orgA, domain.CitizenID{})
	file := r.upload(t, issuer, apitest.PDF)
	var doc struct{ DocumentID string }
	r.post(t, issuer, "/documents", `{"ssin":"`+ssinA+`","documentType":"isiPlusCard","sourceReference":"bucket","validFrom":"2026-01-01","attachments":["`+file+
		`"],"content":{"birthDate":"1985-07-30","cardNumber":"0123456789","insurer":"A Mutual","name":"A Name"}}`, &doc)
	me := grantFor(domain.RoleCitizen, "", r.citizen(t, ssinA))
	if got := r.get(t, me, "/documents/"+doc.DocumentID+"/attachments/"+file); got.Body.String() != apitest.PDF {
		t.Errorf("%q", got.Body)
	}
	if all := server.Objects(t, bucket.Bucket); len(all) != 1 || all[0] != bucket.Prefix+file {
		t.Errorf("%q", all)
	}
	if _, err := os.Stat(dir.File(vault.BlobsFolder)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder of files was made: %v", err)
	}
	id, identity := ageKey(t)
	archive, restored := filepath.Join(t.TempDir(), "bucket.age"), vault.DataDir(filepath.Join(t.TempDir(), "restored"))
	taken, err := v.Core.Backups.Begin(t.Context(), []age.Recipient{id.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	var backedUp bytes.Buffer
	_, err = taken.WriteTo(&backedUp)
	if err := errors.Join(err, taken.Close(), os.WriteFile(archive, backedUp.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}

	var erasure struct{ ErasureID string }
	r.post(t, me, "/erasures", `{"citizenId":"`+me.Citizen.String()+`","scope":"document","documentId":"`+doc.DocumentID+`","reason":"citizenRequest"}`, &erasure)
	r.post(t, grantFor(domain.RolePrivacyOfficer, "", domain.CitizenID{}), "/erasures/"+erasure.ErasureID+"/approve", "", nil)
	if err := v.Core.WaitIdle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all := server.Objects(t, bucket.Bucket); len(all) != 0 {
		t.Errorf("erased and still there: %q", all)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := vault.Open(t.Context(), dir, vault.Options{}); !errors.Is(err, vault.ErrBlobsElsewhere) {
		t.Errorf("%v", err)
	}
	// A backup has the files, too, and a restore puts them beside the data: there they
	// are read, and not looked for in a bucket.
	(&shell{t: t}).must(0, "restore", archive, "--data", string(restored), "--identity-file", identity, "--no-shred-list", "--yes", "--kek-file", dir.File(vault.KEKFile))
	again := rigOn(t, restored)
	if got := again.get(t, me, "/documents/"+doc.DocumentID+"/attachments/"+file); got.Body.String() != apitest.PDF {
		t.Errorf("restored: %d %q", got.Code, got.Body)
	}
	again.close(t)
	if _, err := vault.Open(t.Context(), restored, vault.Options{Blobs: config}); !errors.Is(err, vault.ErrBlobsHere) {
		t.Errorf("files beside the data are not looked at: %v", err)
	}
	missing := *config
	missing.Bucket = "nobody-has-it"
	if _, err := vault.Open(t.Context(), dir, vault.Options{Blobs: &missing}); !errors.Is(err, s3.ErrBucket) {
		t.Errorf("%v", err)
	}
}

// A process whose bucket is not that of the others on the same keys says so at its start, by the
// name of the setting.
func TestAnotherBucketIsTold(t *testing.T) {
	server, dir := s3test.Start(t), vault.DataDir(t.TempDir())
	config := func() *vault.BlobsConfig {
		bucket := server.Bucket(t)
		ca, secret := server.Files(t, bucket)
		return &vault.BlobsConfig{Bucket: bucket.Bucket, Prefix: bucket.Prefix, Endpoint: bucket.Endpoint, Region: bucket.Region, AccessKey: bucket.AccessKey, SecretKeyFile: secret, CAFile: ca}
	}
	first, other := config(), config()
	for i, c := range []*vault.BlobsConfig{first, first, other} {
		var told bytes.Buffer
		v, err := vault.Open(t.Context(), dir, vault.Options{Blobs: c, Logger: slog.New(slog.NewTextHandler(&told, nil))})
		if err != nil {
			t.Fatal(err)
		}
		key, err := token.OpenDevKey(dir.File(vault.DevKeyFile))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			(&rig{Instance: v, dir: dir, key: key}).upload(t, grantFor(domain.RoleIssuer, orgA, domain.CitizenID{}), apitest.PDF)
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		if says := strings.Contains(told.String(), "COFFRE_BLOBS is not that of the other processes"); says != (c == other) {
			t.Errorf("start %d: %s", i, &told)
		}
	}
}

// Over a real connection: the limit to the byte, bodies that break off, ranges, and
// an answer that is cut off rather than told falsely.
func TestFilesOverHTTP(t *testing.T) {
	r := newRig(t)
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = edge.NewHTTPServer(r.Handler())
	srv.Start()
	t.Cleanup(srv.Close)
	bearer := r.bearer(t, grantFor(domain.RoleIssuer, orgA, domain.CitizenID{}))
	pdf := func(size int) []byte {
		return append(append([]byte("%PDF-"), bytes.Repeat([]byte{'x'}, size-10)...), "%%EOF"...)
	}
	call := func(method, path string, body io.Reader, header ...string) (*http.Response, []byte, error) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+contract.Base+path, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+bearer)
		req.Header.Set("Idempotency-Key", uuid.NewString())
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := srv.Client().Do(req)
		if err != nil {
			return nil, nil, err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return resp, b, err
	}
	stored := func() (n int) {
		t.Helper()
		all, err := filepath.Glob(filepath.Join(r.dir.File(vault.BlobsFolder), "*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	for _, tc := range []struct {
		body   io.Reader
		status int
	}{
		{bytes.NewReader(pdf(10 << 20)), 201},
		{bytes.NewReader(pdf(10<<20 + 1)), 413},
		{bytes.NewReader(nil), 400},
		{io.MultiReader(bytes.NewReader(pdf(100))), 411}, // in chunks, without its length
	} {
		resp, b, err := call("POST", "/attachments", tc.body, "Content-Type", "application/pdf")
		if err == nil && resp.StatusCode != tc.status {
			t.Errorf("%d %s, want %d", resp.StatusCode, b, tc.status)
		} else if err != nil && tc.status != 413 { // who is refused may be cut off while sending
			t.Error(err)
		}
	}
	if n := stored(); n != 1 {
		t.Errorf("%d files are stored", n)
	}

	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST %s/attachments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nIdempotency-Key: %s\r\nContent-Type: application/pdf\r\nContent-Length: 5000\r\n\r\n%s",
		contract.Base, bearer, uuid.NewString(), pdf(4000))
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 400 ")) {
		t.Errorf("%.80s %v", answer, err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if n := stored(); n != 1 {
		t.Errorf("%d files are stored after one that broke off", n)
	}

	content := pdf(300_000)
	file := r.upload(t, grantFor(domain.RoleIssuer, orgA, domain.CitizenID{}), string(content))
	var doc struct{ DocumentID string }
	r.post(t, grantFor(domain.RoleIssuer, orgA, domain.CitizenID{}), "/documents", `{"ssin":"`+ssinA+`","documentType":"marriageCertificate","sourceReference":"http","validFrom":"2020-01-02","attachments":["`+
		file+`"],"content":{"certificateNumber":"4711","country":"BE","date":"2020-01-02"}}`, &doc)
	path := "/documents/" + doc.DocumentID + "/attachments/" + file
	if resp, b, err := call("GET", path, nil); err != nil || resp.StatusCode != 200 || !bytes.Equal(b, content) || resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", err)
	}
	if resp, b, err := call("GET", path, nil, "Range", "bytes=100000-200000"); err != nil || resp.StatusCode != 206 || !bytes.Equal(b, content[100_000:200_001]) {
		t.Errorf("%v", err)
	}
	if resp, b, err := call("GET", path, nil, "Range", "bytes=300000-"); err != nil || resp.StatusCode != 416 || resp.Header.Get("Content-Range") != "bytes */300000" || resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%v %s", err, b)
	}

	sealed := filepath.Join(r.dir.File(vault.BlobsFolder), file[:2], file)
	f, err := os.OpenFile(sealed, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("tampered"), 200_000); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	resp, b, err := call("GET", path, nil)
	if !errors.Is(err, io.ErrUnexpectedEOF) || resp.StatusCode != 200 || !bytes.HasPrefix(content, b) || len(b) > 3*64<<10 {
		t.Errorf("a tampered file: %d bytes, %v", len(b), err)
	}
}

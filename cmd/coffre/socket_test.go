package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"coffre/cmd/coffre/vault"
	samples "coffre/deploy/registry"
	"coffre/domain"
	"coffre/eventstore"
)

// TestControlSocketIsAWayInLikeAnyOther tries, on a vault whose callers a provider vouches
// for, what somebody with an account on its machine could do: with a server running and
// without one. Contents are not to be had, nobody is erased by one person, and what an
// operator does is on record with the account and the reason.
func TestControlSocketIsAWayInLikeAnyOther(t *testing.T) {
	dir := t.TempDir()
	provider := httptest.NewTLSServer(http.NotFoundHandler()) // it knows no key
	defer provider.Close()
	const someone = `84022711082`
	person := file(t, "ssin", someone)
	s := onDisk(t)
	s.in = `{"ssin":"` + someone + `","documentType":"marriageCertificate","sourceReference":"m-1","validFrom":"2026-03-01","content":{"certificateNumber":"1","country":"BE","date":"2026-03-01"}}`
	s.must(0, "documents", "import", "--data", dir, "-") // while it is for trying out
	if got := s.must(0, "wallet", "show", "--data", dir, "--ssin-file", person); !strings.Contains(got.out, "Marriage") {
		t.Fatalf("nothing is held: %q", got.out)
	}

	stop := servedWith(t, vault.DataDir(dir), vault.Options{OIDC: vault.NewOIDC(provider.URL)})
	files := changedRegistry(t)
	try := func(served string) {
		t.Helper()
		for _, args := range [][]string{
			{"wallet", "show", "--data", dir, "--ssin-file", person},
			{"wallet", "show", "--data", dir, "--ssin-file", person, "--why", "inspection"},
			{"consents", "list", "--data", dir, "--ssin-file", person, "--why", "inspection"},
			{"erase", "request", "--data", dir, "--ssin-file", person, "--why", "legalOrder"},
			{"erase", "approve", "--data", dir, "--yes", "--subject", "another", "--why", "legalOrder", uuid.NewString()},
			{"audit", "replay", "--data", dir, "--why", "inspection"},
			{"documents", "show", "--data", dir, "--org", "0206731645", "--why", "inspection", uuid.NewString()},
			{"export", "consentLog", "--reason", "audit", "--data", dir, "--out", filepath.Join(dir, "e"), "--why", "inspection"},
		} {
			got := s.run(args...)
			if got.code != exitFailed || !strings.Contains(got.err, "controlSocketRole") || !strings.Contains(got.err, "--url") || strings.Contains(got.out, "Marriage") {
				t.Errorf("%s: coffre %s: %d, %q, %q", served, strings.Join(args[:2], " "), got.code, got.out, got.err)
			}
		}
		if got := s.run("keys", "status", "--data", dir); got.code != exitFailed || !strings.Contains(got.err, "--why") {
			t.Errorf("%s: without a reason: %d, %q", served, got.code, got.err)
		}
		s.must(0, "keys", "status", "--data", dir, "--why", "maintenance")
	}
	try("served")
	s.must(0, "registry", "apply", "--data", dir, "--why", "migration", "--case", "INC-2026-17", files)
	stop()
	try("not served")

	got := s.run("serve", "--dev", "--data", dir, "--listen", "127.0.0.1:0")
	if got.code != exitFailed || !strings.Contains(got.err, "--oidc-issuer") {
		t.Errorf("it is served for trying out again: %d, %q", got.code, got.err)
	}
	who, account := actorOf(t, vault.DataDir(dir), "registry", 1)
	if who.Role != domain.RoleOperator || who.Door != domain.ControlSocket || who.Why != "migration" || who.Subject != account || who.Case == "" || strings.Contains(who.Case, "INC") {
		t.Errorf("on record is %+v, of account %s", who, account)
	}
}

// A command that serves the control socket meanwhile takes no request that two readers may
// read in two ways.
func TestControlSocketRefusesAmbiguousRequests(t *testing.T) {
	dir := vault.DataDir(t.TempDir())
	defer servedWith(t, dir, vault.Options{})()
	c, err := dir.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "POST /vault/v1/health HTTP/1.1\r\nHost: vault\r\nContent-Length: 13\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusBadRequest || !answer.Close {
		t.Errorf("it is answered %d, and the connection closes: %t", answer.StatusCode, answer.Close)
	}
}

// servedWith serves a directory's control socket until the function it returns is called.
func servedWith(t *testing.T, dir vault.DataDir, o vault.Options) (stop func()) {
	t.Helper()
	p := newProgram(terminal{})
	p.open = func(ctx context.Context, dir vault.DataDir) (runningVault, error) { return vault.Open(ctx, dir, o) }
	release, err := dir.Own()
	if err != nil {
		t.Fatal(err)
	}
	end, err := p.openHere(t.Context(), dir, release)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	}
}

// changedRegistry returns a folder with the samples, and one label of them changed.
func changedRegistry(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "registry")
	if err := os.CopyFS(folder, samples.Files); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(folder, "procedures.json")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(strings.Replace(string(b), "Request for a housing allowance", "Asking for a housing allowance", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

// actorOf returns who recorded an event of a directory that nobody serves, and how the log
// calls the account of this process.
func actorOf(t *testing.T, dir vault.DataDir, stream eventstore.Stream, at eventstore.Revision) (who domain.Actor, account string) {
	t.Helper()
	v, err := vault.Open(t.Context(), dir, vault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}()
	for e, err := range v.Core.Log.Read(t.Context(), stream, at) {
		if err != nil {
			t.Fatal(err)
		}
		meta, err := e.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		return meta.Actor, v.Ring.Audit().Subject(fmt.Sprint("os-account:", os.Getuid()))
	}
	t.Fatalf("stream %s has no event %d", stream, at)
	return domain.Actor{}, ""
}

package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"coffre/cmd/coffre/client"
	"coffre/cmd/coffre/vault"
	"coffre/handlers/contract"
)

func healthy(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.Path {
		case "GET /vault/v1/health":
			answer(t, w, 200, contract.Health{Status: contract.HealthStatusUP})
		case "GET /vault/v1/registry":
			answer(t, w, 200, contract.Registry{Version: 7})
		default:
			t.Errorf("asked for %s %s", r.Method, r.URL.Path)
		}
	}
}

func TestVaultIsOpenedHereWhenNobodyOwnsIt(t *testing.T) {
	dir := t.TempDir()
	s := answering(t, healthy(t))
	for range 2 { // whatever the first run left
		if got := s.must(0, "registry", "show", "--data", dir); !strings.Contains(got.out, "Registry version 7") {
			t.Errorf("out %q", got.out)
		}
	}
	if _, err := os.Lstat(vault.DataDir(dir).File(vault.SocketFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the control socket is left: %v", err)
	}
	release, err := vault.DataDir(dir).Own()
	if err != nil {
		t.Fatalf("the directory is still owned: %v", err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
}

func TestVaultOfAnotherProcessIsAskedByItsSocket(t *testing.T) {
	for name, dir := range map[string]string{
		"short path": t.TempDir(),
		"path that a socket's address cannot hold": filepath.Join(t.TempDir(), strings.Repeat("deep/", 30)),
	} {
		t.Run(name, func(t *testing.T) {
			release, err := vault.DataDir(dir).Own()
			if err != nil {
				t.Fatal(err)
			}
			// What a process that was killed left behind must not be in the way.
			if err := os.WriteFile(vault.DataDir(dir).File(vault.SocketFile), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			l, err := vault.DataDir(dir).Listen(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var asked atomic.Int32
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/vault/v1/projections" { // which it does not know; the command goes on
					asked.Add(1)
					healthy(t)(w, r)
					return
				}
				refuse(t, w, 401, "invalidAccessToken", "")
			}))
			server.Listener.Close()
			server.Listener = l
			server.Start()
			defer func() {
				server.Close()
				if err := release(); err != nil {
					t.Error(err)
				}
			}()
			info, err := os.Stat(vault.DataDir(dir).File(vault.SocketFile))
			if err != nil || info.Mode().Perm() != 0o600 || info.Mode()&fs.ModeSocket == 0 {
				t.Errorf("control socket: %v, %v", info.Mode(), err)
			}
			s := &shell{t: t, adapt: func(p *program) { p.open = nil }} // it must not be opened
			s.must(0, "health", "--data", dir)
			if asked.Load() != 1 {
				t.Errorf("the owner was asked %d times", asked.Load())
			}
		})
	}
}

// TestOwnerWhoGoes: a command that runs through another's socket goes on by
// itself when the other is done.
func TestOwnerWhoGoes(t *testing.T) {
	dir := t.TempDir()
	var opened atomic.Int32
	connect := func() connection {
		p := newProgram(terminal{Out: io.Discard, Err: io.Discard})
		answering(t, healthy(t)).adapt(p)
		open := p.open
		p.open = func(ctx context.Context, d vault.DataDir) (runningVault, error) {
			opened.Add(1)
			return open(ctx, d)
		}
		v, err := p.connect(t.Context(), where{data: dir}, true)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	ask := func(v connection) {
		t.Helper()
		if h, err := client.Read[contract.Health](v.as(asOperator).GetHealth(t.Context())); err != nil || h.Body.Status != contract.HealthStatusUP {
			t.Errorf("%v, %v", h.Body, err)
		}
	}
	first, second, third := connect(), connect(), connect()
	for _, v := range []connection{first, second, third} {
		ask(v)
	}
	if n := opened.Load(); n != 1 {
		t.Fatalf("the vault was opened %d times", n)
	}
	if err := first.close(); err != nil {
		t.Fatal(err)
	}
	ask(second)
	ask(third)
	if n := opened.Load(); n != 2 {
		t.Errorf("the vault was opened %d times", n)
	}
	if err := errors.Join(second.close(), third.close()); err != nil {
		t.Fatal(err)
	}
}

func TestOwnerWhoDoesNotAnswer(t *testing.T) {
	dir := t.TempDir()
	release, err := vault.DataDir(dir).Own()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := release(); err != nil {
			t.Error(err)
		}
	}()
	got := (&shell{t: t}).must(exitFailed, "health", "--data", dir)
	if !strings.Contains(got.err, vault.ErrOwned.Error()) {
		t.Errorf("err %q", got.err)
	}
	if got := (&shell{t: t}).must(exitFailed, "serve", "--dev", "--data", dir, "--listen", "127.0.0.1:0"); !strings.Contains(got.err, vault.ErrOwned.Error()) {
		t.Errorf("a second server: %q", got.err)
	}
}

func TestDirectoryIsGivenBackWhenTheSocketCannotBe(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(vault.DataDir(dir).File(vault.SocketFile), "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	answering(t, healthy(t)).must(exitFailed, "registry", "show", "--data", dir)
	release, err := vault.DataDir(dir).Own()
	if err != nil {
		t.Fatalf("the directory is still owned: %v", err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
}

func TestReadingMakesNoVault(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "typo")
	got := (&shell{t: t}).must(exitFailed, "projections", "status", "--data", dir)
	if !strings.Contains(got.err, "there is no vault in "+dir) {
		t.Errorf("err %q", got.err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it made the directory: %v", err)
	}
}

func TestVaultElsewhere(t *testing.T) {
	var authorization []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization = append(authorization, r.Header.Get("Authorization"))
		switch r.URL.Path {
		case "/vault/v1/projections":
			answer(t, w, 200, contract.Projections{Items: []contract.Projection{{Name: "wallet", Version: 1, State: contract.ProjectionStateLive, Applied: 7}}})
		default:
			http.Redirect(w, r, "http://"+r.Host+"/elsewhere", http.StatusFound)
		}
	}))
	defer server.Close()
	s := &shell{t: t}
	name := file(t, "token", "s3cret\n")
	for _, url := range []string{server.URL, server.URL + "/", server.URL + "/vault/v1", server.URL + "/vault/v1/"} {
		if got := s.must(0, "projections", "status", "--url", url, "--token-file", name); !strings.Contains(got.out, "wallet") {
			t.Errorf("%s: out %q", url, got.out)
		}
	}
	s.in = "s3cret"
	s.must(0, "projections", "status", "--url", server.URL, "--token-file", "-")
	// A redirect would carry the token away.
	if got := s.must(exitFailed, "keys", "status", "--url", server.URL, "--token-file", "-"); strings.Contains(got.err, "s3cret") {
		t.Errorf("err %q", got.err)
	}
	for _, a := range authorization {
		if a != "Bearer s3cret" {
			t.Errorf("Authorization %q", a)
		}
	}
	if len(authorization) != 6 {
		t.Errorf("%d requests, want 6", len(authorization))
	}
}

func TestEmptyTokenFile(t *testing.T) {
	got := (&shell{t: t}).must(exitFailed, "health", "--url", "http://127.0.0.1:1", "--token-file", file(t, "token", "\n"))
	if !strings.Contains(got.err, errToken.Error()) {
		t.Errorf("err %q", got.err)
	}
}

func TestVaultThatIsAway(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got := (&shell{t: t}).must(exitFailed, "health", "--url", "http://"+address, "--token-file", file(t, "token", "x"))
	if !strings.Contains(got.err, "ask the vault") {
		t.Errorf("err %q", got.err)
	}
}

func TestHealthThatIsDown(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(t, w, 503, contract.Health{Status: contract.HealthStatusDOWN})
	}))
	defer server.Close()
	if got := (&shell{t: t}).must(exitFailed, "health", "--url", server.URL, "--json"); got.out != `{"status":"DOWN"}`+"\n" {
		t.Errorf("out %q", got.out)
	}
}

// A vault that would do well is no help to clients while no process serves it: health says
// DOWN, and opens nothing to find that out.
func TestHealthOfADirectoryThatNobodyServesIsDown(t *testing.T) {
	dir := t.TempDir()
	s := answering(t, healthy(t))
	for range 2 { // nothing was ever there, and a process that owned it is gone
		got := s.must(exitFailed, "health", "--data", dir, "--json")
		if got.out != `{"status":"DOWN"}`+"\n" || !strings.Contains(got.err, errNotServed.Error()) {
			t.Errorf("out %q, err %q", got.out, got.err)
		}
		s.must(0, "registry", "show", "--data", dir)
	}
}

// TestProblemsAreTold sees a refusal reach the person, without what could steer
// their terminal.
func TestProblemsAreTold(t *testing.T) {
	s := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		refuse(t, w, 403, "missingPermission", "not for \x1b[31myou\x07")
	})
	got := s.must(exitFailed, "keys", "status", "--data", t.TempDir())
	if want := "coffre: missingPermission: not for [31myou\n"; got.err != want {
		t.Errorf("err %q, want %q", got.err, want)
	}
	s = answering(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "<html>secret stack</html>", http.StatusBadGateway)
	})
	got = s.must(exitFailed, "keys", "status", "--data", t.TempDir())
	if strings.Contains(got.err, "stack") || !strings.Contains(got.err, "Bad Gateway") {
		t.Errorf("err %q", got.err)
	}
	s = answering(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"provider":7,"secret":"stack"}`))
	})
	got = s.must(exitFailed, "keys", "status", "--data", t.TempDir())
	if strings.Contains(got.err, "stack") || !strings.Contains(got.err, "not what the contract says") {
		t.Errorf("err %q", got.err)
	}
}

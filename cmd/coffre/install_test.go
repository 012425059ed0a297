package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"coffre/domain"
	"coffre/eventstore/blob/s3/s3test"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/seal/transit/vaulttest"
	"coffre/handlers/edge"
)

// The installation runbook leads from nothing to a first document: its blocks are run as they
// stand, in one shell, on a PostgreSQL, a Vault and an S3 server; only the first one, which
// says what is the reader's own, is replaced.
func TestInstallationRunbook(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Fatal("the runbook asks the vault with curl, which is not here: Debian's package is curl")
	}
	blocks := blocksOf(t, "../../deploy/runbooks/install.md")
	dir := t.TempDir()
	settings := map[string]string{"SETTINGS": filepath.Join(dir, "etc"), "STATE": filepath.Join(dir, "state"), "ONE": freeAddress(t), "TWO": freeAddress(t)}

	keys := vaulttest.Start(t)
	settings["VAULT_ADDR"], settings["VAULT_CACERT"] = keys.Admin().Address(), keys.CAFile

	owner, err := url.Parse(pgtest.Start(t).Database(t))
	if err != nil {
		t.Fatal(err)
	}
	settings["OWNER"], settings["DATABASE"] = owner.User.Username(), owner.Host+owner.Path+"?"+owner.RawQuery

	password, _ := owner.User.Password()
	if err := os.WriteFile(filepath.Join(dir, ".pgpass"), []byte("*:*:*:"+owner.User.Username()+":"+password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	objects := s3test.Start(t)
	bucket := objects.Bucket(t)
	ca, secret := objects.Files(t, bucket)
	settings["BUCKET"], settings["BUCKET_ENDPOINT"], settings["BUCKET_REGION"] = "s3://"+bucket.Bucket, bucket.Endpoint, bucket.Region
	settings["BUCKET_KEY"], settings["BUCKET_SECRET_FILE"], settings["BUCKET_CA"] = bucket.AccessKey, secret, ca

	provider := issuersProvider(t)
	settings["PROVIDER"], settings["PROVIDER_TOKENS"] = provider.URL, provider.URL+"/token"
	settings["CLIENT"], settings["CLIENT_SECRET_FILE"] = "population-register", filepath.Join(dir, "client")
	if err := os.WriteFile(settings["CLIENT_SECRET_FILE"], []byte("not asked for"), 0o600); err != nil {
		t.Fatal(err)
	}

	var own strings.Builder
	for _, m := range regexp.MustCompile(`\b([A-Z_]+)=`).FindAllStringSubmatch(blocks[0], -1) {
		value, known := settings[m[1]]
		if !known {
			t.Fatalf("the first block sets %s, of which this test knows nothing", m[1])
		}
		fmt.Fprintf(&own, "export %s='%s'\n", m[1], value)
		delete(settings, m[1])
	}
	if len(settings) > 0 {
		t.Fatalf("the first block does not set %v", settings)
	}

	// The processes of a shell's background read nothing; those of this program end with their input.
	bin := filepath.Join(dir, "bin")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	program := fmt.Sprintf("#!/bin/sh\nexec env %s=1 '%s' \"$@\" <&3\n", asProgram, self)
	if err := os.WriteFile(filepath.Join(bin, "coffre"), []byte(program), 0o700); err != nil {
		t.Fatal(err)
	}
	server, err := vaulttest.Binary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(server, filepath.Join(bin, "vault")); err != nil {
		t.Fatal(err)
	}
	open, stop, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()

	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	shell := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", own.String()+"umask 077\n"+strings.Join(blocks[1:], "\n"))
	shell.Dir, shell.Stdout, shell.Stderr, shell.ExtraFiles = "../..", out, out, []*os.File{open}
	shell.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+pgtest.Programs(t)+string(os.PathListSeparator)+os.Getenv("PATH"),
		"VAULT_TOKEN="+keys.Admin().Token(), "HOME="+dir)
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with all that it starts
	err = shell.Run()
	told, readErr := os.ReadFile(out.Name())
	if err := syscall.Kill(-shell.Process.Pid, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := poll(context.WithoutCancel(t.Context()), func() (bool, time.Time, error) {
		return errors.Is(syscall.Kill(-shell.Process.Pid, 0), syscall.ESRCH), time.Time{}, nil
	}); err != nil {
		t.Error(err)
	}
	if err := errors.Join(err, readErr, stop.Close()); err != nil {
		t.Fatalf("%v\n%s", err, told)
	}
	if !strings.Contains(string(told), "An Example") {
		t.Errorf("the other process does not show the document:\n%s", told)
	}
}

// blocksOf returns the blocks of shell commands in a text, in their order.
func blocksOf(t *testing.T, file string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) < 2 {
		t.Fatalf("%s has %d blocks of commands", file, len(blocks))
	}
	return blocks
}

// freeAddress returns an address of loopback at which nobody listens now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// issuersProvider is an OpenID provider that gives whoever asks a token of an issuer.
func issuersProvider(t *testing.T) *httptest.Server {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "one"}}, (&jose.SignerOptions{}).WithType("at+jwt"))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	provider := httptest.NewServer(mux)
	t.Cleanup(provider.Close)
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		answer(w, map[string]string{"issuer": provider.URL, "jwks_uri": provider.URL + "/keys", "token_endpoint": provider.URL + "/token"})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) {
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "one", Algorithm: "ES256", Use: "sig"}}})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		claims, err := json.Marshal(map[string]any{
			"iss": provider.URL, "aud": "coffre", "sub": "population-register", "exp": time.Now().Add(time.Hour).Unix(),
			"role": domain.RoleIssuer, "organization": "0206731645", "scope": edge.Scopes(domain.RoleIssuer),
		})
		if err != nil {
			t.Error(err)
			return
		}
		jws, err := signer.Sign(claims)
		if err != nil {
			t.Error(err)
			return
		}
		token, err := jws.CompactSerialize()
		if err != nil {
			t.Error(err)
			return
		}
		answer(w, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 3600})
	})
	return provider
}

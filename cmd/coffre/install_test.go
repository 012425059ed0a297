package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
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
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"coffre/domain"
	"coffre/eventstore/blob/s3/s3test"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/seal/transit/vaulttest"
	"coffre/handlers/edge"
)

// installation is a vault that the installation runbook made: the shell in which it was typed, and
// the servers that its four processes use.
type installation struct {
	*session
	env       map[string]string // that the first block says
	keys      *vaulttest.Server
	database  *pgtest.Server
	owner     *url.URL // of the database
	home      string   // of whoever types
	issued    int      // documents since, each to another person
	forgotten int      // whom of those the law wanted forgotten
	provider  *tokenProvider
	disk      string              // of the database, where the test may mount one
	resize    func(megabytes int) // that disk; nil: there is none
	read      string              // the document that an organisation read
}

// install types the blocks of the installation runbook as they stand, in one shell, on a PostgreSQL,
// a Vault and an S3 server; only the first one, which says what is the reader's own, is replaced.
func install(t *testing.T) *installation {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Fatal("the runbook asks the vault with curl, which is not here: Debian's package is curl")
	}
	blocks := blocksOf(t, "../../deploy/runbooks/install.md")
	i := &installation{keys: vaulttest.Start(t), database: pgtest.Start(t)}
	dir := t.TempDir()
	settings := map[string]string{"SETTINGS": filepath.Join(dir, "etc"), "STATE": filepath.Join(dir, "state"), "ONE": freeAddress(t), "TWO": freeAddress(t)}
	settings["VAULT_ADDR"], settings["VAULT_CACERT"] = i.keys.Admin().Address(), i.keys.CAFile

	owner, err := url.Parse(i.database.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	i.owner = owner
	if i.disk, i.resize, err = i.database.TrySmallDisk(t, owner.String(), diskMegabytes); err != nil {
		t.Log("store-full.md is not played:", err)
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

	i.provider = newTokenProvider(t)
	settings["PROVIDER"], settings["PROVIDER_TOKENS"] = i.provider.URL, i.provider.URL+"/token"
	settings["CLIENT"], settings["CLIENT_SECRET_FILE"] = "population-register", filepath.Join(dir, "client")
	if err := os.WriteFile(settings["CLIENT_SECRET_FILE"], []byte("not asked for"), 0o600); err != nil {
		t.Fatal(err)
	}

	i.env, i.home = settings, dir
	// There is no balancer that a process that leaves would have to give notice to. Last, so that its
	// processes end first.
	i.session = newSession(t, "VAULT_TOKEN="+i.keys.Admin().Token(), "HOME="+dir, "COFFRE_LEAVE_NOTICE=1ms")
	told := i.types(t, i.own(t, blocks[0])+"umask 077\n")
	for _, block := range blocks[1:] {
		told = i.types(t, block)
	}
	if !strings.Contains(told, "An Example") {
		t.Fatalf("the other process does not show the document:\n%s", told)
	}
	return i
}

// own returns what a test types in the place of a block that says what is the reader's own: the same
// variables, with what is known of them.
func (i *installation) own(t *testing.T, block string) string {
	t.Helper()
	var own strings.Builder
	for _, m := range regexp.MustCompile(`\b([A-Z_]+)=`).FindAllStringSubmatch(block, -1) {
		value, known := i.env[m[1]]
		if !known {
			t.Fatalf("a block sets %s, of which this test knows nothing:\n%s", m[1], block)
		}
		fmt.Fprintf(&own, "export %s='%s'\n", m[1], value)
	}
	return own.String()
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

// tokenProvider is an OpenID provider that gives whoever asks a token of an issuer, and the test one
// of anybody.
type tokenProvider struct {
	*httptest.Server
	signer jose.Signer
}

func newTokenProvider(t *testing.T) *tokenProvider {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	p := &tokenProvider{Server: httptest.NewServer(mux)}
	t.Cleanup(p.Close)
	p.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "one"}}, (&jose.SignerOptions{}).WithType("at+jwt"))
	if err != nil {
		t.Fatal(err)
	}
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		answer(w, map[string]string{"issuer": p.URL, "jwks_uri": p.URL + "/keys", "token_endpoint": p.URL + "/token"})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) {
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "one", Algorithm: "ES256", Use: "sig"}}})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		token, err := p.token(domain.RoleIssuer, "population-register", "0206731645")
		if err != nil {
			t.Error(err)
			return
		}
		answer(w, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 3600})
	})
	return p
}

// token returns a token for an hour of somebody in that role, of an organisation where the role has one.
func (p *tokenProvider) token(role domain.Role, subject string, organisation domain.Organisation) (string, error) {
	claims := map[string]any{
		"iss": p.URL, "aud": "coffre", "sub": subject, "exp": time.Now().Add(time.Hour).Unix(),
		"role": role, "scope": edge.Scopes(role),
	}
	if organisation != "" {
		claims["organization"] = organisation
	}
	text, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	jws, err := p.signer.Sign(text)
	if err != nil {
		return "", err
	}
	return jws.CompactSerialize()
}

// tokenFile returns a file with such a token.
func (i *installation) tokenFile(t *testing.T, role domain.Role, subject string, organisation domain.Organisation) string {
	t.Helper()
	token, err := i.provider.token(role, subject, organisation)
	if err != nil {
		t.Fatal(err)
	}
	return file(t, subject+".token", token)
}

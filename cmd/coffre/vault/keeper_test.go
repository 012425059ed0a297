package vault

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"coffre/eventstore/seal/transit/vaulttest"
)

// A lost key file is told as what it is, no new one is made, and the copy of it opens
// the vault again.
func TestALostKeyFileIsTold(t *testing.T) {
	dir := DataDir(t.TempDir())
	open := func() error {
		v, err := Open(t.Context(), dir, Options{})
		if err != nil {
			return err
		}
		return v.Close()
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	kept := dir.File("kept-apart")
	if err := os.Rename(dir.File(KEKFile), kept); err != nil {
		t.Fatal(err)
	}
	if err := open(); !errors.Is(err, ErrNoKeyFile) || !strings.HasPrefix(err.Error(), "the key file kek.json of this data directory is missing") {
		t.Errorf("without the key file: %v", err)
	}
	if _, err := os.Stat(dir.File(KEKFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a key file was made", err)
	}
	if err := os.Rename(kept, dir.File(KEKFile)); err != nil {
		t.Fatal(err)
	}
	if err := open(); err != nil {
		t.Error(err)
	}
}

// door stands before a Vault, lets so many calls pass, and answers the others as a sealed one does.
type door struct {
	http.Handler
	left atomic.Int64
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d.left.Add(-1) < 0 {
		http.Error(w, `{"errors":["Vault is sealed"]}`, http.StatusServiceUnavailable)
		return
	}
	d.Handler.ServeHTTP(w, r)
}

// Whichever of its calls to Vault a start makes when Vault is sealed, it ends with the error that has
// the process wait, or without the call: never with one that ends the process.
func TestEveryCallOfAStartWaitsForVault(t *testing.T) {
	s := vaulttest.Shared(t)
	s.MountCheckpoints(t)
	there, err := url.Parse(s.Address)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(there)
	authority, err := os.ReadFile(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	trusts := x509.NewCertPool()
	trusts.AppendCertsFromPEM(authority)
	proxy.Transport = &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trusts}}
	before := &door{Handler: proxy}
	front := httptest.NewServer(before)
	defer front.Close()
	identity := func(name string) TransitLogin {
		login := s.Login(t, name)
		return TransitLogin{Role: login.RoleID, SecretIDFile: login.SecretIDFile}
	}
	o := Options{
		Checkpoints: CheckpointsConfig{At: "vault-kv:" + vaulttest.CheckpointsMount + "/start", Every: time.Hour},
		Transit: &TransitConfig{Address: front.URL, Timeout: 20 * time.Second,
			Application: identity(vaulttest.Application), Rotator: identity(vaulttest.Rotator), Destroyer: identity(vaulttest.Destroyer)},
	}
	dir := DataDir(t.TempDir())
	for again := range 2 { // a new directory, and one that holds keys
		waited := 0
		for calls := int64(0); ; calls++ {
			before.left.Store(calls)
			v, err := Open(t.Context(), dir, o)
			if err == nil {
				before.left.Store(1 << 40)
				if err := v.Close(); err != nil {
					t.Error(err)
				}
				break
			}
			if !errors.Is(err, ErrKeeperAway) {
				t.Errorf("start %d, after %d calls: %v", again, calls, err)
			}
			if waited++; waited > 200 {
				t.Fatalf("start %d is not through after %d calls", again, calls)
			}
		}
		if waited < 10 {
			t.Errorf("start %d needs %d calls only: this test looks at too few", again, waited)
		}
	}
}

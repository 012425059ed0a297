package vault

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestACertificateThatEndsSoonIsTold by its setting and its day, and never by its path.
func TestACertificateThatEndsSoonIsTold(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	certificate := func(until time.Time) []byte {
		one := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.AddDate(-1, 0, 0), NotAfter: until}
		der, err := x509.CreateCertificate(nil, one, one, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	long, soon, ended := certificate(now.AddDate(1, 0, 0)), certificate(now.AddDate(0, 0, 13)), certificate(now.AddDate(0, 0, -1))
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"one that lasts":    {long, ""},
		"one that ends":     {append(long, soon...), "a certificate in the file of COFFRE_VAULT_CA_FILE ends on 2026-12-11"},
		"one that ended":    {append(ended, soon...), "a certificate in the file of COFFRE_VAULT_CA_FILE ended on 2026-11-27"},
		"no certificate":    {[]byte("nothing"), "there is no certificate in the file of COFFRE_VAULT_CA_FILE"},
		"no file any more":  {nil, "the certificates of COFFRE_VAULT_CA_FILE cannot be read"},
		"a day before that": {certificate(now.AddDate(0, 0, 14)), ""},
	} {
		path := filepath.Join(t.TempDir(), "ca.pem")
		if c.content != nil {
			if err := os.WriteFile(path, c.content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		all := Options{Transit: &TransitConfig{CAFile: path}}.trustFiles()
		if len(all) != 1 {
			t.Fatal(all)
		}
		for range 2 { // the second time nothing was changed
			if got := all[0].ending(now); got != c.want {
				t.Errorf("%s: %q, want %q", name, got, c.want)
			}
		}
		if err := os.WriteFile(path, certificate(now.AddDate(0, 0, 3)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, now); err != nil {
			t.Fatal(err)
		}
		if got, want := all[0].ending(now), "a certificate in the file of COFFRE_VAULT_CA_FILE ends on 2026-12-01"; got != want {
			t.Errorf("%s, replaced: %q, want %q", name, got, want)
		}
	}
}

// TestHealthTellsOfACertificateThatEnds: DEGRADED, with its reason for operators.
func TestHealthTellsOfACertificateThatEnds(t *testing.T) {
	dir := DataDir(t.TempDir())
	v, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if err := v.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status, reasons := v.Condition(t.Context()); status != "UP" || len(reasons) != 0 {
		t.Fatalf("%s: %q", status, reasons)
	}
	v.trusts = []ender{&trustFile{setting: "COFFRE_BLOBS_CA_FILE", path: filepath.Join(t.TempDir(), "gone.pem")}}
	if status, reasons := v.Condition(t.Context()); status != "DEGRADED" || len(reasons) != 1 || reasons[0] != "the certificates of COFFRE_BLOBS_CA_FILE cannot be read" {
		t.Errorf("%s: %q", status, reasons)
	}
}

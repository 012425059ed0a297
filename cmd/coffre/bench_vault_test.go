package main

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"coffre/eventstore/seal/transit/vaulttest"
)

// The benchmark's Vault is named by the environment, as a server's is.
func TestBenchWithVault(t *testing.T) {
	s := vaulttest.Start(t)
	cfg := vaultOf(t, s)
	env := map[string]string{
		"COFFRE_VAULT_ADDR": cfg.Address, "COFFRE_VAULT_CA_FILE": cfg.CAFile, "COFFRE_VAULT_TIMEOUT": cfg.Timeout.String(),
		"COFFRE_VAULT_ROLE": cfg.Application.Role, "COFFRE_VAULT_SECRET_ID_FILE": cfg.Application.SecretIDFile,
		"COFFRE_VAULT_ROTATOR_ROLE": cfg.Rotator.Role, "COFFRE_VAULT_ROTATOR_SECRET_ID_FILE": cfg.Rotator.SecretIDFile,
	}
	sh := &shell{t: t, adapt: func(p *program) { p.Getenv = func(name string) string { return env[name] } }}
	var names []string
	for line := range strings.Lines(sh.must(0, "bench", "--only", "T8,T9", "--rounds", "1", "--citizens", "3000", "--json").out) {
		var m measure
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		if m.Value <= 0 || strings.HasPrefix(m.Name, "T") && m.Ratio <= 0 {
			t.Errorf("%+v", m)
		}
		names = append(names, m.Name)
	}
	if got := strings.Join(names, " "); got != "machine.fsync machine.sha256 T8 T9.prefetch T9.rotation" {
		t.Error(got)
	}
	clear(env)
	if got := sh.must(exitFailed, "bench", "--only", "T8", "--rounds", "1"); !strings.Contains(got.err, "COFFRE_VAULT_ADDR") {
		t.Error(got.err)
	}
}

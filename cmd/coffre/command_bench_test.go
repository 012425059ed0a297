package main

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"coffre/cmd/coffre/bench"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/seal/transit/vaulttest"
)

// TestBenchTellsOneObjectToALine runs the shortest of the targets once.
func TestBenchTellsOneObjectToALine(t *testing.T) {
	s := &shell{t: t}
	got := s.must(0, "bench", "--only", "T1", "--rounds", "1", "--json", "--dir", t.TempDir())
	names := map[string]bench.Measure{}
	for _, line := range strings.Split(strings.TrimSpace(got.out), "\n") {
		var m bench.Measure
		if err := json.Unmarshal([]byte(line), &m, json.RejectUnknownMembers(true)); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		names[m.Name] = m
	}
	if m := names["T1"]; m.Value <= 0 || m.BaselineValue <= 0 || m.Ratio <= 0 || m.Target == "" || m.ProcessorMicros <= 0 || m.BaselineProcessorMicros <= 0 || names["machine.fsync"].Value <= 0 || names["machine.sha256"].Value <= 0 {
		t.Errorf("%+v", names)
	}
	s.must(exitUsage, "bench", "--only", "T99")
	s.must(exitUsage, "bench", "--rounds", "0")
}

// On PostgreSQL it works in a database of its own, which it drops again.
func TestBenchOnPostgreSQL(t *testing.T) {
	server := pgtest.Shared(t)
	super := server.Superuser(t, "postgres://x/postgres")
	s := inEnvironment(t, map[string]string{bench.PostgresVariable: super})
	got := s.must(0, "bench", "--only", "T10", "--rounds", "1", "--json", "--dir", t.TempDir())
	if !strings.Contains(got.out, `"name":"T10"`) {
		t.Error(got.out)
	}
	db, err := sql.Open("pgx", super)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var left int
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_database WHERE datname LIKE 'coffre_bench_%'`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d databases are left, %v", left, err)
	}
	if told := inEnvironment(t, nil).must(0, "bench", "--only", "T10", "--rounds", "1", "--dir", t.TempDir()); !strings.Contains(told.err, "left out") {
		t.Errorf("without a server: %q", told.err)
	}
}

// The benchmark's Vault is named by the environment, as a server's is.
func TestBenchWithVault(t *testing.T) {
	s := vaulttest.Shared(t)
	cfg := vaultOf(t, s)
	env := map[string]string{
		"COFFRE_VAULT_ADDR": cfg.Address, "COFFRE_VAULT_CA_FILE": cfg.CAFile, "COFFRE_VAULT_TIMEOUT": cfg.Timeout.String(),
		"COFFRE_VAULT_ROLE": cfg.Application.Role, "COFFRE_VAULT_SECRET_ID_FILE": cfg.Application.SecretIDFile,
		"COFFRE_VAULT_ROTATOR_ROLE": cfg.Rotator.Role, "COFFRE_VAULT_ROTATOR_SECRET_ID_FILE": cfg.Rotator.SecretIDFile,
	}
	sh := &shell{t: t, adapt: func(p *program) { p.Getenv = func(name string) string { return env[name] } }}
	var names []string
	for line := range strings.Lines(sh.must(0, "bench", "--only", "T8,T9", "--rounds", "1", "--citizens", "3000", "--json").out) {
		var m bench.Measure
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

package main

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"coffre/domain"
	"coffre/eventstore/codec"
	"coffre/eventstore/postgres/pgtest"
)

func TestBenchmarksPayloadIsWhatTheTargetsSay(t *testing.T) {
	_, _, personal, err := codec.Catalog.Encode(benchIssued(domain.DocumentID{}, domain.CitizenID{}, benchContent(), 7))
	if err != nil || len(personal) != benchPayload {
		t.Errorf("%d bytes, %v", len(personal), err)
	}
	seen := map[domain.SSIN]bool{}
	for n := range 100_000 {
		seen[benchSSIN(n)] = true
	}
	if len(seen) != 100_000 {
		t.Errorf("%d different people of 100,000", len(seen))
	}
}

func TestVerdict(t *testing.T) {
	for want, m := range map[string]measure{
		"reached":     {Value: 1, Baseline: "b", Ratio: 0.65, Target: ">= 0.65"},
		"not reached": {Value: 1, Baseline: "b", Ratio: 0.649, Target: ">= 0.65"},
	} {
		if got := verdict(m); got != want {
			t.Errorf("%+v: %s", m, got)
		}
	}
	if verdict(measure{Value: 1.7, Target: "<= 1.6"}) != "not reached" || verdict(measure{Value: 1.5, Target: "<= 1.6"}) != "reached" {
		t.Error("a value without a baseline is judged itself")
	}
	if median([]float64{9, 1, 4}) != 4 || median([]float64{1, 9, 3, 5}) != 4 {
		t.Error("median")
	}
}

func TestLoadEndsAtTheFirstError(t *testing.T) {
	broken := errors.New("broken")
	if _, err := load(t.Context(), 8, time.Hour, func(context.Context, int) error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	n := make(chan int, 100)
	if _, err := times(t.Context(), 8, 20, func(_ context.Context, caller int) error { n <- caller; return nil }); err != nil || len(n) != 20 {
		t.Error(len(n), err)
	}
}

// TestBenchTellsOneObjectToALine runs the shortest of the targets once.
func TestBenchTellsOneObjectToALine(t *testing.T) {
	s := &shell{t: t}
	got := s.must(0, "bench", "--only", "T1", "--rounds", "1", "--json", "--dir", t.TempDir())
	names := map[string]measure{}
	for _, line := range strings.Split(strings.TrimSpace(got.out), "\n") {
		var m measure
		if err := json.Unmarshal([]byte(line), &m, json.RejectUnknownMembers(true)); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		names[m.Name] = m
	}
	if m := names["T1"]; m.Value <= 0 || m.BaselineValue <= 0 || m.Ratio <= 0 || m.Target == "" || names["machine.fsync"].Value <= 0 || names["machine.sha256"].Value <= 0 {
		t.Errorf("%+v", names)
	}
	s.must(exitUsage, "bench", "--only", "T99")
	s.must(exitUsage, "bench", "--rounds", "0")
}

// On PostgreSQL it works in a database of its own, which it drops again.
func TestBenchOnPostgreSQL(t *testing.T) {
	server := pgtest.Shared(t)
	super := server.Superuser(t, "postgres://x/postgres")
	s := inEnvironment(t, map[string]string{benchVariable: super})
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

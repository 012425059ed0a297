package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coffre/eventstore/kurrent/wire"
	"coffre/eventstore/memory"
)

func TestStorePrepareKurrent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := wire.New(wire.Options{Store: memory.New(), Append: true})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() {
		server.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	address := "esdb://" + l.Addr().String() + "?tls=false"
	s := &shell{t: t}
	told := s.must(0, "store", "prepare", "--store", address)
	for _, want := range []string{"KurrentDB", "records", "may read $all  $admins", "note"} {
		if !strings.Contains(told.out, want) {
			t.Errorf("it does not say %q:\n%s", want, told.out)
		}
	}
	lines := jsonLines(t, s.must(0, "store", "prepare", "--store", address, "--json").out)
	if len(lines) != 1 || lines[0]["server"] != "KurrentDB" || lines[0]["records"] != float64(0) || len(lines[0]["doubts"].([]any)) == 0 {
		t.Errorf("%v", lines)
	}
	// This server is not one whose rights can be set, and says so.
	if got := s.must(exitFailed, "store", "prepare", "--store", address, "--role", "coffre"); !strings.Contains(got.err, "administrator") {
		t.Errorf("%q", got.err)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("no-password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := s.must(exitFailed, "store", "prepare", "--store", address, "--credentials-file", bad); !strings.Contains(got.err, "NAME:PASSWORD") || strings.Contains(got.err, "no-password") {
		t.Errorf("%q", got.err)
	}
	for says, args := range map[string][]string{
		"--alone needs --role": {"--store", address, "--alone"},
		"a password among":     {"--store", "esdb://admin:changeit@127.0.0.1:1"},
		"a password":           {"--store", "esdb://admin:changeit@127.0.0.1:1,127.0.0.1:2"},
		"are for KurrentDB":    {"--store", "postgres://owner@127.0.0.1:1/vault", "--alone"},
	} {
		if got := s.must(exitUsage, append([]string{"store", "prepare"}, args...)...); !strings.Contains(got.err, says) || strings.Contains(got.err, "changeit") {
			t.Errorf("%q, want %q", got.err, says)
		}
	}
	if got := s.must(exitFailed, "store", "prepare", "--store", "esdb://vault.example:2113?tls=false"); !strings.Contains(got.err, "TLS") {
		t.Errorf("%q", got.err)
	}
}

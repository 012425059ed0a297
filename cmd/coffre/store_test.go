package main

import (
	"net/url"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"coffre/cmd/coffre/vault"
	"coffre/eventstore"
	"coffre/eventstore/postgres"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/storetest"
)

// inEnvironment returns a shell in which these variables are set.
func inEnvironment(t *testing.T, variables map[string]string) *shell {
	return &shell{t: t, adapt: func(p *program) { p.Getenv = func(name string) string { return variables[name] } }}
}

func TestStorePrepare(t *testing.T) {
	server := pgtest.Shared(t)
	owner := server.Database(t)
	u, err := url.Parse(owner)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	role := "app_" + u.User.Username()
	s := inEnvironment(t, map[string]string{vault.StoreVariable: owner})

	first := s.must(0, "store", "prepare", "--role", role)
	for _, want := range []string{"PostgreSQL", "nothing", "form 1", role, "password", "synchronous_standby_names"} {
		if !strings.Contains(first.out, want) {
			t.Errorf("it does not say %q:\n%s", want, first.out)
		}
	}
	var again preparedStore
	if err := json.Unmarshal([]byte(s.must(0, "store", "prepare", "--role", role, "--json").out), &again); err != nil {
		t.Fatal(err)
	}
	if again.Before != 1 || again.After != 1 || again.RoleMade || again.Role != role {
		t.Errorf("repeated: %+v", again)
	}
	// The role it made can do the vault's work.
	server.Exec(t, `ALTER ROLE "`+role+`" PASSWORD '`+password+`'`)
	u.User = url.UserPassword(role, password)
	store, err := postgres.Open(t.Context(), u.String(), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if _, err := store.Append(t.Context(), eventstore.Batch{Stream: "consent-1", Expected: eventstore.NoStream, Records: storetest.Records(1)}); err != nil {
		t.Fatal(err)
	}
}

// No password is typed, and none is repeated.
func TestStoreAddressKeepsSecrets(t *testing.T) {
	bare := inEnvironment(t, nil)
	for _, args := range [][]string{
		{"--store", "postgres://owner:canary@127.0.0.1/vault"},
		{"--store", "postgres://owner@127.0.0.1/vault?password=canary"},
		{},
		{"--store", "mysql://owner@127.0.0.1/vault"},
	} {
		got := bare.must(2, append([]string{"store", "prepare"}, args...)...)
		if strings.Contains(got.out+got.err, "canary") {
			t.Errorf("%q: the password is repeated: %s", args, got.err)
		}
	}
	for _, address := range []string{
		"postgres://owner:canary@127.0.0.1:1/vault?connect_timeout=1", // nobody listens
		"postgres://owner:canary@127.0.0.1:1/vault?sslmode=nonsense",
	} {
		got := inEnvironment(t, map[string]string{vault.StoreVariable: address}).must(1, "store", "prepare")
		if strings.Contains(got.out+got.err, "canary") {
			t.Errorf("the password is repeated: %s", got.err)
		}
	}
}

package main

import (
	"context"
	"testing"
	"time"

	"coffre/cmd/coffre/vault"
	"coffre/eventstore/postgres/pgtest"
)

// A database all of whose tables are published takes every write of a vault's life:
// documents, consents, an erasure, read models that are rebuilt, keys that are rotated.
// Every table has the primary key by which a subscriber tells its rows.
func TestEveryTableMayBePublished(t *testing.T) {
	server := pgtest.Shared(t)
	database, dir := vault.StoresConfig{Log: server.Database(t)}, t.TempDir()
	server.Publish(t, database.Log)
	s := &shell{t: t, adapt: func(p *program) {
		p.open = func(ctx context.Context, dir vault.DataDir) (runningVault, error) {
			return vault.Open(ctx, dir, vault.Options{Stores: database, KeyLease: time.Second}) // the story waits for its end
		}
	}}
	must := func(command ...string) {
		t.Helper()
		s.must(0, append(command, "--data", dir)...)
		if unkeyed := server.Unkeyed(t, database.Log); len(unkeyed) > 0 {
			t.Fatalf("without a primary key: %v", unkeyed)
		}
	}
	must("keys", "status") // there is a vault
	must("demo")
	must("projections", "rebuild", "wallet")
	must("keys", "rotate")
}

package main

import (
	"context"

	"coffre/eventstore/kurrent"
	"coffre/eventstore/postgres"
	"coffre/projections"
)

// preparedPostgres is what was found and done in a PostgreSQL.
type preparedPostgres = postgres.Prepared

// preparePostgres makes the tables of the log or brings them to this release's form,
// and lets role read and append; "" leaves everybody's rights as they are.
func preparePostgres(ctx context.Context, address, role string) (preparedPostgres, error) {
	return postgres.Prepare(ctx, address, postgres.PrepareOptions{Role: role})
}

// kurrentPreparation says who prepares a KurrentDB server and for whom.
type kurrentPreparation struct {
	Name, Password string // of an administrator; "": those of the address, or none
	Insecure       bool   // without TLS, where the address says so
	User           string // the vault's; "": nobody's rights change
	Alone          bool   // the server is for the vault alone
}

// preparedKurrent is what was found and done in a KurrentDB server.
type preparedKurrent = kurrent.Prepared

// prepareKurrent gives the vault's user the rights it needs and lifts what the server
// was told to forget of the log.
func prepareKurrent(ctx context.Context, address string, p kurrentPreparation) (preparedKurrent, error) {
	o := kurrent.Options{Categories: projections.Categories(), Insecure: p.Insecure, Name: p.Name, Password: p.Password}
	return kurrent.Prepare(ctx, address, o, kurrent.PrepareOptions{User: p.User, Alone: p.Alone})
}

package vault

import (
	"context"

	"coffre/eventstore/kurrent"
	"coffre/eventstore/postgres"
	"coffre/projections"
)

// PreparedPostgres tells what a preparation found and did in a PostgreSQL.
type PreparedPostgres = postgres.Prepared

// PreparePostgres makes the tables of the log or brings them to this release's form,
// and lets role read and append; "" leaves everybody's rights as they are.
func PreparePostgres(ctx context.Context, address, role string) (PreparedPostgres, error) {
	return postgres.Prepare(ctx, address, postgres.PrepareOptions{Role: role})
}

// KurrentPreparation says who prepares a KurrentDB server and for whom.
type KurrentPreparation struct {
	Name, Password string // of an administrator; "": those of the address, or none
	Insecure       bool   // without TLS, where the address says so
	User           string // the vault's; "": nobody's rights change
	Alone          bool   // the server is for the vault alone
}

// PreparedKurrent tells what a preparation found and did in a KurrentDB server.
type PreparedKurrent = kurrent.Prepared

// PrepareKurrent gives the vault's user the rights it needs and lifts what the server
// was told to forget of the log.
func PrepareKurrent(ctx context.Context, address string, p KurrentPreparation) (PreparedKurrent, error) {
	o := kurrent.Options{Categories: projections.Categories(), Insecure: p.Insecure, Name: p.Name, Password: p.Password}
	return kurrent.Prepare(ctx, address, o, kurrent.PrepareOptions{User: p.User, Alone: p.Alone})
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coffre/cmd/coffre/files"
	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/handlers/edge"
	"coffre/handlers/edge/token"
)

// processCount is how many processes share one PostgreSQL in T11.
const processCount = 3

// severalProcesses is T11: T2 with three processes on one PostgreSQL, each with 64
// clients, beside one of them with 64.
func (b *bench) severalProcesses(ctx context.Context) (err error) {
	if b.Postgres == "" {
		return b.leftOut("T11")
	}
	dsn, drop, err := b.database(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	var sites []*site
	var first vault.DataDir
	for n := range processCount {
		dir, err := b.folder(fmt.Sprintf("T11-%d", n))
		if err != nil {
			return err
		}
		if n == 0 {
			first = dir
		} else if err := errors.Join(files.Copy(dir.File(vault.KEKFile), first.File(vault.KEKFile)), files.Copy(dir.File(vault.DevKeyFile), first.File(vault.DevKeyFile))); err != nil {
			return err // all have the first one's keys, which nobody changes here
		}
		p, err := startServing(ctx, dir, vault.StoreVariable+"="+dsn)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.stop()) }()
		sites = append(sites, p.site)
	}
	key, err := token.OpenDevKey(first.File(vault.DevKeyFile))
	if err != nil {
		return err
	}
	bearer, err := key.Mint(token.Grant{Role: domain.RoleIssuer, Organisation: issuerNumber, Scopes: edge.Scopes(domain.RoleIssuer)}, time.Now(), 12*time.Hour)
	if err != nil {
		return err
	}
	known := issuer{bearer: bearer}
	if err := inParallel(ctx, knownCitizens, func(ctx context.Context, i int) error { return known.issue(ctx, sites[i%len(sites)], i) }); err != nil {
		return err
	}
	on := func(sites []*site) side {
		return func(ctx context.Context) (pace, error) {
			return load(ctx, callers*len(sites), b.span, func(ctx context.Context, caller int) error {
				return known.issue(ctx, sites[caller%len(sites)], caller%knownCitizens)
			})
		}
	}
	got, err := b.compare(ctx, "T11", on(sites[:1]), on(sites))
	if err != nil {
		return err
	}
	return b.tell(got.measure("T11", "documents/s", "one of the processes with 64 clients", ">= 0.95"))
}

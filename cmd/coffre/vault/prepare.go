package vault

import (
	"context"
	"errors"
	"fmt"

	"coffre/eventstore/kurrent"
	"coffre/eventstore/postgres"
	"coffre/eventstore/postgres/pgdb"
	"coffre/eventstore/seal/keysdb"
	"coffre/handlers/reactors"
	"coffre/projections"
)

// PreparedPostgres tells what a preparation found and did in a PostgreSQL.
type PreparedPostgres = postgres.Prepared

// Preparation says what is prepared in PostgreSQL, as the owner of each database, and for
// which roles. A role that is "" is left as it is; the others are made where there is none.
type Preparation struct {
	Stores StoresConfig // of the owners
	// Role serves: it appends to the log, has read models and reactors of its own, and
	// uses keys. Destroyer and Rotator are the roles of those processes in the key database.
	Role, Destroyer, Rotator string
}

// RolePrepared is a role whose rights a preparation set.
type RolePrepared struct {
	Role string `json:"role"`
	May  string `json:"may"`  // what its process does
	Made bool   `json:"made"` // it was not there, and has no password yet
}

// Prepared tells what a preparation found and did.
type Prepared struct {
	Log    *PreparedPostgres // nil: the log is elsewhere
	Roles  []RolePrepared    // in the key database
	Doubts []string          // sentences for the operator
}

// Prepare makes the tables of the log and of the key database where they lie in PostgreSQL,
// or brings them to this release's form, and sets the rights of the vault's roles, so that
// a vault starts with these roles and nothing else. Read models and reactors make what they
// need themselves; the role that serves is let.
func Prepare(ctx context.Context, p Preparation) (done Prepared, err error) {
	at := p.Stores
	if err := p.apart(); err != nil {
		return done, err
	}
	if OnPostgres(at.Log) {
		log, err := postgres.Prepare(ctx, at.Log, postgres.PrepareOptions{Role: p.Role})
		if err != nil {
			return done, err
		}
		done.Log, done.Doubts = &log, log.Doubts
	}
	if OnPostgres(at.Keys) {
		if err := p.prepareKeys(ctx, &done); err != nil {
			return done, fmt.Errorf("prepare the key database: %w", err)
		}
	}
	if p.Role == "" {
		return done, nil
	}
	let := map[string]bool{} // databases, by address
	for _, address := range []string{at.ReadModels, at.Keys} {
		if !OnPostgres(address) || let[address] {
			continue
		}
		let[address] = true
		if err := p.letCreate(ctx, address, &done); err != nil {
			return done, err
		}
	}
	return done, nil
}

// ErrOneRole says that one role would have two duties, which the database could not keep apart.
var ErrOneRole = errors.New("one role is named for two duties: a process that serves, coffre destroyer and coffre rotator each need a role of their own")

// apart returns ErrOneRole when a role stands for two duties.
func (p Preparation) apart() error {
	seen := map[string]bool{}
	for _, role := range []string{p.Role, p.Destroyer, p.Rotator} {
		if role != "" && seen[role] {
			return ErrOneRole
		}
		seen[role] = true
	}
	return nil
}

func (p Preparation) prepareKeys(ctx context.Context, done *Prepared) error {
	db, _, err := keysdb.OpenPostgres(ctx, p.Stores.Keys)
	if err != nil {
		return err
	}
	err = migrateKeys(ctx, db)
	owned, asking := db.Owned(ctx)
	if err := errors.Join(err, asking, db.Close()); err != nil {
		return err
	}
	if !owned {
		done.Doubts = append(done.Doubts, "the key database's tables belong to another role than the one that prepares, and nobody's rights there were changed: "+
			"let their owner prepare, or let a superuser give schema coffre_keys and its tables to this role (ALTER SCHEMA ... OWNER TO, ALTER TABLE ... OWNER TO)")
		return nil
	}
	for _, one := range []struct {
		role string
		duty Duty
		may  string
	}{
		{p.Role, Serving, "answers requests, and neither destroys nor replaces keys"},
		{p.Destroyer, Destroying, "destroys keys (coffre destroyer)"},
		{p.Rotator, Rotating, "replaces keys (coffre rotator)"},
	} {
		if one.role == "" {
			continue
		}
		made, err := keysdb.AdmitPostgres(ctx, p.Stores.Keys, one.role, rightsOf(one.duty))
		if err != nil {
			return err
		}
		made = made || done.Log != nil && done.Log.RoleMade && done.Log.Role == one.role
		done.Roles = append(done.Roles, RolePrepared{one.role, one.may, made})
	}
	return nil
}

// letCreate lets the role that serves make the schemas of read models and reactors in the
// database of an address.
func (p Preparation) letCreate(ctx context.Context, address string, done *Prepared) (err error) {
	db, err := pgdb.Open(address, pgdb.Options{Schema: "public", Name: "coffre preparing", Conns: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	let, err := pgdb.LetCreate(ctx, db, p.Role)
	if err == nil && let {
		err = reactors.HandOver(ctx, db, p.Role)
	}
	if err == nil && !let {
		done.Doubts = append(done.Doubts, fmt.Sprintf("read models and reactors make schemas of their own, and only the database's owner may let role %s: GRANT CREATE ON DATABASE ... TO %[1]s", p.Role))
	}
	return err
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

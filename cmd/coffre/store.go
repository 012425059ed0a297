package main

import (
	"cmp"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/vault"
)

func newStore(p *program) *cobra.Command {
	return group("store", "Prepare the database that keeps the log, and copy a vault to others",
		`  coffre store prepare --store postgres://owner@db.example/vault --role coffre
  coffre store prepare --store esdb://kurrent.example:2113 --credentials-file admin.txt --role coffre
  coffre store copy --from sqlite:data --to postgres://coffre@db.example/vault --to-data run`,
		newStorePrepare(p), newStoreCopy(p))
}

func typedPassword(flag, variable string) error {
	return usage("a password among the arguments (--%s) is seen by everybody on this machine: write it to the file that PGPASSFILE names, or the whole address into %s", flag, variable)
}

// hasPassword reports whether an address holds a password, or may.
func hasPassword(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return strings.Contains(address, "@") // such as addresses of several hosts
	}
	_, secret := u.User.Password()
	return secret || u.Query().Has("password")
}

// address returns where a database is: as typed after a flag, without a password, or
// as the variable says; "" when neither does.
func (t terminal) address(flag, typed, variable string) (string, error) {
	if hasPassword(typed) {
		return "", typedPassword(flag, variable)
	}
	return cmp.Or(typed, t.env(variable)), nil
}

// preparedStore is a prepared PostgreSQL as --json prints it.
type preparedStore struct {
	Server   string               `json:"server,omitzero"`
	Database string               `json:"database,omitzero"`
	Before   int                  `json:"formBefore"`
	After    int                  `json:"form"`
	Role     string               `json:"role,omitzero"`
	RoleMade bool                 `json:"roleMade"`
	Roles    []vault.RolePrepared `json:"roles"`
	Doubts   []string             `json:"doubts"`
}

func newStorePrepare(p *program) *cobra.Command {
	var to vault.Preparation
	var k kurrentStore
	var asJSON bool
	cmd := &cobra.Command{
		Use: "prepare", Short: "Make the tables and roles of a vault in PostgreSQL, or set what it needs in KurrentDB",
		Long: `Makes what a vault needs in PostgreSQL, or brings it to this release's form, as the owner of
the database: the tables of the events and of the key ring, and the rights of the vault's
roles. It says what it found, may be repeated, and run by several at once; a vault of the
release before goes on working.

  --role            serves: appends to the log, keeps read models, uses keys
  --destroyer-role  of coffre destroyer, which alone may destroy keys
  --rotator-role    of coffre rotator, which alone may replace them

A role that is missing is made, without a password; without a flag nobody's rights change.
The owner's addresses come from --store, --readmodels and --keys or, with their passwords, from
` + vault.StoreVariable + `, ` + vault.ReadModelsVariable + ` and ` + vault.KeysVariable + `, as with coffre serve; a
password comes from PGPASSWORD or PGPASSFILE as well. Give each process the address of its
own role: docs/stores.md says which.

In KurrentDB, as one of its administrators: lets the vault's user read $all; with --alone lets
only that user and administrators read and append, and only administrators delete and truncate;
lifts what somebody told the server to forget of the log's streams; and says what it found.`,
		Example: `  coffre store prepare --store postgres://owner@db.example/vault --role coffre
  coffre store prepare --store postgres://owner@db.example/vault --role coffre \
      --destroyer-role coffre_destroyer --rotator-role coffre_rotator
  coffre store prepare --role coffre --json
  coffre store prepare --store esdb+discover://kurrent.example:2113 --credentials-file admin.txt --role coffre --alone`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			at := &to.Stores
			for _, one := range []struct {
				address        *string
				flag, variable string
			}{{&at.Log, "store", vault.StoreVariable}, {&at.ReadModels, "readmodels", vault.ReadModelsVariable}, {&at.Keys, "keys", vault.KeysVariable}} {
				if *one.address, err = p.address(one.flag, *one.address, one.variable); err != nil {
					return err
				}
			}
			switch {
			case vault.OnKurrent(at.Log) && at.Keys == "" && at.ReadModels == "":
				return p.prepareKurrent(cmd.Context(), at.Log, to.Role, k, asJSON)
			case at.Log == "" && at.Keys == "" && at.ReadModels == "":
				return usage("--store is missing, and %s is not set", vault.StoreVariable)
			case at.Log != "" && !vault.OnPostgres(at.Log) && !vault.OnKurrent(at.Log):
				return usage("the log's address begins with postgres:// or esdb://")
			case k != (kurrentStore{}):
				return usage("--credentials-file, --insecure and --alone are for KurrentDB, which is prepared without --keys and --readmodels")
			}
			if !vault.OnKurrent(at.Log) {
				to.Stores = at.In("")
			}
			done, err := vault.Prepare(cmd.Context(), to)
			if err != nil {
				return err
			}
			return p.printPrepared(asJSON, done)
		},
	}
	f := cmd.Flags()
	f.StringVar(&to.Stores.Log, "store", "", "`address` of the events, of their owner, without a password (default: "+vault.StoreVariable+")")
	f.StringVar(&to.Stores.ReadModels, "readmodels", "", "`address` of the read models (default: "+vault.ReadModelsVariable+", or where the events are)")
	f.StringVar(&to.Stores.Keys, "keys", "", "`address` of the key ring (default: "+vault.KeysVariable+", or where the read models are)")
	f.StringVar(&to.Role, "role", "", "`role` of the processes that serve, made if there is none")
	f.StringVar(&to.Destroyer, "destroyer-role", "", "`role` of the process that destroys keys")
	f.StringVar(&to.Rotator, "rotator-role", "", "`role` of the process that replaces keys")
	k.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (p *program) printPrepared(asJSON bool, done vault.Prepared) error {
	var log vault.PreparedPostgres
	if done.Log != nil {
		log = *done.Log
	}
	if asJSON {
		return p.printJSON(preparedStore{
			Server: log.Server, Database: log.Database, Before: log.Before, After: log.After,
			Role: log.Role, RoleMade: log.RoleMade, Roles: append([]vault.RolePrepared{}, done.Roles...), Doubts: append([]string{}, done.Doubts...),
		})
	}
	var facts []string
	if done.Log != nil {
		found := "nothing"
		if log.Before > 0 {
			found = "form " + strconv.Itoa(log.Before)
		}
		facts = append(facts, "server", "PostgreSQL "+log.Server, "database", log.Database, "found", found, "now", "form "+strconv.Itoa(log.After))
	}
	if done.Roles == nil && log.Role != "" {
		facts = append(facts, "role", log.Role+" reads and appends")
	}
	for _, r := range done.Roles {
		may := r.May
		if r.Made {
			may += "; made without a password: set one with \\password in psql"
		}
		facts = append(facts, "role", r.Role+" "+may)
	}
	for _, doubt := range done.Doubts {
		facts = append(facts, "note", doubt)
	}
	return p.facts(facts...)
}

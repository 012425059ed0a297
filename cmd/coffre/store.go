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
	Server   string   `json:"server"`
	Database string   `json:"database"`
	Before   int      `json:"formBefore"`
	After    int      `json:"form"`
	Role     string   `json:"role,omitzero"`
	RoleMade bool     `json:"roleMade"`
	Doubts   []string `json:"doubts"`
}

func newStorePrepare(p *program) *cobra.Command {
	var store, role string
	var k kurrentStore
	var asJSON bool
	cmd := &cobra.Command{
		Use: "prepare", Short: "Make the log's tables in PostgreSQL, or set what it needs in KurrentDB",
		Long: `Makes the tables of the log, or brings those of an older release to this one's form, as
their owner; gives the application's role the right to read and append, and no other; and
says what it found. It may be repeated, and run by several at once; a vault of the release
before goes on working. The owner's address comes from --store or, with its password,
from ` + vault.StoreVariable + `; a password comes from PGPASSWORD or PGPASSFILE as well.

In KurrentDB, as one of its administrators: lets the vault's user read $all; with --alone lets
only that user and administrators read and append, and only administrators delete and truncate;
lifts what somebody told the server to forget of the log's streams; and says what it found.`,
		Example: `  coffre store prepare --store postgres://owner@db.example/vault --role coffre
  coffre store prepare --role coffre --json
  coffre store prepare --store esdb+discover://kurrent.example:2113 --credentials-file admin.txt --role coffre --alone`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			address, err := p.address("store", store, vault.StoreVariable)
			if err != nil {
				return err
			}
			switch scheme, _, _ := strings.Cut(address, "://"); scheme {
			case "esdb", "esdb+discover":
				return p.prepareKurrent(cmd.Context(), address, role, k, asJSON)
			case "postgres", "postgresql":
			case "":
				return usage("--store is missing, and %s is not set", vault.StoreVariable)
			default:
				return usage("the log's address begins with postgres:// or esdb://")
			}
			if k != (kurrentStore{}) {
				return usage("--credentials-file, --insecure and --alone are for KurrentDB")
			}
			done, err := vault.PreparePostgres(cmd.Context(), address, role)
			if err != nil {
				return err
			}
			return p.printPrepared(asJSON, done)
		},
	}
	f := cmd.Flags()
	f.StringVar(&store, "store", "", "`address` of the database, of the log's owner, without a password (default: "+vault.StoreVariable+")")
	f.StringVar(&role, "role", "", "`role` of the vault, in PostgreSQL made if there is none; without it nobody's rights change")
	k.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (p *program) printPrepared(asJSON bool, done vault.PreparedPostgres) error {
	if asJSON {
		return p.printJSON(preparedStore{
			Server: done.Server, Database: done.Database, Before: done.Before, After: done.After,
			Role: done.Role, RoleMade: done.RoleMade, Doubts: append([]string{}, done.Doubts...),
		})
	}
	found := "nothing"
	if done.Before > 0 {
		found = "form " + strconv.Itoa(done.Before)
	}
	facts := []string{"server", "PostgreSQL " + done.Server, "database", done.Database, "found", found, "now", "form " + strconv.Itoa(done.After)}
	if done.Role != "" {
		may := "reads and appends"
		if done.RoleMade {
			may += "; made without a password: set one with \\password in psql"
		}
		facts = append(facts, "role", done.Role+" "+may)
	}
	for _, doubt := range done.Doubts {
		facts = append(facts, "note", doubt)
	}
	return p.facts(facts...)
}

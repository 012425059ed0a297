package main

import (
	"strings"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/vault"
)

func newDestroyer(p *program) *cobra.Command {
	return newDuty(p, vault.Destroying, "destroyer", "Carry out approved erasures, in a process that answers nobody",
		`Destroys the keys of those whose erasure was approved, signs the certificates, and does
nothing else, where several processes share the keys in a PostgreSQL. It has a role of its own
in the key database, which alone may destroy keys (coffre store prepare --destroyer-role), and
logs in at Vault as the destroyer; those that serve have neither. One that is away delays
erasures and loses none. Its data directory holds the list of destroyed keys, which is kept
apart from backups: it is as precious as they are.

COFFRE_KEYS is the address of the key database as the destroyer's role; COFFRE_STORE and
COFFRE_READMODELS are those of the processes that serve.`,
		`  coffre destroyer --data destroyer --store postgres://coffre@db.example/vault \
      --readmodels postgres://coffre@db.example/vault --keys postgres://coffre_destroyer@db.example/vault`)
}

func newRotator(p *program) *cobra.Command {
	return newDuty(p, vault.Rotating, "rotator", "Replace keys when told to, in a process that answers nobody",
		`Replaces the key-encryption key and the pepper when its operator says so, and does nothing
else, where several processes share the keys in a PostgreSQL. It has a role of its own in the
key database, which alone may replace keys (coffre store prepare --rotator-role), and logs in
at Vault as the rotator; those that serve have neither. It may be ended at any time, and goes
on with what it began when it is started again. Its operator asks it over its socket:

  coffre keys rotate --data DIR

COFFRE_KEYS is the address of the key database as the rotator's role; COFFRE_STORE and
COFFRE_READMODELS are those of the processes that serve.`,
		`  coffre rotator --data rotator --store postgres://coffre@db.example/vault \
      --readmodels postgres://coffre@db.example/vault --keys postgres://coffre_rotator@db.example/vault`)
}

// newDuty returns the command of a process that does one thing with keys.
func newDuty(p *program, duty vault.Duty, name, short, long, example string) *cobra.Command {
	o := serveOptions{Duty: duty}
	var data string
	var at vault.StoresConfig
	cmd := &cobra.Command{
		Use: name + " --data DIR", Short: short, Long: long, Example: example, Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.configure(p.env, vault.DataDir(data), at); err != nil {
				return err
			}
			if err := o.checkDuty(name); err != nil {
				return err
			}
			if err := p.checkFiles(cmd); err != nil {
				return err
			}
			return p.serve(cmd.Context(), p.terminal, o)
		},
	}
	configuredBy(cmd)
	f := cmd.Flags()
	f.StringVar(&data, "data", "", "the `directory` of this process")
	f.StringVar(&at.Log, "store", "", "`address` of the events (default: "+vault.StoreVariable+")")
	f.StringVar(&at.ReadModels, "readmodels", "", "`address` of the read models (default: where the events are)")
	f.StringVar(&at.Keys, "keys", "", "`address` of the key ring, with this process's role (default: where the read models are)")
	o.opsFlag(f, "")
	required(cmd, "data")
	_ = cmd.MarkFlagDirname("data") // only for flags that are not there
	return cmd
}

// checkDuty refuses what a process cannot do that destroys or replaces keys.
func (o serveOptions) checkDuty(name string) error {
	if !vault.OnPostgres(o.Stores.In(o.Data).Keys) {
		return usage("--keys (" + vault.KeysVariable + ") is not a PostgreSQL that processes share: coffre serve does this itself")
	}
	if o.Vault != nil && o.Vault.Lacks(o.Duty) {
		return usage("COFFRE_VAULT_%s_ROLE is not set: the %s logs in at Vault as itself", strings.ToUpper(name), name)
	}
	return o.checkOps()
}

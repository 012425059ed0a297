package main

import (
	"fmt"
	"log/slog"
	"strconv"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/vault"
	"coffre/eventstore/seal/keysdb"
)

// damagedRow is a damaged row as --json prints it.
type damagedRow struct {
	Table string `json:"table"`
	Row   string `json:"row,omitzero"` // absent: rows of the table are missing, or older ones were put back
}

func damagedRows(all []keysdb.Damage) []damagedRow {
	out := make([]damagedRow, len(all))
	for i, d := range all {
		out[i] = damagedRow{d.Table, d.Row}
	}
	return out
}

// sayRow says a row for people.
func sayRow(r damagedRow) string {
	if r.Row == "" {
		return "(missing, or older than it was)"
	}
	return r.Row
}

// keyRows adds the flags that say where the key database is.
func (p *program) keyRows(cmd *cobra.Command) func() (vault.KeyRows, error) {
	var data string
	var at vault.StoresConfig
	f := cmd.Flags()
	f.StringVar(&data, "data", "", "data `directory` of the vault, which nobody serves")
	f.StringVar(&at.Keys, "keys", "", "`address` of the key ring (default: "+vault.KeysVariable+", or where the read models are)")
	required(cmd, "data")
	_ = cmd.MarkFlagDirname("data") // only for a flag that is not there
	return func() (vault.KeyRows, error) {
		if err := thereIsAVault(vault.DataDir(data)); err != nil {
			return vault.KeyRows{}, err
		}
		config, err := vault.FromEnv(p.env)
		if err != nil {
			return vault.KeyRows{}, &exitError{exitUsage, err}
		}
		stores, err := typedOver(at, config.Stores, ownPlaces)
		logger := slog.New(slog.NewTextHandler(p.Err, &slog.HandlerOptions{Level: slog.LevelError}))
		return vault.KeyRows{Dir: vault.DataDir(data), At: stores, Config: config, Logger: logger}, err
	}
}

// errDamagedRows ends a command that left damage.
func errDamagedRows(n int) error {
	return &exitError{exitTamper, fmt.Errorf("the key database is damaged in %d places", n)}
}

func newKeysCheck(p *program) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "check --data DIR", Short: "Verify every row of the key database, and name the damaged ones",
		Long: `Verifies every row of the key database: what the ring knows of citizens, streams, numbers,
suppressions and files, the deployment's keys, and the requests that were answered. Nobody
serves the vault meanwhile; a server does the same at its start and once a day, and says what
it finds in its log, its health and its metrics.

A damaged row is named by its table and its number, or the beginning of an id that the vault
made. Who needs the row is answered 503; everybody else is served. A row comes back from a
backup: coffre restore it into another directory, then coffre keys restore --from it.`,
		Example: `  coffre keys check --data data
  coffre keys check --data data --json`,
		Args: takes(),
	}
	rows := p.keyRows(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		k, err := rows()
		if err != nil {
			return err
		}
		found, err := k.Check(cmd.Context())
		if err != nil {
			return err
		}
		if err := p.printDamage(asJSON, found); err != nil {
			return err
		}
		if len(found) > 0 {
			return errDamagedRows(len(found))
		}
		return nil
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (p *program) printDamage(asJSON bool, found []keysdb.Damage) error {
	all := damagedRows(found)
	if asJSON {
		return p.printJSON(struct {
			Damaged []damagedRow `json:"damaged"`
		}{all})
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(p.Out, "every row of the key database is as it was written")
		return err
	}
	t := p.table("TABLE", "ROW", "BROUGHT BACK BY")
	for _, r := range all {
		t.row(r.Table, sayRow(r), "coffre keys restore --from DIR-OF-A-RESTORED-BACKUP")
	}
	return t.flush()
}

func newKeysRestore(p *program) *cobra.Command {
	var asJSON, accept, sure bool
	var from string
	cmd := &cobra.Command{
		Use: "restore --data DIR --from PLACE", Short: "Bring damaged rows of the key database back from a backup",
		Long: `Brings back, from a backup of this vault that was restored elsewhere, the rows of the key
database that are damaged or missing, and no others. A row comes back only as it last was,
which its MAC and the sealed sum of its table tell. A damaged request that the backup lacks is
removed: whoever repeats it finds what it made in the log.

A row that changed since the backup stays damaged, and a row that the backup lacks stays
missing. With --accept-missing such a row is taken as the backup has it, and what is missing
after that counts as gone. That is your word: an older row may hold a key of former times, or
a suppression that was lifted.

Nobody serves the vault meanwhile. The next start destroys again what the shred list names.`,
		Example: `  coffre restore coffre.age --data back --identity-file backup.key --shred-list kept-apart/shred.list
  coffre keys restore --data data --from back
  coffre keys restore --data run --keys postgres://coffre@db.example/vault --from postgres://coffre@db.example/back
  coffre keys restore --data data --from back --accept-missing --yes`,
		Args: takes(),
	}
	rows := p.keyRows(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		k, err := rows()
		if err != nil {
			return err
		}
		place, err := p.address("from", from, fromKeysVariable)
		if err != nil {
			return err
		}
		switch {
		case place == "":
			return usage("--from is missing: the directory of a restored backup, or postgres://user@host:port/database")
		case !vault.KnownPlace(place):
			place = "sqlite:" + place
		}
		if accept && !sure {
			if err := p.confirm("Rows may become older than they were, and what is missing counts as gone. Type accept to go on: ", "accept"); err != nil {
				return err
			}
		}
		done, err := k.Restore(cmd.Context(), place, accept)
		if err != nil {
			return err
		}
		if err := p.printMended(asJSON, done); err != nil {
			return err
		}
		if len(done.Left) > 0 {
			return errDamagedRows(len(done.Left))
		}
		return nil
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "`place` of a restored backup: its directory, or postgres://... without a password (default: "+fromKeysVariable+")")
	f.BoolVar(&accept, "accept-missing", false, "take older rows of the backup, and count what is missing after that as gone")
	f.BoolVar(&sure, "yes", false, "do not ask")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (p *program) printMended(asJSON bool, done keysdb.Mended) error {
	if asJSON {
		return p.printJSON(struct {
			Found    []damagedRow `json:"found"`
			Restored []damagedRow `json:"restored"`
			Older    []damagedRow `json:"older"`
			Removed  []damagedRow `json:"removed"`
			Left     []damagedRow `json:"left"`
		}{damagedRows(done.Found), damagedRows(done.Restored), damagedRows(done.Older), damagedRows(done.Removed), damagedRows(done.Left)})
	}
	t := p.table("TABLE", "ROW", "")
	for _, one := range []struct {
		rows []keysdb.Damage
		now  string
	}{{done.Restored, "restored as it was"}, {done.Older, "as the backup had it"}, {done.Removed, "removed"}, {done.Left, "still damaged"}} {
		for _, r := range damagedRows(one.rows) {
			t.row(r.Table, sayRow(r), one.now)
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	return p.facts("damaged before", strconv.Itoa(len(done.Found)), "damaged now", strconv.Itoa(len(done.Left)))
}

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/files"
	"coffre/cmd/coffre/vault"
	"coffre/eventstore/backup"
)

func newRestore(p *program) *cobra.Command {
	var key identityFile
	var asJSON, noList, sure bool
	var data, list, kek string
	var onto vault.StoresConfig
	var cut lossFlags
	cmd := &cobra.Command{
		Use: "restore (FILE --data DIR --identity-file KEY (--shred-list FILE | --no-shred-list) | --accept-loss DIR --by NAME --cause CODE)", Short: "Make a vault of a backup, and keep erased what was erased",
		Long: `Makes a data directory of a backup. The directory is empty or not there; until all is done
nothing opens it, and a restore that was interrupted is run again. The keys on the shred list,
the newest there is, are destroyed before anything can be served, and so is every key whose
destruction the log tells of; then every record is read again and compared with the backup.

What happened after the backup was taken is lost: documents, consents, erasures and their
certificates, and whoever was given a receipt has it for nothing. Compare the last event with
what else you know before you serve.

The key-encryption key is not in a backup. One that lies in a file is put in place with
--kek-file.

With --store the log, the keys and what was sent go on from there to an empty database in
PostgreSQL, as its owner (coffre store prepare gives the roles their rights afterwards), and
files of documents to the bucket of COFFRE_BLOBS where there is one. The directory keeps the
shred list: it is the one of the process that destroys keys, or of the only process. While the
restore runs, the directory needs room for the whole vault.

With --accept-loss no backup is read. A vault whose log ends before what was seen of it does
not start; where neither the newer log nor a backup can be had, this lets it go on. Marks,
read models, reactors and answers to requests that know a later end are put back, the shred
list is applied, and an event records who accepted the loss, why, and both ends. Withdrawn
consents whose withdrawal is lost are in force again: they are listed as far as anybody
knows them. Every process of the vault must be stopped first.`,
		Example: `  coffre restore coffre.age --data data --identity-file backup.key --shred-list kept-apart/shred.list --kek-file kept-apart/kek.json
  coffre restore coffre.age --data data --identity-file backup.key --no-shred-list --yes
  coffre restore coffre.age --data run --identity-file backup.key --shred-list kept-apart/shred.list --store postgres://owner@db.example/vault
  coffre restore --accept-loss data --by ann.peeters --cause failover`,
		Args: func(cmd *cobra.Command, args []string) error {
			if cut.data != "" {
				return takes()(cmd, args)
			}
			return takes("FILE")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if cut.data != "" {
				return p.acceptLoss(cmd.Context(), cut, sure, asJSON)
			}
			if err := readable(args[0], list, kek); err != nil {
				return err
			}
			servers, err := p.restoreOnto(onto)
			if err != nil {
				return err
			}
			with, err := p.identities(key)
			if err != nil {
				return err
			}
			if noList && !sure {
				if err := p.confirm("Whoever was erased since the backup will be readable again. Type erased to go on: ", "erased"); err != nil {
					return err
				}
			}
			dir := vault.DataDir(data)
			_, missing := os.Lstat(data)
			release, err := dir.Own()
			if err != nil {
				return err
			}
			defer func() {
				if err != nil && errors.Is(missing, fs.ErrNotExist) {
					err = errors.Join(err, dir.RemoveEmpty()) // else the next command would begin a new vault there
				}
				err = errors.Join(err, release())
			}()
			found, _, sum, err := p.readBackup(cmd.Context(), args[0], &vault.Restore{Dir: dir, Identities: with, ShredList: list, KEKFile: kek, Onto: servers})
			if err != nil {
				return err
			}
			return p.printRestored(asJSON, restoreDone{
				Directory: data, SHA256: sum, Manifest: found.Manifest, Shredded: found.Shredded, Unlisted: found.Unlisted, Removed: found.Removed,
				ShredList: list != "", KeyFile: kek != "",
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&data, "data", "", "`directory` to make")
	f.StringVar(&key.name, "identity-file", "", "`file` with the secret key that opens it, AGE-SECRET-KEY-...; - is standard input")
	f.StringVar(&list, "shred-list", "", "`file` with the newest list of destroyed keys")
	f.BoolVar(&noList, "no-shred-list", false, "there is none: nobody was erased since, or you answer for it")
	f.StringVar(&kek, "kek-file", "", "`file` with the key-encryption key, when it lies in one")
	f.BoolVar(&sure, "yes", false, "do not ask")
	f.StringVar(&onto.Log, "store", "", "`address` of an empty database for the log, postgres://owner@host/database without a password")
	f.StringVar(&onto.Keys, "keys", "", "`address` of an empty database for the keys (default: where the log goes)")
	cut.flags(cmd)
	cmd.MarkFlagsOneRequired("data", "accept-loss")
	cmd.MarkFlagsRequiredTogether("data", "identity-file")
	cmd.MarkFlagsOneRequired("shred-list", "no-shred-list", "accept-loss")
	cmd.MarkFlagsMutuallyExclusive("shred-list", "no-shred-list", "accept-loss")
	cmd.MarkFlagsMutuallyExclusive("data", "accept-loss")
	cmd.MarkFlagsMutuallyExclusive("kek-file", "accept-loss")
	cmd.MarkFlagsMutuallyExclusive("store", "accept-loss")
	_ = cmd.MarkFlagDirname("data") // only for flags that are not there
	for _, name := range []string{"identity-file", "shred-list", "kek-file"} {
		_ = cmd.MarkFlagFilename(name)
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// restoreOnto returns the databases that flags name, nil when they name none. The environment has a
// say in what a process would find there, and none in where a vault is restored to.
func (p *program) restoreOnto(typed vault.StoresConfig) (*vault.RestoreServers, error) {
	if typed == (vault.StoresConfig{}) {
		return nil, nil
	}
	if typed.Log == "" {
		return nil, usage("--keys goes with --store")
	}
	at, err := typedOver(typed, vault.StoresConfig{}, ownPlaces)
	if err != nil {
		return nil, err
	}
	if !vault.OnPostgres(at.Log) || at.Keys != "" && !vault.OnPostgres(at.Keys) {
		return nil, &exitError{exitUsage, vault.ErrOntoPostgres}
	}
	config, err := vault.FromEnv(p.env)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return &vault.RestoreServers{
		Stores: at, Blobs: config.Blobs, Vault: config.Transit,
		Logger: slog.New(slog.NewTextHandler(p.Err, &slog.HandlerOptions{Level: slog.LevelError})),
	}, nil
}

// readable refuses files that a restore needs and that cannot be read, before anything is made.
// An empty name is no file.
func readable(archive, list, kek string) error {
	for _, one := range []struct{ what, name string }{{"backup", archive}, {"--shred-list", list}, {"--kek-file", kek}} {
		if one.name == "" {
			continue
		}
		f, err := os.Open(one.name)
		if err == nil {
			err = f.Close()
		}
		if err == nil {
			continue
		}
		err = fmt.Errorf("%s: %w", one.what, files.Cause(err))
		if one.name == list && errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w; the list is the file %s of the data directory, and a vault that never destroyed a key has none (--no-shred-list)", err, vault.ShredFile)
		}
		return err
	}
	return nil
}

// restoreDone is a vault that was restored.
type restoreDone struct {
	Directory string          `json:"directory"`
	SHA256    backup.Sum      `json:"sha256"` // of the backup
	Manifest  backup.Manifest `json:"manifest"`
	ShredList bool            `json:"shredList"` // one was applied
	Shredded  int             `json:"shredded"`  // lines of it
	Unlisted  int             `json:"unlisted"`  // destructions that the log told of and the list did not
	Removed   int             `json:"removedAttachments"`
	KeyFile   bool            `json:"keyFile"`
}

func (p *program) printRestored(asJSON bool, done restoreDone) error {
	m := done.Manifest
	fmt.Fprintf(p.Err, "%s the vault is as it was at %s, with %d events, the last of %s. Whatever happened later is lost.\n",
		p.colour(p.Err, bold, "RESTORED:"), day(m.Taken), m.Log.Records, orNone(day(m.Log.At)))
	if !done.ShredList {
		fmt.Fprintln(p.Err, p.colour(p.Err, red, "No shred list was applied: whoever was erased since the backup can be read again."))
	}
	if done.Unlisted > 0 {
		fmt.Fprintf(p.Err, "The log tells of %d destroyed keys that the shred list lacked. They are destroyed and on it now; was it the newest list?\n", done.Unlisted)
	}
	if !done.KeyFile {
		fmt.Fprintf(p.Err, "The key-encryption key must be there, in versions %d to %d, before the vault is served.\n", m.Keys.Oldest, m.Keys.Latest)
	}
	facts := append([]string{"directory", done.Directory, "backup's sha256", fmt.Sprintf("%x", done.SHA256)}, manifestFacts(m)...)
	return p.print(asJSON, done, append(facts, "lines of the shred list", strconv.Itoa(done.Shredded), "destroyed by the log", strconv.Itoa(done.Unlisted), "attachments removed", strconv.Itoa(done.Removed))...)
}

func orNone(s string) string {
	if s == "" {
		return "never"
	}
	return s
}

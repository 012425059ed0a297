package main

import (
	"errors"
	"log/slog"
	"strconv"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/vault"
)

const (
	fromVariable     = "COFFRE_FROM"
	fromKeysVariable = "COFFRE_FROM_KEYS"
)

// How the ends of a copy are said; read models are none of its business.
var (
	sourcePlaces = [3]placeNames{{"from", fromVariable}, {}, {"from-keys", fromKeysVariable}}
	targetPlaces = [3]placeNames{{"to", vault.StoreVariable}, {}, {"to-keys", vault.KeysVariable}}
)

func newStoreCopy(p *program) *cobra.Command {
	var fromData, toData string
	var from, to vault.StoresConfig
	var asJSON bool
	cmd := &cobra.Command{
		Use: "copy", Short: "Bring a whole vault to other databases, keys and all",
		Long: `Copies events, key ring, requests, attachments and the shred list of a vault that nobody
serves: ids, times and order are kept, so leaves and proofs are the same. The target's keys
lie in Vault where one is configured (COFFRE_VAULT_ADDR), else in a key file; where that is
another keeper than the source's every key is wrapped again. The target is empty, or one that
a copy before did not finish; until the end it does not open. In the end both are read and
compared. Stopped, run it again: it goes on.

Read models are not copied: the target builds them. Reactors begin at the end of the copied
log, so let them catch up first. Destroy the source, its key file and its backups when the
target is in use: what is erased afterwards is erased in the target only.`,
		Example: `  coffre store copy --from sqlite:data --to postgres://coffre@db.example/vault --to-data run
  coffre store copy --from-data run --from postgres://coffre@db.example/vault --to sqlite:copy
  coffre store copy --from sqlite:data --to esdb://kurrent.example:2113 --to-keys postgres://coffre@db.example/vault --to-data run`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := vault.FromEnv(p.env)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			lies, err := vault.StoresFromEnv(p.env, variables(sourcePlaces))
			if err != nil {
				return &exitError{exitUsage, err}
			}
			source, err := endOf("from", fromData, from, lies, sourcePlaces)
			if err != nil {
				return err
			}
			target, err := endOf("to", toData, to, config.Stores, targetPlaces)
			if err != nil {
				return err
			}
			logger := slog.New(slog.NewTextHandler(p.Err, &slog.HandlerOptions{Level: slog.LevelError}))
			done, err := vault.Copy{Source: source, Target: target, Config: config, Logger: logger, Progress: p.bars}.Run(cmd.Context())
			if errors.Is(err, vault.ErrSameVault) {
				return &exitError{exitUsage, err}
			}
			if err != nil {
				return err
			}
			return p.printCopied(asJSON, done)
		},
	}
	f := cmd.Flags()
	f.StringVar(&from.Log, "from", "", "`address` of the source's events: sqlite:DIR, postgres://... or esdb://... without a password (default: "+fromVariable+")")
	f.StringVar(&fromData, "from-data", "", "the source's data `directory` (default: the one of --from)")
	f.StringVar(&from.Keys, "from-keys", "", "`address` of the source's key ring (default: "+fromKeysVariable+", or where the events are, or the data directory)")
	f.StringVar(&to.Log, "to", "", "`address` of the target's events (default: "+vault.StoreVariable+")")
	f.StringVar(&toData, "to-data", "", "the target's data `directory` (default: the one of --to)")
	f.StringVar(&to.Keys, "to-keys", "", "`address` of the target's key ring (default: "+vault.KeysVariable+", or where the events are, or the data directory)")
	for _, name := range []string{"from-data", "to-data"} {
		_ = cmd.MarkFlagDirname(name) // only for a flag that is not there
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// endOf makes one end of a copy of what was typed after the flags of that name.
func endOf(name, data string, typed, env vault.StoresConfig, names [3]placeNames) (vault.CopyEnd, error) {
	at, err := typedOver(typed, env, names)
	if err != nil {
		return vault.CopyEnd{}, err
	}
	if dir, file := vault.SQLiteDir(at.Log); data == "" && file {
		data = string(dir)
	}
	if data == "" {
		return vault.CopyEnd{}, usage("--%s-data is missing: where the vault's own files lie", name)
	}
	return vault.CopyEnd{Dir: vault.DataDir(data), At: at.In(vault.DataDir(data))}, nil
}

func (p *program) printCopied(asJSON bool, done vault.Copied) error {
	if asJSON {
		return p.printJSON(done)
	}
	keys := "as they were"
	if done.Rewrapped {
		keys = "wrapped again by the target's keeper"
	}
	return p.facts("leaves", strconv.FormatInt(done.Leaves, 10), "copied now", strconv.FormatInt(done.Copied, 10),
		"digest over the leaves", done.Digest, "attachments", strconv.FormatInt(done.Attachments, 10), "keys", keys,
		"compared", "every leaf and attachment is the same")
}

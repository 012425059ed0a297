package main

import (
	"log/slog"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/vault"
)

func newProjectionsPrepare(p *program) *cobra.Command {
	var data string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "prepare", Short: "Before an upgrade: build this release's read models while the former one serves",
		Long: `A release that changes a read model has to build it before it answers. On one machine this
builds it with the new program while the old one goes on serving the directory from its own; then
stop the old program and start the new one, which takes in what came since. Read models that are
there already are left as they are. No key is needed, and personal parts stay sealed. The disk
needs room for the tables twice.

Read models in PostgreSQL need none of this: the first process of the new release builds its own
beside those of the release before.`,
		Example: `  coffre projections prepare --data data
  coffre projections prepare --data data --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir := vault.DataDir(data)
			if err := thereIsAVault(dir); err != nil {
				return err
			}
			config, err := vault.FromEnv(p.env)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			faults := slog.New(slog.NewTextHandler(p.Err, &slog.HandlerOptions{Level: slog.LevelError}))
			done, err := vault.PrepareModels(cmd.Context(), dir, config, faults)
			if err != nil {
				return err
			}
			if asJSON {
				return p.printJSON(done)
			}
			if len(done.Built) == 0 {
				return p.facts("built", "none: every read model of this release is there")
			}
			return p.facts("built", strings.Join(done.Built, ", "), "events", strconv.FormatInt(done.Events, 10))
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "the vault's data `directory` on this machine")
	_ = cmd.MarkFlagRequired("data") // only for a flag that is not there
	_ = cmd.MarkFlagDirname("data")
	jsonFlag(cmd, &asJSON)
	return cmd
}

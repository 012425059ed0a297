package main

import (
	"context"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/vault"
)

func newVersion(p *program) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "version", Short: "What this program is made of",
		Example: `  coffre version
  coffre version --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.printVersion(cmd.Context(), asJSON)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// printVersion says what the program is made of.
func (p *program) printVersion(ctx context.Context, asJSON bool) error {
	v, err := vault.ReadVersions(ctx)
	if err != nil {
		return err
	}
	revision := v.Revision
	if revision == "" {
		revision = "unknown; it was built without the history of its sources"
	}
	if v.Modified {
		revision += " (modified)"
	}
	return p.print(asJSON, v, "coffre", v.Version, "revision", revision, "go", v.Go, "sqlite", v.SQLite, "platform", v.Platform)
}

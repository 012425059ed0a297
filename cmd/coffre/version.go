package main

import (
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
			v, err := vault.ReadVersions(cmd.Context())
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
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

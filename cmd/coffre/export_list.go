package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

func newExportList(p *program) *cobra.Command {
	var at where
	var me officer
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "Exports that are kept, oldest first",
		Example: `  coffre export list --data data
  coffre export list --data data --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.asks(cmd.Context(), at, token.Grant{Role: domain.RolePrivacyOfficer, Subject: me.subject}, func(c *client.Client) error {
				t := p.table("EXPORT", "KIND", "FORMAT", "STATE", "ROWS", "SHA-256")
				return printPages(p, asJSON, t, func(after contract.Cursor) ([]contract.Export, contract.Cursor, error) {
					page, err := client.Read[contract.ExportList](c.ListExports(cmd.Context(), contract.ListExportsParams{PageSize: 200, After: after}))
					return page.Body.Items, page.Body.NextCursor, err
				}, func(e contract.Export) {
					rows := "" // unknown until it is done
					if e.Rows != nil {
						rows = strconv.FormatInt(*e.Rows, 10)
					}
					t.row(e.ExportID.String(), string(e.Kind), string(e.Format), string(e.Status.State), rows, e.Sha256)
				})
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

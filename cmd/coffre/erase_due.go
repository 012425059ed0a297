package main

import (
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

func newEraseDue(p *program) *cobra.Command {
	var at where
	var me officer
	var lang string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "due", Short: "Documents that retention no longer asks to keep",
		Long: `Lists what may be erased by the retention rules of the registry, and erases nothing. Nothing
personal is told: where the days of validity are personal, no day is.`,
		Example: `  coffre erase due --data data
  coffre erase due --data data --lang fr
  coffre erase due --data data --json | head`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("lang", lang, languages...); err != nil {
				return err
			}
			in := speaker(lang)
			return p.asks(cmd.Context(), at, token.Grant{Role: domain.RoleOperator, Subject: me.subject}, func(c *client.Client) error {
				t := p.table(in.headings("document", "type", "citizen", "since", "rule", "then", "legal hold")...)
				return printPages(p, asJSON, t, func(after contract.Cursor) ([]contract.DueErasure, contract.Cursor, error) {
					page, err := client.Read[contract.DueErasures](c.ListDueErasures(cmd.Context(), contract.ListDueErasuresParams{PageSize: 200, After: after}))
					return page.Body.Items, page.Body.NextCursor, err
				}, func(d contract.DueErasure) {
					t.row(d.DocumentID.String(), string(d.DocumentType), d.CitizenID.String(), string(d.Since), string(d.Rule), in.retentionEnd(d.Then), in.yes(d.LegalHold))
				})
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	langFlag(cmd, &lang)
	jsonFlag(cmd, &asJSON)
	return cmd
}

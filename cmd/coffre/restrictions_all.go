package main

import (
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

func newRestrictionsAll(p *program) *cobra.Command {
	var at where
	var me officer
	var asJSON bool
	var states []string
	cmd := &cobra.Command{
		Use: "all", Short: "Restrictions of all citizens, oldest first, for a privacy officer",
		Long: "With --state standing those under which nothing is disclosed or erased now. A look is on record.",
		Example: `  coffre restrictions all --data data --state standing
  coffre restrictions all --data data --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ask := contract.ListAllRestrictionsParams{PageSize: 200}
			var err error
			if ask.State, err = statesOf[contract.StandingState](states, standingStates); err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, token.Grant{Role: domain.RolePrivacyOfficer, Subject: me.subject}, func(c *client.Client) error {
				t := p.table("RESTRICTION", "CITIZEN", "DOCUMENT", "REASON", "ASKED BY", "SINCE", "LIFTED")
				return printPages(p, asJSON, t, func(after contract.Cursor) ([]contract.Restriction, contract.Cursor, error) {
					ask.After = after
					page, err := client.Read[contract.Restrictions](c.ListAllRestrictions(cmd.Context(), ask))
					return page.Body.Items, page.Body.NextCursor, err
				}, func(r contract.Restriction) {
					document := "all"
					if !r.DocumentID.IsZero() {
						document = r.DocumentID.String()
					}
					t.row(r.RestrictionID.String(), r.CitizenID.String(), document, string(r.Reason), string(r.AskedBy), day(r.RestrictedAt), day(r.LiftedAt))
				})
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	cmd.Flags().StringSliceVar(&states, "state", nil, "only these `states`: standing, lifted")
	complete(cmd, "state", standingStates...)
	jsonFlag(cmd, &asJSON)
	return cmd
}

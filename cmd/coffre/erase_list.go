package main

import (
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

// erasureStates are how far an erasure may be.
var erasureStates = []string{"requested", "approved", "started", "stopped", "keysDestroyed", "final"}

func newEraseList(p *program) *cobra.Command {
	var at where
	var me officer
	var asJSON bool
	var states []string
	cmd := &cobra.Command{
		Use: "list", Short: "Requests to be forgotten, oldest first",
		Long: "With --state requested those that wait for a second person. A look is on record.",
		Example: `  coffre erase list --data data --state requested
  coffre erase list --data data --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ask := contract.ListErasuresParams{PageSize: 200}
			for _, s := range states {
				if err := oneOf("state", s, erasureStates...); err != nil {
					return err
				}
				ask.State = append(ask.State, contract.ErasureState(s))
			}
			return p.asks(cmd.Context(), at, token.Grant{Role: domain.RolePrivacyOfficer, Subject: me.subject}, func(c *client.Client) error {
				t := p.table("ERASURE", "OF", "CITIZEN", "STATE", "REASON", "REQUESTED", "APPROVED")
				return printPages(p, asJSON, t, func(after contract.Cursor) ([]contract.Erasure, contract.Cursor, error) {
					ask.After = after
					page, err := client.Read[contract.Erasures](c.ListErasures(cmd.Context(), ask))
					return page.Body.Items, page.Body.NextCursor, err
				}, func(e contract.Erasure) {
					t.row(e.ErasureID.String(), string(e.Scope), e.CitizenID.String(), string(e.State), string(e.Reason), day(e.RequestedAt), day(e.ApprovedAt))
				})
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	cmd.Flags().StringSliceVar(&states, "state", nil, "only these `states`: requested, approved, started, stopped, keysDestroyed, final")
	complete(cmd, "state", erasureStates...)
	jsonFlag(cmd, &asJSON)
	return cmd
}

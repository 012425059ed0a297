package main

import (
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/handlers/contract"
)

// releaseStates are how far a release may be.
var releaseStates = []string{"proposed", "approved", "completed"}

func newReleasesList(p *program) *cobra.Command {
	var at where
	var me officer
	var asJSON bool
	var states []string
	cmd := &cobra.Command{
		Use: "list", Short: "Releases of erased persons' numbers, oldest first",
		Long: `With --state proposed those that wait for another officer; a proposal lapses after 30 days.
No number is told. A look is on record.`,
		Example: `  coffre releases list --data data --state proposed
  coffre releases list --data data --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ask := contract.ListReleasesParams{PageSize: 200}
			var err error
			if ask.State, err = statesOf[contract.ReleaseState](states, releaseStates); err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
				t := p.table("RELEASE", "KIND", "STATE", "LEGAL BASIS", "UNTIL", "PROPOSED", "APPROVED", "CARRIED OUT")
				return printPages(p, asJSON, t, func(after contract.Cursor) ([]contract.Release, contract.Cursor, error) {
					ask.After = after
					page, err := client.Read[contract.Releases](c.ListReleases(cmd.Context(), ask))
					return page.Body.Items, page.Body.NextCursor, err
				}, func(r contract.Release) {
					t.row(r.ReleaseID.String(), string(r.Kind), string(r.State), string(r.LegalBasis), day(r.Until), day(r.ProposedAt), day(r.ApprovedAt), day(r.CompletedAt))
				})
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	cmd.Flags().StringSliceVar(&states, "state", nil, "only these `states`: proposed, approved, completed")
	complete(cmd, "state", releaseStates...)
	jsonFlag(cmd, &asJSON)
	return cmd
}

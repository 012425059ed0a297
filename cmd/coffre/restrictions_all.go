package main

import (
	"context"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/handlers/contract"
)

func newRestrictionsAll(p *program) *cobra.Command {
	return officersList[contract.StandingState, contract.Restriction]{
		states:  standingStates,
		columns: []string{"restriction", "citizen", "document", "reason", "asked by", "since", "lifted"},
		page: func(ctx context.Context, c *client.Client, states []contract.StandingState, after contract.Cursor) ([]contract.Restriction, contract.Cursor, error) {
			page, err := client.Read[contract.Restrictions](c.ListAllRestrictions(ctx, contract.ListAllRestrictionsParams{PageSize: officersPage, State: states, After: after}))
			return page.Body.Items, page.Body.NextCursor, err
		},
		row: func(in speaker, r contract.Restriction) []string {
			document := in.word("all")
			if !r.DocumentID.IsZero() {
				document = r.DocumentID.String()
			}
			return []string{r.RestrictionID.String(), r.CitizenID.String(), document, string(r.Reason), in.readerRole(r.AskedBy), day(r.RestrictedAt), day(r.LiftedAt)}
		},
	}.command(p, &cobra.Command{
		Use: "all", Short: "Restrictions of all citizens, oldest first, for a privacy officer",
		Long: "With --state standing those under which nothing is disclosed or erased now. A look is on record.",
		Example: `  coffre restrictions all --data data --state standing
  coffre restrictions all --data data --lang fr`,
	})
}

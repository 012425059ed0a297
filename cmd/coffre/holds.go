package main

import (
	"context"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/handlers/contract"
)

// standingStates are the states of legal holds and restrictions.
var standingStates = []string{"standing", "lifted"}

func newHolds(p *program) *cobra.Command {
	return group("holds", "Legal holds, which forbid every erasure of a citizen's documents",
		`  coffre holds list --data data --state standing`,
		newHoldsList(p))
}

func newHoldsList(p *program) *cobra.Command {
	return officersList[contract.StandingState, contract.LegalHold]{
		states:  standingStates,
		columns: []string{"HOLD", "CITIZEN", "REASON", "PLACED", "LIFTED"},
		page: func(ctx context.Context, c *client.Client, states []contract.StandingState, after contract.Cursor) ([]contract.LegalHold, contract.Cursor, error) {
			page, err := client.Read[contract.LegalHolds](c.ListHolds(ctx, contract.ListHoldsParams{PageSize: officersPage, State: states, After: after}))
			return page.Body.Items, page.Body.NextCursor, err
		},
		row: func(h contract.LegalHold) []string {
			return []string{h.LegalHoldID.String(), h.CitizenID.String(), string(h.Reason), day(h.PlacedAt), day(h.LiftedAt)}
		},
	}.command(p, &cobra.Command{
		Use: "list", Short: "Legal holds of all citizens, oldest first",
		Long: "With --state standing those that forbid an erasure now. A look is on record.",
		Example: `  coffre holds list --data data --state standing
  coffre holds list --data data --json`,
	})
}

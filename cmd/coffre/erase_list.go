package main

import (
	"context"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/handlers/contract"
)

// erasureStates are how far an erasure may be.
var erasureStates = []string{"requested", "approved", "started", "stopped", "keysDestroyed", "final"}

func newEraseList(p *program) *cobra.Command {
	return officersList[contract.ErasureState, contract.Erasure]{
		states:  erasureStates,
		columns: []string{"erasure", "of", "citizen", "state", "reason", "requested", "approved"},
		page: func(ctx context.Context, c *client.Client, states []contract.ErasureState, after contract.Cursor) ([]contract.Erasure, contract.Cursor, error) {
			page, err := client.Read[contract.Erasures](c.ListErasures(ctx, contract.ListErasuresParams{PageSize: officersPage, State: states, After: after}))
			return page.Body.Items, page.Body.NextCursor, err
		},
		row: func(in speaker, e contract.Erasure) []string {
			return []string{e.ErasureID.String(), in.erasureScope(e.Scope), e.CitizenID.String(), in.erasureState(e.State), string(e.Reason), day(e.RequestedAt), day(e.ApprovedAt)}
		},
	}.command(p, &cobra.Command{
		Use: "list", Short: "Requests to be forgotten, oldest first",
		Long: "With --state requested those that wait for a second person. A look is on record.",
		Example: `  coffre erase list --data data --state requested
  coffre erase list --data data --lang nl`,
	})
}

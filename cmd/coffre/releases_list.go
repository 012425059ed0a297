package main

import (
	"context"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/handlers/contract"
)

// releaseStates are how far a release may be.
var releaseStates = []string{"proposed", "approved", "completed"}

func newReleasesList(p *program) *cobra.Command {
	return officersList[contract.ReleaseState, contract.Release]{
		states:  releaseStates,
		columns: []string{"release", "kind", "state", "legal basis", "until", "proposed", "approved", "carried out"},
		page: func(ctx context.Context, c *client.Client, states []contract.ReleaseState, after contract.Cursor) ([]contract.Release, contract.Cursor, error) {
			page, err := client.Read[contract.Releases](c.ListReleases(ctx, contract.ListReleasesParams{PageSize: officersPage, State: states, After: after}))
			return page.Body.Items, page.Body.NextCursor, err
		},
		row: func(in speaker, r contract.Release) []string {
			return []string{r.ReleaseID.String(), in.releaseKind(r.Kind), in.releaseState(r.State), string(r.LegalBasis), day(r.Until), day(r.ProposedAt), day(r.ApprovedAt), day(r.CompletedAt)}
		},
	}.command(p, &cobra.Command{
		Use: "list", Short: "Releases of erased persons' numbers, oldest first",
		Long: `With --state proposed those that wait for another officer; a proposal lapses after 30 days.
No number is told. A look is on record.`,
		Example: `  coffre releases list --data data --state proposed
  coffre releases list --data data --lang de`,
	})
}

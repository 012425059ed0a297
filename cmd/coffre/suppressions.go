package main

import (
	"context"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/handlers/contract"
)

func newSuppressions(p *program) *cobra.Command {
	return group("suppressions", "What the vault remembers of erased persons, and what of it is due for a review",
		`  coffre suppressions list --data data --state reviewDue`,
		newSuppressionsList(p))
}

// suppressionStates say how long a suppression is kept.
var suppressionStates = []string{"kept", "reviewDue", "ending"}

func newSuppressionsList(p *program) *cobra.Command {
	return officersList[contract.SuppressionState, contract.Suppression]{
		states:  suppressionStates,
		columns: []string{"suppression", "state", "legal basis", "since", "review", "until"},
		page: func(ctx context.Context, c *client.Client, states []contract.SuppressionState, after contract.Cursor) ([]contract.Suppression, contract.Cursor, error) {
			page, err := client.Read[contract.Suppressions](c.ListSuppressions(ctx, contract.ListSuppressionsParams{PageSize: officersPage, State: states, After: after}))
			return page.Body.Items, page.Body.NextCursor, err
		},
		row: func(in speaker, s contract.Suppression) []string {
			return []string{s.SuppressionID.String(), in.suppressionState(s.State), string(s.LegalBasis), string(s.Since), string(s.ReviewOn), day(s.Until)}
		},
	}.command(p, &cobra.Command{
		Use: "list", Short: "What is remembered of erased persons: basis, since when, review, end",
		Long: `So that erased stays erased, the vault remembers a keyed digest of each number of an erased
person. Of whom, the list does not tell: no number, no former life. What has no end is due for a
review after the term that the server has (COFFRE_SUPPRESSION_REVIEW_DAYS), and counts on until
two officers release it (coffre releases propose). A look is on record.`,
		Example: `  coffre suppressions list --data data --state reviewDue
  coffre suppressions list --data data --lang nl`,
	})
}

package main

import (
	"context"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
)

// standingStates are the states of legal holds and restrictions.
var standingStates = []string{"standing", "lifted"}

func newHolds(p *program) *cobra.Command {
	return group("holds", "Legal holds, which forbid every erasure of a citizen's documents",
		`  coffre holds place --data data --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 --reason litigation
  coffre holds list --data data --state standing
  coffre holds lift --data data --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 1b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44`,
		newHoldsPlace(p), newHoldsList(p), newHoldsLift(p))
}

func newHoldsPlace(p *program) *cobra.Command {
	var at where
	var of officersCitizen
	var asJSON bool
	var reason, caseFile string
	cmd := &cobra.Command{
		Use: "place", Short: "Forbid the erasure of anything of a citizen",
		Long: `Places a legal hold. While it stands nothing of the citizen is erased: who asks to be forgotten is
refused, and an erasure that was approved already waits. What may be read, and by whom, stays as
it was.`,
		Example: `  coffre holds place --data data --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 --reason litigation
  coffre holds place --data data --subject anna --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 --reason litigation --case-file case.txt`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			id, err := citizenID(of.citizen)
			if err != nil {
				return err
			}
			body := contract.LegalHoldPlace{Reason: domain.ReasonCode(reason)}
			if body.CaseReference, err = p.readCase(caseFile); err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, of.grant(), func(c *client.Client) error {
				r, err := client.Read[contract.LegalHold](c.PlaceHold(cmd.Context(), id, contract.PlaceHoldParams{IdempotencyKey: uuid.New()}, body))
				if err != nil {
					return explainWords(cmd.Context(), c, err, askedReason(contract.ReasonKindLegalHold, reason))
				}
				return p.print(asJSON, r.Body, "hold", r.Body.LegalHoldID.String(), "citizen", citizenText(r.Body.CitizenID), "reason", string(r.Body.Reason), "placed", day(r.Body.PlacedAt))
			})
		},
	}
	at.flags(cmd)
	of.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "`code` of why, as the registry has it: litigation...")
	caseFlag(cmd, &caseFile)
	required(cmd, "reason")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newHoldsLift(p *program) *cobra.Command {
	var at where
	var of officersCitizen
	cmd := &cobra.Command{
		Use: "lift ID", Short: "End a legal hold; an erasure that waited for nothing else goes on",
		Example: `  coffre holds lift --data data --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 1b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44`,
		Args:    takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			one, err := parseID("ID", args[0])
			if err != nil {
				return err
			}
			id, err := citizenID(of.citizen)
			if err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, of.grant(), func(c *client.Client) error {
				if _, err := client.Read[client.None](c.LiftHold(cmd.Context(), id, domain.HoldID{UUID: one}, contract.LiftHoldParams{IdempotencyKey: uuid.New()})); err != nil {
					return err
				}
				return p.facts("hold", one.String(), "state", "lifted")
			})
		},
	}
	at.flags(cmd)
	of.flags(cmd)
	return cmd
}

func newHoldsList(p *program) *cobra.Command {
	return officersList[contract.StandingState, contract.LegalHold]{
		states:  standingStates,
		columns: []string{"hold", "citizen", "reason", "placed", "lifted"},
		page: func(ctx context.Context, c *client.Client, states []contract.StandingState, after contract.Cursor) ([]contract.LegalHold, contract.Cursor, error) {
			page, err := client.Read[contract.LegalHolds](c.ListHolds(ctx, contract.ListHoldsParams{PageSize: officersPage, State: states, After: after}))
			return page.Body.Items, page.Body.NextCursor, err
		},
		row: func(_ speaker, h contract.LegalHold) []string {
			return []string{h.LegalHoldID.String(), h.CitizenID.String(), string(h.Reason), day(h.PlacedAt), day(h.LiftedAt)}
		},
	}.command(p, &cobra.Command{
		Use: "list", Short: "Legal holds of all citizens, oldest first",
		Long: "With --state standing those that forbid an erasure now. A look is on record.",
		Example: `  coffre holds list --data data --state standing
  coffre holds list --data data --lang nl`,
	})
}

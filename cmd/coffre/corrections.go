package main

import (
	"strconv"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
)

// correctionKinds are what may be corrected.
var correctionKinds = []string{string(contract.CorrectionKindDeathInError), string(contract.CorrectionKindMerge), string(contract.CorrectionKindSeparation)}

func newCorrections(p *program) *cobra.Command {
	return group("corrections", "Correct what the vault says of a person, with two officers",
		`  coffre corrections propose --data data --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 --kind deathInError
  coffre corrections list --data data --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44
  coffre corrections approve --data data --subject second-officer --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 \
      1b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44`,
		newCorrectionsPropose(p), newCorrectionsList(p), newCorrectionsApprove(p))
}

// officersCitizen is a citizen whom an officer names by id.
type officersCitizen struct {
	officer
	citizen string
}

func (c *officersCitizen) flags(cmd *cobra.Command) {
	c.officer.flags(cmd)
	cmd.Flags().StringVar(&c.citizen, "citizen", "", "the citizen's `id` in the vault, as 'coffre citizens find' tells it")
	required(cmd, "citizen")
}

func newCorrectionsPropose(p *program) *cobra.Command {
	var at where
	var of officersCitizen
	var asJSON bool
	var kind, survivor, caseFile string
	cmd := &cobra.Command{
		Use: "propose", Short: "Say what is wrong; another officer decides",
		Long: `Proposes a correction, which another officer has to approve within 30 days. With --kind
deathInError the person lives again in the vault once it is approved; consents and mandates
that the death ended stay ended, and are given anew where they are wanted.

With --kind merge the citizen is the same person as --survivor, because one person got two
numbers: both numbers then lead to the survivor, who has one wallet with all that both had.
With --kind separation a merge is undone; what was recorded meanwhile stays with the survivor.`,
		Example: `  coffre corrections propose --data data --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 --kind deathInError
  coffre corrections propose --data data --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 --kind deathInError --case-file case.txt
  coffre corrections propose --data data --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 --kind merge \
      --survivor 2b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("kind", kind, correctionKinds...); err != nil {
				return err
			}
			id, err := citizenID(of.citizen)
			if err != nil {
				return err
			}
			body := contract.CorrectionPropose{Kind: contract.CorrectionKind(kind)}
			if survivor != "" {
				into, err := citizenID(survivor)
				if err != nil {
					return err
				}
				body.SurvivingCitizenID = &into
			}
			if body.CaseReference, err = p.readCase(caseFile); err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, of.grant(), func(c *client.Client) error {
				r, err := client.Read[contract.Correction](c.ProposeCorrection(cmd.Context(), id, contract.ProposeCorrectionParams{IdempotencyKey: uuid.New()}, body))
				if err != nil {
					return err
				}
				return p.printCorrection(asJSON, r.Body)
			})
		},
	}
	at.flags(cmd)
	of.flags(cmd)
	cmd.Flags().StringVar(&kind, "kind", "", "what is corrected: `deathInError`, merge or separation")
	cmd.Flags().StringVar(&survivor, "survivor", "", "the `id` of the citizen into whom this one is merged, for --kind merge")
	caseFlag(cmd, &caseFile)
	required(cmd, "kind")
	complete(cmd, "kind", correctionKinds...)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newCorrectionsList(p *program) *cobra.Command {
	var at where
	var of officersCitizen
	var asJSON bool
	var lang string
	cmd := &cobra.Command{
		Use: "list", Short: "What was proposed to correct about a citizen, and what became of it",
		Example: `  coffre corrections list --data data --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44
  coffre corrections list --data data --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 --lang fr`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("lang", lang, languages...); err != nil {
				return err
			}
			in := speaker(lang)
			id, err := citizenID(of.citizen)
			if err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, of.grant(), func(c *client.Client) error {
				r, err := client.Read[contract.Corrections](c.ListCorrections(cmd.Context(), id))
				if err != nil {
					return err
				}
				if asJSON {
					return p.printJSON(r.Body)
				}
				if err := p.facts(in.word("citizen"), id.String(), in.word("corrections"), strconv.Itoa(len(r.Body.Items))); err != nil || len(r.Body.Items) == 0 {
					return err
				}
				t := p.table(in.headings("correction", "kind", "state", "proposed by", "proposed", "carried out")...)
				for _, one := range r.Body.Items {
					t.row(one.CorrectionID.String(), in.correctionKind(one.Kind), in.correctionState(one.State), in.readerRole(one.ProposedBy), day(one.ProposedAt), day(one.CompletedAt))
				}
				return t.flush()
			})
		},
	}
	at.flags(cmd)
	of.flags(cmd)
	jsonFlag(cmd, &asJSON)
	langFlag(cmd, &lang)
	return cmd
}

func newCorrectionsApprove(p *program) *cobra.Command {
	var at where
	var of officersCitizen
	var asJSON bool
	cmd := &cobra.Command{
		Use: "approve ID", Short: "A second person agrees, and the correction is carried out",
		Example: `  coffre corrections approve --data data --subject second-officer --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 \
      1b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44`,
		Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := citizenID(of.citizen)
			if err != nil {
				return err
			}
			one, err := parseID("ID", args[0])
			if err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, of.grant(), func(c *client.Client) error {
				r, err := client.Read[contract.Correction](c.ApproveCorrection(cmd.Context(), id, domain.CorrectionID{UUID: one}, contract.ApproveCorrectionParams{IdempotencyKey: uuid.New()}))
				if err != nil {
					return err
				}
				return p.printCorrection(asJSON, r.Body)
			})
		},
	}
	at.flags(cmd)
	of.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (p *program) printCorrection(asJSON bool, c contract.Correction) error {
	return p.print(asJSON, c, "correction", c.CorrectionID.String(), "kind", string(c.Kind), "citizen", c.CitizenID.String(), "survivor", citizenText(c.SurvivingCitizenID), "state", string(c.State),
		"proposed", day(c.ProposedAt), "carried out", day(c.CompletedAt))
}

package main

import (
	"cmp"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

func newInvestigations(p *program) *cobra.Command {
	return group("investigations", "Accesses that stay hidden from the citizen until an investigation is over",
		`  coffre investigations open --data data --organization 0316380841 --purpose schoolAllowance --legal-basis publicTask \
      --deliberation EX-26/012 --reason allowanceFraud --until 2026-12-31
  coffre investigations list --data data --state open
  coffre investigations lift --data data --organization 0316380841 0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44`,
		newInvestigationsOpen(p), newInvestigationsRenew(p), newInvestigationsLift(p), newInvestigationsList(p))
}

// investigator is who asks about investigations: a consumer, or else a privacy officer.
type investigator struct {
	organisation string
	officer      officer
}

func (i *investigator) flags(cmd *cobra.Command, officerToo bool) {
	cmd.Flags().StringVar(&i.organisation, "organization", "", "ask as the consumer with this enterprise `number`")
	if !officerToo {
		required(cmd, "organization")
		return
	}
	i.officer.flags(cmd)
}

func (i *investigator) grant() token.Grant {
	if i.organisation != "" {
		return token.Grant{Role: domain.RoleConsumer, Organisation: domain.Organisation(i.organisation)}
	}
	return i.officer.grant()
}

// readEnd reads when an investigation ends.
func readEnd(text string) (time.Time, error) {
	until, err := ending("until", text)
	if err != nil || until == nil {
		return time.Time{}, cmp.Or(err, usage("--until is needed"))
	}
	return until.UTC(), nil
}

func newInvestigationsOpen(p *program) *cobra.Command {
	var at where
	var me investigator
	var asJSON bool
	var body contract.InvestigationOpen
	var until string
	cmd := &cobra.Command{
		Use: "open", Short: "Open an investigation, as a consumer that the registry lets hide accesses",
		Long: `Opens an investigation for a purpose and a basis by law of which the registry says for how many
days they may hide accesses. A reading that then names it is on record as every other is; the
citizen sees it when the investigation is lifted, or ends. Nothing says whom it is about.`,
		Example: `  coffre investigations open --data data --organization 0316380841 --purpose schoolAllowance --legal-basis publicTask \
      --deliberation EX-26/012 --reason allowanceFraud --until 2026-12-31`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if body.Until, err = readEnd(until); err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
				r, err := client.Read[contract.Investigation](c.OpenInvestigation(cmd.Context(), contract.OpenInvestigationParams{IdempotencyKey: uuid.New()}, body))
				if err != nil {
					return err
				}
				return p.print(asJSON, r.Body, "investigation", r.Body.InvestigationID.String(), "state", string(r.Body.State), "until", day(r.Body.Until))
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd, false)
	cmd.Flags().StringVar((*string)(&body.Purpose), "purpose", "", "`code` of the purpose")
	cmd.Flags().StringVar((*string)(&body.LegalBasis), "legal-basis", "", "`code` of the legal basis")
	cmd.Flags().StringVar((*string)(&body.Deliberation), "deliberation", "", "`number` of the deliberation")
	cmd.Flags().StringVar((*string)(&body.Reason), "reason", "", "`code` of why, which the citizen is told when it is over")
	cmd.Flags().StringVar(&until, "until", "", "ends at this `moment`, or with this day, unless it is renewed")
	required(cmd, "purpose", "legal-basis", "deliberation", "reason", "until")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newInvestigationsRenew(p *program) *cobra.Command {
	var at where
	var me investigator
	var until string
	cmd := &cobra.Command{
		Use: "renew ID", Short: "Let an investigation end later, a day before it ends at the latest",
		Example: `  coffre investigations renew --data data --organization 0316380841 --until 2027-03-31 0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44`,
		Args:    takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID("ID", args[0])
			if err != nil {
				return err
			}
			end, err := readEnd(until)
			if err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
				if _, err := client.Read[client.None](c.RenewInvestigation(cmd.Context(), domain.InvestigationID{UUID: id}, contract.RenewInvestigationParams{IdempotencyKey: uuid.New()}, contract.InvestigationRenew{Until: end})); err != nil {
					return err
				}
				return p.facts("investigation", id.String(), "until", day(end))
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd, false)
	cmd.Flags().StringVar(&until, "until", "", "ends at this `moment`, or with this day, unless it is renewed again")
	required(cmd, "until")
	return cmd
}

func newInvestigationsLift(p *program) *cobra.Command {
	var at where
	var me investigator
	cmd := &cobra.Command{
		Use: "lift ID", Short: "End an investigation: the citizens see what it hid",
		Long: `Lifts an investigation, for good: as the consumer that opened it, or as a privacy officer. Each
access that it hid is shown from now on, with until when it was hidden, and why.`,
		Example: `  coffre investigations lift --data data --organization 0316380841 0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44
  coffre investigations lift --data data --subject anna 0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44`,
		Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID("ID", args[0])
			if err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
				if _, err := client.Read[client.None](c.LiftInvestigation(cmd.Context(), domain.InvestigationID{UUID: id}, contract.LiftInvestigationParams{IdempotencyKey: uuid.New()})); err != nil {
					return err
				}
				return p.facts("investigation", id.String(), "state", "lifted")
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd, true)
	return cmd
}

func newInvestigationsList(p *program) *cobra.Command {
	var at where
	var me investigator
	var asJSON bool
	var state, lang string
	cmd := &cobra.Command{
		Use: "list", Short: "Investigations, oldest first, with how much stands under each and about how many persons",
		Long: `Lists investigations: a consumer's own, or all for a privacy officer. Whom one is about is told to
nobody. An officer's look is on record.`,
		Example: `  coffre investigations list --data data --state open
  coffre investigations list --data data --organization 0316380841 --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("lang", lang, languages...); err != nil {
				return err
			}
			if state != "" {
				if err := oneOf("state", state, string(contract.InvestigationStateLifted), string(contract.InvestigationStateOpen)); err != nil {
					return err
				}
			}
			ask := contract.ListInvestigationsParams{State: contract.InvestigationState(state), Lang: domain.Language(lang), PageSize: 200}
			in := speaker(lang)
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
				t := p.table(in.headings("investigation", "reader", "purpose", "why", "until", "lifted", "times", "citizens")...)
				return printPages(p, asJSON, t, func(after contract.Cursor) ([]contract.Investigation, contract.Cursor, error) {
					ask.After = after
					page, err := client.Read[contract.Investigations](c.ListInvestigations(cmd.Context(), ask))
					return page.Body.Items, page.Body.NextCursor, err
				}, func(one contract.Investigation) {
					t.row(one.InvestigationID.String(), string(one.Organization)+" "+one.OrganizationName, cmp.Or(one.PurposeLabel, string(one.Purpose)), cmp.Or(one.ReasonLabel, string(one.Reason)),
						day(one.Until), day(one.LiftedAt), count(one.Records), count(one.Citizens))
				})
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd, true)
	cmd.Flags().StringVar(&state, "state", "", "only what hides something now (`open`), or no longer (lifted)")
	jsonFlag(cmd, &asJSON)
	langFlag(cmd, &lang)
	return cmd
}

// count says a number that may be absent.
func count(n *int) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(*n)
}

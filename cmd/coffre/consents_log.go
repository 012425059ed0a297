package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
)

// decidedStates and decisions are the values of --state and --decision.
var (
	decidedStates = []string{"requested", "granted", "refused", "withdrawn", "expired", "exhausted"}
	decisions     = []string{"requested", "granted", "refused", "withdrawn"}
)

func newConsentsLog(p *program) *cobra.Command {
	var at where
	var me officer
	var asJSON bool
	var ask contract.ConsentLogQuery
	var ssinFile, citizen, consumer, purpose, basis, documentType, state, stateAt, from, until string
	var asked []string
	cmd := &cobra.Command{
		Use: "log", Short: "Every decision about consents, newest first, as a privacy officer",
		Long: `Searches the consent log: each decision with the state that its consent has now, or had at
--state-at. The search is on record. Above the table stands how many there are in all.`,
		Example: `  coffre consents log --data data --consumer 0203430576 --state withdrawn --from 2026-01-01
  coffre consents log --data data --type householdComposition --state granted --state-at 2026-03-01T12:00:00Z
  coffre consents log --data data --ssin-file ssin.txt --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if state != "" {
				if err := oneOf("state", state, decidedStates...); err != nil {
					return err
				}
			}
			for _, d := range asked {
				if err := oneOf("decision", d, decisions...); err != nil {
					return err
				}
				ask.Decision = append(ask.Decision, contract.ConsentDecision(d))
			}
			if ask.From, err = beginning("from", from); err != nil {
				return err
			}
			if ask.Until, err = ending("until", until); err != nil {
				return err
			}
			if ask.StateAt, err = beginning("state-at", stateAt); err != nil {
				return err
			}
			if consumer != "" {
				if ask.Consumer, err = domain.ParseOrganisation(consumer); err != nil {
					return &exitError{exitUsage, err}
				}
			}
			if citizen != "" {
				id, err := citizenID(citizen)
				if err != nil {
					return err
				}
				ask.CitizenID = &id
			}
			if ssinFile != "" {
				if ask.SSIN, err = (number{ssinFile}).read(p); err != nil {
					return err
				}
			}
			ask.Purpose, ask.LegalBasis, ask.DocumentType, ask.State = domain.Purpose(purpose), domain.LegalBasis(basis), domain.DocumentType(documentType), contract.DecidedState(state)
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
				return p.printConsentLog(cmd.Context(), c, asJSON, ask)
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&ssinFile, "ssin-file", "", "`file` with the SSIN of the citizen; - is standard input")
	_ = cmd.MarkFlagFilename("ssin-file") // only for a flag that is not there
	f.StringVar(&citizen, "citizen", "", "`id` of the citizen, as coffre citizens find tells it")
	f.StringVar(&consumer, "consumer", "", "only consents to this enterprise `number`")
	f.StringVar(&purpose, "purpose", "", "only for this purpose, a `code` of the registry")
	f.StringVar(&basis, "legal-basis", "", "only on this legal basis, a `code` of the registry; consents rest on consent")
	f.StringVar(&documentType, "type", "", "only consents that cover this `type` of document")
	f.StringSliceVar(&asked, "decision", nil, "only these `decisions`: "+strings.Join(decisions, ", "))
	f.StringVar(&state, "state", "", "only consents in this `state`: "+strings.Join(decidedStates, ", "))
	f.StringVar(&stateAt, "state-at", "", "`moment` or day of the states (default: now)")
	f.StringVar(&from, "from", "", "decisions from this `moment` or day on")
	f.StringVar(&until, "until", "", "decisions before this `moment`, or until this day, the day included")
	cmd.MarkFlagsMutuallyExclusive("ssin-file", "citizen")
	complete(cmd, "state", decidedStates...)
	complete(cmd, "decision", decisions...)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// printConsentLog prints the decisions that a search finds; for people after their number.
func (p *program) printConsentLog(ctx context.Context, c *client.Client, asJSON bool, ask contract.ConsentLogQuery) error {
	t := p.table("WHEN", "DECISION", "CONSENT", "CITIZEN", "CONSUMER", "PURPOSE", "BY", "STATE")
	return printPages(p, asJSON, t, func(after contract.Cursor) ([]contract.ConsentLogItem, contract.Cursor, error) {
		page, err := client.Read[contract.ConsentLog](c.QueryConsentLog(ctx, contract.QueryConsentLogParams{PageSize: officersPage, After: after}, ask))
		if err != nil {
			return nil, "", explainWords(ctx, c, err, askedPurpose(string(ask.Purpose)), askedType(string(ask.DocumentType)))
		}
		if n := page.Body.Totals; n != nil && !asJSON {
			fmt.Fprintf(p.Err, "%d decisions about %d consents: %d requested, %d granted, %d refused, %d withdrawn\n\n", n.Decisions, n.Consents, n.Requested, n.Granted, n.Refused, n.Withdrawn)
		}
		return page.Body.Items, page.Body.NextCursor, nil
	}, func(one contract.ConsentLogItem) {
		decision := string(one.Decision)
		if one.Reason != "" {
			decision += " (" + string(one.Reason) + ")"
		}
		t.row(day(one.At), decision, one.ConsentID.String(), one.CitizenID.String(), string(one.Consumer), string(one.Purpose), string(one.Role), string(one.State))
	})
}

func newConsentsHistory(p *program) *cobra.Command {
	var at where
	var person restrictor
	var asJSON bool
	var lang, stateAt string
	cmd := &cobra.Command{
		Use: "history ID", Short: "What was decided about a consent, by whom, and what the citizen was shown",
		Example: `  coffre consents history --data data --ssin-file ssin.txt 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44
  coffre consents history --data data --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 --officer anna --state-at 2026-03-01 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c45`,
		Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID("ID", args[0])
			if err != nil {
				return err
			}
			if err := oneOf("lang", lang, languages...); err != nil {
				return err
			}
			ask := contract.GetConsentHistoryParams{Lang: domain.Language(lang)}
			if ask.StateAt, err = beginning("state-at", stateAt); err != nil {
				return err
			}
			return person.ask(cmd.Context(), p, at, func(c *client.Client, _ domain.CitizenID) error {
				r, err := client.Read[contract.ConsentHistory](c.GetConsentHistory(cmd.Context(), domain.ConsentID{UUID: id}, ask))
				if err != nil {
					return err
				}
				if asJSON {
					return p.printJSON(r.Body)
				}
				return p.printHistory(r.Body)
			})
		},
	}
	at.flags(cmd)
	person.flags(cmd)
	cmd.Flags().StringVar(&stateAt, "state-at", "", "`moment` or day of the state (default: now)")
	jsonFlag(cmd, &asJSON)
	langFlag(cmd, &lang)
	return cmd
}

func (p *program) printHistory(h contract.ConsentHistory) error {
	name := func(id domain.ConsentID) string {
		if id.IsZero() {
			return ""
		}
		return id.String()
	}
	of := h.Consent
	if err := p.facts("consent", of.ConsentID.String(), "state", string(h.State), "at", day(h.StateAt), "consumer", strings.TrimSpace(string(of.Consumer)+" "+of.ConsumerName),
		"purpose", cmp.Or(of.PurposeLabel, string(of.Purpose)), "renews", name(of.Renews), "renewed by", name(h.RenewedBy), "shown", printable(of.ShownText.Text)); err != nil {
		return err
	}
	t := p.table("WHEN", "STEP", "BY", "REASON")
	for _, s := range h.Steps {
		t.row(day(s.At), string(s.Step), string(s.Role), string(s.Reason))
	}
	return t.flush()
}

func newConsentsDisclosures(p *program) *cobra.Command {
	var at where
	var person restrictor
	var asJSON bool
	var lang string
	cmd := &cobra.Command{
		Use: "disclosures ID", Short: "What was disclosed or told under a consent, newest first",
		Example: `  coffre consents disclosures --data data --ssin-file ssin.txt 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44
  coffre consents disclosures --data data --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 --officer anna 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c45`,
		Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID("ID", args[0])
			if err != nil {
				return err
			}
			if err := oneOf("lang", lang, languages...); err != nil {
				return err
			}
			in := speaker(lang)
			return person.ask(cmd.Context(), p, at, func(c *client.Client, _ domain.CitizenID) error {
				t := p.table(in.headings("when", "reader", "what", "purpose", "outcome")...)
				return printPages(p, asJSON, t, func(after contract.Cursor) ([]contract.AccessLogItem, contract.Cursor, error) {
					page, err := client.Read[contract.AccessLog](c.ListConsentDisclosures(cmd.Context(), domain.ConsentID{UUID: id}, contract.ListConsentDisclosuresParams{Lang: domain.Language(lang), PageSize: officersPage, After: after}))
					return page.Body.Items, page.Body.NextCursor, err
				}, func(one contract.AccessLogItem) {
					t.row(day(one.At), in.reader(one), in.read(one), cmp.Or(one.PurposeLabel, string(one.Purpose)), in.outcome(one))
				})
			})
		},
	}
	at.flags(cmd)
	person.flags(cmd)
	jsonFlag(cmd, &asJSON)
	langFlag(cmd, &lang)
	return cmd
}

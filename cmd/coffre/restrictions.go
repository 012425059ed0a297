package main

import (
	"context"
	"strconv"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

func newRestrictions(p *program) *cobra.Command {
	return group("restrictions", "Restrict the processing of a citizen's data to storage (GDPR art. 18)",
		`  coffre restrictions ask --data data --ssin-file ssin.txt --reason accuracyContested
  coffre restrictions list --data data --ssin-file ssin.txt
  coffre restrictions lift --data data --ssin-file ssin.txt 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44`,
		newRestrictionsAsk(p), newRestrictionsList(p), newRestrictionsAll(p), newRestrictionsLift(p))
}

// restrictor is who asks about restrictions: the citizen, or a privacy officer.
type restrictor struct {
	who
	officer string
}

func (r *restrictor) flags(cmd *cobra.Command) {
	r.who.flags(cmd)
	cmd.Flags().StringVar(&r.officer, "officer", "", "with --data and --citizen, the `name` of the privacy officer who asks (default: the citizen does)")
	cmd.MarkFlagsMutuallyExclusive("officer", "ssin-file")
	cmd.MarkFlagsMutuallyExclusive("officer", "url")
}

// ask connects as the citizen or the officer, and calls ask with how the vault names the citizen.
func (r restrictor) ask(ctx context.Context, p *program, at where, ask func(*client.Client, domain.CitizenID) error) error {
	if r.officer == "" {
		return p.asCitizen(ctx, at, r.who, ask)
	}
	id, err := citizenID(r.citizen)
	if err != nil {
		return err
	}
	return p.asks(ctx, at, token.Grant{Role: domain.RolePrivacyOfficer, Subject: r.officer}, func(c *client.Client) error { return ask(c, id) })
}

func newRestrictionsAsk(p *program) *cobra.Command {
	var at where
	var person restrictor
	var asJSON bool
	var document, reason string
	cmd := &cobra.Command{
		Use: "ask", Short: "From now on nothing is disclosed or erased, but as the law lists",
		Long: `Asks that a document, or everything of the citizen, is kept and not disclosed: not under a
consent that was given before, and not under a basis by law, unless the registry says that it
is for a ground of GDPR art. 18(2). The citizen still sees it.`,
		Example: `  coffre restrictions ask --data data --ssin-file ssin.txt --reason accuracyContested
  coffre restrictions ask --data data --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 --officer anna --reason objection \
      --document 0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			body := contract.RestrictionAsk{Reason: domain.ReasonCode(reason)}
			if document != "" {
				id, err := parseID("--document", document)
				if err != nil {
					return err
				}
				body.DocumentID = &domain.DocumentID{UUID: id}
			}
			return person.ask(cmd.Context(), p, at, func(c *client.Client, id domain.CitizenID) error {
				r, err := client.Read[contract.Restriction](c.RestrictProcessing(cmd.Context(), id, contract.RestrictProcessingParams{IdempotencyKey: uuid.New()}, body))
				if err != nil {
					return explainWords(cmd.Context(), c, err, askedReason(contract.ReasonKindRestriction, reason))
				}
				return p.print(asJSON, r.Body, "restriction", r.Body.RestrictionID.String(), "reason", string(r.Body.Reason), "since", day(r.Body.RestrictedAt))
			})
		},
	}
	at.flags(cmd)
	person.flags(cmd)
	cmd.Flags().StringVar(&document, "document", "", "`id` of the one document (default: everything)")
	cmd.Flags().StringVar(&reason, "reason", "", "`code` of why, as the registry has it: accuracyContested, objection...")
	required(cmd, "reason")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newRestrictionsList(p *program) *cobra.Command {
	var at where
	var person restrictor
	var asJSON bool
	var lang string
	cmd := &cobra.Command{
		Use: "list", Short: "Every restriction of a citizen, those lifted included",
		Example: `  coffre restrictions list --data data --ssin-file ssin.txt
  coffre restrictions list --data data --ssin-file ssin.txt --lang nl`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("lang", lang, languages...); err != nil {
				return err
			}
			in := speaker(lang)
			return person.ask(cmd.Context(), p, at, func(c *client.Client, id domain.CitizenID) error {
				all := contract.Restrictions{Self: contract.RestrictionsHref(id), Items: []contract.Restriction{}}
				err := eachPage(func(after contract.Cursor) ([]contract.Restriction, contract.Cursor, error) {
					page, err := client.Read[contract.Restrictions](c.ListRestrictions(cmd.Context(), id, contract.ListRestrictionsParams{After: after, PageSize: 200}))
					return page.Body.Items, page.Body.NextCursor, err
				}, func(r contract.Restriction) error {
					all.Items = append(all.Items, r)
					return nil
				})
				if err != nil {
					return err
				}
				if asJSON {
					return p.printJSON(all)
				}
				if err := p.facts(in.word("citizen"), id.String(), in.word("restrictions"), strconv.Itoa(len(all.Items))); err != nil || len(all.Items) == 0 {
					return err
				}
				t := p.table(in.headings("restriction", "of", "reason", "asked by", "since", "lifted")...)
				for _, one := range all.Items {
					of := in.word("everything")
					if !one.DocumentID.IsZero() {
						of = in.word("document") + " " + one.DocumentID.String()
					}
					t.row(one.RestrictionID.String(), of, string(one.Reason), in.readerRole(one.AskedBy), day(one.RestrictedAt), day(one.LiftedAt))
				}
				return t.flush()
			})
		},
	}
	at.flags(cmd)
	person.flags(cmd)
	jsonFlag(cmd, &asJSON)
	langFlag(cmd, &lang)
	return cmd
}

func newRestrictionsLift(p *program) *cobra.Command {
	var at where
	var person restrictor
	var informed string
	cmd := &cobra.Command{
		Use: "lift ID", Short: "End a restriction",
		Long: `Ends a restriction: the citizen one that the citizen asked for, a privacy officer any, after
telling the citizen (GDPR art. 18(3)) and saying with --informed on which day that was.`,
		Example: `  coffre restrictions lift --data data --ssin-file ssin.txt 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44
  coffre restrictions lift --data data --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 --officer anna --informed 2026-03-01 \
      0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44`,
		Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			one, err := parseID("ID", args[0])
			if err != nil {
				return err
			}
			var body contract.RestrictionLift
			if body.CitizenInformed, err = date("informed", informed); err != nil {
				return err
			}
			return person.ask(cmd.Context(), p, at, func(c *client.Client, id domain.CitizenID) error {
				_, err := client.Read[client.None](c.LiftRestriction(cmd.Context(), id, domain.RestrictionID{UUID: one}, contract.LiftRestrictionParams{IdempotencyKey: uuid.New()}, body))
				if err != nil {
					return err
				}
				return p.facts("restriction", one.String(), "state", "lifted")
			})
		},
	}
	at.flags(cmd)
	person.flags(cmd)
	cmd.Flags().StringVar(&informed, "informed", "", "the `day` on which the privacy officer told the citizen, 2026-03-01")
	return cmd
}

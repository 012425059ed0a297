package main

import (
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
)

func newMandates(p *program) *cobra.Command {
	return group("mandates", "See who acts for whom",
		`  coffre mandates list --data data --ssin-file ssin.txt`,
		newMandatesList(p))
}

func newMandatesList(p *program) *cobra.Command {
	var at where
	var person who
	var asJSON bool
	var lang string
	cmd := &cobra.Command{
		Use: "list", Short: "The mandates in which a citizen represents or is represented",
		Example: `  coffre mandates list --data data --ssin-file ssin.txt
  coffre mandates list --data data --ssin-file ssin.txt --lang nl`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("lang", lang, languages...); err != nil {
				return err
			}
			in := speaker(lang)
			ctx := cmd.Context()
			return p.asCitizen(ctx, at, person, func(c *client.Client, _ domain.CitizenID) error {
				var all []contract.Mandate
				err := eachPage(func(after contract.Cursor) ([]contract.Mandate, contract.Cursor, error) {
					page, err := client.Read[contract.Mandates](c.ListMandates(ctx, contract.ListMandatesParams{PageSize: 200, After: after}))
					return page.Body.Items, page.Body.NextCursor, err
				}, func(m contract.Mandate) error { all = append(all, m); return nil })
				if err != nil {
					return err
				}
				if asJSON {
					return printLines(p, all)
				}
				t := p.table(in.headings("mandate", "kind", "state", "as", "other party", "may", "types", "until", "why")...)
				for _, m := range all {
					other := m.RepresentativeCitizenID
					if m.HeldAs == contract.HeldAsRepresentative {
						other = m.CitizenID
					}
					party := other.String()
					if other.IsZero() { // who did not accept is not told
						party = ""
					}
					types := joined(m.DocumentTypes)
					if types == "" {
						types = in.word("all")
					}
					t.row(m.MandateID.String(), string(m.Kind), in.mandateState(m.State), string(m.HeldAs), party, joined(m.Actions), types, string(m.Until), string(m.Reason))
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

package main

import (
	"cmp"
	"strings"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
)

func newAccesses(p *program) *cobra.Command {
	return group("accesses", "See who read what about a citizen, and why",
		`  coffre accesses list --data data --ssin-file ssin.txt
  coffre accesses list --data data --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 --officer anna`,
		newAccessesList(p))
}

func newAccessesList(p *program) *cobra.Command {
	var at where
	var person restrictor
	var asJSON bool
	var lang, from, until string
	cmd := &cobra.Command{
		Use: "list", Short: "Who read what about a citizen, when, why and under which basis; newest first",
		Long: `Lists who read what about a citizen, was told something of them, looked them up by number, or
was refused: the citizen's own view, which answers "who read my data". With --officer a privacy
officer looks, which is on record.`,
		Example: `  coffre accesses list --data data --ssin-file ssin.txt --lang fr
  coffre accesses list --data data --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 --officer anna
  coffre accesses list --data data --ssin-file ssin.txt --from 2026-03-01 --until 2026-03-31 --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("lang", lang, languages...); err != nil {
				return err
			}
			ask := contract.GetAccessLogParams{Lang: domain.Language(lang), PageSize: 200}
			var err error
			if ask.From, err = beginning("from", from); err != nil {
				return err
			}
			if ask.Until, err = ending("until", until); err != nil {
				return err
			}
			in := speaker(lang)
			return person.ask(cmd.Context(), p, at, func(c *client.Client, id domain.CitizenID) error {
				t := p.table(in.headings("when", "reader", "what", "purpose", "basis", "outcome")...)
				return printPages(p, asJSON, t, func(after contract.Cursor) ([]contract.AccessLogItem, contract.Cursor, error) {
					ask.After = after
					page, err := client.Read[contract.AccessLog](c.GetAccessLog(cmd.Context(), id, ask))
					return page.Body.Items, page.Body.NextCursor, err
				}, func(one contract.AccessLogItem) {
					t.row(day(one.At), in.reader(one), in.read(one), cmp.Or(one.PurposeLabel, string(one.Purpose)), in.basis(one), in.outcome(one))
				})
			})
		},
	}
	at.flags(cmd)
	person.flags(cmd)
	cmd.Flags().StringVar(&from, "from", "", "from this `moment` or day on")
	cmd.Flags().StringVar(&until, "until", "", "before this `moment`, or until this day, the day included")
	jsonFlag(cmd, &asJSON)
	langFlag(cmd, &lang)
	return cmd
}

// reader says who read: an organisation by number and name, anybody else by their role.
func (s speaker) reader(one contract.AccessLogItem) string {
	who := strings.TrimSpace(string(one.Organization) + " " + one.OrganizationName)
	switch {
	case who == "" && !one.ReaderCitizenID.IsZero():
		who = s.readerRole(one.Role) + " " + one.ReaderCitizenID.String()[:8]
	case who == "":
		who = s.readerRole(one.Role)
	}
	if one.OnBehalfOf != "" && one.OnBehalfOf != one.Organization {
		who += " (" + string(one.OnBehalfOf) + ")"
	}
	return who
}

// read says what was read: a document, a question about one, or else the kind of access.
func (s speaker) read(one contract.AccessLogItem) string {
	what := cmp.Or(one.Label, string(one.DocumentType))
	detail := joined(one.Fields)
	if one.Predicate != "" {
		detail = string(one.Predicate)
	}
	if what == "" || one.Kind != contract.AccessKindDocument && one.Kind != contract.AccessKindPredicate {
		what = strings.TrimSpace(s.accessKind(one.Kind) + " " + what)
	}
	if detail != "" {
		what += " (" + detail + ")"
	}
	return what
}

// basis says under what it was read: a consent by the beginning of its id, or a ground of the
// law with its deliberation.
func (s speaker) basis(one contract.AccessLogItem) string {
	if !one.ConsentID.IsZero() {
		return s.word("consent") + " " + one.ConsentID.String()[:8]
	}
	return strings.TrimSpace(string(one.LegalBasis) + " " + string(one.Deliberation))
}

// outcome says how it ended, and why where it was refused.
func (s speaker) outcome(one contract.AccessLogItem) string {
	said := s.accessOutcome(one.Outcome)
	if one.Reason != "" {
		said += ": " + string(one.Reason)
	}
	return said
}

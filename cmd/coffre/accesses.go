package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
)

func newAccesses(p *program) *cobra.Command {
	return group("accesses", "See who read what about a citizen, and why",
		`  coffre accesses list --data data --ssin-file ssin.txt
  coffre accesses groups --data data --ssin-file ssin.txt --from 2026-05-01 --until 2026-05-31
  coffre accesses list --data data --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 --officer anna`,
		newAccessesList(p), newAccessesGroups(p), newAccessesAffected(p))
}

// accessLists are the lists into which an access log falls.
var accessLists = []string{string(contract.AccessListAccesses), string(contract.AccessListTold), string(contract.AccessListRefused)}

// accessPeriod is which part of an access log is asked for.
type accessPeriod struct{ list, from, until string }

func (a *accessPeriod) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.list, "list", "", "only what was opened (`accesses`), only told (told) or refused (refused)")
	cmd.Flags().StringVar(&a.from, "from", "", "from this `moment` or day on")
	cmd.Flags().StringVar(&a.until, "until", "", "before this `moment`, or until this day, the day included")
}

// read returns what was asked for.
func (a accessPeriod) read() (list contract.AccessList, from, until *time.Time, err error) {
	if a.list != "" {
		if err := oneOf("list", a.list, accessLists...); err != nil {
			return "", nil, nil, err
		}
	}
	if from, err = beginning("from", a.from); err != nil {
		return "", nil, nil, err
	}
	until, err = ending("until", a.until)
	return contract.AccessList(a.list), from, until, err
}

func newAccessesList(p *program) *cobra.Command {
	var at where
	var person restrictor
	var asJSON bool
	var lang string
	var period accessPeriod
	cmd := &cobra.Command{
		Use: "list", Short: "Who read what about a citizen, when, why and under which basis; newest first",
		Long: `Lists who read what about a citizen, was told something of them, looked them up by number, or
was refused: the citizen's own view, which answers "who read my data". Below the table stands
since when it is complete, and how often something was read in the last 30 days. With --officer
a privacy officer looks, which is on record.`,
		Example: `  coffre accesses list --data data --ssin-file ssin.txt --lang fr
  coffre accesses list --data data --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 --officer anna
  coffre accesses list --data data --ssin-file ssin.txt --list refused
  coffre accesses list --data data --ssin-file ssin.txt --from 2026-03-01 --until 2026-03-31 --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("lang", lang, languages...); err != nil {
				return err
			}
			ask := contract.GetAccessLogParams{Lang: domain.Language(lang), PageSize: 200}
			var err error
			if ask.List, ask.From, ask.Until, err = period.read(); err != nil {
				return err
			}
			in := speaker(lang)
			return person.ask(cmd.Context(), p, at, func(c *client.Client, id domain.CitizenID) error {
				t := p.table(in.headings("when", "reader", "what", "purpose", "basis", "outcome", "entry")...)
				var coverage contract.AccessCoverage
				err := printPages(p, asJSON, t, func(after contract.Cursor) ([]contract.AccessLogItem, contract.Cursor, error) {
					ask.After = after
					page, err := client.Read[contract.AccessLog](c.GetAccessLog(cmd.Context(), id, ask))
					coverage = page.Body.Coverage
					return page.Body.Items, page.Body.NextCursor, err
				}, func(one contract.AccessLogItem) {
					t.row(day(one.At), in.reader(one), in.read(one), cmp.Or(one.PurposeLabel, string(one.Purpose)), in.basis(one), in.outcome(one), one.EntryID.String())
				})
				if err != nil || asJSON {
					return err
				}
				_, err = fmt.Fprintf(p.Out, "\n%s\n", in.coverage(coverage))
				return err
			})
		},
	}
	at.flags(cmd)
	person.flags(cmd)
	period.flags(cmd)
	jsonFlag(cmd, &asJSON)
	langFlag(cmd, &lang)
	return cmd
}

func newAccessesGroups(p *program) *cobra.Command {
	var at where
	var person restrictor
	var asJSON bool
	var lang string
	var period accessPeriod
	cmd := &cobra.Command{
		Use: "groups", Short: "The same with what repeats grouped: how often, from when to when",
		Long: `Lists who read what about a citizen with what repeats in one line: the same reader, the same
data, the same reason and outcome. With --officer a privacy officer looks, which is on record.`,
		Example: `  coffre accesses groups --data data --ssin-file ssin.txt --from 2026-05-01 --until 2026-05-31
  coffre accesses groups --data data --ssin-file ssin.txt --list told --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("lang", lang, languages...); err != nil {
				return err
			}
			ask := contract.ListAccessGroupsParams{Lang: domain.Language(lang), PageSize: 200}
			var err error
			if ask.List, ask.From, ask.Until, err = period.read(); err != nil {
				return err
			}
			in := speaker(lang)
			return person.ask(cmd.Context(), p, at, func(c *client.Client, id domain.CitizenID) error {
				t := p.table(in.headings("times", "from", "until", "reader", "what", "purpose", "basis", "outcome")...)
				return printPages(p, asJSON, t, func(after contract.Cursor) ([]contract.AccessGroup, contract.Cursor, error) {
					ask.After = after
					page, err := client.Read[contract.AccessGroups](c.ListAccessGroups(cmd.Context(), id, ask))
					return page.Body.Items, page.Body.NextCursor, err
				}, func(g contract.AccessGroup) {
					one := contract.AccessLogItem{
						Role: g.Role, Organization: g.Organization, OrganizationName: g.OrganizationName, OnBehalfOf: g.OnBehalfOf, OnBehalfOfName: g.OnBehalfOfName, ReaderCitizenID: g.ReaderCitizenID,
						Kind: g.Kind, DocumentType: g.DocumentType, Label: g.Label, Fields: g.Fields, Predicate: g.Predicate,
						ConsentID: g.ConsentID, LegalBasis: g.LegalBasis, LegalBasisLabel: g.LegalBasisLabel, Deliberation: g.Deliberation, Outcome: g.Outcome, Reason: g.Reason, Hidden: g.Hidden,
					}
					t.row(strconv.Itoa(g.Count), day(g.FirstAt), day(g.LastAt), in.reader(one), in.read(one), cmp.Or(g.PurposeLabel, string(g.Purpose)), in.basis(one), in.outcome(one))
				})
			})
		},
	}
	at.flags(cmd)
	person.flags(cmd)
	period.flags(cmd)
	jsonFlag(cmd, &asJSON)
	langFlag(cmd, &lang)
	return cmd
}

// coverage says since when an access log is complete, and how often something was read of late.
func (s speaker) coverage(c contract.AccessCoverage) string {
	said := fmt.Sprintf(s.word("In the last %d days: opened %d, only told %d, refused %d."), c.LastDays, c.Accesses, c.Told, c.Refused)
	if c.Accesses+c.Told+c.Refused == 0 {
		said = fmt.Sprintf(s.word("Nobody read or asked anything in the last %d days."), c.LastDays)
	}
	if !c.CompleteSince.IsZero() {
		said += " " + fmt.Sprintf(s.word("Complete since %s."), day(c.CompleteSince))
	}
	return said + " " + s.word("What an investigation may hide for a time is shown when it is over.")
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
		who += " (" + s.word("for") + " " + strings.TrimSpace(string(one.OnBehalfOf)+" "+one.OnBehalfOfName) + ")"
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
	return strings.TrimSpace(cmp.Or(one.LegalBasisLabel, string(one.LegalBasis)) + " " + string(one.Deliberation))
}

// outcome says how it ended, and why where it was refused.
func (s speaker) outcome(one contract.AccessLogItem) string {
	said := s.accessOutcome(one.Outcome)
	if one.Reason != "" {
		said += ": " + string(one.Reason)
	}
	if h := one.Hidden; !h.InvestigationID.IsZero() {
		said += ", " + fmt.Sprintf(s.word("hidden until %s: %s"), day(h.Until), cmp.Or(h.ReasonLabel, string(h.Reason)))
	}
	return said
}

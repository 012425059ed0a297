package main

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
)

func newFigures(p *program) *cobra.Command {
	var at where
	var me officer
	var asJSON, asCSV, byWeek bool
	var year int
	cmd := &cobra.Command{
		Use: "figures", Short: "How many consents there are, and accesses there were, telling of nobody",
		Long: `Counts consents by state, consumer, purpose and how long before its withdrawal one was last used,
and the accesses of a year by legal basis, consumer and procedure, with the questions that were not
put to citizens, and what was refused of it. With --by-week each group is divided by weeks, which
their Mondays name; of the consents then those that were granted or ended in the year. No group has fewer than ten people: smaller ones are put together with others, and
a * stands for the words over which they were. A look is on record.`,
		Example: `  coffre figures --data data
  coffre figures --data data --year 2026 --csv > figures.csv
  coffre figures --data data --by-week
  coffre figures --url https://vault.example --token-file t --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ask := contract.GetFiguresParams{Year: year}
			if byWeek {
				ask.By = contract.FigureDivisionWeek
			}
			if asCSV {
				ask.Format = contract.FigureFormatCsv
			}
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
				if asCSV {
					r, err := c.GetFigures(cmd.Context(), ask)
					return p.passCSV("figures", r, err)
				}
				r, err := client.Read[contract.Figures](c.GetFigures(cmd.Context(), ask))
				if err != nil {
					return err
				}
				if asJSON {
					return p.printJSON(r.Body)
				}
				return p.printFigures(r.Body, byWeek)
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	cmd.Flags().IntVar(&year, "year", 0, "`year` of the accesses (default: this one)")
	cmd.Flags().BoolVar(&asCSV, "csv", false, "a line of CSV for each group")
	cmd.Flags().BoolVar(&byWeek, "by-week", false, "divide each group by weeks")
	jsonFlag(cmd, &asJSON)
	cmd.MarkFlagsMutuallyExclusive("csv", "json")
	return cmd
}

func (p *program) printFigures(f contract.Figures, byWeek bool) error {
	headings := func(weeks []string, all ...string) []string {
		if byWeek {
			all = append(all, weeks...)
		}
		return all
	}
	inWeek := func(g contract.FigureGroup, key contract.FigureKey, week domain.Date) []string {
		return []string{or(g, key, string(week))}
	}
	consents := p.table(headings([]string{"ENDED IN WEEK OF", "GRANTED IN WEEK OF"}, "CONSENTS", "STATE", "LAST READ", "CONSUMER", "PURPOSE")...)
	for _, g := range f.Consents.Groups {
		weeks := append(inWeek(g, contract.FigureKeyEndedWeek, g.EndedWeek), inWeek(g, contract.FigureKeyGrantedWeek, g.GrantedWeek)...)
		consents.row(headings(weeks, strconv.FormatInt(g.Count, 10), or(g, contract.FigureKeyState, string(g.State)), or(g, contract.FigureKeyLastRead, string(g.LastRead)),
			or(g, contract.FigureKeyConsumer, string(g.Consumer)), or(g, contract.FigureKeyPurpose, string(g.Purpose)))...)
	}
	if err := consents.flush(); err != nil {
		return err
	}
	fmt.Fprintf(p.Out, "%d consents; groups have %d people or more\n\n", f.Consents.Total, f.MinPeople)
	accesses := p.table(headings([]string{"IN WEEK OF"}, "ACCESSES", "KIND", "LEGAL BASIS", "CONSUMER", "PROCEDURE", "QUESTIONS NOT ASKED")...)
	for _, g := range f.Accesses.Groups {
		questions := ""
		if g.QuestionsNotAsked > 0 {
			questions = strconv.FormatInt(g.QuestionsNotAsked, 10)
		}
		accesses.row(headings(inWeek(g, contract.FigureKeyWeek, g.Week), strconv.FormatInt(g.Count, 10), or(g, contract.FigureKeyKind, string(g.Kind)), or(g, contract.FigureKeyLegalBasis, string(g.LegalBasis)),
			or(g, contract.FigureKeyConsumer, string(g.Consumer)), or(g, contract.FigureKeyProcedure, string(g.Procedure)), questions)...)
	}
	if err := accesses.flush(); err != nil {
		return err
	}
	after := "no consent was used after it was withdrawn"
	if f.ReadAfterWithdrawal {
		after = "a consent WAS USED AFTER it was withdrawn"
	}
	fmt.Fprintf(p.Out, "%d accesses in %d; %s\n\n", f.Accesses.Total, f.Year, after)
	refusals := p.table(headings([]string{"IN WEEK OF"}, "REFUSALS", "REASON", "CONSUMER")...)
	for _, g := range f.Refusals.Groups {
		refusals.row(headings(inWeek(g, contract.FigureKeyWeek, g.Week), strconv.FormatInt(g.Count, 10), or(g, contract.FigureKeyReason, string(g.Reason)), or(g, contract.FigureKeyConsumer, string(g.Consumer)))...)
	}
	if err := refusals.flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(p.Out, "%d refusals about citizens in %d\n", f.Refusals.Total, f.Year)
	return err
}

// or returns a word of a group, and * where the group was put together over it.
func or(g contract.FigureGroup, key contract.FigureKey, word string) string {
	if slices.Contains(g.PutTogether, key) {
		return "*"
	}
	return word
}

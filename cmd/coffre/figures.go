package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/cmd/coffre/files"
	"coffre/handlers/contract"
)

func newFigures(p *program) *cobra.Command {
	var at where
	var me officer
	var asJSON, asCSV bool
	var year int
	cmd := &cobra.Command{
		Use: "figures", Short: "How many consents there are, and accesses there were, telling of nobody",
		Long: `Counts consents by state, consumer, purpose and how long before its withdrawal one was last used,
and the accesses of a year by legal basis, consumer and procedure, with the questions that were not
put to citizens. No group has fewer than ten people: smaller ones are put together with others, and
a * stands for the words over which they were. A look is on record.`,
		Example: `  coffre figures --data data
  coffre figures --data data --year 2026 --csv > figures.csv
  coffre figures --url https://vault.example --token-file t --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ask := contract.GetFiguresParams{Year: year}
			if asCSV {
				ask.Format = contract.FigureFormatCsv
			}
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) (err error) {
				if asCSV {
					body, err := client.Stream(c.GetFigures(cmd.Context(), ask))
					if err != nil {
						return err
					}
					defer func() { err = errors.Join(err, body.Close()) }()
					if _, err := io.Copy(p.Out, body); err != nil {
						return fmt.Errorf("fetch the figures: %w", files.Cause(err))
					}
					return nil
				}
				r, err := client.Read[contract.Figures](c.GetFigures(cmd.Context(), ask))
				if err != nil {
					return err
				}
				if asJSON {
					return p.printJSON(r.Body)
				}
				return p.printFigures(r.Body)
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	cmd.Flags().IntVar(&year, "year", 0, "`year` of the accesses (default: this one)")
	cmd.Flags().BoolVar(&asCSV, "csv", false, "a line of CSV for each group")
	jsonFlag(cmd, &asJSON)
	cmd.MarkFlagsMutuallyExclusive("csv", "json")
	return cmd
}

func (p *program) printFigures(f contract.Figures) error {
	consents := p.table("CONSENTS", "STATE", "LAST READ", "CONSUMER", "PURPOSE")
	for _, g := range f.Consents.Groups {
		consents.row(strconv.FormatInt(g.Count, 10), or(g, contract.FigureKeyState, string(g.State)), or(g, contract.FigureKeyLastRead, string(g.LastRead)),
			or(g, contract.FigureKeyConsumer, string(g.Consumer)), or(g, contract.FigureKeyPurpose, string(g.Purpose)))
	}
	if err := consents.flush(); err != nil {
		return err
	}
	fmt.Fprintf(p.Out, "%d consents; groups have %d people or more\n\n", f.Consents.Total, f.MinPeople)
	accesses := p.table("ACCESSES", "KIND", "LEGAL BASIS", "CONSUMER", "PROCEDURE", "QUESTIONS NOT ASKED")
	for _, g := range f.Accesses.Groups {
		questions := ""
		if g.QuestionsNotAsked > 0 {
			questions = strconv.FormatInt(g.QuestionsNotAsked, 10)
		}
		accesses.row(strconv.FormatInt(g.Count, 10), or(g, contract.FigureKeyKind, string(g.Kind)), or(g, contract.FigureKeyLegalBasis, string(g.LegalBasis)),
			or(g, contract.FigureKeyConsumer, string(g.Consumer)), or(g, contract.FigureKeyProcedure, string(g.Procedure)), questions)
	}
	if err := accesses.flush(); err != nil {
		return err
	}
	after := "no consent was used after it was withdrawn"
	if f.ReadAfterWithdrawal {
		after = "a consent WAS USED AFTER it was withdrawn"
	}
	_, err := fmt.Fprintf(p.Out, "%d accesses in %d; %s\n", f.Accesses.Total, f.Year, after)
	return err
}

// or returns a word of a group, and * where the group was put together over it.
func or(g contract.FigureGroup, key contract.FigureKey, word string) string {
	if slices.Contains(g.PutTogether, key) {
		return "*"
	}
	return word
}

package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
)

func newAccessesAffected(p *program) *cobra.Command {
	var at where
	var me officer
	var asJSON bool
	var documentType, consumer, from, until, asOf, reason string
	cmd := &cobra.Command{
		Use: "affected --type TYPE --consumer NUMBER --from DAY --until DAY --reason CODE", Short: "Whose documents of a type went to an organisation, as after a breach",
		Long: `Lists everyone whose documents of a type went to an organisation in a time, or may have gone
there: by reference, with how many accesses there were. Who was erased since is counted above the
table, with the number of events of the log that the answer tells of. The question is on record with
its reason before anything is told. coffre export accessLog has the accesses themselves.`,
		Example: `  coffre accesses affected --data data --type householdComposition --consumer 0203430576 --from 2026-01-01 --until 2026-01-31 --reason audit
  coffre accesses affected --data data --type diploma --consumer 0316380841 --from 2026-01-01T08:00:00Z --until 2026-01-01T12:00:00Z --as-of 2026-02-01 --reason audit --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ask := contract.AffectedPersonsQuery{DocumentType: domain.DocumentType(documentType), Reason: domain.ReasonCode(reason)}
			var err error
			if ask.Consumer, err = domain.ParseOrganisation(consumer); err != nil {
				return &exitError{exitUsage, err}
			}
			begin, err := beginning("from", from)
			if err != nil {
				return err
			}
			end, err := ending("until", until)
			if err != nil {
				return err
			}
			if begin == nil || end == nil {
				return usage("--from and --until name a day or a moment")
			}
			ask.From, ask.Until = *begin, *end
			if ask.AsOf, err = knownAt("as-of", asOf, time.Now()); err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
				t := p.table("CITIZEN REFERENCE", "ACCESSES", "NOT KNOWN TO BE DISCLOSED", "FIRST", "LAST")
				return printPages(p, asJSON, t, func(after contract.Cursor) ([]contract.AffectedPerson, contract.Cursor, error) {
					page, err := client.Read[contract.AffectedPersons](c.QueryAffectedPersons(cmd.Context(), contract.QueryAffectedPersonsParams{PageSize: officersPage, After: after}, ask))
					if err != nil {
						return nil, "", explainWords(cmd.Context(), c, err, askedType(documentType))
					}
					if n := page.Body.Totals; n != nil {
						fmt.Fprintf(p.Err, "%d persons, and %d who were erased since; %d accesses, of which %d may have been disclosed; by the first %d events of the log\n\n", n.Persons, n.Erased, n.Accesses, n.MayHaveBeenDisclosed, page.Body.Events)
					}
					return page.Body.Items, page.Body.NextCursor, nil
				}, func(one contract.AffectedPerson) {
					t.row(one.CitizenRef.String(), strconv.Itoa(one.Accesses), strconv.Itoa(one.MayHaveBeenDisclosed), day(one.FirstAt), day(one.LastAt))
				})
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&documentType, "type", "", "`type` of the documents, a code of the registry")
	f.StringVar(&consumer, "consumer", "", "enterprise `number` of the organisation that they went to")
	f.StringVar(&from, "from", "", "authorised from this `moment` or day on")
	f.StringVar(&until, "until", "", "authorised before this `moment`, or until this day, the day included")
	f.StringVar(&asOf, "as-of", "", "what the vault knew at this `moment` or the end of this day (default: now)")
	f.StringVar(&reason, "reason", "", "why you ask, a `code` of the registry")
	required(cmd, "type", "consumer", "from", "until", "reason")
	jsonFlag(cmd, &asJSON)
	return cmd
}

package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/cmd/coffre/files"
	"coffre/domain"
	"coffre/handlers/contract"
)

// reportFormats are the forms of a report.
var reportFormats = []string{string(contract.ReportFormatJSON), string(contract.ReportFormatHTML), string(contract.ReportFormatPdf)}

func newCitizensReport(p *program) *cobra.Command {
	var at where
	var person restrictor
	out := output{pipe: true}
	var lang, format string
	cmd := &cobra.Command{
		Use: "report --out FILE", Short: "Everything that the vault holds about a citizen (GDPR art. 15)",
		Long: `Makes the report of a request for access by the person whom the data are about: documents in all
their versions, consents, mandates, every reading, holds, restrictions and erasures. It is one
object of JSON, a page that screen readers lead through (html) or a file to keep (pdf), and is put
at --out: whole or not at all, readable by its owner only; --out - is standard output. The citizen
asks for it; with --officer a privacy officer does, for them. That it was made is on record before
anything is opened, and the citizen sees it in their access log.`,
		Example: `  coffre citizens report --data data --ssin-file ssin.txt --lang fr --format html --out report.html
  coffre citizens report --data data --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 --officer anna --out report.json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("lang", lang, languages...); err != nil {
				return err
			}
			if err := oneOf("format", format, reportFormats...); err != nil {
				return err
			}
			if err := out.check(); err != nil {
				return err
			}
			return person.ask(cmd.Context(), p, at, func(c *client.Client, id domain.CitizenID) (err error) {
				body, err := client.Stream(c.SubjectAccessReport(cmd.Context(), id, contract.SubjectAccessReportParams{IdempotencyKey: uuid.New()}, contract.SubjectAccessRequest{Lang: domain.Language(lang), Format: contract.ReportFormat(format)}))
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(err, body.Close()) }()
				copied := func(w io.Writer) error {
					if _, err := io.Copy(w, body); err != nil {
						return fmt.Errorf("fetch the report: %w", files.Cause(err))
					}
					return nil
				}
				if out.toPipe() {
					return copied(p.Out)
				}
				if err := out.write(copied); err != nil {
					return err
				}
				return p.facts("citizen", id.String(), "file", out.name)
			})
		},
	}
	at.flags(cmd)
	person.flags(cmd)
	out.flags(cmd)
	langFlag(cmd, &lang)
	cmd.Flags().StringVar(&format, "format", "json", strings.Join(reportFormats, ", "))
	complete(cmd, "format", reportFormats...)
	return cmd
}

package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/cmd/coffre/files"
	"coffre/domain"
	"coffre/handlers/contract"
)

func newRegistryProcessing(p *program) *cobra.Command {
	var at where
	var me officer
	out := output{pipe: true}
	var lang, format string
	cmd := &cobra.Command{
		Use: "processing --out FILE", Short: "The register of processing (GDPR art. 30), and what is kept where",
		Long: `Makes the register of processing activities from the registry in force: for each type of document
who keeps it, whom it is about, which categories of data it has, who may read it and how long it is
kept; for each registration of a consumer what it reads, why and on which basis. An annex for a
data-protection impact assessment says what the vault keeps where, under which keys and until when.
It is one object of JSON, a page that screen readers lead through (html) or a file to keep (pdf),
and is put at --out: whole or not at all; --out - is standard output. It tells of nobody.`,
		Example: `  coffre registry processing --data data --lang nl --format html --out register.html
  coffre registry processing --data data --out - | head -c 300`,
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
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) (err error) {
				body, err := client.Stream(c.GetProcessingRegister(cmd.Context(), contract.GetProcessingRegisterParams{Lang: domain.Language(lang), Format: contract.ReportFormat(format)}))
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(err, body.Close()) }()
				copied := func(w io.Writer) error {
					if _, err := io.Copy(w, body); err != nil {
						return fmt.Errorf("fetch the register: %w", files.Cause(err))
					}
					return nil
				}
				if out.toPipe() {
					return copied(p.Out)
				}
				if err := out.write(copied); err != nil {
					return err
				}
				return p.facts("file", out.name)
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	out.flags(cmd)
	langFlag(cmd, &lang)
	cmd.Flags().StringVar(&format, "format", "json", strings.Join(reportFormats, ", "))
	complete(cmd, "format", reportFormats...)
	return cmd
}

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
)

func newExport(p *program) *cobra.Command {
	return group("export", "Export records for privacy officers",
		`  coffre export consentLog --data data --format csv --out consents.csv`,
		newExportConsentLog(p), newExportList(p))
}

func newExportConsentLog(p *program) *cobra.Command {
	var at where
	var me officer
	var asJSON bool
	out := output{pipe: true}
	var format, consumer, purpose, from, until, reason string
	cmd := &cobra.Command{
		Use: "consentLog --out FILE", Short: "Every decision about consents, as a file",
		Long: `Makes an export, waits for it, checks its hash and puts it at --out: whole or not at all,
readable by its owner only. --out - is standard output. That the export was made is on record.
CSV is for programs: values that a spreadsheet would take for a formula are neutralised, but one
that opens it may drop the zero that an enterprise number begins with. xlsx is for spreadsheets.`,
		Example: `  coffre export consentLog --data data --format csv --out consents.csv
  coffre export consentLog --data data --format jsonl --consumer 0316380841 --from 2026-01-01 --until 2026-01-31 --out january.jsonl`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("format", format, "csv", "jsonl", "xlsx"); err != nil {
				return err
			}
			if err := out.check(); err != nil {
				return err
			}
			ask := contract.ExportCreate{Kind: contract.ExportKindConsentLog, Format: contract.ExportFormat(format), Purpose: domain.Purpose(purpose), Reason: domain.ReasonCode(reason)}
			var err error
			if ask.From, err = beginning("from", from); err != nil {
				return err
			}
			if ask.Until, err = ending("until", until); err != nil {
				return err
			}
			if consumer != "" {
				if ask.Consumer, err = domain.ParseOrganisation(consumer); err != nil {
					return &exitError{exitUsage, err}
				}
			}
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
				done, err := p.export(cmd.Context(), c, ask, out)
				if err != nil {
					return err
				}
				words := p.terminal
				if out.toPipe() { // the data went to standard output
					words.Out = p.Err
				}
				q := &program{terminal: words}
				return q.print(asJSON, done, "export", done.ExportID.String(), "rows", strconv.FormatInt(orZero(done.Rows), 10), "sha256", done.Sha256, "file", out.name)
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&format, "format", "csv", "csv, jsonl or xlsx")
	out.flags(cmd)
	f.StringVar(&consumer, "consumer", "", "only consents of this enterprise `number`")
	f.StringVar(&purpose, "purpose", "", "only this purpose, a `code` of the registry")
	f.StringVar(&from, "from", "", "decisions from this `moment` or day on")
	f.StringVar(&until, "until", "", "decisions before this `moment`, or until this day, the day included")
	f.StringVar(&reason, "reason", "", "`code` of why it is made, as the registry has it")
	complete(cmd, "format", "csv", "jsonl", "xlsx")
	jsonFlag(cmd, &asJSON)
	return cmd
}

var errHash = errors.New("the file that came is not the one the vault made: its hash differs")

// export has a file made, waits for it and writes it to out.
func (p *program) export(ctx context.Context, c *client.Client, ask contract.ExportCreate, out output) (contract.Export, error) {
	begun, err := client.Read[contract.Export](c.CreateExport(ctx, contract.CreateExportParams{IdempotencyKey: uuid.New()}, ask))
	if err != nil {
		return contract.Export{}, explainWords(ctx, c, err, askedPurpose(string(ask.Purpose)))
	}
	file := begun.Body
	bar := p.progress(-1, "export", false)
	defer bar.Done()
	if err := poll(ctx, func() (bool, time.Time, error) {
		now, err := client.Read[contract.Export](c.GetExport(ctx, file.ExportID))
		if err != nil {
			return false, time.Time{}, err
		}
		bar.Add(max(0, orZero(now.Body.Rows)-orZero(file.Rows)))
		file = now.Body
		return finished(file.Status)
	}); err != nil {
		return contract.Export{}, err
	}
	bar.Done()
	content, err := client.Stream(c.GetExportContent(ctx, file.ExportID))
	if err != nil {
		return contract.Export{}, err
	}
	defer content.Close()
	fetch := func(w io.Writer) error {
		sum := sha256.New()
		if _, err := io.Copy(io.MultiWriter(w, sum), content); err != nil {
			return fmt.Errorf("fetch the export: %w", err)
		}
		if file.Sha256 != "" && hex.EncodeToString(sum.Sum(nil)) != file.Sha256 {
			return errHash
		}
		return nil
	}
	if out.toPipe() {
		return file, fetch(p.Out)
	}
	return file, out.write(fetch)
}

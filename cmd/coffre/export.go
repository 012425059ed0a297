package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
)

func newExport(p *program) *cobra.Command {
	return group("export", "Export records for privacy officers",
		`  coffre export consentLog --data data --format csv --reason audit --out consents.csv
  coffre export verify consents.csv --key keys.json`,
		newExportConsentLog(p), newExportRegister(p), newExportAccessLog(p), newExportRefusals(p), newExportAuditTrail(p),
		newExportList(p), newExportCancel(p), newExportVerify(p))
}

// asked holds the flags that say what an export is of.
type asked struct {
	format, dialect, separator                   string
	citizen, ref, ssinFile                       string
	consumer, purpose, from, until, asOf, reason string
}

func (a *asked) flags(cmd *cobra.Command, when string) {
	f := cmd.Flags()
	f.StringVar(&a.format, "format", "csv", "csv, jsonl, xlsx or parquet")
	f.StringVar(&a.dialect, "dialect", "", "of CSV: standard, or spreadsheet, which keeps the zeros that numbers begin with")
	f.StringVar(&a.separator, "separator", "", "of CSV: comma, semicolon or tab")
	f.StringVar(&a.citizen, "citizen", "", "only what concerns the citizen of this `id` in the vault")
	f.StringVar(&a.ref, "citizen-ref", "", "only what concerns the citizen whom an export names by this `reference`")
	f.StringVar(&a.ssinFile, "ssin-file", "", "only what concerns the citizen whose SSIN stands in this `file`; - is standard input")
	f.StringVar(&a.consumer, "consumer", "", "only what concerns the organisation of this enterprise `number`")
	f.StringVar(&a.purpose, "purpose", "", "only this purpose, a `code` of the registry")
	f.StringVar(&a.from, "from", "", "from this `moment` or day on, "+when)
	f.StringVar(&a.until, "until", "", "before this `moment`, or until this day, the day included, "+when)
	f.StringVar(&a.asOf, "as-of", "", "what the vault knew at this `moment`, or at the end of this day")
	f.StringVar(&a.reason, "reason", "", "`code` of why it is made, as the registry has it")
	required(cmd, "reason")
	cmd.MarkFlagsMutuallyExclusive("citizen", "citizen-ref", "ssin-file")
	_ = cmd.MarkFlagFilename("ssin-file") // only for a flag that is not there
	complete(cmd, "format", "csv", "jsonl", "xlsx", "parquet")
	complete(cmd, "dialect", "standard", "spreadsheet")
	complete(cmd, "separator", "comma", "semicolon", "tab")
}

// request returns the export that the flags ask for.
func (a *asked) request(p *program, kind contract.ExportKind) (ask contract.ExportCreate, err error) {
	if err := oneOf("format", a.format, "csv", "jsonl", "xlsx", "parquet"); err != nil {
		return ask, err
	}
	for flag, value := range map[string]string{"dialect": a.dialect, "separator": a.separator} {
		if value != "" && a.format != "csv" {
			return ask, usage("--%s is of CSV, and the format is %s", flag, a.format)
		}
	}
	if a.dialect != "" {
		if err := oneOf("dialect", a.dialect, "standard", "spreadsheet"); err != nil {
			return ask, err
		}
	}
	if a.separator != "" {
		if err := oneOf("separator", a.separator, "comma", "semicolon", "tab"); err != nil {
			return ask, err
		}
	}
	ask = contract.ExportCreate{
		Kind: kind, Format: contract.ExportFormat(a.format), Dialect: contract.ExportDialect(a.dialect), Separator: contract.ExportSeparator(a.separator),
		Purpose: domain.Purpose(a.purpose), Reason: domain.ReasonCode(a.reason),
	}
	if ask.From, err = beginning("from", a.from); err != nil {
		return ask, err
	}
	if ask.Until, err = ending("until", a.until); err != nil {
		return ask, err
	}
	if ask.AsOf, err = knownAt("as-of", a.asOf, time.Now()); err != nil {
		return ask, err
	}
	if a.consumer != "" {
		if ask.Consumer, err = domain.ParseOrganisation(a.consumer); err != nil {
			return ask, &exitError{exitUsage, err}
		}
	}
	switch {
	case a.citizen != "":
		id, err := citizenID(a.citizen)
		if err != nil {
			return ask, err
		}
		ask.CitizenID = &id
	case a.ref != "":
		id, err := parseID("citizen-ref", a.ref)
		if err != nil {
			return ask, err
		}
		ask.CitizenRef = &domain.CitizenRef{UUID: id}
	case a.ssinFile != "":
		s, err := p.readSecret(a.ssinFile)
		if err == nil {
			ask.SSIN.SSIN, err = domain.ParseSSIN(s)
		}
		if err != nil {
			return ask, fmt.Errorf("file with an SSIN: %w", err)
		}
	}
	return ask, nil
}

func newExportConsentLog(p *program) *cobra.Command {
	cmd := &cobra.Command{
		Use: "consentLog --reason CODE --out FILE", Short: "Every decision about consents, as a file",
	}
	exporting(p, contract.ExportKindConsentLog, "of the decision", cmd)
	return cmd
}

func newExportRegister(p *program) *cobra.Command {
	cmd := &cobra.Command{
		Use: "register --reason CODE --out FILE", Short: "Every consent with its state, as a file",
	}
	exporting(p, contract.ExportKindRegister, "when it was asked for or granted", cmd)
	return cmd
}

func newExportAccessLog(p *program) *cobra.Command {
	cmd := &cobra.Command{
		Use: "accessLog --reason CODE --out FILE", Short: "Everything that was read or told of citizens, as a file",
	}
	exporting(p, contract.ExportKindAccessLog, "of the access", cmd)
	return cmd
}

func newExportRefusals(p *program) *cobra.Command {
	cmd := &cobra.Command{
		Use: "refusals --reason CODE --out FILE", Short: "Every refused attempt to read of citizens, as a file",
	}
	exporting(p, contract.ExportKindRefusals, "of the refusal", cmd)
	return cmd
}

func newExportAuditTrail(p *program) *cobra.Command {
	cmd := &cobra.Command{
		Use: "auditTrail --reason CODE --out FILE", Short: "The Belgian audit trail of what succeeded in ten years, as a file",
	}
	exporting(p, contract.ExportKindAuditTrail, "of the access", cmd)
	return cmd
}

// exporting completes the command that makes an export of one kind; when says which moment
// --from and --until bound.
func exporting(p *program, kind contract.ExportKind, when string, cmd *cobra.Command) {
	var at where
	var me officer
	var what asked
	var asJSON bool
	out := output{pipe: true}
	cmd.Long = `Makes an export, waits for it, checks its hash and puts it at --out: whole or not at all,
readable by its owner only, with its signed manifest beside it (.manifest). --out - is standard
output, without the manifest. That the export was made, of what and why,
is on record. Citizens are named by references of the privacy officers, and by nothing else.
CSV is for programs, --dialect spreadsheet and xlsx for people with a spreadsheet, parquet for
analysts. docs/exports.md has every column.`
	cmd.Example = fmt.Sprintf(`  coffre export %[1]s --data data --format csv --reason audit --out all.csv
  coffre export %[1]s --data data --format jsonl --reason audit --consumer 0316380841 --from 2026-01-01 --until 2026-01-31 --out january.jsonl
  coffre export %[1]s --url https://vault.example --token-file t --reason audit --dialect spreadsheet --as-of 2026-01-31 --out january.csv`, kind)
	cmd.Args = takes()
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := out.check(); err != nil {
			return err
		}
		ask, err := what.request(p, kind)
		if err != nil {
			return err
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
	}
	at.flags(cmd)
	me.flags(cmd)
	what.flags(cmd, when)
	out.flags(cmd)
	jsonFlag(cmd, &asJSON)
}

var errHash = errors.New("the file that came is not the one the vault made: its hash differs")

// maxResumed bounds how often a download goes on where it broke off.
const maxResumed = 5

// download reads a file, and asks for the rest of it when the connection breaks, where the
// vault sends the rest.
type download struct {
	// rest asks for a file from a byte on; not from its beginning only of the file with that tag.
	rest    func(tag string, from int64) (*http.Response, error)
	body    io.ReadCloser
	tag     string // "": the rest is not to be had
	got     int64
	resumed int
}

var errNoRest = errors.New("the vault sends no rest of the file")

// open asks for what is still to come.
func (d *download) open() error {
	answer, err := d.rest(d.tag, d.got)
	body, err := client.Stream(answer, err)
	if err != nil {
		return err
	}
	if d.got > 0 {
		if from := fmt.Sprintf("bytes %d-", d.got); answer.StatusCode != http.StatusPartialContent || !strings.HasPrefix(answer.Header.Get("Content-Range"), from) {
			return errors.Join(errNoRest, body.Close())
		}
	} else if answer.Header.Get("Accept-Ranges") == "bytes" {
		d.tag = answer.Header.Get("ETag")
	}
	d.body = body
	return nil
}

// Read implements io.Reader.
func (d *download) Read(p []byte) (n int, err error) {
	for n == 0 && err == nil {
		n, err = d.body.Read(p)
		if d.got += int64(n); err == nil || errors.Is(err, io.EOF) || d.tag == "" || d.resumed == maxResumed {
			return n, err
		}
		d.resumed++
		_ = d.body.Close() // it is broken, whatever it says
		if again := d.open(); again != nil {
			return n, errors.Join(err, again)
		}
		err = nil
	}
	return n, err
}

// Close implements io.Closer.
func (d *download) Close() error { return d.body.Close() }

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
	content := &download{rest: func(tag string, from int64) (*http.Response, error) {
		var p contract.GetExportContentParams
		if from > 0 {
			p.Range, p.IfRange = fmt.Sprintf("bytes=%d-", from), tag
		}
		return c.GetExportContent(ctx, file.ExportID, p)
	}}
	if err := content.open(); err != nil {
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
	if err := out.write(fetch); err != nil || file.Manifest == "" {
		return file, err
	}
	beside := output{name: manifestName(out.name), force: true} // one of a file that is gone
	return file, beside.write(func(w io.Writer) error {
		_, err := io.WriteString(w, file.Manifest)
		return err
	})
}

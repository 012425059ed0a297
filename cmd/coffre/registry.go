package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/cmd/coffre/files"
	"coffre/handlers/contract"
	"coffre/projections/vocabulary"
)

func newRegistry(p *program) *cobra.Command {
	return group("registry", "See and publish types of documents, organisations and purposes",
		`  coffre registry show --data data
  coffre registry apply --data data my-registry`,
		newRegistryApply(p), newRegistryShow(p), newRegistryProcessing(p))
}

func newRegistryApply(p *program) *cobra.Command {
	var at where
	var asJSON bool
	cmd := &cobra.Command{
		Use: "apply DIR", Short: "Publish the registry that lies in a folder",
		Long: `Checks the files of a folder laid out as deploy/registry is, says every mistake with its
file, and publishes them as the next version. What is in force already is not published
again. A vault that is to begin with them is made by coffre serve --registry.`,
		Example: `  coffre registry apply --data data my-registry`,
		Args:    takes("DIR"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if _, err := os.Stat(args[0]); err != nil {
				return fmt.Errorf("registry in %s: %w", args[0], files.Cause(err))
			}
			files, err := registryFiles(os.DirFS(args[0]))
			if err != nil {
				return fmt.Errorf("registry in %s: %w", args[0], err)
			}
			v, err := p.connect(cmd.Context(), at, false)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, v.close()) }()
			r, err := client.Read[contract.RegistryReceipt](v.as(asOperator).PublishRegistry(cmd.Context(), contract.PublishRegistryParams{IdempotencyKey: uuid.New()}, files))
			if err != nil {
				return err
			}
			outcome := "published"
			if r.Status == 200 {
				outcome = "in force already, nothing recorded"
			}
			return p.print(asJSON, r.Body, "registry", outcome, "version", strconv.FormatInt(int64(r.Body.Version), 10),
				"document types", strconv.Itoa(orZero(r.Body.DocumentTypes)), "organisations", strconv.Itoa(orZero(r.Body.Organizations)))
		},
	}
	at.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// registryFiles returns the files of a registry, checked, as one object by path.
func registryFiles(from fs.FS) (contract.RegistryFiles, error) {
	if _, err := vocabulary.Load(from, nil); err != nil {
		return nil, err
	}
	texts := make(map[string]jsontext.Value)
	err := fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".json" {
			return err
		}
		b, err := fs.ReadFile(from, name)
		texts[name] = bytes.TrimPrefix(b, []byte(files.ByteOrderMark))
		return err
	})
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(texts, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("encode the files: %w", err)
	}
	return b, nil
}

func newRegistryShow(p *program) *cobra.Command {
	var at where
	var asJSON bool
	var lang string
	cmd := &cobra.Command{
		Use: "show", Short: "What is in force",
		Example: `  coffre registry show --data data
  coffre registry show --url https://vault.example --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("lang", lang, languages...); err != nil {
				return err
			}
			ask := p.asksOpenly
			if at.tokenFile != "" { // who says who they are is told what they may ask for
				ask = func(ctx context.Context, w where, ask func(*client.Client) error) error {
					return p.asks(ctx, w, asOperator, ask)
				}
			}
			return ask(cmd.Context(), at, func(c *client.Client) error {
				r, err := client.Read[contract.Registry](c.GetRegistry(cmd.Context(), contract.GetRegistryParams{}))
				if err != nil {
					return err
				}
				if asJSON {
					return p.printJSON(r.Body)
				}
				return p.printRegistry(r.Body, lang)
			})
		},
	}
	at.open(cmd)
	jsonFlag(cmd, &asJSON)
	langFlag(cmd, &lang)
	return cmd
}

// languages are those the vault speaks.
var languages = []string{"nl", "fr", "de", "en"}

func langFlag(cmd *cobra.Command, lang *string) {
	cmd.Flags().StringVar(lang, "lang", "en", "`language` of labels, headings and states: nl, fr, de or en")
	complete(cmd, "lang", languages...)
}

func label(m contract.MultiLanguage, lang string) string {
	return map[string]string{"nl": m.Nl, "fr": m.Fr, "de": m.De, "en": m.En}[lang]
}

func (p *program) printRegistry(r contract.Registry, lang string) error {
	in := speaker(lang)
	fmt.Fprintf(p.Out, "%s %d, %s\n\n", in.word("Registry version"), r.Version, day(r.PublishedAt)) // the tables tell of an error
	t := p.table(in.headings("document type", "label", "issuers")...)
	offers := p.table(in.headings("document type", "read for", "in procedure", "fields", "predicates")...)
	for _, d := range r.DocumentTypes {
		t.row(string(d.DocumentType), label(d.Labels, lang), joined(d.Issuers))
		for _, m := range d.Minimum {
			offers.row(string(d.DocumentType), string(m.Purpose), string(m.Procedure), joined(m.Fields), joined(m.Predicates))
		}
	}
	organisations := p.table(in.headings("organisation", "name", "purposes", "attests")...)
	for _, o := range r.Organizations {
		organisations.row(string(o.EnterpriseNumber), label(o.Labels, lang), joined(o.Purposes), joined(o.Attests))
	}
	codes := func(title string, list []contract.RegistryCode) *table {
		t := p.table(in.headings(title, "label")...)
		for _, c := range list {
			t.row(c.Code, label(c.Labels, lang))
		}
		return t
	}
	bases := p.table(in.headings("legal basis", "label", "gdpr")...)
	for _, b := range r.LegalBases {
		bases.row(string(b.Code), label(b.Labels, lang), b.Article)
	}
	reasons := p.table(in.headings("reason for", "code", "label")...)
	for _, c := range r.Reasons {
		reasons.row(string(c.Kind), string(c.Code), label(c.Labels, lang))
	}
	tables := []*table{t, offers, organisations, codes("purpose", r.Purposes), codes("procedure", r.Procedures), bases, reasons}
	if c := r.Caller; c.EnterpriseNumber != "" {
		tables = append(tables, p.callerTables(c, in)...)
	}
	for i, t := range tables {
		if i > 0 {
			fmt.Fprintln(p.Out)
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	fmt.Fprintf(p.Out, "\n%s %s\n", in.word("A consent lasts at most"), r.LongestConsent)
	fmt.Fprintf(p.Out, "%s %d\n", in.word("Minors read and decide alone from the age of"), r.MinorsDecideFrom)
	if len(r.Unattested) > 0 {
		fmt.Fprintf(p.Out, "%s: %s; %s\n", in.word("No organisation may attest"), joined(r.Unattested), in.word("give one the right (\"attests\"), and publish the registry"))
	}
	return nil
}

// callerTables returns what the organisation of the token may issue and ask for.
func (p *program) callerTables(c contract.RegistryCaller, in speaker) []*table {
	may := p.table(in.headings("this caller", "people a day", "issues")...)
	may.row(string(c.EnterpriseNumber), strconv.Itoa(c.DailyQuota), joined(c.Issues))
	reads := p.table(in.headings("may read for", "document types", "in procedures", "by law", "by consent")...)
	for _, r := range c.Registrations {
		var laws []string
		for _, b := range r.Bases {
			laws = append(laws, string(b.LegalBasis)+" "+string(b.Deliberation))
		}
		reads.row(string(r.Purpose), joined(r.DocumentTypes), joined(r.Procedures), joined(laws), in.word(map[bool]string{true: "yes", false: "no"}[r.Consent]))
	}
	return []*table{may, reads}
}

// joined writes words with commas between them.
func joined[S ~string](words []S) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = string(w)
	}
	return strings.Join(out, ", ")
}

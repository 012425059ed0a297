package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

// defaultIssuer may issue every type that the example files for import use; see
// deploy/registry.
const defaultIssuer = "0206731645"

func newDocuments(p *program) *cobra.Command {
	cmd := group("documents", "Issue documents from a file, and see one with its files",
		`  coffre documents import --data data cards.jsonl
  coffre documents show --data data 0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44`,
		newDocumentsImport(p), newDocumentsShow(p), newDocumentsAttach(p), newDocumentsUnclaimed(p), newDocumentsDownload(p))
	cmd.SuggestFor = []string{"document", "docs", "import"}
	return cmd
}

func orgFlag(cmd *cobra.Command, org *string) {
	cmd.Flags().StringVar(org, "org", defaultIssuer, "enterprise `number` of the issuer to act for, with --data")
}

// asIssuer is a token's grant for an issuer's number.
func asIssuer(org string) (token.Grant, error) {
	o, err := domain.ParseOrganisation(org)
	if err != nil {
		return token.Grant{}, &exitError{exitUsage, err}
	}
	return token.Grant{Role: domain.RoleIssuer, Organisation: o}, nil
}

func newDocumentsShow(p *program) *cobra.Command {
	var at where
	var person who
	var asJSON bool
	var org, lang string
	cmd := &cobra.Command{
		Use: "show ID", Short: "A document as its issuer or a holder sees it",
		Long: `Shows a document with its content. A reading by the issuer, or for another person, is on
record and the citizen sees it.`,
		Example: `  coffre documents show --data data --org 0206731645 0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44
  coffre documents show --data data --ssin-file ssin.txt 0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44`,
		Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID("ID", args[0])
			if err != nil {
				return err
			}
			if err := oneOf("lang", lang, languages...); err != nil {
				return err
			}
			g, err := person.grant(p)
			if person == (who{}) {
				g, err = asIssuer(org)
			}
			if err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, g, func(c *client.Client) error {
				d, err := client.Read[contract.VaultDocument](c.GetDocument(cmd.Context(), domain.DocumentID{UUID: id}, contract.GetDocumentParams{Lang: domain.Language(lang)}))
				if err != nil {
					return err
				}
				if asJSON {
					return p.printJSON(d.Body)
				}
				return p.printDocument(d.Body, speaker(lang))
			})
		},
	}
	at.flags(cmd)
	person.flags(cmd)
	orgFlag(cmd, &org)
	jsonFlag(cmd, &asJSON)
	langFlag(cmd, &lang)
	cmd.MarkFlagsMutuallyExclusive("org", "citizen")
	cmd.MarkFlagsMutuallyExclusive("org", "ssin-file")
	return cmd
}

func (p *program) printDocument(d contract.VaultDocument, in speaker) error {
	facts := []string{in.word("document"), d.DocumentID.String(), in.word("type"), string(d.DocumentType), in.word("label"), d.Label, in.word("issuer"), strings.TrimSpace(string(d.Issuer) + " " + d.IssuerName),
		in.word("version"), strconv.Itoa(d.Version), in.word("state"), in.state(d.State), in.word("reason"), string(d.Reason),
		in.word("valid from"), string(d.ValidFrom), in.word("valid until"), string(d.ValidUntil), in.word("effective from"), string(d.EffectiveFrom),
		in.word("issued"), day(d.IssuedAt), in.word("changed"), day(d.ChangedAt)}
	for _, a := range d.Attachments {
		facts = append(facts, in.word("attachment"), fmt.Sprintf("%s %s, %d %s", a.AttachmentID, a.MediaType, a.Size, in.word("bytes")))
	}
	if err := p.facts(facts...); err != nil || len(d.Content) == 0 {
		return err
	}
	var content any
	if json.Unmarshal(d.Content, &content) != nil {
		return errContent
	}
	fmt.Fprintln(p.Out, in.word("content")) // the facts tell of an error
	return p.facts(flat("  ", content)...)
}

var errContent = fmt.Errorf("the document's content is not JSON")

package main

import (
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
)

// errNoRequest: a consent is no request, or was answered already.
var errNoRequest = errors.New("this is no request that waits for an answer (coffre consents list shows the state)")

func newConsentsAccept(p *program) *cobra.Command {
	var at where
	var person who
	var asJSON bool
	var until, lang, textFile, textVersion string
	var fields []string
	var uses int
	cmd := &cobra.Command{
		Use: "accept ID", Short: "Say yes to an organisation that asks for a consent",
		Long: `Answers a request, which coffre consents list shows as requested, with a consent: to all that was
asked for, or to less. What the citizen was shown is kept with it, as for coffre consents grant.`,
		Example: `  coffre consents accept --data data --ssin-file ssin.txt 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44
  coffre consents accept --data data --ssin-file ssin.txt --lang fr --uses 1 --until 2026-12-31 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44`,
		Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID("ID", args[0])
			if err != nil {
				return err
			}
			if err := oneOf("lang", lang, languages...); err != nil {
				return err
			}
			var body contract.ConsentRequestGrant
			for _, f := range fields {
				body.Fields = append(body.Fields, domain.Field(f))
			}
			if body.Until, err = ending("until", until); err != nil {
				return err
			}
			if cmd.Flags().Changed("uses") && uses < 1 { // 0 in the contract is no limit at all
				return usage("--uses is at least 1; without it there is no limit")
			}
			body.Limits.Uses = uses
			claimed, err := textOf(textFile)
			if err != nil {
				return err
			}
			return p.asCitizen(cmd.Context(), at, person, func(c *client.Client, _ domain.CitizenID) error {
				asked, err := client.Read[contract.Consent](c.GetConsent(cmd.Context(), domain.ConsentID{UUID: id}, contract.GetConsentParams{}))
				if err != nil {
					return err
				}
				if asked.Body.State != contract.ConsentStateRequested {
					return errNoRequest
				}
				if body.ShownText, err = textToShow(cmd.Context(), c, asked.Body.Consumer, asked.Body.Purpose, domain.Language(lang), textVersion); err != nil {
					return err
				}
				if textFile != "" {
					body.ShownText.Text = claimed
				}
				fmt.Fprintf(p.Err, "%s\n\n", printable(body.ShownText.Text))
				r, err := client.Read[contract.ConsentReceiptShort](c.GrantConsentRequest(cmd.Context(), domain.ConsentID{UUID: id}, contract.GrantConsentRequestParams{IdempotencyKey: uuid.New()}, body))
				if err != nil {
					return err
				}
				return p.printConsent(asJSON, r.Body)
			})
		},
	}
	at.flags(cmd)
	person.flags(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&fields, "field", nil, "only these `members` of the content, of those asked for")
	f.StringVar(&until, "until", "", "last `day`, 2026-12-31, or moment from which it no longer holds, sooner than asked for")
	f.IntVar(&uses, "uses", 0, "how many `times` it may be used (default: as asked for)")
	f.StringVar(&lang, "lang", "en", "`language` of the text that was shown: nl, fr, de or en")
	f.StringVar(&textFile, "text-file", "", "`file` with the text the citizen was shown (default: the registry's)")
	f.StringVar(&textVersion, "text-version", "", "`version` of that text (default: the only one there is)")
	complete(cmd, "lang", languages...)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newConsentsRefuse(p *program) *cobra.Command {
	var at where
	var person who
	var asJSON bool
	cmd := &cobra.Command{
		Use: "refuse ID", Short: "Say no to an organisation that asks for a consent",
		Example: `  coffre consents refuse --data data --ssin-file ssin.txt 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44`,
		Args:    takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID("ID", args[0])
			if err != nil {
				return err
			}
			return p.asCitizen(cmd.Context(), at, person, func(c *client.Client, _ domain.CitizenID) error {
				r, err := client.Read[contract.ConsentReceiptShort](c.RefuseConsentRequest(cmd.Context(), domain.ConsentID{UUID: id}, contract.RefuseConsentRequestParams{IdempotencyKey: uuid.New()}))
				if err != nil {
					return err
				}
				return p.printConsent(asJSON, r.Body)
			})
		},
	}
	at.flags(cmd)
	person.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

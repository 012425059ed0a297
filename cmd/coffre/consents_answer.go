package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

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
	var choice consentChoice
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
			if err := oneOf("lang", choice.lang, languages...); err != nil {
				return err
			}
			var body contract.ConsentRequestGrant
			if body.Fields, body.Until, body.Limits.Uses, err = choice.read(cmd); err != nil {
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
				if body.ShownText, err = choice.show(cmd.Context(), p, c, asked.Body.Consumer, asked.Body.Purpose); err != nil {
					return err
				}
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
	f.StringSliceVar(&choice.fields, "field", nil, "only these `members` of the content, of those asked for")
	f.StringVar(&choice.until, "until", "", "last `day`, 2026-12-31, or moment from which it no longer holds, sooner than asked for")
	f.IntVar(&choice.uses, "uses", 0, "how many `times` it may be used (default: as asked for)")
	choice.textFlags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newConsentsRefuse(p *program) *cobra.Command {
	return p.saysNo(&cobra.Command{
		Use: "refuse ID", Short: "Say no to an organisation that asks for a consent",
		Example: `  coffre consents refuse --data data --ssin-file ssin.txt 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44`,
	}, func(ctx context.Context, c *client.Client, id domain.ConsentID) (*http.Response, error) {
		return c.RefuseConsentRequest(ctx, id, contract.RefuseConsentRequestParams{IdempotencyKey: uuid.New()})
	})
}

// consentChoice is what a citizen chooses of what a consent may cover, and the text that they
// were shown.
type consentChoice struct {
	fields                             []string
	uses                               int
	until, lang, textFile, textVersion string

	claimed string // the text of textFile
}

func (ch *consentChoice) textFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&ch.lang, "lang", "en", "`language` of the text that was shown: nl, fr, de or en")
	f.StringVar(&ch.textFile, "text-file", "", "`file` with the text the citizen was shown (default: the registry's)")
	f.StringVar(&ch.textVersion, "text-version", "", "`version` of that text (default: the only one there is)")
	complete(cmd, "lang", languages...)
}

// read returns the members that are chosen, the end and the number of uses, and reads the file
// with the text that was shown.
func (ch *consentChoice) read(cmd *cobra.Command) (fields []domain.Field, until *time.Time, uses int, err error) {
	for _, f := range ch.fields {
		fields = append(fields, domain.Field(f))
	}
	if until, err = ending("until", ch.until); err != nil {
		return nil, nil, 0, err
	}
	if cmd.Flags().Changed("uses") && ch.uses < 1 { // 0 in the contract is no limit at all
		return nil, nil, 0, usage("--uses is at least 1; without it there is no limit")
	}
	ch.claimed, err = textOf(ch.textFile)
	return fields, until, ch.uses, err
}

// show prints the text that the citizen is shown for a purpose of a consumer, and returns it.
func (ch *consentChoice) show(ctx context.Context, p *program, c *client.Client, consumer domain.Organisation, purpose domain.Purpose, asked ...askedWord) (contract.ShownText, error) {
	shown, err := textToShow(ctx, c, consumer, purpose, domain.Language(ch.lang), ch.textVersion, asked...)
	if err != nil {
		return contract.ShownText{}, err
	}
	if ch.textFile != "" {
		shown.Text = ch.claimed
	}
	fmt.Fprintf(p.Err, "%s\n\n", printable(shown.Text))
	return shown, nil
}

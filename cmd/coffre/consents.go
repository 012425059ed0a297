package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/cmd/coffre/files"
	"coffre/domain"
	"coffre/handlers/contract"
)

func newConsents(p *program) *cobra.Command {
	return group("consents", "See, give, refuse and withdraw a citizen's consents",
		`  coffre consents list --data data --ssin-file ssin.txt
  coffre consents grant --data data --ssin-file ssin.txt --consumer 0203430576 --purpose familyDiscount --type householdComposition
  coffre consents withdraw --data data --ssin-file ssin.txt 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44`,
		newConsentsList(p), newConsentsGrant(p), newConsentsAccept(p), newConsentsRefuse(p), newConsentsWithdraw(p), newConsentsLog(p), newConsentsHistory(p), newConsentsDisclosures(p), newConsentsReceipt(p))
}

func newConsentsList(p *program) *cobra.Command {
	var at where
	var person who
	var asJSON bool
	var lang string
	cmd := &cobra.Command{
		Use: "list", Short: "A citizen's consents, newest first",
		Example: `  coffre consents list --data data --ssin-file ssin.txt
  coffre consents list --data data --ssin-file ssin.txt --lang fr`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("lang", lang, languages...); err != nil {
				return err
			}
			in := speaker(lang)
			return p.asCitizen(cmd.Context(), at, person, func(c *client.Client, id domain.CitizenID) error {
				all, err := allConsents(cmd.Context(), c, id, domain.Language(lang))
				if err != nil {
					return err
				}
				if asJSON {
					return printLines(p, all)
				}
				t := p.table(in.headings("consent", "state", "consumer", "purpose", "covers", "until", "uses")...)
				for _, one := range all {
					covers := joined(one.DocumentTypes)
					if len(one.Documents) > 0 {
						covers = fmt.Sprintf("%s: %d", in.word("documents"), len(one.Documents))
					}
					uses := strconv.Itoa(one.Uses)
					if one.Limits.Uses > 0 {
						uses += " " + in.word("of") + " " + strconv.Itoa(one.Limits.Uses)
					}
					t.row(one.ConsentID.String(), in.consentState(one.State), strings.TrimSpace(string(one.Consumer)+" "+one.ConsumerName), cmp.Or(one.PurposeLabel, string(one.Purpose)), covers, day(one.Until), uses)
				}
				return t.flush()
			})
		},
	}
	at.flags(cmd)
	person.flags(cmd)
	jsonFlag(cmd, &asJSON)
	langFlag(cmd, &lang)
	return cmd
}

func allConsents(ctx context.Context, c *client.Client, id domain.CitizenID, lang domain.Language) ([]contract.Consent, error) {
	var all []contract.Consent
	err := eachPage(func(after contract.Cursor) ([]contract.Consent, contract.Cursor, error) {
		page, err := client.Read[contract.Consents](c.ListConsents(ctx, contract.ListConsentsParams{CitizenID: &id, Lang: lang, PageSize: 200, After: after}))
		return page.Body.Items, page.Body.NextCursor, err
	}, func(one contract.Consent) error { all = append(all, one); return nil })
	return all, err
}

func newConsentsGrant(p *program) *cobra.Command {
	var at where
	var person who
	var asJSON bool
	var consumer, purpose, renews string
	var types, documents []string
	var choice consentChoice
	cmd := &cobra.Command{
		Use: "grant", Short: "A citizen lets an organisation read documents for a purpose",
		Long: `Grants a consent as the citizen. What the citizen was shown is kept with it: the text that the
registry has for the purpose, which is printed here. A text that was shown elsewhere, of
--text-file, is taken when it says the same. With --renews it takes the place of a consent that
was granted before to the same consumer for the same purpose; if that one still holds, it ends.`,
		Example: `  coffre consents grant --data data --ssin-file ssin.txt --consumer 0203430576 \
      --purpose familyDiscount --type householdComposition --uses 3 --until 2026-12-31`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			org, err := domain.ParseOrganisation(consumer)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			if err := oneOf("lang", choice.lang, languages...); err != nil {
				return err
			}
			body := contract.ConsentGrant{Consumer: org, Purpose: domain.Purpose(purpose)}
			for _, d := range documents {
				id, err := parseID("--document", d)
				if err != nil {
					return err
				}
				body.Documents = append(body.Documents, domain.DocumentID{UUID: id})
			}
			asked := []askedWord{askedPurpose(purpose)}
			for _, t := range types {
				asked = append(asked, askedType(t))
				body.DocumentTypes = append(body.DocumentTypes, domain.DocumentType(t))
			}
			if body.Fields, body.Until, body.Limits.Uses, err = choice.read(cmd); err != nil {
				return err
			}
			if renews != "" {
				id, err := parseID("--renews", renews)
				if err != nil {
					return err
				}
				body.Renews = &domain.ConsentID{UUID: id}
			}
			return p.asCitizen(cmd.Context(), at, person, func(c *client.Client, _ domain.CitizenID) error {
				var err error
				if body.ShownText, err = choice.show(cmd.Context(), p, c, org, body.Purpose, asked...); err != nil {
					return err
				}
				r, err := client.Read[contract.ConsentReceiptShort](c.GrantConsent(cmd.Context(), contract.GrantConsentParams{IdempotencyKey: uuid.New()}, body))
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
	f.StringVar(&consumer, "consumer", "", "enterprise `number` of who may read")
	f.StringVar(&purpose, "purpose", "", "`code` of what for, as the registry has it")
	f.StringSliceVar(&types, "type", nil, "document `types` it covers, with commas between")
	f.StringSliceVar(&documents, "document", nil, "`ids` of the documents it covers")
	f.StringSliceVar(&choice.fields, "field", nil, "only these `members` of the content")
	f.StringVar(&choice.until, "until", "", "last `day`, 2026-12-31, or moment from which it no longer holds (default: a year from now, or what the purpose says)")
	f.IntVar(&choice.uses, "uses", 0, "how many `times` it may be used (default: no limit)")
	choice.textFlags(cmd)
	f.StringVar(&renews, "renews", "", "`id` of the consent in whose place it is given")
	required(cmd, "consumer", "purpose")
	cmd.MarkFlagsOneRequired("type", "document")
	cmd.MarkFlagsMutuallyExclusive("type", "document")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// maxShown bounds the text a citizen was shown, in bytes; the contract counts 20,000 characters.
const maxShown = 80_000

// textOf returns the text of a file; "" when none is named.
func textOf(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("text file: %w", files.Cause(err))
	}
	defer f.Close()
	b, err := files.ReadAtMost(f, maxShown)
	if err != nil {
		return "", fmt.Errorf("text file: %w", err)
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(b), files.ByteOrderMark), "\n"), nil
}

func (p *program) printConsent(asJSON bool, r contract.ConsentReceiptShort) error {
	return p.print(asJSON, r, "consent", r.ConsentID.String(), "state", string(r.State), "until", day(r.Until))
}

func newConsentsWithdraw(p *program) *cobra.Command {
	return p.saysNo(&cobra.Command{
		Use: "withdraw ID", Short: "Withdraw a consent; from then on nothing is read under it",
		Example: `  coffre consents withdraw --data data --ssin-file ssin.txt 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44`,
	}, func(ctx context.Context, c *client.Client, id domain.ConsentID) (*http.Response, error) {
		return c.WithdrawConsent(ctx, id, contract.WithdrawConsentParams{IdempotencyKey: uuid.New()})
	})
}

// saysNo completes a command by which a citizen ends what is named by its id, a consent or a
// request for one.
func (p *program) saysNo(cmd *cobra.Command, send func(context.Context, *client.Client, domain.ConsentID) (*http.Response, error)) *cobra.Command {
	var at where
	var person who
	var asJSON bool
	cmd.Args = takes("ID")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := parseID("ID", args[0])
		if err != nil {
			return err
		}
		return p.asCitizen(cmd.Context(), at, person, func(c *client.Client, _ domain.CitizenID) error {
			r, err := client.Read[contract.ConsentReceiptShort](send(cmd.Context(), c, domain.ConsentID{UUID: id}))
			if err != nil {
				return err
			}
			return p.printConsent(asJSON, r.Body)
		})
	}
	at.flags(cmd)
	person.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

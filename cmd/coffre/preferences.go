package main

import (
	"cmp"
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/handlers/contract"
)

func newPreferences(p *program) *cobra.Command {
	cmd := group("preferences", "What a citizen hears of, in which language and by which way",
		`  coffre preferences show --data data --ssin-file ssin.txt
  coffre preferences set --data data --ssin-file ssin.txt --language fr --accesses eboxDaily`,
		newPreferencesShow(p), newPreferencesSet(p))
	cmd.SuggestFor = []string{"notices", "settings"}
	return cmd
}

// ways lists by which way a citizen hears of something.
func ways() []string {
	var all []string
	for _, w := range citizen.NoticeWays {
		all = append(all, string(w))
	}
	return all
}

func (p *program) printPreferences(asJSON bool, one contract.Preferences) error {
	chosen := "nothing: this is what holds without a choice"
	if !one.ChosenAt.IsZero() {
		chosen = one.ChosenAt.Format(time.RFC3339)
	}
	return p.print(asJSON, one, "language", string(one.Language), "documents", string(one.DocumentNotices), "expiries", string(one.ExpiryNotices),
		"accesses", string(one.AccessNotices), "consents", string(one.ConsentNotices), "chosen", chosen)
}

func newPreferencesShow(p *program) *cobra.Command {
	var at where
	var person who
	var asJSON bool
	var asOf string
	cmd := &cobra.Command{
		Use: "show", Short: "What a citizen chose to hear of",
		Example: `  coffre preferences show --data data --ssin-file ssin.txt
  coffre preferences show --data data --ssin-file ssin.txt --as-of 2026-03-01`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var ask contract.GetPreferencesParams
			var err error
			if ask.AsOf, err = knownAt("as-of", asOf, time.Now()); err != nil {
				return err
			}
			return p.asCitizen(cmd.Context(), at, person, func(c *client.Client, id domain.CitizenID) error {
				one, err := client.Read[contract.Preferences](c.GetPreferences(cmd.Context(), id, ask))
				if err != nil {
					return err
				}
				return p.printPreferences(asJSON, one.Body)
			})
		},
	}
	at.flags(cmd)
	person.flags(cmd)
	jsonFlag(cmd, &asJSON)
	cmd.Flags().StringVar(&asOf, "as-of", "", "what the vault knew at that `moment`, 2026-03-01T12:00:00+01:00, or at the end of that day")
	return cmd
}

func newPreferencesSet(p *program) *cobra.Command {
	var at where
	var person who
	var asJSON bool
	var language, documents, expiries, accesses, consents string
	cmd := &cobra.Command{
		Use: "set", Short: "Choose what to hear of, in which language and by which way",
		Long: `Chooses for a citizen, who alone may: eboxEach is a message in My eBox each time, eboxDaily one
message for a day. What no flag names stays as it was chosen before.`,
		Example: `  coffre preferences set --data data --ssin-file ssin.txt --language fr
  coffre preferences set --data data --ssin-file ssin.txt --accesses eboxEach --expiries none`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if language != "" {
				if err := oneOf("language", language, languages...); err != nil {
					return err
				}
			}
			for flag, way := range map[string]string{"documents": documents, "expiries": expiries, "accesses": accesses, "consents": consents} {
				if way == "" {
					continue // as before
				}
				if err := oneOf(flag, way, ways()...); err != nil {
					return err
				}
			}
			return p.asCitizen(cmd.Context(), at, person, func(c *client.Client, id domain.CitizenID) error {
				choice, err := chosenNow(cmd.Context(), c, id)
				if err != nil {
					return err
				}
				choice.Language = cmp.Or(domain.Language(language), choice.Language)
				choice.DocumentNotices = cmp.Or(contract.NoticeWay(documents), choice.DocumentNotices)
				choice.ExpiryNotices = cmp.Or(contract.NoticeWay(expiries), choice.ExpiryNotices)
				choice.AccessNotices = cmp.Or(contract.NoticeWay(accesses), choice.AccessNotices)
				choice.ConsentNotices = cmp.Or(contract.NoticeWay(consents), choice.ConsentNotices)
				now, err := client.Read[contract.Preferences](c.SetPreferences(cmd.Context(), id, contract.SetPreferencesParams{IdempotencyKey: uuid.New()}, choice))
				if err != nil {
					return err
				}
				return p.printPreferences(asJSON, now.Body)
			})
		},
	}
	at.flags(cmd)
	person.flags(cmd)
	jsonFlag(cmd, &asJSON)
	cmd.Flags().StringVar(&language, "language", "", "`language` in which to write: nl, fr, de or en")
	complete(cmd, "language", languages...)
	way := func(name string, to *string, of string) {
		cmd.Flags().StringVar(to, name, "", "by which `way` to tell of "+of+": eboxEach, eboxDaily or none")
		complete(cmd, name, ways()...)
	}
	way("documents", &documents, "documents that are issued or change")
	way("expiries", &expiries, "documents that end soon")
	way("accesses", &accesses, "who read")
	way("consents", &consents, "consents that are asked for or end")
	return cmd
}

// chosenNow returns what a citizen has chosen, as it is chosen again.
func chosenNow(ctx context.Context, c *client.Client, id domain.CitizenID) (contract.PreferencesChoice, error) {
	now, err := client.Read[contract.Preferences](c.GetPreferences(ctx, id, contract.GetPreferencesParams{}))
	b := now.Body
	return contract.PreferencesChoice{
		Language: b.Language, DocumentNotices: b.DocumentNotices, ExpiryNotices: b.ExpiryNotices, AccessNotices: b.AccessNotices, ConsentNotices: b.ConsentNotices,
	}, err
}

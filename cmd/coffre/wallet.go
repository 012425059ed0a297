package main

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
)

func newWallet(p *program) *cobra.Command {
	return group("wallet", "See what a citizen holds",
		`  coffre wallet show --data data --ssin-file ssin.txt`,
		newWalletShow(p))
}

func newWalletShow(p *program) *cobra.Command {
	var at where
	var person who
	var asJSON bool
	var lang, asOf, validAt string
	cmd := &cobra.Command{
		Use: "show", Short: "A citizen's documents, those they hold for others included",
		Example: `  coffre wallet show --data data --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44
  echo 53480200724 | coffre wallet show --data data --ssin-file - --lang fr
  coffre wallet show --data data --ssin-file ssin.txt --valid-at 2026-12-31 --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ask := contract.GetWalletParams{Lang: domain.Language(lang), PageSize: 200}
			if err := oneOf("lang", lang, languages...); err != nil {
				return err
			}
			var err error
			if ask.AsOf, err = knownAt("as-of", asOf, time.Now()); err != nil {
				return err
			}
			if ask.ValidAt, err = date("valid-at", validAt); err != nil {
				return err
			}
			return p.asCitizen(cmd.Context(), at, person, func(c *client.Client, id domain.CitizenID) error {
				var all contract.Wallet
				err := eachPage(func(after contract.Cursor) ([]contract.WalletItem, contract.Cursor, error) {
					ask.After = after
					page, err := client.Read[contract.Wallet](c.GetWallet(cmd.Context(), id, ask))
					if after == "" {
						all = page.Body
						all.Items, all.Next, all.NextCursor, all.PageSize = []contract.WalletItem{}, "", "", 0
					}
					return page.Body.Items, page.Body.NextCursor, err
				}, func(d contract.WalletItem) error {
					all.Items = append(all.Items, d)
					return nil
				})
				if err != nil {
					return err
				}
				if asJSON {
					return p.printJSON(all)
				}
				return p.printWallet(all, speaker(lang))
			})
		},
	}
	at.flags(cmd)
	person.flags(cmd)
	jsonFlag(cmd, &asJSON)
	langFlag(cmd, &lang)
	cmd.Flags().StringVar(&asOf, "as-of", "", "what the vault knew at that `moment`, 2026-03-01T12:00:00+01:00, or at the end of that day")
	cmd.Flags().StringVar(&validAt, "valid-at", "", "what was legally so on that `day`, 2026-03-01")
	return cmd
}

func (p *program) printWallet(w contract.Wallet, in speaker) error {
	if err := p.facts(in.word("citizen"), w.CitizenID.String(), in.word("documents"), strconv.Itoa(len(w.Items))); err != nil || len(w.Items) == 0 {
		return err
	}
	t := p.table(in.headings("document", "state", "from", "until", "issuer", "readers", "id")...)
	for _, d := range w.Items {
		name := d.Label
		if name == "" {
			name = string(d.DocumentType)
		}
		if d.HeldAs == contract.HeldAsRepresentative {
			name += " (" + in.word("of") + " " + d.RepresentedCitizenID.String()[:8] + ")"
		}
		issuer := d.IssuerName
		if issuer == "" {
			issuer = string(d.Issuer)
		}
		t.row(name, in.state(d.State), string(d.ValidFrom), string(d.ValidUntil), issuer, strconv.Itoa(len(d.WhoMayRead)), d.DocumentID.String())
	}
	return t.flush()
}

// beginning reads a flag that holds a time with its offset, or a day: the moment at which that day
// begins in Belgium.
func beginning(flag, s string) (*time.Time, error) {
	t, day, err := momentOrDay(flag, s)
	if day != "" {
		t = new(domain.BelgianMidnight(day))
	}
	return t, err
}

// ending reads a flag that holds a time with its offset, or the last day: the moment at which
// that day is over in Belgium.
func ending(flag, s string) (*time.Time, error) {
	t, day, err := momentOrDay(flag, s)
	if day != "" {
		t = new(domain.BelgianMidnight(day.AddDays(1)))
	}
	return t, err
}

// knownAt reads a flag that holds a time with its offset, or a day: the last moment of that day in
// Belgium, and of today none, which is now.
func knownAt(flag, s string, now time.Time) (*time.Time, error) {
	t, day, err := momentOrDay(flag, s)
	if day != "" && day != domain.BelgianDate(now) {
		t = new(domain.BelgianDayEnd(day))
	}
	return t, err
}

// momentOrDay reads a flag that holds a time with its offset or a day, one of which it returns;
// neither when the flag is not given.
func momentOrDay(flag, s string) (*time.Time, domain.Date, error) {
	if s == "" {
		return nil, "", nil
	}
	if day, err := domain.ParseDate(s); err == nil {
		return nil, day, nil
	}
	t, err := domain.ParseTime(s)
	if err != nil {
		return nil, "", usage("--%s is a moment such as 2026-03-01T12:00:00+01:00, or a day in Belgium such as 2026-03-01", flag)
	}
	return &t, "", nil
}

// date reads a flag that holds a day.
func date(flag, s string) (domain.Date, error) {
	if s == "" {
		return "", nil
	}
	d, err := domain.ParseDate(s)
	if err != nil {
		return "", usage("--%s is a day such as 2026-03-01", flag)
	}
	return d, nil
}

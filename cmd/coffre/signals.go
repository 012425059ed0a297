package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

func newSignals(p *program) *cobra.Command {
	return group("signals", "What changed for an organisation: its documents, what it read, its consents and petitions",
		`  coffre signals list --data data --organization 0316380841`,
		newSignalsList(p))
}

// party is an organisation in one of its two roles.
type party struct {
	organisation string
	issuer       bool
}

func (o *party) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.organisation, "organization", "", "with --data, the `number` of the organisation that asks")
	cmd.Flags().BoolVar(&o.issuer, "issuer", false, "with --organization, as an issuer (default: as a consumer)")
}

func (o party) grant() token.Grant {
	g := token.Grant{Role: domain.RoleConsumer, Organisation: domain.Organisation(o.organisation)}
	if o.issuer {
		g.Role = domain.RoleIssuer
	}
	return g
}

func newSignalsList(p *program) *cobra.Command {
	var at where
	var me party
	var after string
	var types []string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "A page of events, oldest first, and the cursor with which to go on",
		Long: `Lists what changed for an organisation, at most 200 events of the last 90 days. An issuer hears
of each change of its documents; a consumer of what it read under a basis that stands, and of its
consents. Keep the cursor, and ask with --after for what came since. The look is on record.`,
		Example: `  coffre signals list --data data --organization 0316380841
  coffre signals list --data data --organization 0206731645 --issuer --type be.coffre.vault.v1.petitions.notify.made --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
				page, err := client.Read[contract.Signals](c.ListSignals(cmd.Context(), contract.ListSignalsParams{PageSize: officersPage, Type: types, After: after}))
				if err != nil {
					return err
				}
				if asJSON {
					return p.print(true, page.Body)
				}
				t := p.table("WHEN", "WHAT", "ABOUT", "VERSION", "STATE", "ID")
				for _, s := range page.Body.Items {
					t.row(day(s.Time), s.Type[strings.LastIndexByte(s.Type, '.')+1:], aboutSignal(s.Data), strconv.Itoa(s.Data.Version), s.Data.State, s.ID.String())
				}
				if err := t.flush(); err != nil {
					return err
				}
				return p.facts("next", page.Body.NextCursor)
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	cmd.Flags().StringVar(&after, "after", "", "only what follows the `cursor` of an answer before")
	cmd.Flags().StringArrayVar(&types, "type", nil, "only this `type` of event; may be given more than once")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// aboutSignal names what an event is about.
func aboutSignal(d contract.SignalData) string {
	switch {
	case !d.PetitionID.IsZero():
		return "petition " + d.PetitionID.String()
	case !d.ConsentID.IsZero():
		return "consent " + d.ConsentID.String()
	}
	return "document " + d.DocumentID.String()
}

package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/handlers/contract"
)

// officersList is a command with which a privacy officer finds what other officers began, page
// by page and oldest first, narrowed by states.
type officersList[S ~string, Item any] struct {
	states  []string // the values of --state, all there are
	columns []string // in English, as the list of words has them
	// page asks for one page of items in these states, or in any when none is given.
	page func(ctx context.Context, c *client.Client, states []S, after contract.Cursor) ([]Item, contract.Cursor, error)
	// row returns the cells of an item, one for each column.
	row func(in speaker, one Item) []string
}

// command gives a command, which has its words, the flags and the work of the list.
func (l officersList[S, Item]) command(p *program, cmd *cobra.Command) *cobra.Command {
	var at where
	var me officer
	var asJSON bool
	var asked []string
	var lang string
	cmd.Args = takes()
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := oneOf("lang", lang, languages...); err != nil {
			return err
		}
		in := speaker(lang)
		var states []S
		for _, s := range asked {
			if err := oneOf("state", s, l.states...); err != nil {
				return err
			}
			states = append(states, S(s))
		}
		return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
			t := p.table(in.headings(l.columns...)...)
			return printPages(p, asJSON, t, func(after contract.Cursor) ([]Item, contract.Cursor, error) {
				return l.page(cmd.Context(), c, states, after)
			}, func(one Item) { t.row(l.row(in, one)...) })
		})
	}
	at.flags(cmd)
	me.flags(cmd)
	cmd.Flags().StringSliceVar(&asked, "state", nil, "only these `states`: "+strings.Join(l.states, ", "))
	complete(cmd, "state", l.states...)
	jsonFlag(cmd, &asJSON)
	langFlag(cmd, &lang)
	return cmd
}

// officersPage is how many items a list asks for at a time.
const officersPage = 200

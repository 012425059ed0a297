package main

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/handlers/contract"
)

func newProjections(p *program) *cobra.Command {
	return group("projections", "See and rebuild the read models",
		`  coffre projections status --data data
  coffre projections rebuild wallet --data data
  coffre projections prepare --data data`,
		newProjectionsStatus(p), newProjectionsRebuild(p), newProjectionsPrepare(p))
}

func newProjectionsStatus(p *program) *cobra.Command {
	var at where
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status", Short: "How far each read model is",
		Example: `  coffre projections status --data data
  coffre projections status --data data --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.asks(cmd.Context(), at, asOperator, func(c *client.Client) error {
				all, err := client.Read[contract.Projections](c.ListProjections(cmd.Context(), contract.ListProjectionsParams{}))
				if err != nil {
					return err
				}
				return p.printProjections(asJSON, all.Body.Items)
			})
		},
	}
	at.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (p *program) printProjections(asJSON bool, all []contract.Projection) error {
	if asJSON {
		return printLines(p, all)
	}
	t := p.table("NAME", "VERSION", "STATE", "EVENTS", "BEHIND", "REBUILT")
	for _, one := range all {
		rebuilt := ""
		if one.State == contract.ProjectionStateRebuilding {
			rebuilt = strconv.Itoa(orZero(one.Rebuilding)) + "%"
		}
		t.row(one.Name, strconv.Itoa(one.Version), string(one.State), strconv.FormatInt(one.Applied, 10), strconv.FormatInt(one.Behind, 10), rebuilt)
	}
	return t.flush()
}

func newProjectionsRebuild(p *program) *cobra.Command {
	var at where
	var asJSON bool
	cmd := &cobra.Command{
		Use: "rebuild NAME", Short: "Build a read model again, beside the live one",
		Long: `Asks for a rebuild, waits for that one and says how it ended: exit code 1 when it failed, and
then the read model in force stays. One that is under way already is joined.`,
		Example: `  coffre projections rebuild wallet --data data`,
		Args:    takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.asks(cmd.Context(), at, asOperator, func(c *client.Client) error {
				asked, err := client.Read[contract.Rebuild](c.RebuildProjection(cmd.Context(), args[0], contract.RebuildProjectionParams{IdempotencyKey: uuid.New()}))
				if err != nil {
					return unknownProjection(cmd.Context(), c, args[0], err)
				}
				return p.followRebuild(cmd.Context(), c, asked.Body, asJSON)
			})
		},
	}
	at.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// unknownProjection returns err, or, where there is no read model of that name, an error of
// usage with the names there are.
func unknownProjection(ctx context.Context, c *client.Client, name string, err error) error {
	refusal, refused := errors.AsType[*client.Refusal](err)
	if !refused || refusal.Status != http.StatusNotFound {
		return err
	}
	all, unread := client.Read[contract.Projections](c.ListProjections(ctx, contract.ListProjectionsParams{}))
	if unread != nil {
		return err // the refusal is what counts
	}
	var names []string
	for _, one := range all.Body.Items {
		names = append(names, one.Name)
	}
	return usage("there is no read model %q%s (there are %s)", printable(name), nearest(name, names), strings.Join(names, ", "))
}

// eachPage visits the items of a list page by page, each of which page asks for by the
// cursor of the one before; the first by none.
func eachPage[T any](page func(after contract.Cursor) (items []T, next contract.Cursor, err error), visit func(T) error) error {
	for after := ""; ; {
		items, next, err := page(after)
		if err != nil {
			return err
		}
		for _, item := range items {
			if err := visit(item); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		after = next
	}
}

// printPages prints the items of a list page by page: each as a line of JSON, or all as the
// rows of a table.
func printPages[T any](p *program, asJSON bool, t *table, page func(after contract.Cursor) (items []T, next contract.Cursor, err error), row func(T)) error {
	if asJSON {
		return eachPage(page, func(item T) error { return p.printJSON(item) })
	}
	if err := eachPage(page, func(item T) error { row(item); return nil }); err != nil {
		return err
	}
	return t.flush()
}

// printLines prints each of them as a line of JSON.
func printLines[T any](p *program, all []T) error {
	for _, one := range all {
		if err := p.printJSON(one); err != nil {
			return err
		}
	}
	return nil
}

package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/cmd/coffre/files"
	"coffre/handlers/contract"
)

func newTraffic(p *program) *cobra.Command {
	return group("traffic", "Who calls what, where calls are refused, how long they take, and what they cost",
		`  coffre traffic show --data data
  coffre traffic usage --data data --month 2026-11`,
		newTrafficShow(p), newTrafficUsage(p))
}

// monthly asks about a month, in one of the forms that there are.
type monthly struct {
	month         string
	asJSON, asCSV bool
}

func (m *monthly) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&m.month, "month", "", "the `month` in Belgium, yyyy-MM (default: this one)")
	cmd.Flags().BoolVar(&m.asCSV, "csv", false, "lines of CSV, of everything that was counted")
	jsonFlag(cmd, &m.asJSON)
	cmd.MarkFlagsMutuallyExclusive("csv", "json")
}

// format returns what the vault is asked for.
func (m monthly) format() contract.FigureFormat {
	if m.asCSV {
		return contract.FigureFormatCsv
	}
	return ""
}

// check refuses what is no month.
func (m monthly) check() error {
	if _, err := time.Parse("2006-01", m.month); m.month != "" && err != nil {
		return usage("--month is a month such as 2026-11")
	}
	return nil
}

// passCSV prints an answer in CSV as it comes.
func (p *program) passCSV(what string, r *http.Response, err error) error {
	body, err := client.Stream(r, err)
	if err != nil {
		return err
	}
	if _, err := io.Copy(p.Out, body); err != nil {
		return errors.Join(fmt.Errorf("fetch the %s: %w", what, files.Cause(err)), body.Close())
	}
	return body.Close()
}

func newTrafficShow(p *program) *cobra.Command {
	var at where
	var m monthly
	var top int
	cmd := &cobra.Command{
		Use: "show", Short: "Who calls most, which operations are called, and where they are refused",
		Long: `Counts the requests of a month, of all processes, up to a minute ago. HALF and MOST are the times
within which half of the requests that succeeded were answered, and nineteen in twenty. Citizens
count together; nothing tells of one.`,
		Example: `  coffre traffic show --data data
  coffre traffic show --data data --month 2026-11 --top 20
  coffre traffic show --url https://vault.example --token-file t --csv > traffic.csv`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := m.check(); err != nil {
				return err
			}
			ask := contract.GetTrafficParams{Month: m.month, Format: m.format(), Top: top}
			return p.asks(cmd.Context(), at, asOperator, func(c *client.Client) error {
				if m.asCSV {
					r, err := c.GetTraffic(cmd.Context(), ask)
					return p.passCSV("traffic", r, err)
				}
				r, err := client.Read[contract.Traffic](c.GetTraffic(cmd.Context(), ask))
				if err != nil {
					return err
				}
				if m.asJSON {
					return p.printJSON(r.Body)
				}
				return p.printTraffic(r.Body)
			})
		},
	}
	at.flags(cmd)
	cmd.Flags().IntVar(&top, "top", 5, "at most so `many` of each list, 100 at most")
	m.flags(cmd)
	return cmd
}

// countText writes a count.
func countText(n int64) string { return strconv.FormatInt(n, 10) }

// milliseconds writes a bound of the contract; "" for none.
func milliseconds(n int) string {
	if n == 0 {
		return ""
	}
	return (time.Duration(n) * time.Millisecond).String()
}

func (p *program) printTraffic(f contract.Traffic) error {
	callers := p.table("REQUESTS", "REFUSED", "FAILED", "ROLE", "ORGANISATION")
	for _, c := range f.Callers {
		callers.row(countText(c.Requests), countText(c.Refused), countText(c.Failed), string(c.Role), string(c.Organization))
	}
	operations := p.table("REQUESTS", "REFUSED", "FAILED", "OPERATION", "HALF", "MOST")
	for _, o := range f.Operations {
		operations.row(countText(o.Requests), countText(o.Refused), countText(o.Failed), o.Operation, milliseconds(o.HalfWithin), milliseconds(o.MostWithin))
	}
	problems := p.table("REQUESTS", "STATUS", "PROBLEM", "OPERATION", "ROLE", "ORGANISATION")
	for _, q := range f.Problems {
		problems.row(countText(q.Requests), strconv.Itoa(q.Status), q.Problem, q.Operation, string(q.Role), string(q.Organization))
	}
	for _, t := range []*table{callers, operations, problems} {
		if err := t.flush(); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(p.Out); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(p.Out, "%d requests in %s, %d refused, %d failed\n", f.Requests, f.Month, f.Refused, f.Failed)
	return err
}

func newTrafficUsage(p *program) *cobra.Command {
	var at where
	var me subscriber
	var m monthly
	cmd := &cobra.Command{
		Use: "usage", Short: "What each organisation used in a month, and what that costs",
		Long: `Counts the calls of a month by organisation and operation, up to a minute ago, and says what they
cost where the operator has prices (coffre serve --prices). A call that was refused costs nothing.
An organisation sees its own; an operator, without --organization, those of all.`,
		Example: `  coffre traffic usage --data data --month 2026-11
  coffre traffic usage --data data --organization 0316380841
  coffre traffic usage --url https://vault.example --token-file t --csv > usage.csv`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := m.check(); err != nil {
				return err
			}
			ask := contract.GetMonthlyUsageParams{Month: m.month, Format: m.format()}
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
				if m.asCSV {
					r, err := c.GetMonthlyUsage(cmd.Context(), ask)
					return p.passCSV("usage", r, err)
				}
				r, err := client.Read[contract.MonthlyUsage](c.GetMonthlyUsage(cmd.Context(), ask))
				if err != nil {
					return err
				}
				if m.asJSON {
					return p.printJSON(r.Body)
				}
				return p.printUsage(r.Body)
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	m.flags(cmd)
	return cmd
}

func (p *program) printUsage(u contract.MonthlyUsage) error {
	t := p.table("ORGANISATION", "ROLE", "OPERATION", "CALLS", "REFUSED", "PRICE", "COSTS")
	for _, o := range u.Organizations {
		for _, l := range o.Lines {
			t.row(string(o.Organization), string(l.Role), l.Operation, countText(l.Calls), countText(l.Refused), l.Price, l.Costs)
		}
		if o.Monthly != "" {
			t.row(string(o.Organization), "", "the month", "", "", o.Monthly, o.Monthly)
		}
		t.row(string(o.Organization), "", "all", countText(o.Calls), countText(o.Refused), "", o.Costs)
	}
	if err := t.flush(); err != nil {
		return err
	}
	said := "no prices are in force"
	if u.Currency != "" {
		said = fmt.Sprintf("in %s, by the prices in force from %s", u.Currency, u.PricesFrom)
	}
	_, err := fmt.Fprintf(p.Out, "%d organisations in %s; %s\n", len(u.Organizations), u.Month, said)
	return err
}

package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/files"
	"coffre/cmd/coffre/vault"
	"coffre/projections"
)

func newAuditProjections(p *program) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "projections DIR", Short: "Compare the read models with what the log makes of them",
		Long: `Answers come from read models, which are made of the log. This builds each of them from the log
once more, in a folder of its own, and compares every row with the one that answers: a row that
is missing, that the log does not make, or that has other values is named by its table and key,
with the first event that explains it: which made the row, or whose change it lacks.

DIR is the data directory of a vault, whether it is served or not; COFFRE_STORE and its like say
where its databases are. No key is needed, and no value of a row is shown. Whether the log itself
is what was recorded says coffre audit verify. A read model that differs is put right by coffre
projections rebuild.

It ends with 0 when every row is as the log makes it, 1 on an error, 2 on a mistake of usage, 3
when a row differs, 4 when no row differs and a read model could not be compared.`,
		Example: `  coffre audit projections data
  coffre audit projections data --json`,
		Args: takes("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := vault.DataDir(args[0])
			info, err := os.Stat(args[0])
			if err == nil && !info.IsDir() {
				err = errors.New("it is no directory")
			}
			if err != nil {
				return &exitError{exitUsage, fmt.Errorf("%s: %w", args[0], files.Cause(err))}
			}
			if there, err := dir.Exists(); err != nil || !there {
				return &exitError{exitUsage, errors.Join(err, fmt.Errorf("there is no vault in %s", args[0]))}
			}
			config, err := vault.FromEnv(p.env)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			bar := p.progress(-1, "events", false)
			defer bar.Done()
			var all []projections.Compared
			err = vault.CompareModels(cmd.Context(), dir, config, bar.Add, func(one projections.Compared) error {
				all = append(all, one)
				return nil
			})
			bar.Done()
			if err != nil {
				return err
			}
			return p.printCompared(asJSON, all)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// printCompared prints what was found of each read model, and returns the exit code for it.
func (p *program) printCompared(asJSON bool, all []projections.Compared) error {
	var wrong int64
	incomplete := false
	t := p.table("READ MODEL", "VERSION", "EVENTS", "ROWS", "DIFFER", "NOT COMPARED")
	for _, one := range all {
		wrong += one.Wrong
		incomplete = incomplete || one.Incomplete != ""
		if asJSON {
			if err := p.printJSON(one); err != nil {
				return err
			}
			continue
		}
		for i, d := range one.Differences {
			if i == shownFindings {
				break
			}
			if _, err := fmt.Fprintln(p.Out, printable(differs(one.Model, d))); err != nil {
				return err
			}
		}
		t.row(one.Model, strconv.Itoa(one.Version), strconv.FormatInt(one.Events, 10), strconv.FormatInt(one.Rows, 10), strconv.FormatInt(one.Wrong, 10), hindered(one))
	}
	if !asJSON {
		if err := t.flush(); err != nil {
			return err
		}
		said := "every row is as the log makes it"
		switch {
		case wrong > 0:
			said = fmt.Sprintf("%d rows are not as the log makes them", wrong)
		case incomplete:
			said = "INCOMPLETE: not every read model could be compared"
		}
		if _, err := fmt.Fprintln(p.Out, said); err != nil {
			return err
		}
	}
	switch {
	case wrong > 0:
		return &exitError{exitTamper, nil}
	case incomplete:
		return &exitError{exitIncomplete, nil}
	}
	return nil
}

// hindered says why a read model was not compared; "" when it was.
func hindered(one projections.Compared) string {
	switch one.Incomplete {
	case "":
		return ""
	case projections.NotInForce:
		return "no read model of this version is in force"
	case projections.TakenOut:
		return "it was taken out of force meanwhile; try again"
	case projections.LogUnreadable:
		return fmt.Sprintf("the log cannot be taken in past leaf %d", orZero(one.Stopped))
	}
	return string(one.Incomplete)
}

// differs tells of one difference in a sentence.
func differs(model string, d projections.Difference) string {
	row := fmt.Sprintf("%s: the row of %s with %s", model, d.Table, d.Row)
	var says string
	switch d.What {
	case projections.RowMissing:
		says = row + " is not there"
	case projections.RowExtra:
		says = row + " is there, and the log makes no such row"
	case projections.RowOther:
		says = row + " has another " + strings.Join(d.Columns, ", ")
	case projections.Unreadable:
		return fmt.Sprintf("%s: %s cannot be read", model, cmp.Or(d.Table, "it"))
	case projections.AheadOfLog:
		return model + ": it has taken in more events than the log holds"
	}
	if d.Event != (uuid.UUID{}) {
		says += fmt.Sprintf("; see leaf %d, %s, event %s", *d.Leaf, d.Type, d.Event)
	}
	return says
}

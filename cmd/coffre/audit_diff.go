package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/files"
	"coffre/eventstore/proof"
	"coffre/handlers/contract"
)

func newAuditDiff(p *program) *cobra.Command {
	var checks provenLog
	var of string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "diff A B", Short: "What happened between two checkpoints",
		Long: `Tells what happened in the log between two checkpoints, a sentence for each event and how many
there are of each type, and proves that the later log begins with the earlier one. A and B are
bundles, or checkpoints that were kept. Events come from B, which is a whole bundle then, or
from a data directory or a vault (--of DIR|URL), which both checkpoints have to fit.

It ends with 0 when all is told, 1 on an error, 2 on a mistake of usage, 3 when something was
tampered with or A and B are of two histories, 4 when the log is incomplete.`,
		Example: `  coffre audit diff february.bundle march.bundle --key keys.json
  coffre audit diff february.checkpoint march.checkpoint --of data
  coffre audit diff february.bundle march.bundle --of https://vault.example --token-file t --json`,
		Args: takes("A", "B"),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := p.markOf(args[0])
			if err != nil {
				return err
			}
			to, err := p.markOf(args[1])
			if err != nil {
				return err
			}
			if to.Size < from.Size {
				return usage("A covers %d events and B %d: the earlier one comes first", from.Size, to.Size)
			}
			place := args[1]
			checks.held = append(checks.held, args[0])
			if of != "" {
				place, checks.held = of, append(checks.held, args[1])
			} else if to.kept {
				return usage("B is a checkpoint without events: give a bundle, or say by --of where the log is")
			}
			between := difference{told{Types: make(map[string]int)}, from.Size, to.Size, from.Time, to.Time}
			found, err := p.readProven(cmd.Context(), place, checks, func(leaf int64, e contract.LogEvent) error {
				if leaf < from.Size || leaf >= to.Size {
					return nil
				}
				between.add(e)
				if asJSON {
					return p.printJSON(e)
				}
				_, err := fmt.Fprintf(p.Out, "%s  %s\n", day(e.RecordedAt), sentence(e))
				return err
			})
			if err != nil {
				return err
			}
			if !found.Whole && found.Incomplete == "" {
				found.Incomplete = "this bundle is a selection: what it leaves out is not told"
			}
			if asJSON {
				err = p.printJSON(between)
			} else if err = p.printTold(false, between.told); err == nil {
				err = p.facts("from", fmt.Sprintf("%d events, %s", from.Size, day(from.Time)), "to", fmt.Sprintf("%d events, %s", to.Size, day(to.Time)), "between", strconv.Itoa(between.Events))
				fmt.Fprintln(p.Out)
			}
			if err != nil {
				return err
			}
			if err := p.printReport(asJSON, found); err != nil {
				return err
			}
			return verdict(found)
		},
	}
	checks.flags(cmd)
	checks.tokenFlag(cmd)
	cmd.Flags().StringVar(&of, "of", "", "the data `directory` or the https://host whose log has the events (default: B)")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// difference is what lies between two checkpoints.
type difference struct {
	told
	From int64     `json:"from"` // events under the earlier checkpoint
	To   int64     `json:"to"`
	Then time.Time `json:"fromSigned"`
	Now  time.Time `json:"toSigned"`
}

// mark is a checkpoint that the command line names.
type mark struct {
	proof.Checkpoint
	kept bool // the note alone, without events
}

// markOf reads the checkpoint of a file; who signed it is judged with the log.
func (p *program) markOf(name string) (mark, error) {
	note, err := p.heldCheckpoint(name)
	if err != nil {
		return mark{}, err
	}
	c, err := proof.Peek(note)
	if err != nil {
		return mark{}, &exitError{exitUsage, err}
	}
	first, err := firstByte(name)
	return mark{c, first != '{'}, err
}

// firstByte tells a bundle, which is JSON, from a note.
func firstByte(name string) (byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, files.Cause(err)
	}
	defer f.Close() // it was only read
	var b [1]byte
	if _, err := f.Read(b[:]); err != nil {
		return 0, files.Cause(err)
	}
	return b[0], nil
}

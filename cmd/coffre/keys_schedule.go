package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/handlers/contract"
)

// rotationCalendar is how often the key-encryption key is rotated, and how long its steps wait.
type rotationCalendar struct {
	months    int // from the making of a version to that of the next
	wait      int // days between retire and trim
	snapshots int // days for which snapshots of Vault, or copies of kek.json, are kept
}

// appointment is a step of a rotation with the moment from which it is due.
type appointment struct {
	Step    string    `json:"step"`
	Due     time.Time `json:"due"`
	Overdue bool      `json:"overdue"` // for more than a day
	Final   string    `json:"final"`   // what nothing takes back afterwards
}

// what is final after each step; a step that is not here takes nothing away.
var finalAfter = map[contract.RotationStep]string{
	contract.RotationStepRotate: "nothing: older versions open what they opened",
	contract.RotationStepBackUp: "nothing",
	contract.RotationStepRetire: "nothing: Vault's administrator can take it back",
	contract.RotationStepTrim:   "backups from before the rotation open nowhere, but with a snapshot of Vault or a copy of kek.json from before",
}

// snapshotsGone is the appointment after the last step: the vault does not do it.
const (
	snapshotsGone      = "destroySnapshots"
	finalAfterSnapshot = "what was erased before the rotation is gone from every backup"
)

// rotationSteps are the steps of a rotation in their order.
var rotationSteps = []contract.RotationStep{contract.RotationStepRotate, contract.RotationStepBackUp, contract.RotationStepRetire, contract.RotationStepTrim}

// of returns the steps that are left of the rotation under way, and those of the next one.
func (c rotationCalendar) of(k contract.KeyState, now time.Time) []appointment {
	var made, retired time.Time
	for _, kek := range k.KeyEncryptionKeys {
		if kek.Current {
			made = kek.CreatedAt
		} else if kek.TrimmedAt.IsZero() && kek.RetiredAt.After(retired) {
			retired = kek.RetiredAt
		}
	}
	var all []appointment
	add := func(step, final string, due time.Time) {
		all = append(all, appointment{Step: step, Due: due, Overdue: due.AddDate(0, 0, 1).Before(now), Final: final})
	}
	rotation := func(left []contract.RotationStep, due time.Time, gone bool) {
		for _, step := range left {
			if step == contract.RotationStepTrim {
				due = due.AddDate(0, 0, c.wait)
			}
			add(string(step), finalAfter[step], due)
		}
		if gone {
			add(snapshotsGone, finalAfterSnapshot, due.AddDate(0, 0, c.snapshots))
		}
	}
	switch step := k.NextStep; step {
	case contract.RotationStepRotate:
	case contract.RotationStepTrim:
		rotation([]contract.RotationStep{step}, cmp.Or(retired, made), true)
	default: // while keys are wrapped again the backup is what comes next
		rotation(rotationSteps[max(1, slices.Index(rotationSteps, step)):], made, true)
	}
	rotation(rotationSteps, made.AddDate(0, c.months, 0), true)
	return all
}

func newKeysSchedule(p *program) *cobra.Command {
	var at where
	var asJSON, check bool
	c := rotationCalendar{months: 12, wait: 1, snapshots: 30}
	cmd := &cobra.Command{
		Use: "schedule", Short: "When each step of a rotation is due, and what is final then",
		Long: `When each step of a rotation of the key-encryption key is due, and what nothing takes
back afterwards: first what is left of the rotation under way, then the next one, counted
from the day on which the current version was made. A step begins when the one before it
is done; nothing is done by itself.

destroySnapshots is yours: snapshots of Vault, or copies of kek.json, from before the
rotation still open what older backups hold.

With --check the exit code is 1 when a step has been due for more than a day, for a nightly
job.`,
		Example: `  coffre keys schedule --data data
  coffre keys schedule --data data --every 6 --check`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, n := range []struct {
				flag             string
				got, least, most int
			}{{"every", c.months, 1, 60}, {"wait", c.wait, 0, 90}, {"snapshots", c.snapshots, 0, 3650}} {
				if n.got < n.least || n.got > n.most {
					return usage("--%s is %d; it has to be %d to %d", n.flag, n.got, n.least, n.most)
				}
			}
			return p.asks(cmd.Context(), at, asOperator, func(cl *client.Client) error {
				state, err := client.Read[contract.KeyState](cl.GetKeys(cmd.Context()))
				if err != nil {
					return err
				}
				all := c.of(state.Body, time.Now())
				if err := p.printSchedule(asJSON, all); err != nil || !check {
					return err
				}
				if i := slices.IndexFunc(all, func(a appointment) bool { return a.Overdue && a.Step != snapshotsGone }); i >= 0 {
					return fmt.Errorf("%s was due on %s", all[i].Step, day(all[i].Due))
				}
				return nil
			})
		},
	}
	at.flags(cmd)
	jsonFlag(cmd, &asJSON)
	f := cmd.Flags()
	f.IntVar(&c.months, "every", c.months, "a rotation each so many `months`, 1 to 60")
	f.IntVar(&c.wait, "wait", c.wait, "`days` of ordinary work between retire and trim, at most 90")
	f.IntVar(&c.snapshots, "snapshots", c.snapshots, "`days` for which snapshots of Vault, or copies of kek.json, are kept, at most 3650")
	f.BoolVar(&check, "check", false, "exit code 1 when a step is overdue")
	return cmd
}

func (p *program) printSchedule(asJSON bool, all []appointment) error {
	if asJSON {
		return p.printJSON(map[string]any{"items": all})
	}
	t := p.table("STEP", "DUE", "OVERDUE", "FINAL THEN")
	for _, a := range all {
		t.row(a.Step, a.Due.UTC().Format(time.DateOnly), yes(a.Overdue), a.Final)
	}
	return t.flush()
}

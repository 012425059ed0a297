package main

import (
	"cmp"
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/plan"
	"coffre/cmd/coffre/vault"
)

func newUpgrade(p *program) *cobra.Command {
	return group("upgrade", "What another release of this program does to a vault", "  coffre upgrade check --data data", newUpgradeCheck(p))
}

func newUpgradeCheck(p *program) *cobra.Command {
	var data string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "check --data DIR", Short: "Tell what this program would do to a vault that an older one serves",
		Long: `Run with the new program, before the old one is stopped: which tables it changes, which read
models it builds anew and for how long at most, whether the log holds events of a form that it
does not know, and whether processes of the release before can be started beside its own. Nothing
is changed and no key is needed; the whole log is read. COFFRE_STORE and its like say where the
databases are, as for coffre serve.

It ends with 0 when this program would serve the vault, with 1 when it would not: tables or events
were written by a newer release, or something cannot be read.`,
		Example: `  coffre upgrade check --data data
  coffre upgrade check --data run-1 --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir := vault.DataDir(data)
			if err := thereIsAVault(dir); err != nil {
				return err
			}
			config, err := vault.FromEnv(p.env)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			bar := p.progress(-1, "events", false)
			u, err := vault.CheckUpgrade(cmd.Context(), dir, config, bar.Add)
			bar.Done()
			if err != nil {
				return err
			}
			if asJSON {
				err = p.printJSON(upgradeTold{u, rebuildTime(u)})
			} else {
				err = p.printUpgrade(u)
			}
			if err == nil && u.Refused() {
				return &exitError{exitFailed, nil}
			}
			return err
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "the vault's data `directory`")
	required(cmd, "data")
	_ = cmd.MarkFlagDirname("data") // only for a flag that is not there
	jsonFlag(cmd, &asJSON)
	return cmd
}

// upgradeTold is an upgrade with what the command computes.
type upgradeTold struct {
	vault.Upgrade `json:",inline"`
	RebuildAtMost float64 `json:"rebuildSecondsAtMost"`
}

// rebuildTime returns for how many seconds at most read models are built on this machine's cores:
// a rebuild of all of them was measured.
func rebuildTime(u vault.Upgrade) float64 {
	if len(u.Rebuilt()) == 0 {
		return 0
	}
	return plan.Rebuild(float64(u.Events), float64(runtime.NumCPU()))
}

func (p *program) printUpgrade(u vault.Upgrade) error {
	t := p.table("TABLES", "FORM", "THIS PROGRAM'S", "WHAT BECOMES OF THEM")
	for _, one := range u.Tables {
		becomes := "stay"
		switch {
		case one.Newer:
			becomes = "REFUSED: a newer release wrote them"
		case one.Form == 0:
			becomes = "made when they are needed"
		case one.Program == 0:
			becomes = "stay, of another release"
		case one.Form < one.Program && one.Part == "log":
			becomes = "read as they are"
		case one.Form < one.Program:
			becomes = fmt.Sprintf("%d steps, in one transaction", one.Program-one.Form)
		}
		t.row(one.Part, strconv.FormatInt(one.Form, 10), strconv.FormatInt(one.Program, 10), becomes)
	}
	if err := t.flush(); err != nil {
		return err
	}
	var unknown []string
	for _, one := range u.Unknown {
		unknown = append(unknown, fmt.Sprintf("%s (%d)", one.Type, one.Events))
	}
	rebuilt := "none"
	if names := u.Rebuilt(); len(names) > 0 {
		rebuilt = fmt.Sprintf("%s: at most %s here", strings.Join(names, ", "), rounded(rebuildTime(u), "s"))
	}
	beside := "yes"
	if !u.OlderBeside {
		beside = "no: " + u.Why
	}
	served := "yes"
	if u.Refused() {
		served = "NO"
	}
	fmt.Fprintln(p.Out)
	return p.facts("events", strconv.FormatInt(u.Events, 10), "of unknown form", cmp.Or(strings.Join(unknown, ", "), "none"),
		"read models to build", rebuilt, "older processes beside", beside, "would be served", served)
}

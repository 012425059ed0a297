package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

const (
	about = `Coffre is a vault of administrative documents: administrations issue them, citizens
hold them and decide about their use, and every reading is on record.`

	exitCodes = `Exit codes: 0 done, 1 it failed, 2 wrong usage, 3 tampering found, 4 some records were refused.`
)

// help writes the help of a command, examples before flags: most who ask for help want one.
// It is code and no template: a package of templates keeps every method of every type in the
// program, a fifth of its size.
func help(cmd *cobra.Command) string {
	var b strings.Builder
	if about := strings.TrimRight(cmp.Or(cmd.Long, cmd.Short), " \t\r\n"); about != "" {
		fmt.Fprintf(&b, "%s\n\n", about)
	}
	fmt.Fprintf(&b, "Examples:\n%s\n\nUsage:\n  ", cmd.Example)
	if _, runs := cmd.Annotations[runsItself]; runs {
		fmt.Fprintf(&b, "%s\n  ", cmd.UseLine())
	}
	fmt.Fprintf(&b, "%s\n\n", usageLine(cmd))
	if cmd.HasAvailableSubCommands() {
		b.WriteString("Commands:")
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(&b, "\n  %-*s  %s", sub.NamePadding(), sub.Name(), sub.Short)
			}
		}
		b.WriteString("\n\n")
	}
	if cmd.HasAvailableLocalFlags() {
		fmt.Fprintf(&b, "Flags:\n%s\n\n", strings.TrimRight(cmd.LocalFlags().FlagUsages(), " \t\r\n"))
	}
	fmt.Fprintf(&b, "%s\n", exitCodes)
	return b.String()
}

func usageLine(cmd *cobra.Command) string {
	if cmd.HasAvailableSubCommands() {
		return cmd.CommandPath() + " COMMAND"
	}
	return cmd.UseLine()
}

// runsItself annotates a command that has others and does something without them.
const runsItself = "runs"

// newRoot returns the tree of commands, and whether one of them came to run: an
// error before that is one of usage.
func newRoot(p *program) (root *cobra.Command, started *bool) {
	var version bool
	root = &cobra.Command{
		Use: "coffre", Short: "A vault of citizens' documents", Long: about,
		Example: `  coffre demo --data /tmp/try            play a story and read what happened
  coffre serve --dev --data data         serve on this machine
  coffre token --data data --role issuer --org 0206731645`,
		SilenceErrors: true, SilenceUsage: true,
		// Without a word after it, the help.
		RunE: func(cmd *cobra.Command, _ []string) error {
			if version {
				return p.printVersion(cmd.Context(), false)
			}
			return cmd.Help()
		},
		Args: noSuchCommand,
	}
	root.Flags().BoolVar(&version, "version", false, "what this program is made of, as coffre version tells")
	root.AddCommand(
		newServe(p), newDestroyer(p), newRotator(p), newDemo(p), newToken(p),
		newRegistry(p), newDocuments(p), newWallet(p), newCitizens(p), newCorrections(p), newConsents(p), newAccesses(p), newPetitions(p), newInvestigations(p), newPreferences(p), newSignals(p), newSubscriptions(p), newMandates(p), newRestrictions(p), newHolds(p), newErase(p), newReleases(p), newSuppressions(p),
		newAudit(p), newWitness(p), newExport(p), newFigures(p), newTraffic(p), newProjections(p), newReactors(p), newPoison(p), newEbox(p), newWebhooks(p), newIdentity(p), newKeys(p), newBackup(p), newRestore(p), newStore(p),
		newConfig(p), newUpgrade(p), newHealth(p), newPlan(p), newBench(p), newVersion(p), newHelp(),
	)
	root.SetIn(p.In)
	root.SetOut(p.Out)
	root.SetErr(p.Err)
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { fmt.Fprint(cmd.OutOrStdout(), help(cmd)) })
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		_, err := fmt.Fprintf(cmd.OutOrStderr(), "Usage: %s\nTry '%s --help'.\n", usageLine(cmd), cmd.CommandPath())
		return err
	})
	root.SetHelpCommand(&cobra.Command{Hidden: true, Use: "no-help"}) // ours is a command like others
	root.CompletionOptions.HiddenDefaultCmd = false
	root.InitDefaultCompletionCmd()
	examples(root)
	started = new(bool)
	p.watch(root, started)
	return root, started
}

// group returns a command that only holds others.
func group(use, short, example string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(commands...)
	return cmd
}

// noSuchCommand refuses what is not a command of a group, and says what comes near.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	message := fmt.Sprintf("unknown command %q for %q", printable(args[0]), cmd.CommandPath())
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		message += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usage("%s (try '%s --help')", message, cmd.CommandPath())
}

// examples gives cobra's own completion commands theirs.
func examples(root *cobra.Command) {
	completion, _, err := root.Find([]string{"completion"})
	if err != nil || completion == root {
		return
	}
	completion.Short = "Make your shell complete coffre's commands"
	completion.Long = completion.Short
	completion.Example = "  coffre completion bash > /etc/bash_completion.d/coffre"
	completion.Args = noSuchCommand
	completion.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	for _, shell := range completion.Commands() {
		shell.Example = "  coffre completion " + shell.Name()
		shell.Args = takes()
	}
}

// watch notes when a command's own work begins, which is after its flags were checked.
func (p *program) watch(cmd *cobra.Command, started *bool) {
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := p.settle(cmd); err != nil {
			return err
		}
		return p.sourced(checkFlags(cmd))
	}
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			*started = true
			return p.sourced(run(cmd, args))
		}
	}
	for _, sub := range cmd.Commands() {
		p.watch(sub, started)
	}
}

// oneOf returns an error unless word is one of those allowed.
func oneOf(flag, word string, allowed ...string) error {
	if slices.Contains(allowed, word) {
		return nil
	}
	return usage("--%s is one of %s", flag, strings.Join(allowed, ", "))
}

package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// newHelp returns the command that tells of others, for those who type help before the
// command and not --help behind it.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]...", Short: "What a command does, and how it is typed",
		Example: `  coffre help documents import
  coffre help`,
		Args: takes("[COMMAND]..."),
		RunE: func(cmd *cobra.Command, words []string) error {
			about, err := commandOf(cmd.Root(), words)
			if err != nil {
				return err
			}
			about.InitDefaultHelpFlag() // as where --help is typed
			return about.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, words []string, _ string) ([]string, cobra.ShellCompDirective) {
			about, err := commandOf(cmd.Root(), words)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, sub := range about.Commands() {
				if sub.IsAvailableCommand() {
					names = append(names, sub.Name()+"\t"+sub.Short)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// commandOf returns the command that words lead to from root; a word that leads nowhere is an
// error of usage.
func commandOf(root *cobra.Command, words []string) (*cobra.Command, error) {
	at := root
	for i, word := range words {
		next := subcommand(at, word)
		if next == nil && at.HasAvailableSubCommands() {
			return nil, noSuchCommand(at, words[i:])
		}
		if next == nil {
			return nil, usage("%q has no commands; its help: coffre help%s", at.CommandPath(), strings.TrimPrefix(at.CommandPath(), root.Name()))
		}
		at = next
	}
	return at, nil
}

func subcommand(of *cobra.Command, word string) *cobra.Command {
	for _, sub := range of.Commands() {
		if sub.Name() == word && sub.IsAvailableCommand() {
			return sub
		}
	}
	return nil
}

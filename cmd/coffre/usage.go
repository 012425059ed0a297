package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// takes returns the check of a command's arguments, which have these names in its usage
// line; one that ends in ... may be given more than once, one in brackets need not be given.
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		for i, name := range names {
			if i >= len(args) && strings.HasPrefix(name, "[") {
				return nil
			}
			if i >= len(args) {
				return misused(cmd, "%s is missing", strings.TrimSuffix(name, "..."))
			}
			if strings.HasSuffix(name, "...") {
				return nil
			}
		}
		if len(args) > len(names) {
			return misused(cmd, "%s takes no %q", cmd.CommandPath(), printable(args[len(names)]))
		}
		return nil
	}
}

// misused returns what is wrong with the line that a person typed, and how it is typed.
func misused(cmd *cobra.Command, format string, args ...any) error {
	return usage("%s; usage: %s (try '%s --help')", fmt.Sprintf(format, args...), cmd.UseLine(), cmd.CommandPath())
}

// Annotations by which cobra keeps the groups of a command's flags. Each is a list of groups,
// and a group is names with blanks between.
const (
	oneOfFlags      = "cobra_annotation_one_required"
	onlyOneOfFlags  = "cobra_annotation_mutually_exclusive"
	flagsOfOneThing = "cobra_annotation_required_if_others_set"
)

// checkFlags reports flags that are missing or exclude each other, in our words and before
// cobra does it in its own.
func checkFlags(cmd *cobra.Command) error {
	var missing []string
	groups := map[string][][]string{}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if len(f.Annotations[cobra.BashCompOneRequiredFlag]) > 0 && !f.Changed {
			missing = append(missing, "--"+f.Name)
		}
		for _, kind := range []string{oneOfFlags, onlyOneOfFlags, flagsOfOneThing} {
			for _, group := range f.Annotations[kind] {
				if names := strings.Fields(group); names[0] == f.Name { // each of a group has it
					groups[kind] = append(groups[kind], names)
				}
			}
		}
	})
	given := func(group []string) (given, others []string) {
		for _, name := range group {
			if cmd.Flags().Changed(name) {
				given = append(given, "--"+name)
			} else {
				others = append(others, "--"+name)
			}
		}
		return given, others
	}
	for _, group := range groups[oneOfFlags] {
		if set, others := given(group); len(set) == 0 {
			missing = append(missing, strings.Join(others, " or "))
		}
	}
	if len(missing) > 0 {
		be := "is"
		if len(missing) > 1 {
			be = "are"
		}
		return misused(cmd, "%s %s missing", strings.Join(missing, ", "), be)
	}
	for _, group := range groups[onlyOneOfFlags] {
		if set, _ := given(group); len(set) > 1 {
			return misused(cmd, "%s exclude each other", strings.Join(set, " and "))
		}
	}
	for _, group := range groups[flagsOfOneThing] {
		if set, others := given(group); len(set) > 0 && len(others) > 0 {
			return misused(cmd, "%s goes with %s", strings.Join(set, ", "), strings.Join(others, ", "))
		}
	}
	return nil
}

// explainFlag returns what is wrong with a command line that has a flag cmd cannot read. A group
// has no flags but --help, so its mistake is the word after it, or that there is none. What
// was typed as a value is not repeated: it may be a secret.
func explainFlag(root, cmd *cobra.Command, args []string, err error) error {
	if cmd.HasAvailableSubCommands() && cmd.Annotations[runsItself] == "" {
		if _, rest, found := root.Find(args); found == nil && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
			return noSuchCommand(cmd, rest)
		}
		return usage("%w; a command comes first: %s COMMAND (try '%[2]s --help')", unreadFlag(cmd, err), cmd.CommandPath())
	}
	return misused(cmd, "%s", unreadFlag(cmd, err))
}

func unreadFlag(cmd *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		dashes := "--"
		if unknown.GetSpecifiedShortnames() != "" {
			dashes = "-"
		}
		name := unknown.GetSpecifiedName()
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
		return fmt.Errorf("unknown flag %s%s", printable(dashes+name), nearest("--"+name, known))
	}
	if without, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return fmt.Errorf("--%s needs a value", without.GetFlag().Name)
	}
	if wrong, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		f := wrong.GetFlag()
		kind := map[string]string{
			"int": "a whole number", "int64": "a whole number", "bool": "true or false", "duration": "a duration, such as 90s or 8h",
			"stringSlice": "a list with commas between",
		}[f.Value.Type()]
		if kind == "" {
			kind = "of type " + f.Value.Type()
		}
		return fmt.Errorf("--%s is %s", f.Name, kind)
	}
	if _, ok := errors.AsType[*pflag.InvalidSyntaxError](err); ok {
		return errors.New("a flag is --name, or --name=value")
	}
	return err
}

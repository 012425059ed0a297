package main

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/files"
)

// output is the file that a command writes, which --out names.
type output struct {
	name  string
	force bool
	pipe  bool // - is standard output
}

// flags adds --out, which must be given, and --force.
func (o *output) flags(cmd *cobra.Command) {
	usage := "`file` to write, which is not there yet"
	if o.pipe {
		usage += "; - is standard output"
	}
	cmd.Flags().StringVar(&o.name, "out", "", usage)
	cmd.Flags().BoolVar(&o.force, "force", false, "replace the file of --out where there is one")
	required(cmd, "out")
	_ = cmd.MarkFlagFilename("out") // only for a flag that is not there
}

func (o *output) toPipe() bool { return o.pipe && o.name == "-" }

// check refuses a file that is there already, before anything is asked of a vault.
func (o *output) check() error {
	if o.name == "" {
		return usage("--out names no file")
	}
	if o.force || o.toPipe() {
		return nil
	}
	if _, err := os.Lstat(o.name); err == nil {
		return errOutThere
	}
	return nil // what is wrong with the place is told where the file is written
}

var errOutThere = errors.New("--out names a file that is there already: name another, or replace it with --force")

// write puts what from writes at --out: whole, durably and readable by its owner only, or
// not at all. A file that came there after check stays as it is, too.
func (o *output) write(from func(io.Writer) error) error {
	if o.force {
		return files.WriteWhole(o.name, from)
	}
	err := files.WriteNew(o.name, from)
	if errors.Is(err, fs.ErrExist) {
		return errOutThere
	}
	return err
}

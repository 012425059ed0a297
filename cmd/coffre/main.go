// Command coffre serves the citizen document vault, and is the tool of those who
// run, audit and try it.
//
// Every command that asks a vault something is a client of its HTTP contract: of
// a vault elsewhere (--url), of the server that owns the data directory, by its
// control socket, or of a vault that the command itself opens there for the time
// it runs.
//
// Exit codes: 0 done; 1 it failed; 2 wrong usage; 3 tampering found, or a log older
// than what lies beside it; 4 some records were refused.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/cmd/coffre/vault"
	"coffre/eventstore"
)

// Exit codes, for scripts.
const (
	exitFailed  = 1
	exitUsage   = 2
	exitTamper  = 3
	exitRefused = 4
)

func main() {
	if err := forbidCoreDumps(); err != nil { // every command may have keys in memory
		fmt.Fprintln(os.Stderr, "coffre:", err)
		os.Exit(exitFailed)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, terminal{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv, Environ: os.Environ, Name: os.Args[0]}, os.Args[1:])
	stop()
	os.Exit(code)
}

// run is main without the process around it, so that tests can call it.
func run(ctx context.Context, t terminal, args []string) int {
	return newProgram(t).run(ctx, args)
}

// program is the tool with what it takes from the world.
type program struct {
	terminal
	now      func() time.Time
	open     opener
	patience time.Duration // for the owner of a directory to answer, or to go
	// serve runs a server until ctx ends.
	serve func(context.Context, terminal, serveOptions) error

	variables func(string) string // of the environment alone; Getenv finds what the configuration file says, too
	said      configured          // by the configuration file; nil: there is none
	typed     map[string]bool     // settings that were given by flag; nil: the command takes none
}

func newProgram(t terminal) *program {
	p := &program{terminal: t, now: time.Now, patience: takeOver, serve: serve}
	p.open = func(ctx context.Context, dir vault.DataDir) (runningVault, error) {
		// Faults only: what becomes of the command is told by the command.
		faults := slog.New(slog.NewTextHandler(t.Err, &slog.HandlerOptions{Level: slog.LevelError}))
		config, err := vault.FromEnv(p.env)
		if err != nil {
			return nil, err
		}
		return vault.Open(ctx, dir, vault.Options{Logger: faults, Transit: config.Transit, Blobs: config.Blobs, Retentions: config.Retentions, SuppressionReview: config.SuppressionReview, Stores: config.Stores, Checkpoints: config.Checkpoints, Limits: config.Limits})
	}
	return p
}

func (p *program) run(ctx context.Context, args []string) int {
	root, started := newRoot(p)
	root.SetArgs(args)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return explainFlag(root, cmd, args, err) })
	err := root.ExecuteContext(ctx)
	var coded *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &coded):
		if coded.err != nil {
			p.complain(coded.err)
		}
		return coded.code
	case !*started: // cobra refused the command line itself
		p.complain(err)
		return exitUsage
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		p.complain(errors.New("interrupted"))
		return exitFailed
	}
	p.complain(err)
	if errors.Is(err, vault.ErrOlderLog) || isTampering(err) {
		return exitTamper
	}
	return exitFailed
}

// isTampering reports whether an error says that what is stored is not what was recorded,
// be it a vault's answer or the command's own finding.
func isTampering(err error) bool {
	refusal, refused := errors.AsType[*client.Refusal](err)
	return errors.Is(err, eventstore.ErrIntegrity) || refused && refusal.Slug() == "integrityViolated"
}

func (p *program) complain(err error) { fmt.Fprintln(p.Err, "coffre:", oneLine(err.Error())) }

// oneLine returns the sentences of joined errors in one line that a terminal may show.
func oneLine(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch said := out.String(); {
		case line == "" || said == "":
		case strings.HasSuffix(said, ":"):
			out.WriteString(" ")
		default:
			out.WriteString("; ")
		}
		out.WriteString(line)
	}
	return printable(out.String())
}

// exitError ends the program with a code; err may be nil when all was said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

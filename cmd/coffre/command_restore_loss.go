package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/domain/audit"
)

// lossFlags say which loss is accepted, by whom, and why.
type lossFlags struct{ data, by, cause string }

func (l *lossFlags) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&l.data, "accept-loss", "", "data `directory` of a vault that goes on with the log it has")
	f.StringVar(&l.by, "by", "", "the `name` of who accepts the loss")
	f.StringVar(&l.cause, "cause", "", "`code` of why the newer log cannot be had: "+strings.Join(lossCauses(), ", "))
	cmd.MarkFlagsRequiredTogether("accept-loss", "by", "cause")
	_ = cmd.MarkFlagDirname("accept-loss") // only for flags that are not there
	complete(cmd, "cause", lossCauses()...)
}

// maxName bounds the name of who accepts a loss, in bytes.
const maxName = 200

func lossCauses() (all []string) {
	for _, c := range audit.LossCauses {
		all = append(all, string(c))
	}
	return all
}

// acceptLoss shows what is lost, asks whether it is accepted, and says what was done.
func (p *program) acceptLoss(ctx context.Context, l lossFlags, sure, asJSON bool) (err error) {
	if err := oneOf("cause", l.cause, lossCauses()...); err != nil {
		return err
	}
	if domain.Blank(l.by) || domain.Unprintable(l.by) || len(l.by) > maxName {
		return usage("--by is the name of who accepts the loss, at most %d bytes without control characters", maxName)
	}
	config, err := vault.FromEnv(p.env)
	if err != nil {
		return err
	}
	dir := vault.DataDir(l.data)
	if there, err := dir.Exists(); err != nil {
		return err
	} else if !there {
		return usage("there is no data directory %s", l.data)
	}
	release, err := dir.OwnStopped()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	faults := slog.New(slog.NewTextHandler(p.Err, &slog.HandlerOptions{Level: slog.LevelError}))
	o := vault.Options{Logger: faults, Transit: config.Transit, Blobs: config.Blobs, Retentions: config.Retentions, Stores: config.Stores, Checkpoints: config.Checkpoints}
	done, err := vault.AcceptLoss(ctx, dir, o, func(found vault.Loss) (string, audit.LossCause, error) {
		p.showLoss(found)
		if !sure {
			if err := p.confirm("What was recorded after that is lost for good. Type lost to go on: ", "lost"); err != nil {
				return "", "", err
			}
		}
		return l.by, audit.LossCause(l.cause), nil
	})
	if err != nil {
		return err
	}
	if done.Resumed {
		p.showLoss(done.Loss)
		fmt.Fprintln(p.Err, "Its acceptance was interrupted before; it is done now, with the name and the cause given then.")
	}
	return p.print(asJSON, done, "directory", l.data, "the log ends at", done.LogEnd, "it was seen up to", done.SeenEnd,
		"events lost", eventsLost(done.Loss), "last event left", orNone(day(done.Last)), "consents in force again", ids(done.Reopen),
		"answers to settle anew", strconv.FormatInt(done.Requests, 10), "read models to build anew", strings.Join(done.ReadModels, ", "),
		"citizens registered again", strconv.Itoa(done.Registered), "on record at", done.Position)
}

func (p *program) showLoss(found vault.Loss) {
	fmt.Fprintf(p.Err, "%s the log ends at position %s, and %s has seen position %s.\n", p.colour(p.Err, red, "LOSS:"), found.LogEnd, found.Witness, found.SeenEnd)
	if found.Events > 0 {
		fmt.Fprintf(p.Err, "%d events are lost.\n", found.Events)
	}
	for _, id := range found.Reopen {
		fmt.Fprintf(p.Err, "The withdrawal of consent %s is lost: it is in force again.\n", id)
	}
}

func eventsLost(l vault.Loss) string {
	if l.Events == 0 {
		return "unknown"
	}
	return strconv.FormatInt(l.Events, 10)
}

func ids[T fmt.Stringer](all []T) string {
	names := make([]string, len(all))
	for i, id := range all {
		names[i] = id.String()
	}
	return strings.Join(names, ", ")
}

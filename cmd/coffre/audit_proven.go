package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"coffre/eventstore/proof/bundle"
	"coffre/handlers/api"
	"coffre/handlers/contract"
)

// provenLog says what a log is held to while it is read: public keys and checkpoints that the
// auditor has from elsewhere.
type provenLog struct {
	keys, held []string
	tokenFile  string // for a vault elsewhere
}

// flags adds --key and --checkpoint.
func (l *provenLog) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&l.keys, "key", nil, "a public `key` of the log that you trust, or a file with it (default: those that come with the log)")
	f.StringArrayVar(&l.held, "checkpoint", nil, "`file` with a checkpoint, or a bundle, that you kept from before")
	_ = cmd.MarkFlagFilename("checkpoint") // only for a flag that is not there
}

// tokenFlag adds --token-file.
func (l *provenLog) tokenFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&l.tokenFile, "token-file", "", "`file` with the token for URL")
	_ = cmd.MarkFlagFilename("token-file")
}

// readProven reads the log of a bundle, a data directory or a vault, verifies it, and calls each
// with the leaves and events in their order. An event that the store has no more as it recorded it is left
// to the report.
func (p *program) readProven(ctx context.Context, place string, l provenLog, each func(leaf int64, e contract.LogEvent) error) (bundle.Report, error) {
	o, err := p.verifyOptions(l.keys, l.held)
	if err != nil {
		return bundle.Report{}, err
	}
	var unread error
	o.Each = func(e *bundle.Event) error {
		if e.Damaged {
			return nil
		}
		item, err := api.EventItem(e.Record(), e.Leaf)
		if err != nil { // somebody wrote it, or a later version did: the report knows
			unread = cmp.Or(unread, fmt.Errorf("leaf %d: %w", e.Leaf, err))
			return nil
		}
		return each(e.Leaf, item)
	}
	r, err := p.verifyAny(ctx, place, l.tokenFile, o)
	if err == nil && r.Wrong == 0 {
		err = unread
	}
	return r, err
}

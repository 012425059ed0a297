package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/files"
	"coffre/eventstore/proof"
	"coffre/eventstore/witness"
	"coffre/handlers/edge"
)

// witnessOptions are the flags of a witness.
type witnessOptions struct {
	state, name, listen string
	logs                []string // verifier keys
	policies            []string // files with such keys
}

func newWitness(p *program) *cobra.Command {
	var o witnessOptions
	cmd := &cobra.Command{
		Use: "witness --state FILE", Short: "Cosign the checkpoints of other administrations' logs",
		Long: `Is a witness of transparency logs, as C2SP tlog-witness says: a log submits each checkpoint
with the proof that it begins with the one before, and gets a cosignature. Of two histories of one
log it cosigns one only, so an auditor who asks for its cosignature sees what all others see.
It holds no data of a log, and anybody may reach it: only what a known log signed is cosigned.

The file of --state has the witness's secret key, which is made at the first start, and of each
log the checkpoint that was cosigned last; it is on the disk before a cosignature leaves. NEVER
PUT AN OLDER COPY OF IT BACK: the witness would forget what it cosigned, and could cosign another
history. Where the file is lost, start anew under another name; logs and auditors get the new
key. One process at a time has the file.

Say which logs are known by their keys: --log for each, or files of C2SP tlog-policy with
their log lines (coffre audit keys prints them). A log whose key was replaced has two.
TLS ends in front of it, at the address that others are told.`,
		Example: `  coffre witness --state witness.state --name witness.example/north --log "$(coffre audit keys --data data)"
  coffre witness --state witness.state --policy logs.policy --listen 0.0.0.0:8090
  coffre witness key --state witness.state`,
		Args:        noSuchCommand,
		Annotations: map[string]string{runsItself: "yes"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.witness(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.state, "state", "", "`file` with the key and what was cosigned last; it is made with --name when it is not there")
	f.StringVar(&o.name, "name", "", "`name` of a new witness, such as witness.example/north: an address without https:// that is its operator's")
	f.StringArrayVar(&o.logs, "log", nil, "verifier `key` of a log that is cosigned; again for the next one")
	f.StringArrayVar(&o.policies, "policy", nil, "`file` of C2SP tlog-policy, whose log lines count here")
	f.StringVar(&o.listen, "listen", "127.0.0.1:8090", "`address` to serve on; port 0 takes a free one")
	required(cmd, "state")
	cmd.MarkFlagsOneRequired("log", "policy")
	_ = cmd.MarkFlagFilename("state") // only for flags that are not there
	_ = cmd.MarkFlagFilename("policy")
	cmd.AddCommand(newWitnessKey(p))
	return cmd
}

// witnessKey tells others how to know a witness.
type witnessKey struct {
	Name string           `json:"name"`
	Key  string           `json:"key"`
	Logs map[string]int64 `json:"logs"` // sizes cosigned last, by origin
}

func newWitnessKey(p *program) *cobra.Command {
	var state string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "key --state FILE", Short: "The public key of a witness, and what it cosigned last",
		Long: `Shows the verifier key by which others know a witness (C2SP signed-note), and how many leaves it
cosigned last of each log. A line of a policy with it is: witness NAME KEY URL.`,
		Example: `  coffre witness key --state witness.state
  coffre witness key --state witness.state --json`,
		Args: takes(),
		RunE: func(*cobra.Command, []string) error {
			s, err := witness.Read(state)
			if err != nil {
				return err
			}
			facts := []string{"witness", s.Key().Name, "key", s.Key().String()}
			sizes := s.Sizes()
			for _, origin := range slices.Sorted(maps.Keys(sizes)) {
				facts = append(facts, printable(origin), strconv.FormatInt(sizes[origin], 10)+" leaves")
			}
			return p.print(asJSON, witnessKey{s.Key().Name, s.Key().String(), sizes}, facts...)
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "`file` of the witness")
	jsonFlag(cmd, &asJSON)
	required(cmd, "state")
	_ = cmd.MarkFlagFilename("state") // only for a flag that is not there
	return cmd
}

// knownLogs returns the keys of the logs that the flags say.
func (o witnessOptions) knownLogs() (all []proof.NamedKey, err error) {
	for _, text := range o.logs {
		k, err := proof.ParseKey(text)
		if err != nil || k.Use != proof.SignsNotes {
			return nil, usage("--log is the verifier key of a log, NAME+HASH+KEY (coffre audit keys prints it)")
		}
		all = append(all, k)
	}
	for _, name := range o.policies {
		p, err := readPolicy("policy", name)
		if err != nil {
			return nil, err
		}
		for _, l := range p.Logs {
			all = append(all, l.Key)
		}
	}
	if len(all) == 0 {
		return nil, usage("--policy has no line of a log")
	}
	return all, nil
}

// readPolicy reads the policy that a flag names.
func readPolicy(flag, name string) (proof.Policy, error) {
	f, err := os.Open(name)
	if err != nil {
		return proof.Policy{}, &exitError{exitUsage, fmt.Errorf("--%s: %w", flag, files.Cause(err))}
	}
	defer f.Close() // it was only read
	b, err := files.ReadAtMost(f, proof.MaxPolicy)
	if err != nil {
		return proof.Policy{}, &exitError{exitUsage, fmt.Errorf("--%s: %w", flag, files.Cause(err))}
	}
	p, err := proof.ParsePolicy(b)
	if err != nil {
		return p, &exitError{exitUsage, fmt.Errorf("--%s: %w", flag, err)}
	}
	return p, nil
}

// witness serves a witness until ctx ends.
func (p *program) witness(ctx context.Context, o witnessOptions) (err error) {
	logs, err := o.knownLogs()
	if err != nil {
		return err
	}
	if _, _, err := net.SplitHostPort(o.listen); err != nil {
		return usage("--listen is HOST:PORT, such as 127.0.0.1:8090")
	}
	state, made, err := witness.Open(o.state, o.name)
	switch {
	case errors.Is(err, witness.ErrNoState):
		return usage("--state names no file that is there: name a new witness with --name")
	case errors.Is(err, witness.ErrOtherName):
		return usage("--name is not the name in the file of --state: a witness keeps its name")
	case errors.Is(err, proof.ErrKey):
		return usage("--name is a name without blanks and +, such as witness.example/north")
	case err != nil:
		return err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	logger := slog.New(slog.NewJSONHandler(p.Err, nil))
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := edge.NewHTTPServer(witness.New(state, logs, p.now, logger).Handler())
	server.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelDebug)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(edge.StrictListener(listener)) }()
	if made {
		fmt.Fprintln(p.Err, "A new key was made; give it to the logs and auditors that this witness is for.")
	}
	fmt.Fprintf(p.Err, "The witness %s takes checkpoints at http://%s%s. Its key is\n\n  %s\n\nCtrl-C ends it.\n", printable(state.Key().Name), listener.Addr(), witness.Path, printable(state.Key().String()))
	select {
	case <-ctx.Done():
	case err = <-ended:
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if shut := server.Shutdown(grace); shut != nil {
		err = errors.Join(err, fmt.Errorf("requests under way were cut: %w", shut))
	}
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

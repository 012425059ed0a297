package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/eventstore/proof"
	"coffre/eventstore/proof/bundle"
)

// logKey is a public key of the log, as the tools of transparency logs read it.
type logKey struct {
	Origin string `json:"origin"`
	Key    string `json:"key"`
	ID     string `json:"id"`
	Now    bool   `json:"now"` // it signed the last checkpoint
}

func newAuditKeys(p *program) *cobra.Command {
	var at where
	var asJSON, all bool
	cmd := &cobra.Command{
		Use: "keys", Short: "The public key of the log, for witnesses and policies",
		Long: `Prints the verifier key (C2SP signed-note) of the key that signed the last checkpoint, under the
log's origin: what coffre witness --log takes, and in a policy stands behind the word log. With
--all every key that ever signed the log, one a line, the present one first. Compare it with what
you have from elsewhere: a vault cannot vouch for its own key.`,
		Example: `  coffre audit keys --data data
  coffre audit keys --url https://vault.example --token-file t --all
  coffre audit keys --data data --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.asks(cmd.Context(), at, asAuditor, func(c *client.Client) error {
				from := &served{c: c}
				note, err := from.Checkpoint(cmd.Context())
				if err != nil {
					return err
				}
				keys, err := from.LogKeys(cmd.Context())
				if err != nil {
					return err
				}
				lines, err := logKeysOf(note, keys, all)
				if err != nil {
					return err
				}
				for _, l := range lines {
					if asJSON {
						err = p.printJSON(l)
					} else {
						_, err = fmt.Fprintln(p.Out, printable(l.Key))
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	at.flags(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "former keys, too")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// logKeysOf returns the keys of a log, the one first that signed its checkpoint, and the others
// when all are asked for.
func logKeysOf(note []byte, keys []bundle.Key, all bool) (lines []logKey, err error) {
	c, err := proof.Peek(note)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		named := proof.NamedKey{Name: c.Origin, Use: proof.SignsNotes, Public: k.Public}
		line := logKey{Origin: c.Origin, Key: named.String(), ID: k.ID}
		if _, err := proof.Open(note, k.Public); err == nil {
			line.Now = true
			lines = append([]logKey{line}, lines...)
		} else if all {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 || !lines[0].Now {
		return nil, proof.ErrSignature
	}
	return lines, nil
}

package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/handlers/api"
)

func newKeys(p *program) *cobra.Command {
	return group("keys", "See and rotate the keys",
		`  coffre keys status --data data
  coffre keys rotate --data data`,
		newKeysStatus(p), newKeysRotate(p))
}

func newKeysStatus(p *program) *cobra.Command {
	var at where
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status", Short: "Which keys there are; never a key",
		Example: `  coffre keys status --data data`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.asks(cmd.Context(), at, asOperator, func(c *client.Client) error {
				state, err := client.Read[api.KeyState](c.GetKeys(cmd.Context()))
				if err != nil {
					return err
				}
				return p.printKeys(asJSON, state.Body)
			})
		},
	}
	at.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (p *program) printKeys(asJSON bool, k api.KeyState) error {
	if asJSON {
		return p.printJSON(k)
	}
	if err := p.facts(
		"where", k.Provider, "data keys", strconv.FormatInt(k.DataKeys, 10), "content keys", strconv.FormatInt(k.ContentKeys, 10),
		"destroyed", strconv.FormatInt(k.DestroyedKeys, 10), "rotation", string(k.Rotation.State),
	); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(p.Out); err != nil {
		return err
	}
	t := p.table("KEK VERSION", "CURRENT", "MADE", "WRAPS")
	for _, kek := range k.KeyEncryptionKeys {
		t.row(strconv.Itoa(kek.Version), yes(kek.Current), day(kek.CreatedAt), strconv.FormatInt(kek.Wraps, 10))
	}
	return t.flush()
}

func newKeysRotate(p *program) *cobra.Command {
	var at where
	var asJSON bool
	cmd := &cobra.Command{
		Use: "rotate", Short: "Make a new key-encryption key and wrap every data key again",
		Example: `  coffre keys rotate --data data`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.asks(cmd.Context(), at, asOperator, func(c *client.Client) error {
				ctx := cmd.Context()
				begun, err := client.Read[api.KeyState](c.RotateKeys(ctx, api.RotateKeysParams{IdempotencyKey: uuid.New()}))
				if err != nil {
					return err
				}
				state, shown := begun.Body, int64(0)
				bar := p.progress(state.DataKeys, "wrap data keys", false)
				defer bar.done()
				if err := poll(ctx, func() (bool, time.Time, error) {
					now, err := client.Read[api.KeyState](c.GetKeys(ctx))
					if err != nil {
						return false, time.Time{}, err
					}
					state = now.Body
					bar.add(max(0, state.RotationDone-shown))
					shown = max(shown, state.RotationDone)
					return finished(state.Rotation)
				}); err != nil {
					return err
				}
				bar.done()
				return p.printKeys(asJSON, state)
			})
		},
	}
	at.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// finished tells poll whether a task is over.
func finished(s api.TaskStatus) (bool, time.Time, error) {
	switch s.State {
	case api.TaskStateProcessing:
		return false, s.PollAfter, nil
	case api.TaskStateFailed:
		return false, time.Time{}, &client.Refusal{Problem: s.Problem}
	}
	return true, time.Time{}, nil
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

// day is a moment as people read it, in UTC; "" when it is absent.
func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

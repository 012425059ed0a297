package main

import (
	"strconv"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
)

func newEbox(p *program) *cobra.Command {
	return group("ebox", "Messages to citizens in My eBox: how far they are, and trying them again",
		`  coffre ebox list --data data --state pending
  coffre ebox retry --data data --reason repaired`,
		newEboxList(p), newEboxRetry(p))
}

// eboxStates lists how far a message may be.
var eboxStates = []string{
	string(contract.EboxMessageStateFailed), string(contract.EboxMessageStateGathering), string(contract.EboxMessageStatePending), string(contract.EboxMessageStatePublished),
	string(contract.EboxMessageStateNoDigitalUser), string(contract.EboxMessageStateWithheld), string(contract.EboxMessageStateUnwanted),
}

func newEboxList(p *program) *cobra.Command {
	var at where
	var state string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "Messages in one state, those that failed unless said",
		Long: `Lists the two hundred that were made first, without whom they go to and what they say.
docs/ebox.md says what the states mean.`,
		Example: `  coffre ebox list --data data
  coffre ebox list --data data --state pending --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("state", state, eboxStates...); err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, asOperator, func(c *client.Client) error {
				all, err := client.Read[contract.EboxMessages](c.ListEboxMessages(cmd.Context(), contract.ListEboxMessagesParams{State: contract.EboxMessageState(state)}))
				if err != nil {
					return err
				}
				if asJSON {
					return printLines(p, all.Body.Items)
				}
				t := p.table("MESSAGE", "TOPIC", "STATE", "ATTEMPTS", "REASON", "MADE", "NEXT", "READ")
				for _, m := range all.Body.Items {
					t.row(m.MessageID.String(), m.Topic, string(m.State), strconv.Itoa(m.Attempts), m.Reason, day(m.CreatedAt), day(m.NextAt), day(m.ReadAt))
				}
				return t.flush()
			})
		},
	}
	at.flags(cmd)
	jsonFlag(cmd, &asJSON)
	cmd.Flags().StringVar(&state, "state", string(contract.EboxMessageStateFailed), "only messages in this `state`")
	complete(cmd, "state", eboxStates...)
	return cmd
}

func newEboxRetry(p *program) *cobra.Command {
	var at where
	var message, reason string
	cmd := &cobra.Command{
		Use: "retry", Short: "Have messages that failed tried again",
		Long: `Tries all that failed again, or with --message one that failed or waits, for another week. Each keeps
its key, so that eBox meets the same message; what the citizen chose is judged anew.`,
		Example: `  coffre ebox retry --data data --reason repaired
  coffre ebox retry --data data --reason repaired --message 3f0c2c8e-6b1d-5e0b-9d57-0c9f6a1b2d3e`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ask := contract.EboxRetry{Reason: domain.ReasonCode(reason)}
			if message != "" {
				id, err := parseID("--message", message)
				if err != nil {
					return err
				}
				ask.MessageID = &id
			}
			return p.asks(cmd.Context(), at, asOperator, func(c *client.Client) error {
				done, err := client.Read[contract.EboxRetried](c.RetryEboxMessages(cmd.Context(), contract.RetryEboxMessagesParams{IdempotencyKey: uuid.New()}, ask))
				if err != nil {
					return err
				}
				return p.facts("tried again", strconv.FormatInt(done.Body.Messages, 10))
			})
		},
	}
	at.flags(cmd)
	cmd.Flags().StringVar(&message, "message", "", "only the message with this `id`")
	cmd.Flags().StringVar(&reason, "reason", "", "a `code` that says why, for the record")
	required(cmd, "reason")
	return cmd
}

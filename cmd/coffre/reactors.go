package main

import (
	"context"
	"strconv"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
)

func newReactors(p *program) *cobra.Command {
	return group("reactors", "See what follows from events, pause it, let it go on",
		`  coffre reactors status --data data
  coffre reactors pause webhook --data data --reason maintenance
  coffre reactors resume webhook --data data --reason maintenanceDone`,
		newReactorsStatus(p), newReactorsPause(p), newReactorsResume(p))
}

func newReactorsStatus(p *program) *cobra.Command {
	var at where
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status", Short: "How far each reactor is",
		Long: `A reactor does what follows from events: it ends what a death ends, and makes the messages that
others are told. BEHIND counts the events that it has not passed, and may be a few seconds old.`,
		Example: `  coffre reactors status --data data
  coffre reactors status --data data --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.asks(cmd.Context(), at, asOperator, func(c *client.Client) error {
				all, err := client.Read[contract.Reactors](c.ListReactors(cmd.Context()))
				if err != nil {
					return err
				}
				if asJSON {
					return printLines(p, all.Body.Items)
				}
				t := p.table("NAME", "BEHIND", "MOVED", "PAUSED SINCE", "SET ASIDE")
				for _, r := range all.Body.Items {
					t.row(r.Name, strconv.FormatInt(r.Behind, 10), day(r.MovedAt), day(r.PausedAt), strconv.FormatInt(r.SetAside, 10))
				}
				return t.flush()
			})
		},
	}
	at.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newReactorsPause(p *program) *cobra.Command {
	return actsOnReactor(p, &cobra.Command{
		Use: "pause NAME", Short: "Let a reactor handle no more events",
		Long:    `Within seconds, in whichever process. Events wait and nothing is lost; a restart does not resume it.`,
		Example: "  coffre reactors pause webhook --data data --reason maintenance",
	}, func(ctx context.Context, c *client.Client, name string, why contract.OperatorReason) (client.Reply[contract.Reactor], error) {
		return client.Read[contract.Reactor](c.PauseReactor(ctx, name, contract.PauseReactorParams{IdempotencyKey: uuid.New()}, why))
	})
}

func newReactorsResume(p *program) *cobra.Command {
	return actsOnReactor(p, &cobra.Command{
		Use: "resume NAME", Short: "Let a reactor go on where it was paused",
		Example: "  coffre reactors resume webhook --data data --reason maintenanceDone",
	}, func(ctx context.Context, c *client.Client, name string, why contract.OperatorReason) (client.Reply[contract.Reactor], error) {
		return client.Read[contract.Reactor](c.ResumeReactor(ctx, name, contract.ResumeReactorParams{IdempotencyKey: uuid.New()}, why))
	})
}

// actsOnReactor has cmd act on one reactor and print how it does then.
func actsOnReactor(p *program, cmd *cobra.Command, act func(context.Context, *client.Client, string, contract.OperatorReason) (client.Reply[contract.Reactor], error)) *cobra.Command {
	var at where
	var asJSON bool
	var reason string
	cmd.Args = takes("NAME")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return p.asks(cmd.Context(), at, asOperator, func(c *client.Client) error {
			done, err := act(cmd.Context(), c, args[0], contract.OperatorReason{Reason: domain.ReasonCode(reason)})
			if err != nil {
				return err
			}
			r := done.Body
			return p.print(asJSON, r, "reactor", r.Name, "behind", strconv.FormatInt(r.Behind, 10), "paused since", day(r.PausedAt), "set aside", strconv.FormatInt(r.SetAside, 10))
		})
	}
	at.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "a `code` that says why, for the record")
	required(cmd, "reason")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newPoison(p *program) *cobra.Command {
	return group("poison", "See events that no try could handle, try again, give them up",
		`  coffre poison list --data data
  coffre poison retry ends 4711 --data data --reason repaired
  coffre poison drop ends 4711 --data data --reason obsolete`,
		newPoisonList(p), newPoisonRetry(p), newPoisonDrop(p))
}

func newPoisonList(p *program) *cobra.Command {
	var at where
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "Events that no try of a reactor could handle",
		Long: `Each was set aside after five tries, so that later ones go on. The two hundred oldest are listed.`,
		Example: `  coffre poison list --data data
  coffre poison list --data data --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.asks(cmd.Context(), at, asOperator, func(c *client.Client) error {
				all, err := client.Read[contract.PoisonList](c.ListPoison(cmd.Context()))
				if err != nil {
					return err
				}
				if asJSON {
					return printLines(p, all.Body.Items)
				}
				t := p.table("REACTOR", "LEAF", "TYPE", "REASON", "ATTEMPTS", "TRIED")
				for _, one := range all.Body.Items {
					t.row(one.Reactor, strconv.FormatInt(one.Leaf, 10), one.Type, one.Reason, strconv.Itoa(one.Attempts), day(one.TriedAt))
				}
				return t.flush()
			})
		},
	}
	at.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newPoisonRetry(p *program) *cobra.Command {
	return actsOnPoison(p, &cobra.Command{
		Use: "retry REACTOR LEAF", Short: "Have an event that was set aside handled once more",
		Long:    `A process that reacts does so within seconds; coffre poison list tells what became of it.`,
		Example: "  coffre poison retry ends 4711 --data data --reason repaired",
	}, func(ctx context.Context, c *client.Client, ask contract.PoisonAct) error {
		_, err := client.Read[client.None](c.RetryPoison(ctx, contract.RetryPoisonParams{IdempotencyKey: uuid.New()}, ask))
		return err
	})
}

func newPoisonDrop(p *program) *cobra.Command {
	return actsOnPoison(p, &cobra.Command{
		Use: "drop REACTOR LEAF", Short: "Give up an event that was set aside",
		Long:    `What would have followed from it never happens. The event itself stays in the log.`,
		Example: "  coffre poison drop ends 4711 --data data --reason obsolete",
	}, func(ctx context.Context, c *client.Client, ask contract.PoisonAct) error {
		_, err := client.Read[client.None](c.DropPoison(ctx, contract.DropPoisonParams{IdempotencyKey: uuid.New()}, ask))
		return err
	})
}

// actsOnPoison has cmd act on one event that was set aside.
func actsOnPoison(p *program, cmd *cobra.Command, act func(context.Context, *client.Client, contract.PoisonAct) error) *cobra.Command {
	var at where
	var reason string
	cmd.Args = takes("REACTOR", "LEAF")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		leaf, err := strconv.ParseInt(args[1], 10, 64)
		if err != nil || leaf < 0 {
			return usage("LEAF is a number that coffre poison list shows")
		}
		return p.asks(cmd.Context(), at, asOperator, func(c *client.Client) error {
			return act(cmd.Context(), c, contract.PoisonAct{Reactor: args[0], Leaf: leaf, Reason: domain.ReasonCode(reason)})
		})
	}
	at.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "a `code` that says why, for the record")
	required(cmd, "reason")
	return cmd
}

package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

func newSubscriptions(p *program) *cobra.Command {
	cmd := group("subscriptions", "Webhooks of organisations: be told, see what was sent, send again, replace the key",
		`  coffre subscriptions create --data data --organization 0316380841 --address-file url.txt
  coffre subscriptions deliveries --data data --organization 0316380841 3f0c2c8e-6b1d-5e0b-9d57-0c9f6a1b2d3e`,
		newSubscriptionsCreate(p), newSubscriptionsList(p), newSubscriptionsDeliveries(p), newSubscriptionsEnable(p), newSubscriptionsReplay(p), newSubscriptionsRotate(p), newSubscriptionsRemove(p))
	cmd.SuggestFor = []string{"subscription"}
	return cmd
}

// subscriber is an organisation, or without a number an operator of the vault.
type subscriber struct{ party }

func (s subscriber) grant() token.Grant {
	if s.organisation == "" {
		return asOperator
	}
	return s.party.grant()
}

func (p *program) printSubscription(asJSON bool, s contract.WebhookSubscription) error {
	facts := []string{"subscription", s.WebhookSubscriptionID.String(), "receiver", s.Host, "state", string(s.State), "signature", string(s.Signature), "keys", strings.Join(s.Keys, ", "),
		"pending", strconv.FormatInt(s.Pending, 10), "failed", strconv.FormatInt(s.Failed, 10)}
	if s.Key != "" {
		facts = append(facts, "key, told this once", s.Key)
	}
	return p.print(asJSON, s, facts...)
}

func newSubscriptionsCreate(p *program) *cobra.Command {
	var at where
	var me party
	var file, signature, ref string
	var types, documents, sources []string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "create", Short: "Have an organisation be told of what it may hear",
		Long: `Asks the receiver whether it wants to be told (OPTIONS), and has it be told of what follows. Prints
the key that it verifies with, this once: a secret, or with --signature ed25519 a public key. The
address may hold a token, so it stands in a file.`,
		Example: `  coffre subscriptions create --data data --organization 0316380841 --address-file url.txt
  coffre subscriptions create --data data --organization 0206731645 --issuer --address-file url.txt --signature ed25519 \
      --type be.coffre.vault.v1.petitions.notify.made`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("signature", signature, string(contract.WebhookSignatureHmac), string(contract.WebhookSignatureEd25519)); err != nil {
				return err
			}
			url, err := p.readText(file)
			if err != nil {
				return err
			}
			body := contract.WebhookSubscribe{URL: url, Signature: contract.WebhookSignature(signature), Types: types}
			for _, t := range documents {
				body.DocumentTypes = append(body.DocumentTypes, domain.DocumentType(t))
			}
			for _, o := range sources {
				body.Sources = append(body.Sources, domain.Organisation(o))
			}
			if ref != "" {
				id, err := parseID("--citizen-ref", ref)
				if err != nil {
					return err
				}
				body.CitizenRef = &domain.CitizenRef{UUID: id}
			}
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
				made, err := client.Read[contract.WebhookSubscription](c.CreateWebhookSubscription(cmd.Context(), contract.CreateWebhookSubscriptionParams{IdempotencyKey: uuid.New()}, body))
				if err != nil {
					return err
				}
				return p.printSubscription(asJSON, made.Body)
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	cmd.Flags().StringVar(&file, "address-file", "", "`file` with the receiver's URL; - is standard input")
	cmd.Flags().StringVar(&signature, "signature", string(contract.WebhookSignatureHmac), "`hmac` or ed25519")
	cmd.Flags().StringArrayVar(&types, "type", nil, "only this `type` of event; may be given more than once")
	cmd.Flags().StringArrayVar(&documents, "document-type", nil, "only about this `type` of document; may be given more than once")
	cmd.Flags().StringArrayVar(&sources, "source", nil, "only about documents of this issuer, by its `number`; may be given more than once")
	cmd.Flags().StringVar(&ref, "citizen-ref", "", "only about the citizen with this `reference` of the organisation's own")
	required(cmd, "address-file")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newSubscriptionsList(p *program) *cobra.Command {
	var at where
	var me subscriber
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "The webhooks of an organisation, or for an operator of all",
		Example: `  coffre subscriptions list --data data --organization 0316380841
  coffre subscriptions list --data data`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
				all, err := client.Read[contract.WebhookSubscriptions](c.ListWebhookSubscriptions(cmd.Context()))
				if err != nil {
					return err
				}
				if asJSON {
					return printLines(p, all.Body.Items)
				}
				t := p.table("ORGANIZATION", "RECEIVER", "STATE", "SINCE", "PENDING", "FAILED", "KEYS", "ID")
				for _, s := range all.Body.Items {
					since := s.CreatedAt
					if !s.GoneAt.IsZero() {
						since = s.GoneAt
					}
					t.row(string(s.Organization), s.Host, string(s.State), day(since), strconv.FormatInt(s.Pending, 10), strconv.FormatInt(s.Failed, 10), strings.Join(s.Keys, ", "), s.WebhookSubscriptionID.String())
				}
				return t.flush()
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newSubscriptionsDeliveries(p *program) *cobra.Command {
	var at where
	var me subscriber
	var asJSON bool
	cmd := &cobra.Command{
		Use: "deliveries ID", Short: "What was sent, when, and what came of it",
		Long:    `Lists the deliveries of a webhook in the order of the log, without what was sent. What arrived is forgotten after 30 days.`,
		Example: `  coffre subscriptions deliveries --data data --organization 0316380841 3f0c2c8e-6b1d-5e0b-9d57-0c9f6a1b2d3e`,
		Args:    takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID("ID", args[0])
			if err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
				t := p.table("EVENT", "STATE", "ATTEMPTS", "STATUS", "REASON", "CHANGED", "NEXT")
				return printPages(p, asJSON, t, func(after contract.Cursor) ([]contract.WebhookDelivery, contract.Cursor, error) {
					page, err := client.Read[contract.WebhookDeliveries](c.ListWebhookDeliveries(cmd.Context(), id, contract.ListWebhookDeliveriesParams{PageSize: officersPage, After: after}))
					return page.Body.Items, page.Body.NextCursor, err
				}, func(d contract.WebhookDelivery) {
					t.row(d.EventID.String(), string(d.State), strconv.Itoa(d.Attempts), strconv.Itoa(d.Status), d.Reason, day(d.ChangedAt), day(d.NextAt))
				})
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// subscriptionCommand is a command about one webhook, which do asks for.
func subscriptionCommand(p *program, cmd *cobra.Command, me interface {
	flags(*cobra.Command)
	grant() token.Grant
}, do func(cmd *cobra.Command, c *client.Client, id uuid.UUID) error) *cobra.Command {
	var at where
	cmd.Args = takes("ID")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := parseID("ID", args[0])
		if err != nil {
			return err
		}
		return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error { return do(cmd, c, id) })
	}
	at.flags(cmd)
	me.flags(cmd)
	return cmd
}

func newSubscriptionsEnable(p *program) *cobra.Command {
	return subscriptionCommand(p, &cobra.Command{
		Use: "enable ID", Short: "Send again to a receiver that answered 410",
		Long:    `Lets deliveries go again to a receiver that answered 410 (Gone). What happened meanwhile waited, and is sent.`,
		Example: `  coffre subscriptions enable --data data --organization 0316380841 3f0c2c8e-6b1d-5e0b-9d57-0c9f6a1b2d3e`,
	}, new(subscriber), func(cmd *cobra.Command, c *client.Client, id uuid.UUID) error {
		now, err := client.Read[contract.WebhookSubscription](c.EnableWebhookSubscription(cmd.Context(), id, contract.EnableWebhookSubscriptionParams{IdempotencyKey: uuid.New()}))
		if err != nil {
			return err
		}
		return p.printSubscription(false, now.Body)
	})
}

func newSubscriptionsReplay(p *program) *cobra.Command {
	var event, from, until, after string
	cmd := subscriptionCommand(p, &cobra.Command{
		Use: "replay ID", Short: "Send again what failed, one event, those of a time, or all since a cursor",
		Long: `Sends again: all that failed, or what a flag selects. The receiver meets the same webhook-ids. What
the organisation may not hear of any more is not sent.`,
		Example: `  coffre subscriptions replay --data data --organization 0316380841 3f0c2c8e-6b1d-5e0b-9d57-0c9f6a1b2d3e
  coffre subscriptions replay --data data --organization 0316380841 --from 2026-03-01T00:00:00Z 3f0c2c8e-6b1d-5e0b-9d57-0c9f6a1b2d3e`,
	}, new(subscriber), func(cmd *cobra.Command, c *client.Client, id uuid.UUID) error {
		ask := contract.WebhookSubscriptionReplay{After: after}
		if event != "" {
			one, err := parseID("--event", event)
			if err != nil {
				return err
			}
			ask.EventID = &one
		}
		var err error
		if ask.From, err = optionalMoment("--from", from); err != nil {
			return err
		}
		if ask.Until, err = optionalMoment("--until", until); err != nil {
			return err
		}
		done, err := client.Read[contract.WebhookSubscriptionReplayed](c.ReplayWebhookSubscription(cmd.Context(), id, contract.ReplayWebhookSubscriptionParams{IdempotencyKey: uuid.New()}, ask))
		if err != nil {
			return err
		}
		again := "what is behind the cursor"
		if done.Body.Deliveries != nil {
			again = strconv.FormatInt(*done.Body.Deliveries, 10)
		}
		return p.facts("subscription", id.String(), "sent again", again)
	})
	cmd.Flags().StringVar(&event, "event", "", "only the event with this `webhook-id`")
	cmd.Flags().StringVar(&from, "from", "", "only what was queued at this `time` or later, RFC 3339")
	cmd.Flags().StringVar(&until, "until", "", "only what was queued before this `time`, RFC 3339")
	cmd.Flags().StringVar(&after, "after", "", "everything behind this `cursor` of coffre signals list")
	cmd.MarkFlagsMutuallyExclusive("event", "from", "after")
	cmd.MarkFlagsMutuallyExclusive("event", "until", "after")
	return cmd
}

func newSubscriptionsRotate(p *program) *cobra.Command {
	var finish bool
	cmd := subscriptionCommand(p, &cobra.Command{
		Use: "rotate ID", Short: "Replace the key that signs, while both sign",
		Long: `Has a new key sign beside the old one, and prints what the receiver verifies with, this once. Once
the receiver has it, --finish has the new one sign alone.`,
		Example: `  coffre subscriptions rotate --data data --organization 0316380841 3f0c2c8e-6b1d-5e0b-9d57-0c9f6a1b2d3e
  coffre subscriptions rotate --data data --organization 0316380841 --finish 3f0c2c8e-6b1d-5e0b-9d57-0c9f6a1b2d3e`,
	}, new(party), func(cmd *cobra.Command, c *client.Client, id uuid.UUID) error {
		now, err := client.Read[contract.WebhookSubscription](c.RotateWebhookSubscription(cmd.Context(), id, contract.RotateWebhookSubscriptionParams{IdempotencyKey: uuid.New()}, contract.WebhookSubscriptionRotate{Finish: finish}))
		if err != nil {
			return err
		}
		return p.printSubscription(false, now.Body)
	})
	cmd.Flags().BoolVar(&finish, "finish", false, "the receiver has the new key: the old one signs no more")
	return cmd
}

func newSubscriptionsRemove(p *program) *cobra.Command {
	return subscriptionCommand(p, &cobra.Command{
		Use: "remove ID", Short: "Be told nothing more",
		Long:    `Ends a webhook for good. Its address and keys are forgotten, and what waited is not sent.`,
		Example: `  coffre subscriptions remove --data data --organization 0316380841 3f0c2c8e-6b1d-5e0b-9d57-0c9f6a1b2d3e`,
	}, new(subscriber), func(cmd *cobra.Command, c *client.Client, id uuid.UUID) error {
		if _, err := client.Read[client.None](c.RemoveWebhookSubscription(cmd.Context(), id, contract.RemoveWebhookSubscriptionParams{IdempotencyKey: uuid.New()})); err != nil {
			return err
		}
		return p.facts("subscription", id.String(), "state", "removed")
	})
}

// optionalMoment reads a time; "" is none.
func optionalMoment(flag, text string) (*time.Time, error) {
	if text == "" {
		return nil, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, usage("%s is a time as 2026-03-01T00:00:00Z", flag) // the cause quotes it
	}
	return &at, nil
}

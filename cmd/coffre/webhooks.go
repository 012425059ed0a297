package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/cmd/coffre/files"
	"coffre/handlers/contract"
	"coffre/handlers/reactors/webhook"
)

func newWebhooks(p *program) *cobra.Command {
	cmd := group("webhooks", "See the webhook, enable it, send again, replace its secret",
		`  coffre webhooks list --data data
  coffre webhooks enable --data data
  coffre webhooks rotate --data data --secret-file webhook.key`,
		newWebhooksList(p), newWebhooksEnable(p), newWebhooksReplay(p), newWebhooksRotate(p))
	cmd.SuggestFor = []string{"webhook", "hooks"}
	return cmd
}

func newWebhooksList(p *program) *cobra.Command {
	var at where
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "The webhook that is told of changes, and how it does",
		Example: `  coffre webhooks list --data data
  coffre webhooks list --data data --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.asks(cmd.Context(), at, asOperator, func(c *client.Client) error {
				all, err := client.Read[contract.Webhooks](c.ListWebhooks(cmd.Context()))
				if err != nil {
					return err
				}
				if asJSON {
					return printLines(p, all.Body.Items)
				}
				t := p.table("RECEIVER", "STATE", "SINCE", "PENDING", "FAILED", "SECRETS", "ID")
				for _, w := range all.Body.Items {
					t.row(w.Host, string(w.State), day(w.DisabledAt), strconv.FormatInt(w.Pending, 10), strconv.FormatInt(w.Failed, 10), strings.Join(w.Secrets, ", "), w.WebhookID.String())
				}
				return t.flush()
			})
		},
	}
	at.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

var errNoWebhook = errors.New("this vault has no webhook: coffre serve --webhook-url configures one")

// theWebhook returns the webhook of a vault.
func theWebhook(ctx context.Context, c *client.Client) (contract.Webhook, error) {
	all, err := client.Read[contract.Webhooks](c.ListWebhooks(ctx))
	if err != nil {
		return contract.Webhook{}, err
	}
	if len(all.Body.Items) == 0 {
		return contract.Webhook{}, errNoWebhook
	}
	return all.Body.Items[0], nil
}

func (p *program) printWebhook(asJSON bool, w contract.Webhook) error {
	return p.print(asJSON, w, "receiver", w.Host, "state", string(w.State), "since", day(w.DisabledAt),
		"pending", strconv.FormatInt(w.Pending, 10), "failed", strconv.FormatInt(w.Failed, 10), "secrets", strings.Join(w.Secrets, ", "))
}

func newWebhooksEnable(p *program) *cobra.Command {
	var at where
	var asJSON bool
	cmd := &cobra.Command{
		Use: "enable", Short: "Send again to a receiver that answered 410",
		Long: `Lets deliveries go again to a receiver that answered 410 (Gone). What happened meanwhile waited,
and is sent.`,
		Example: `  coffre webhooks enable --data data`,
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.asks(cmd.Context(), at, asOperator, func(c *client.Client) error {
				w, err := theWebhook(cmd.Context(), c)
				if err != nil {
					return err
				}
				now, err := client.Read[contract.Webhook](c.EnableWebhook(cmd.Context(), w.WebhookID, contract.EnableWebhookParams{IdempotencyKey: uuid.New()}))
				if err != nil {
					return err
				}
				return p.printWebhook(asJSON, now.Body)
			})
		},
	}
	at.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newWebhooksReplay(p *program) *cobra.Command {
	var at where
	var asJSON bool
	var event string
	cmd := &cobra.Command{
		Use: "replay", Short: "Send again what failed for good",
		Long: `Begins the schedule of every failed delivery again, or of the one about an event. The receiver
meets the same webhook-id.`,
		Example: `  coffre webhooks replay --data data
  coffre webhooks replay --data data --event 3f0c2c8e-6b1d-4e0b-9d57-0c9f6a1b2d3e`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var ask contract.WebhookReplay
			if cmd.Flags().Changed("event") {
				id, err := parseID("--event", event)
				if err != nil {
					return err
				}
				ask.EventID = &id
			}
			return p.asks(cmd.Context(), at, asOperator, func(c *client.Client) error {
				w, err := theWebhook(cmd.Context(), c)
				if err != nil {
					return err
				}
				done, err := client.Read[contract.WebhookReplayed](c.ReplayWebhook(cmd.Context(), w.WebhookID, contract.ReplayWebhookParams{IdempotencyKey: uuid.New()}, ask))
				if err != nil {
					return err
				}
				return p.print(asJSON, done.Body, "receiver", w.Host, "tried again", strconv.FormatInt(done.Body.Deliveries, 10))
			})
		},
	}
	at.flags(cmd)
	cmd.Flags().StringVar(&event, "event", "", "only the delivery with this `webhook-id`")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newWebhooksRotate(p *program) *cobra.Command {
	var at where
	var asJSON, finish bool
	var file string
	cmd := &cobra.Command{
		Use: "rotate", Short: "Replace the secret that signs, while both sign",
		Long: `With --secret-file: puts a new secret before the old one in the file, which coffre serve was
started with, and with --finish takes the old one out again. Then the vault is asked to read its
file, which the process that sends does within a minute; the command waits until the secrets of
the file sign. In between, give the receiver the first line of the file.`,
		Example: `  coffre webhooks rotate --data data --secret-file webhook.key
  coffre webhooks rotate --data data --secret-file webhook.key --finish
  coffre webhooks rotate --data data    the file was replaced by somebody else`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if finish && file == "" {
				return usage("--finish goes with --secret-file")
			}
			return p.asks(cmd.Context(), at, asOperator, func(c *client.Client) error {
				w, err := theWebhook(cmd.Context(), c)
				if err != nil {
					return err
				}
				if file != "" {
					if err := rotateFile(file, finish); err != nil {
						return fmt.Errorf("webhook secrets in %s: %w", file, err)
					}
				}
				asked, err := client.Read[contract.WebhookRotation](c.RotateWebhook(cmd.Context(), w.WebhookID, contract.RotateWebhookParams{IdempotencyKey: uuid.New()}))
				if err != nil {
					return err
				}
				if w, err = p.followWebhook(cmd.Context(), c, asked.Body.Rotation); err != nil {
					return err
				}
				return p.printWebhook(asJSON, w)
			})
		},
	}
	at.flags(cmd)
	cmd.Flags().StringVar(&file, "secret-file", "", "`file` of the secrets, on this machine")
	cmd.Flags().BoolVar(&finish, "finish", false, "take the old secret out: the receiver has the new one")
	_ = cmd.MarkFlagFilename("secret-file") // only for a flag that is not there
	jsonFlag(cmd, &asJSON)
	return cmd
}

// errOneSecret and errTwoSecrets refuse a step of a rotation whose turn it is not.
var (
	errTwoSecrets = errors.New("a rotation is under way, two secrets sign; --finish ends it")
	errOneSecret  = errors.New("no rotation is under way, one secret signs")
)

// readWebhookSecrets reads the file of a webhook's secrets; errors never hold what it says.
func readWebhookSecrets(name string) ([]webhook.Secret, error) {
	words, err := webhookWords(name)
	if err != nil {
		return nil, fmt.Errorf("webhook secret: %w", err)
	}
	return webhook.ParseSecrets(strings.Join(words, "\n"))
}

// webhookWords returns the secrets of a file as they are written.
func webhookWords(name string) (words []string, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, files.Cause(err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err := files.ReadAtMost(f, files.MaxSecret)
	return strings.Fields(files.Text(text)), err
}

// rotateFile puts a new secret before the one of a file, or takes the old one out of two. The
// file is replaced whole, durably, or not at all.
func rotateFile(name string, finish bool) error {
	if _, err := readWebhookSecrets(name); err != nil {
		return err
	}
	words, err := webhookWords(name)
	switch {
	case err != nil:
		return err
	case finish && len(words) == 1:
		return errOneSecret
	case finish:
		words = words[:1]
	case len(words) > 1:
		return errTwoSecrets
	default:
		words = []string{webhook.NewSecretText(), words[0]}
	}
	return files.WriteWhole(name, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader([]byte(strings.Join(words, "\n")+"\n")))
		return err
	})
}

var (
	errSecretsRefused = errors.New("the vault found no secrets in its file, and the former ones sign on")
	errNotFollowed    = errors.New("no process that sends has read its secrets anew yet; one that is started does so at once")
)

// rotationTime bounds the wait for the process that sends: it looks once a minute.
const rotationTime = 90 * time.Second

// followWebhook waits until the sender has followed a request to read its secrets anew.
func (p *program) followWebhook(ctx context.Context, c *client.Client, rotation int64) (w contract.Webhook, err error) {
	waiting, cancel := context.WithTimeout(ctx, rotationTime)
	defer cancel()
	err = poll(waiting, func() (bool, time.Time, error) {
		if w, err = theWebhook(waiting, c); err != nil {
			return false, time.Time{}, err
		}
		return w.RotationsFollowed >= rotation, time.Time{}, nil
	})
	switch {
	case err != nil && ctx.Err() == nil && waiting.Err() != nil:
		return w, errNotFollowed
	case err == nil && w.RotationRefused:
		return w, errSecretsRefused
	}
	return w, err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"coffre/cmd/coffre/vault"
	"coffre/handlers/reactors/webhook"
)

const (
	// drain is how long requests under way may take to end.
	drain = 20 * time.Second
	// notice is how long a process that others replace goes on answering after /readyz
	// said no: whoever sends requests here has to see it first.
	notice = 5 * time.Second
)

// keeperPause is the time between two attempts to open a vault whose keeper of keys is away.
const keeperPause = 3 * time.Second

// openWhenKeysAnswer opens the vault, and waits while Vault is sealed, slow or out of reach: a
// machine that starts with its Vault needs nobody to start it again. It says so once, and again
// when the reason changes. It returns nil when ctx ends first.
func openWhenKeysAnswer(ctx context.Context, dir vault.DataDir, o vault.Options, pause time.Duration) (*vault.Instance, error) {
	told := ""
	for {
		v, err := vault.Open(ctx, dir, o)
		switch {
		case err == nil:
			return v, nil
		case ctx.Err() != nil && errors.Is(err, ctx.Err()):
			return nil, nil
		case !errors.Is(err, vault.ErrKeeperAway):
			return nil, err
		}
		if says := err.Error(); says != told {
			told = says
			o.Logger.WarnContext(ctx, "the keys cannot be opened yet, so nothing is served; this process waits until Vault answers", slog.Any("error", err))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// serve runs a server until ctx ends or a part of it that must go on stops.
func serve(ctx context.Context, t terminal, o serveOptions) (err error) {
	vault.SpareProcessors(t.env("GOMAXPROCS"))
	release, err := o.Data.Own()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()

	logger := slog.New(slog.NewJSONHandler(t.Err, nil))
	vo, err := o.vaultOptions(logger)
	if err != nil {
		return err
	}
	vo.Logger, vo.Gather = logger, vault.Gather
	ports := newPorts(logger)
	defer ports.close()
	vo.Opening = &vault.Opening{}
	public, operators := vo.Opening.Handlers(logger)
	try := o.dutyBanner()
	var answers, tells *relay
	if o.Listen != "" {
		address, r, err := ports.open(ctx, o.Listen, vo.Certificates, public)
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		answers, try = r, o.banner()+whatToTry(o, t.name(), address)
	}
	if o.Ops != "" {
		address, r, err := ports.open(ctx, o.Ops, nil, operators)
		if err != nil {
			return fmt.Errorf("listen for operators: %w", err)
		}
		tells, try = r, try+fmt.Sprintf("For operators: http://%s/metrics and /readyz\n", address)
	}
	v, err := openWhenKeysAnswer(ctx, o.Data, vo, keeperPause)
	if err != nil || v == nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	kurrent, endKurrent, err := v.OfferKurrent(ctx, o.Kurrent.KurrentListener)
	if err != nil {
		return err
	}
	defer endKurrent()

	control, err := o.Data.Listen(ctx)
	if err != nil {
		return err
	}
	ports.serve(vault.NewControlServer(v.Control()), control)
	waiting, done := context.WithCancel(ctx)
	defer done()
	built := v.Built(waiting)
	for running := true; running; {
		select {
		case <-built:
			built = nil
			answers.become(v.Handler())
			tells.become(v.Operators())
			fmt.Fprint(t.Err, try)
			if kurrent != "" {
				fmt.Fprintf(t.Err, "KurrentDB's clients read the log, sealed, at %s\n", kurrent)
			}
		case <-ctx.Done():
			running = false
		case err = <-v.Failed():
			running = false
		case err = <-ports.stopped:
			running = false
		}
	}
	v.Leave()
	if err == nil && o.Notice > 0 && built == nil { // else nobody sends requests here yet
		select {
		case <-time.After(o.Notice):
		case err = <-v.Failed():
		case err = <-ports.stopped:
		}
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if shut := ports.shutdown(grace); shut != nil {
		err = errors.Join(err, fmt.Errorf("requests under way were cut: %w", shut))
	}
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	if err == nil && o.Listen != "" {
		v.SignEnd(grace)
	}
	return err
}

// vaultOptions reads the files that the options name, and says how the vault is opened.
func (o serveOptions) vaultOptions(logger *slog.Logger) (vo vault.Options, err error) {
	vo = vault.Options{
		OIDC: o.OIDC, Login: o.Login, Contact: o.Contact, KurrentCertFile: o.Kurrent.CertFile, Public: o.Public, Dev: o.Dev,
		Transit: o.Vault, Blobs: o.Blobs, Retentions: o.Retentions, SuppressionReview: o.Review, Stores: o.Stores, Checkpoints: o.Checkpoints, Witnesses: o.Witnesses, Limits: o.Limits, Duty: o.Duty,
	}
	if o.TLS.CertFile != "" {
		if vo.Certificates, err = o.TLS.Read(logger, time.Now); err != nil {
			return vo, err
		}
	}
	if o.Registry != "" {
		vo.Registry = os.DirFS(o.Registry)
	}
	if o.Belgif != "" {
		vo.Belgif = os.DirFS(o.Belgif)
	}
	if o.WebhookURL != "" {
		if vo.Webhook, err = webhookOf(o); err != nil {
			return vo, fmt.Errorf("--webhook-secret-file (COFFRE_WEBHOOK_SECRET_FILE): %w", err)
		}
	}
	if o.EboxConfig != "" {
		if vo.Ebox, err = vault.ReadEboxConfig(o.EboxConfig); err != nil {
			return vo, fmt.Errorf("--ebox-config (COFFRE_EBOX_CONFIG): %w", err)
		}
		vo.Ebox.Dev = o.Dev
	}
	if o.Prices != "" {
		if vo.Prices, err = vault.ReadPrices(o.Prices); err != nil {
			return vo, fmt.Errorf("--prices (COFFRE_PRICES): %w", err)
		}
	}
	if o.Traces.Endpoint != "" {
		if vo.Traces, err = o.Traces.Read(); err != nil {
			return vo, err
		}
	}
	if o.BrokersConfig != "" {
		if vo.Brokers, err = vault.ReadBrokersConfig(o.BrokersConfig, o.Dev); err != nil {
			return vo, fmt.Errorf("--brokers-config (COFFRE_BROKERS_CONFIG): %w", err)
		}
	}
	return vo, nil
}

// webhookOf reads the file of the secrets, now and when it is asked for; what it holds is never
// shown.
func webhookOf(o serveOptions) (*vault.WebhookOptions, error) {
	read := func() ([]webhook.Secret, error) { return readWebhookSecrets(o.WebhookSecretFile) }
	secrets, err := read()
	if err != nil {
		return nil, err
	}
	return &vault.WebhookOptions{URL: o.WebhookURL, Secrets: secrets, Read: read, Dev: o.Dev}, nil
}

// dutyBanner says what a process does that answers nobody but its own socket.
func (o serveOptions) dutyBanner() string {
	does := "destroys the keys of those whose erasure was approved, and signs the certificates"
	if o.Duty == vault.Rotating {
		does = "replaces keys when its operator says so: coffre keys rotate --data " + string(o.Data)
	}
	return fmt.Sprintf("\nThis process %s. It listens to %s only. Ctrl-C ends it.\n\n", does, o.Data.File(vault.SocketFile))
}

// banner says loudly what this is.
func (o serveOptions) banner() string {
	if o.Vault == nil {
		return `
  *** COFFRE FOR TRYING OUT: its keys lie in a file beside the data, and it serves this machine only. ***

`
	}
	text := "\nCoffre with its keys in Vault at " + o.Vault.Address + ".\n"
	if o.Duty == vault.Serving {
		return text + "Keys are destroyed by coffre destroyer and replaced by coffre rotator, not from here.\n\n"
	}
	for _, part := range []struct {
		role, without string
	}{{o.Vault.Rotator.Role, "Keys cannot be rotated from here"}, {o.Vault.Destroyer.Role, "Nobody can be erased from here"}} {
		if part.role == "" {
			text += part.without + ": no login for it is configured.\n"
		}
	}
	return text + "\n"
}

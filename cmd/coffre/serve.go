package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"coffre/handlers/api"
	"coffre/handlers/reactors/webhook"
)

const (
	// drain is how long requests under way may take to end.
	drain = 20 * time.Second
	// notice is how long a process that others replace goes on answering after /readyz
	// said no: whoever sends requests here has to see it first.
	notice = 5 * time.Second
)

// serve runs a server until ctx ends or a part of it that must go on stops.
func serve(ctx context.Context, t terminal, o serveOptions) (err error) {
	spareProcessors(t.env("GOMAXPROCS"))
	release, err := o.Data.own()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()

	logger := slog.New(slog.NewJSONHandler(t.Err, nil))
	vo := vaultOptions{
		Logger: logger, Gather: gather, OIDCIssuer: o.OIDCIssuer, OIDCAudience: o.OIDCAudience,
		Vault: o.Vault, Blobs: o.Blobs, Retentions: o.Retentions, Stores: o.Stores,
	}
	if o.Registry != "" {
		vo.Registry = os.DirFS(o.Registry)
	}
	if o.Belgif != "" {
		vo.Belgif = os.DirFS(o.Belgif)
	}
	if o.WebhookURL != "" {
		if vo.Webhook, err = webhookOf(o); err != nil {
			return err
		}
	}
	v, err := openVault(ctx, o.Data, vo)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	kurrent, endKurrent, err := v.OfferKurrent(ctx, o.Kurrent.kurrentListener)
	if err != nil {
		return err
	}
	defer endKurrent()

	control, err := o.Data.listen(ctx)
	if err != nil {
		return err
	}
	public, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return errors.Join(fmt.Errorf("listen: %w", err), control.Close())
	}
	servers := map[*http.Server]net.Listener{api.NewHTTPServer(v.Control()): control, api.NewHTTPServer(v.Handler()): public}
	stopped := make(chan error, len(servers))
	for server, l := range servers {
		server.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelDebug)
		go func() { stopped <- server.Serve(l) }()
	}
	fmt.Fprint(t.Err, o.banner(), whatToTry(o, public.Addr().String()))
	if kurrent != "" {
		fmt.Fprintf(t.Err, "KurrentDB's clients read the log, sealed, at %s\n", kurrent)
	}

	select {
	case <-ctx.Done():
	case err = <-v.Failed():
	case err = <-stopped:
	}
	v.leave()
	if err == nil && o.Notice > 0 {
		select {
		case <-time.After(o.Notice):
		case err = <-v.Failed():
		case err = <-stopped:
		}
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	for server := range servers {
		if shut := server.Shutdown(grace); shut != nil {
			err = errors.Join(err, fmt.Errorf("requests under way were cut: %w", shut))
		}
	}
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

// webhookOf reads the secret's file; what it holds is never shown.
func webhookOf(o serveOptions) (*webhookOptions, error) {
	text, err := os.ReadFile(o.WebhookSecretFile)
	if err != nil {
		return nil, fmt.Errorf("webhook secret: %w", err)
	}
	secret, err := webhook.ParseSecret(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, err
	}
	return &webhookOptions{URL: o.WebhookURL, Secret: secret, Dev: o.Dev}, nil
}

// banner says loudly what this is.
func (o serveOptions) banner() string {
	if o.Vault == nil {
		return `
  *** COFFRE FOR TRYING OUT: keys lie in a file beside the data, and serves this machine only. ***

`
	}
	text := "\nCoffre with its keys in Vault at " + o.Vault.Address + ".\n"
	for _, part := range []struct {
		role, without string
	}{{o.Vault.Rotator.Role, "Keys cannot be rotated from here"}, {o.Vault.Destroyer.Role, "Nobody can be erased from here"}} {
		if part.role == "" {
			text += part.without + ": no login for it is configured.\n"
		}
	}
	return text + "\n"
}

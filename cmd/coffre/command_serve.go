package main

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"coffre/cmd/coffre/vault"
	"coffre/domain/citizen"
	"coffre/handlers/acting"
)

// serveOptions are the flags and the configuration of a server; check finds mistakes.
type serveOptions struct {
	Data     vault.DataDir
	Listen   string                 // host:port; "": only the control socket
	TLS      vault.CertificateFiles // without a certificate TLS ends in front
	Ops      string                 // host:port for operators; "": not at all
	Dev      bool                   // tokens of `coffre token` count
	Registry string                 // folder to publish when the log has no registry; "": the one in the binary
	Belgif   string                 // folder with the Belgian code lists; "": labels as in the registry

	OIDC   *vault.OIDCConfig  // nil: none
	Login  *vault.LoginConfig // nil: no pages but with Dev
	Public *url.URL           // where callers reach the vault; nil: not said

	Contact string // address that the pages name; "": none

	WebhookURL        string // "": none
	WebhookSecretFile string

	EboxConfig    string // file; "": nobody is written to
	BrokersConfig string // file; "": nobody is told through a broker
	Prices        string // file; "": nothing has a price

	Traces vault.TracesConfig // without an endpoint nothing is recorded

	Kurrent kurrentFlags

	Blobs       *vault.BlobsConfig      // from the environment; nil: files lie in a folder
	Vault       *vault.TransitConfig    // from the environment; nil: keys lie in a file
	Retentions  *citizen.Retentions     // from the environment; nil: not stated
	Review      time.Duration           // of suppressions, from the environment
	Limits      acting.Limits           // from the environment
	Stores      vault.StoresConfig      // from the flags and the environment
	Checkpoints vault.CheckpointsConfig // likewise
	Witnesses   *vault.WitnessesConfig  // likewise; nil: none
	Duty        vault.Duty              // of this process
	Alone       bool                    // this process does everything, also where others could

	Notice time.Duration // how long requests are still taken after the process was told to end
}

func newServe(p *program) *cobra.Command {
	cmd, decide := serveCommand(p)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o, err := decide(cmd)
		if err != nil {
			return err
		}
		return p.serve(cmd.Context(), p.terminal, o)
	}
	return cmd
}

// serveCommand returns coffre serve without its work, and what decides by flags, variables and the
// file how a process serves.
func serveCommand(p *program) (cmd *cobra.Command, decide func(*cobra.Command) (serveOptions, error)) {
	var o serveOptions
	var data string
	var at vault.StoresConfig
	cmd = &cobra.Command{
		Use: "serve --data DIR (--dev | --oidc-issuer URL)", Short: "Serve the vault over HTTP",
		Long: `Serves the vault of a data directory and makes the directory when it is not there.
Keys lie in a file beside the data, which is for trying out: only loopback is served.

With the events, the read models and the keys in a PostgreSQL several processes share
the load, each with a data directory of its own for what concerns it alone; any of them
may end. None of them destroys or replaces keys: run coffre destroyer and coffre rotator
beside them, each with a role of its own at the database and at Vault (coffre store
prepare), or one process with --alone, for a vault on one machine. Addresses come from the flags or from COFFRE_STORE, COFFRE_READMODELS and
COFFRE_KEYS, passwords from the variables, PGPASSWORD or PGPASSFILE.

With --tls-cert and --tls-key TLS ends here and not in front; --tls-client-ca-file names the authorities
of partners, which then have to show a certificate of theirs. The files are read again when they change
(docs/tls.md).

With COFFRE_VAULT_ADDR the keys lie in HashiCorp Vault, and with --oidc-issuer any
address may be served then; deploy/vault/README.md names the other variables.

Metrics, and the reason why the process is not ready, are for operators alone: they are on an
address of their own (--ops-listen), on loopback unless another one is given, and whoever
reaches it may read them. Everybody sees /livez, /readyz and /health without any detail.

Each setting of the provider has a variable, too: --oidc-types is COFFRE_OIDC_TYPES, and so on;
--public-url is COFFRE_PUBLIC_URL. docs/identity.md says which tokens count, with examples. With
--pages-client (COFFRE_PAGES_CLIENT) people read pages in a browser, and log in at the provider.

With COFFRE_BLOBS=s3://BUCKET the sealed files of documents lie in a bucket, else in a folder
beside the data; COFFRE_BLOBS_ENDPOINT, COFFRE_BLOBS_REGION, COFFRE_BLOBS_ACCESS_KEY,
COFFRE_BLOBS_SECRET_KEY_FILE and COFFRE_BLOBS_CA_FILE say how to reach it. A bucket is backed
up by its own tools; one that keeps versions is refused.

COFFRE_BACKUP_DAYS, COFFRE_ARCHIVE_DAYS and COFFRE_SNAPSHOT_DAYS state for how long copies are
kept of the key ring, of its write-ahead log (archives, and pg_wal of every server) and of
Vault; certificates of erasure become final by them, and never without.
COFFRE_SUPPRESSION_REVIEW_DAYS says after how many days the memory of an erased person's number is
due for a review (coffre suppressions list), 1826 unless said.

Each second in which something happened the log's end is signed (a checkpoint); the last one is
kept in the databases and once more outside of them, and a log that is shorter or another is not
served. --checkpoints says where: on another disk, in a key-value engine of Vault or in another
PostgreSQL, no restore takes it back with the log. COFFRE_CHECKPOINTS, COFFRE_CHECKPOINT_EVERY and COFFRE_CHECKPOINT_EVENTS say
the same.

With --witness-policy, or COFFRE_WITNESS_POLICY, each checkpoint is offered to the witnesses of that
policy (C2SP tlog-policy) that have an address, such as coffre witness of another administration,
and served with their cosignatures; its quorum says how many are needed. A witness that is away
stops nothing and is seen on --ops-listen. COFFRE_WITNESS_NETWORKS and COFFRE_WITNESS_CA_FILE say how
to reach witnesses that are not public.

COFFRE_LIMITS changes how much callers may leave in the vault and how often they may call,
such as uploads.caller=2000,calls.citizen=600; docs/limits.md lists every name.

Every flag has a variable, --listen COFFRE_LISTEN, and a line of the file that --config names,
listen; the flag counts before the variable, and that before the file. docs/configuration.md lists
them; coffre config explain tells what counts and from where, coffre config check what is wrong.`,
		Example: `  coffre serve --dev --data data
  coffre serve --dev --listen 127.0.0.1:8080 --data data --registry my-registry
  coffre serve --data data --oidc-issuer https://login.example --webhook-url https://hooks.example/coffre \
      --webhook-secret-file webhook.key
  coffre serve --data run-1 --store postgres://coffre@db.example/vault --oidc-issuer https://login.example
  coffre serve --dev --data data --kurrent-listen 127.0.0.1:2113    for auditors' tools`,
		Args: takes(),
	}
	decide = func(cmd *cobra.Command) (serveOptions, error) {
		if err := errors.Join(
			o.configure(p.env, vault.DataDir(data), at), o.configureIdentity(p.env, cmd), o.configureCheckpoints(p.env, cmd), o.configureWitnesses(p.env, cmd),
		); err != nil {
			return o, &exitError{exitUsage, err}
		}
		if vault.OnPostgres(o.Stores.In(o.Data).Keys) {
			if !cmd.Flags().Changed("leave-notice") {
				o.Notice = notice
			}
			if !o.Alone {
				o.Duty = vault.Serving
			}
		}
		if err := o.check(); err != nil {
			return o, err
		}
		return o, p.checkFiles(cmd)
	}
	f := cmd.Flags()
	f.StringVar(&data, "data", "", "the vault's data `directory`")
	f.StringVar(&o.Listen, "listen", "127.0.0.1:8080", "`address` to serve on; port 0 takes a free one")
	o.tlsFlags(cmd)
	o.opsFlag(f, "127.0.0.1:0")
	f.BoolVar(&o.Dev, "dev", false, "trust the tokens of 'coffre token', on loopback only")
	f.StringVar(&o.Registry, "registry", "", "`directory` of the registry to begin with (default: the samples in this program)")
	f.StringVar(&o.Belgif, "belgif", "", "`directory` with the Belgian code lists (gdpr-*.nt), whose labels replace the registry's")
	for _, s := range vault.OIDCSettings {
		f.String(s.Flag, "", s.Usage)
	}
	f.String("public-url", "", "`URL` where callers reach the vault, for proofs of possession (default: the address of --listen, on loopback)")
	f.String("pages-client", "", "`id` of the client as which the pages log people in at the OpenID provider (default: no pages)")
	f.String("pages-client-secret-file", "", "`file` with that client's secret (default: a public client)")
	f.String("pages-scopes", "", "`scopes` that the pages ask the provider for, with commas between (default: openid and those of every role that has pages)")
	f.StringVar(&o.Contact, "pages-contact", "", "`address` of e-mail, or of a page (https://...), for people who cannot use a page (default: none is told)")
	f.StringVar(&o.WebhookURL, "webhook-url", "", "`URL` that is told of changes, signed as Standard Webhooks say")
	f.StringVar(&o.WebhookSecretFile, "webhook-secret-file", "", "`file` with the webhook's secret, whsec_..., or with two while one replaces the other (coffre webhooks rotate)")
	f.StringVar(&o.EboxConfig, "ebox-config", "", "`file` that says how citizens are written to in My eBox (docs/ebox.md); the client's secret lies in a file that it names")
	f.StringVar(&o.Prices, "prices", "", "`file` with what calls cost organisations, and from which month on (docs/traffic.md)")
	f.StringVar(&o.Traces.Endpoint, "traces-endpoint", "", "`URL` of the OpenTelemetry collector that is sent traces by OTLP over HTTP, such as https://collector.example:4318 (docs/tracing.md)")
	f.Float64Var(&o.Traces.Ratio, "traces-ratio", 0.1, "`share` of requests whose trace is recorded, from 0 to 1")
	f.StringVar(&o.Traces.HeadersFile, "traces-headers-file", "", "`file` with a line NAME: VALUE for each header that the collector asks for")
	f.StringVar(&o.Traces.CAFile, "traces-ca-file", "", "`file` of PEM certificates to trust at the collector (default: the system's)")
	f.BoolVar(&o.Traces.Continues, "traces-continue", false, "go on in the traces that callers name by traceparent: where they are all one's own")
	f.StringVar(&o.BrokersConfig, "brokers-config", "", "`file` that says which organisations are told through their message brokers (docs/brokers.md); secrets lie in files that it names")
	f.StringVar(&at.Log, "store", "", "`address` of the events: sqlite:DIR, postgres://... or esdb://... without a password (default: the data directory)")
	f.StringVar(&at.ReadModels, "readmodels", "", "`address` of the read models (default: where the events are, or the data directory)")
	f.StringVar(&at.Keys, "keys", "", "`address` of the key ring and what goes with it (default: where the read models are)")
	f.DurationVar(&o.Notice, "leave-notice", 0, "for this `time` requests are still taken after /readyz says that the process leaves (default: 5s where processes share the keys, else 0)")
	f.BoolVar(&o.Alone, "alone", false, "with keys in PostgreSQL: destroy and replace keys in this process, too, for a vault on one machine")
	f.String("checkpoints", "", "`place` outside the databases for the last checkpoint of the log: file:PATH, vault-kv:MOUNT/PATH or postgres-other:postgres://... without a password (default: a file in the data directory)")
	f.String("checkpoint-every", "", "the least `time` between two checkpoints (default: 1s)")
	f.String("checkpoint-events", "", "as many `events` are enough for a checkpoint before that time (default: 1000)")
	f.String("witness-policy", "", "`file` of C2SP tlog-policy with the witnesses that are asked to cosign checkpoints (default: none)")
	f.String("witness-networks", "", "`networks` of witnesses that are not public, such as 10.20.0.0/16, with commas between")
	f.String("witness-ca-file", "", "`file` with certificates to trust for witnesses (default: the system's)")
	o.Kurrent.flags(cmd)
	required(cmd, "data")
	cmd.MarkFlagsRequiredTogether("webhook-url", "webhook-secret-file")
	_ = cmd.MarkFlagDirname("data") // only for flags that are not there
	_ = cmd.MarkFlagDirname("registry")
	_ = cmd.MarkFlagDirname("belgif")
	_ = cmd.MarkFlagFilename("webhook-secret-file")
	_ = cmd.MarkFlagFilename("ebox-config")
	_ = cmd.MarkFlagFilename("brokers-config")
	_ = cmd.MarkFlagFilename("prices")
	_ = cmd.MarkFlagFilename("traces-headers-file")
	_ = cmd.MarkFlagFilename("traces-ca-file")
	_ = cmd.MarkFlagFilename("oidc-ca-file")
	_ = cmd.MarkFlagFilename("pages-client-secret-file")
	_ = cmd.MarkFlagFilename("witness-policy")
	_ = cmd.MarkFlagFilename("witness-ca-file")
	configuredBy(cmd)
	return cmd, decide
}

// opsFlag registers the address for operators.
func (o *serveOptions) opsFlag(f *pflag.FlagSet, byDefault string) {
	f.StringVar(&o.Ops, "ops-listen", byDefault, "`address` for operators alone: /metrics, and /readyz with its reason; port 0 takes a free one, \"\" none")
}

// configure takes what the environment says, and over it the addresses that were typed.
func (o *serveOptions) configure(env func(string) string, data vault.DataDir, typed vault.StoresConfig) error {
	config, err := vault.FromEnv(env)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	o.Data, o.Vault, o.Blobs, o.Retentions, o.Review, o.Limits = data, config.Transit, config.Blobs, config.Retentions, config.SuppressionReview, config.Limits
	o.Checkpoints = config.Checkpoints
	o.Stores, err = typedOver(typed, config.Stores, ownPlaces)
	return err
}

// configureCheckpoints takes where and how often checkpoints are kept from the flags, or the
// environment.
func (o *serveOptions) configureCheckpoints(env func(string) string, cmd *cobra.Command) (err error) {
	var said [3]string
	for i, one := range [3]placeNames{
		{"checkpoints", vault.CheckpointsVariable}, {"checkpoint-every", vault.CheckpointEveryVariable}, {"checkpoint-events", vault.CheckpointEventsVariable},
	} {
		f := cmd.Flags().Lookup(one.flag)
		if said[i] = f.Value.String(); !f.Changed {
			said[i] = env(one.variable)
		} else if address, other := strings.CutPrefix(said[i], "postgres-other:"); other && hasPassword(address) {
			return typedPassword(one.flag, one.variable)
		}
	}
	if o.Checkpoints, err = vault.ReadCheckpoints(said[0], said[1], said[2]); err != nil {
		return &exitError{exitUsage, err}
	}
	return nil
}

// configureWitnesses takes which witnesses are asked from the flags, or the environment.
func (o *serveOptions) configureWitnesses(env func(string) string, cmd *cobra.Command) error {
	var said [3]string
	for i, one := range [3]placeNames{
		{"witness-policy", vault.WitnessPolicyVariable}, {"witness-networks", vault.WitnessNetworksVariable}, {"witness-ca-file", vault.WitnessCAVariable},
	} {
		f := cmd.Flags().Lookup(one.flag)
		if said[i] = f.Value.String(); !f.Changed {
			said[i] = env(one.variable)
		}
	}
	if said[0] == "" {
		if said[1] != "" || said[2] != "" {
			return usage("how witnesses are reached is said, and no policy: --witness-policy (%s) names one", vault.WitnessPolicyVariable)
		}
		return nil
	}
	w := &vault.WitnessesConfig{Dev: o.Dev}
	var err error
	if w.Policy, err = readPolicy("witness-policy", said[0]); err != nil {
		return err
	}
	if w.Networks, err = vault.ReadWitnessNetworks(said[1]); err != nil {
		return &exitError{exitUsage, err}
	}
	if said[2] != "" {
		if w.Roots, err = vault.ReadWitnessCA(said[2]); err != nil {
			return &exitError{exitUsage, err}
		}
	}
	if _, err := w.Cosigners(); err != nil {
		return &exitError{exitUsage, fmt.Errorf("--witness-policy: %w", err)}
	}
	o.Witnesses = w
	return nil
}

// configureIdentity takes who vouches for callers from the flags, or the environment.
func (o *serveOptions) configureIdentity(env func(string) string, cmd *cobra.Command) (err error) {
	typed := func(name string) (string, bool) {
		f := cmd.Flags().Lookup(name)
		return f.Value.String(), f.Changed
	}
	o.OIDC, err = vault.ReadOIDC(typed, env)
	said := func(name, variable string) string {
		if text, ok := typed(name); ok {
			return text
		}
		return env(variable)
	}
	public := said("public-url", "COFFRE_PUBLIC_URL")
	host, port, listens := net.SplitHostPort(o.Listen)
	switch {
	case public != "":
		if o.Public, _ = url.Parse(public); !safeAddress(public) || o.Public.RawQuery != "" || o.Public.Fragment != "" {
			err = errors.Join(err, errors.New("--public-url (COFFRE_PUBLIC_URL) is https://..., or http on loopback"))
		}
	case listens == nil && loopback(host) && port != "0":
		o.Public = &url.URL{Scheme: o.scheme(), Host: o.Listen}
	}
	if client := said("pages-client", "COFFRE_PAGES_CLIENT"); client != "" {
		var wrong error
		o.Login, wrong = vault.ReadLogin(client, said("pages-client-secret-file", "COFFRE_PAGES_CLIENT_SECRET_FILE"), said("pages-scopes", "COFFRE_PAGES_SCOPES"))
		switch {
		case o.OIDC == nil:
			wrong = errors.Join(wrong, errors.New("--pages-client (COFFRE_PAGES_CLIENT) is a client of a provider, and none is named by --oidc-issuer or COFFRE_OIDC_ISSUER"))
		case o.Public == nil:
			wrong = errors.Join(wrong, errors.New("--pages-client (COFFRE_PAGES_CLIENT) needs --public-url (COFFRE_PUBLIC_URL), to which the provider sends browsers back"))
		}
		err = errors.Join(err, wrong)
	}
	switch {
	case o.OIDC != nil && o.Dev:
		err = errors.Join(err, errors.New("--dev trusts the tokens of `coffre token`, and an OpenID provider is named, too: choose one"))
	case o.OIDC == nil && !o.Dev && err == nil:
		err = errors.New("say who vouches for callers: --dev, or --oidc-issuer (COFFRE_OIDC_ISSUER)")
	}
	if err != nil {
		return &exitError{exitUsage, err}
	}
	return nil
}

// check refuses what would serve an untried vault to the world.
func (o serveOptions) check() error {
	host, _, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return usage("--listen is HOST:PORT, such as 127.0.0.1:8080")
	}
	switch {
	case o.Notice < 0 || o.Notice > time.Minute:
		return usage("--leave-notice is a duration up to 1m")
	case loopback(host):
	case o.Vault == nil:
		return usage("--listen %s: with the keys in a file only loopback is served, such as 127.0.0.1", o.Listen)
	case o.OIDC == nil:
		return usage("--listen %s: the tokens of `coffre token` are for loopback; others need --oidc-issuer", o.Listen)
	}
	if o.Contact != "" && !isContact(o.Contact) {
		return usage("--pages-contact is an address of e-mail, or of a page, https://...")
	}
	if o.WebhookURL != "" && !safeAddress(o.WebhookURL) {
		return usage("--webhook-url is https://..., or http on loopback")
	}
	if o.Traces.Endpoint != "" && !safeAddress(o.Traces.Endpoint) {
		return usage("--traces-endpoint is https://..., or http on loopback")
	}
	if o.Traces.Ratio < 0 || o.Traces.Ratio > 1 {
		return usage("--traces-ratio is a number from 0 to 1")
	}
	if err := errors.Join(o.checkTLS(), o.checkOps()); err != nil {
		return err
	}
	return o.Kurrent.check()
}

// tlsFlags registers the files of the certificate for callers.
func (o *serveOptions) tlsFlags(cmd *cobra.Command) {
	named := func(name string) string {
		return "--" + name + " (" + setting{key: name}.variable() + ")"
	}
	o.TLS.Setting, o.TLS.KeySetting, o.TLS.CASetting = named("tls-cert"), named("tls-key"), named("tls-client-ca-file")
	f := cmd.Flags()
	f.StringVar(&o.TLS.CertFile, "tls-cert", "", "`file` with the certificate of --listen and those up to its authority, PEM; read again when it changes (default: TLS ends in front)")
	f.StringVar(&o.TLS.KeyFile, "tls-key", "", "`file` with the certificate's key, PEM; likewise")
	f.StringVar(&o.TLS.CAFile, "tls-client-ca-file", "", "`file` of PEM certificates of authorities: issuers and consumers have to show a certificate of theirs; likewise (default: nobody is asked for one)")
	for _, name := range []string{"tls-cert", "tls-key", "tls-client-ca-file"} {
		_ = cmd.MarkFlagFilename(name) // only for flags that are not there
	}
}

// checkTLS refuses files that do nothing without others.
func (o serveOptions) checkTLS() error {
	switch {
	case (o.TLS.CertFile == "") != (o.TLS.KeyFile == ""):
		return usage("%s and %s go together", o.TLS.Setting, o.TLS.KeySetting)
	case o.TLS.CertFile == "" && o.TLS.CAFile != "":
		return usage("%s needs %s: where TLS ends in front, clients show their certificates there", o.TLS.CASetting, o.TLS.Setting)
	}
	return nil
}

// scheme is that of the addresses where callers are served.
func (o serveOptions) scheme() string {
	if o.TLS.CertFile != "" {
		return "https"
	}
	return "http"
}

// checkOps refuses an address for operators that is none, or the public one.
func (o serveOptions) checkOps() error {
	if o.Ops == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(o.Ops)
	switch {
	case err != nil:
		return usage("--ops-listen is HOST:PORT, such as 127.0.0.1:9464")
	case o.Ops == o.Listen && port != "0":
		return usage("--ops-listen is an address of its own: what operators see is not for strangers")
	case o.Dev && !loopback(host):
		return usage("--ops-listen %s: with --dev only loopback is served, such as 127.0.0.1", o.Ops)
	}
	return nil
}

// loopback reports whether a host is this machine and nobody else's.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// safeAddress reports whether a URL keeps secret what is sent there.
func safeAddress(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Host != "" && u.User == nil && (u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()))
}

// whatToTry returns the commands that a person who started a server may type next.
func whatToTry(o serveOptions, program, address string) string {
	if !o.Dev {
		return fmt.Sprintf("Coffre serves %s://%s, data in %s. Ctrl-C ends it.\n", o.scheme(), address, o.Data)
	}
	return fmt.Sprintf(`Coffre serves %[1]s, data in %[2]s. Try, in another terminal:

  %[3]s demo --data %[2]s
  open %[1]s/signin and sign in with a number that the demo tells
  T=$(%[3]s token --data %[2]s --role issuer --org 0206731645)
  curl -H "Authorization: Bearer $T" -H 'Content-Type: application/json' -d '{}' %[1]s/vault/v1/documents/query
  open %[1]s/doc

Ctrl-C ends it.
`, o.scheme()+"://"+address, o.Data, program)
}

// isContact reports whether a text is an address of e-mail alone, or of a page.
func isContact(text string) bool {
	if strings.HasPrefix(text, "https://") {
		return safeAddress(text)
	}
	address, err := mail.ParseAddress(text)
	return err == nil && address.Address == text
}

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/cmd/coffre/files"
	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/edge/token"
)

// Times of a connection.
const (
	tokenLife  = 10 * time.Minute // of the tokens a command makes for itself; renewed at half of it
	callTime   = 45 * time.Second // the longest wait for an answer to begin: more than a server gives a request
	dialTime   = 5 * time.Second
	takeOver   = 15 * time.Second // how long the owner of a directory may take to listen, or to go; see program.patience
	takeOverBy = 50 * time.Millisecond
	littleTime = time.Second
	partTime   = 10 * time.Second // for the calls of others through our socket, once we are done
)

// runningVault is a vault in this process.
type runningVault interface {
	Control() http.Handler
	SignEnd(context.Context)
	Close() error
}

// opener starts the vault of a data directory that this process owns.
type opener func(context.Context, vault.DataDir) (runningVault, error)

// where says which vault a command asks.
type where struct {
	data      string
	url       string
	tokenFile string
	// Of a vault elsewhere: certificates to trust, and what is shown to it.
	caFile, clientCert, clientKey string
	// why and reference are what the control socket asks operators of a vault with an
	// OpenID provider.
	why, reference string
	// served says that a directory is not opened here when no process serves it.
	served bool
}

func (w *where) flags(cmd *cobra.Command) {
	w.optional(cmd)
	cmd.MarkFlagsOneRequired("data", "url")
}

// open is flags for a command that asks what everybody may: a vault elsewhere wants no token.
func (w *where) open(cmd *cobra.Command) {
	w.place(cmd)
	cmd.Flags().Lookup("url").Usage = "a vault elsewhere, as `https://host`"
	cmd.MarkFlagsOneRequired("data", "url")
	cmd.MarkFlagsMutuallyExclusive("data", "token-file")
}

// optional is flags for a command that may ask none.
func (w *where) optional(cmd *cobra.Command) {
	w.place(cmd)
	cmd.MarkFlagsRequiredTogether("url", "token-file")
}

// place is the flags that say which vault is asked.
func (w *where) place(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&w.data, "data", "", "the vault's data `directory` on this machine")
	f.StringVar(&w.url, "url", "", "a vault elsewhere, as `https://host` (needs --token-file)")
	f.StringVar(&w.tokenFile, "token-file", "", "`file` with the bearer token for --url; - is standard input")
	f.StringVar(&w.caFile, "ca-file", "", "with --url, a `file` of PEM certificates to trust (default: the system's)")
	f.StringVar(&w.clientCert, "client-cert", "", "with --url, a `file` with the certificate to show, PEM (needs --client-key)")
	f.StringVar(&w.clientKey, "client-key", "", "with --client-cert, the `file` with its key, PEM")
	f.StringVar(&w.why, "why", "", "with --data, the `reason` of this work, which goes on record: "+strings.Join(workReasons, ", "))
	f.StringVar(&w.reference, "case", "", "with --why, the `reference` of the case this is part of; a keyed hash of it goes on record")
	cmd.MarkFlagsMutuallyExclusive("data", "url")
	cmd.MarkFlagsMutuallyExclusive("url", "why")
	cmd.MarkFlagsRequiredTogether("client-cert", "client-key")
	for _, name := range []string{"ca-file", "client-cert"} {
		cmd.MarkFlagsMutuallyExclusive("data", name)
	}
	for _, name := range []string{"ca-file", "client-cert", "client-key"} {
		_ = cmd.MarkFlagFilename(name) // only for flags that are not there
	}
	complete(cmd, "why", workReasons...)
	_ = cmd.MarkFlagDirname("data") // only for a flag that is not there
	_ = cmd.MarkFlagFilename("token-file")
}

// workReasons are the words of --why.
var workReasons = func() (all []string) {
	for _, r := range domain.WorkReasons {
		all = append(all, string(r))
	}
	return all
}()

// check refuses a reason that is none.
func (w where) check() error {
	switch {
	case w.why == "" && w.reference != "":
		return usage("--case goes with --why")
	case len(w.reference) > token.MaxCase:
		return usage("--case is at most %d bytes", token.MaxCase)
	case w.why != "":
		return oneOf("why", w.why, workReasons...)
	}
	return nil
}

// connection is a vault that commands can ask.
type connection interface {
	// as returns a client in that role; a vault elsewhere knows the role by the token
	// it was given.
	as(token.Grant) *client.Client
	close() error
}

// connect finds the vault. One that is not there is made when mayCreate, and Err says so.
func (p *program) connect(ctx context.Context, w where, mayCreate bool) (connection, error) {
	if err := w.check(); err != nil {
		return nil, err
	}
	if w.url != "" {
		return p.connectRemote(w)
	}
	dir := vault.DataDir(w.data)
	there := thereIsAVault(dir)
	switch {
	case there == nil:
	case !mayCreate || !errors.Is(there, errNoVault):
		return nil, there
	default:
		fmt.Fprintf(p.Err, "A new vault is made in %s.\n", printable(w.data))
	}
	if w.served {
		if err := someoneServes(ctx, dir); err != nil {
			return nil, err
		}
	}
	return p.connectLocal(ctx, dir, w)
}

// errNoVault says that a data directory is not there.
var errNoVault = errors.New("there is no vault")

// errNotServed says that a data directory has a vault that no process serves.
var errNotServed = errors.New("no process serves this data directory: coffre serve does")

// someoneServes returns errNotServed where nobody owns a directory. Nothing is opened or made.
func someoneServes(ctx context.Context, dir vault.DataDir) error {
	conn, err := dir.Dial(ctx)
	if err == nil {
		return conn.Close()
	}
	owned, err := dir.Owned()
	if err == nil && !owned {
		err = errNotServed
	}
	return err
}

// thereIsAVault returns an error that wraps errNoVault where no directory of that name is, and
// says how one is made: a mistyped name must not become a new directory.
func thereIsAVault(dir vault.DataDir) error {
	there, err := dir.Exists()
	if err == nil && !there {
		err = fmt.Errorf("%w in %s; `coffre serve --dev --data %[2]s` makes one", errNoVault, dir)
	}
	return err
}

// remote is a vault elsewhere.
type remote struct{ c *client.Client }

func (r remote) as(token.Grant) *client.Client { return r.c }
func (r remote) close() error                  { r.c.HTTP.CloseIdleConnections(); return nil }

var (
	errURL   = errors.New("--url is https://host, or http on loopback, and nothing else")
	errToken = errors.New("the token file holds no token")
)

func (p *program) connectRemote(w where) (connection, error) {
	u, err := url.Parse(w.url)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, &exitError{exitUsage, errURL}
	}
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme != "https" && !(u.Scheme == "http" && loopback) {
		return nil, &exitError{exitUsage, errURL}
	}
	var bearer func() (string, error)
	if w.tokenFile != "" { // else nobody need say who they are
		word, err := p.readSecret(w.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("token file: %w", err)
		}
		if word == "" {
			return nil, errToken
		}
		bearer = func() (string, error) { return word, nil }
	}
	secure, err := w.secure()
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	transport := &http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		DialContext:     (&net.Dialer{Timeout: dialTime}).DialContext,
		TLSClientConfig: secure, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: inFlight, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: callTime,
	}
	return remote{&client.Client{
		Base: strings.TrimSuffix(w.url, "/") + pathUnder(u), HTTP: httpClient(transport), Seen: new(client.Position),
		Token: bearer,
	}}, nil
}

// secure says whom a vault elsewhere is to be, and who this is.
func (w where) secure() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if w.caFile != "" {
		trusted, err := vault.Trusted(w.caFile)
		if err != nil {
			return nil, fmt.Errorf("--ca-file: %w", err)
		}
		c.RootCAs = trusted
	}
	if w.clientCert != "" {
		cert, err := files.ReadSmall(w.clientCert)
		if err != nil {
			return nil, fmt.Errorf("--client-cert: %w", err)
		}
		key, err := files.ReadSmall(w.clientKey)
		if err != nil {
			return nil, fmt.Errorf("--client-key: %w", err)
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, errors.New("--client-cert and --client-key: these are no certificate in PEM and the key that belongs to it")
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// pathUnder returns the contract's base path, or nothing for a URL that ends with it.
func pathUnder(u *url.URL) string {
	if strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), contract.Base) {
		return ""
	}
	return contract.Base
}

// readSecret reads a small file that holds one word; - is standard input.
func (p *program) readSecret(name string) (string, error) {
	var b []byte
	var err error
	if name == "-" {
		b, err = files.ReadAtMost(p.In, files.MaxSecret)
	} else {
		var f *os.File
		if f, err = os.Open(name); err == nil {
			b, err = files.ReadAtMost(f, files.MaxSecret)
			err = errors.Join(err, f.Close())
		}
	}
	return files.Text(b), err
}

func httpClient(t http.RoundTripper) *http.Client {
	return &http.Client{
		Transport: t, // an export may take long to come, so nothing bounds a whole answer
		// A redirect would take the token elsewhere; the contract has none.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// local is the vault of a data directory on this machine, reached by its control
// socket, whoever listens there. When the owner goes while we need the vault, we
// become the owner.
type local struct {
	p    *program
	dir  vault.DataDir
	at   where
	key  *token.DevKey
	http *http.Client
	seen client.Position

	mu   sync.Mutex
	stop func() error // ends what we opened ourselves; nil: the directory is another's
}

func (p *program) connectLocal(ctx context.Context, dir vault.DataDir, at where) (connection, error) {
	if err := dir.Create(); err != nil {
		return nil, err
	}
	key, err := token.OpenDevKey(dir.File(vault.DevKeyFile))
	if err != nil {
		return nil, err
	}
	l := &local{p: p, dir: dir, at: at, key: key}
	l.http = httpClient(&http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return l.reach(context.WithoutCancel(ctx)) },
		MaxIdleConnsPerHost: inFlight, ResponseHeaderTimeout: callTime,
	})
	conn, err := l.reach(ctx)
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	// Without read models much can still be done, so their trouble is told by what
	// needs them. Another owner may be busy, and so always a little behind.
	wait := ctx
	if l.stop == nil {
		little, cancel := context.WithTimeout(ctx, littleTime)
		defer cancel()
		wait = little
	}
	_ = l.caughtUp(wait)
	if err := errors.Join(ctx.Err(), conn.Close()); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// reach connects to whoever owns the directory, and becomes the owner when there
// is none.
func (l *local) reach(ctx context.Context) (net.Conn, error) {
	patience := time.NewTimer(l.p.patience)
	defer patience.Stop()
	for {
		conn, err := l.dir.Dial(ctx)
		if err == nil || errors.Is(err, vault.ErrSocketPath) {
			return conn, err
		}
		err = l.takeOver(ctx)
		if err == nil { // however long that took
			return l.dir.Dial(ctx)
		}
		if !errors.Is(err, vault.ErrOwned) {
			return nil, err
		}
		select { // its owner starts, or stops; either ends
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-patience.C:
			return nil, fmt.Errorf("%w and does not answer on its control socket", vault.ErrOwned)
		case <-time.After(takeOverBy):
		}
	}
}

// takeOver opens the vault in this process. ErrOwned: another process has it.
func (l *local) takeOver(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop != nil {
		return vault.ErrOwned // by us, and about to listen no more
	}
	release, err := l.dir.Own()
	if err != nil {
		return err
	}
	l.stop, err = l.p.openHere(ctx, l.dir, release)
	return err
}

// openHere opens the vault in this process and lets the control socket lead to
// it, for us and for whoever comes while we run.
func (p *program) openHere(ctx context.Context, dir vault.DataDir, release func() error) (stop func() error, err error) {
	v, err := p.open(ctx, dir)
	if err != nil {
		return nil, errors.Join(err, release())
	}
	l, err := dir.Listen(ctx)
	if err != nil {
		return nil, errors.Join(err, v.Close(), release())
	}
	server := vault.NewControlServer(v.Control())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(edge.StrictListener(l)) }()
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), partTime)
		defer cancel()
		err := server.Shutdown(ctx)
		if serve := <-ended; !errors.Is(serve, http.ErrServerClosed) {
			err = errors.Join(err, serve)
		}
		v.SignEnd(ctx) // of what we recorded ourselves nobody else would have the proof made
		return errors.Join(err, v.Close(), release())
	}, nil
}

// caughtUp waits until the read models have seen the whole log, or stopped.
func (l *local) caughtUp(ctx context.Context) error {
	operator := l.as(asOperator)
	var bar progress
	defer func() { bar.Done() }()
	var first, last int64 = -1, 0
	return poll(ctx, func() (bool, time.Time, error) {
		all, err := client.Read[contract.Projections](operator.ListProjections(ctx, contract.ListProjectionsParams{}))
		if err != nil {
			return false, time.Time{}, err
		}
		var behind int64
		for _, one := range all.Body.Items {
			if one.State != contract.ProjectionStateStopped {
				behind += one.Behind
			}
		}
		if first < 0 {
			first, last = behind, behind
			bar = l.p.progress(first, "read models", false)
		}
		bar.Add(max(0, last-behind))
		last = behind
		return behind == 0, time.Time{}, nil
	})
}

func (l *local) close() error {
	l.http.CloseIdleConnections()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop == nil {
		return nil
	}
	return l.stop()
}

func (l *local) as(g token.Grant) *client.Client {
	if g.Scopes == nil {
		g.Scopes = edge.Scopes(g.Role)
	}
	g.Why, g.Case = domain.WorkReason(l.at.why), l.at.reference
	var mu sync.Mutex
	var bearer string
	var renew time.Time
	return &client.Client{
		Base: "http://vault" + contract.Base, HTTP: l.http, Seen: &l.seen,
		Token: func() (string, error) {
			mu.Lock()
			defer mu.Unlock()
			now := l.p.now()
			if now.Before(renew) {
				return bearer, nil
			}
			minted, err := l.key.Mint(g, now, tokenLife)
			if err != nil {
				return "", err
			}
			bearer, renew = minted, now.Add(tokenLife/2)
			return bearer, nil
		},
	}
}

// asks connects in one role, calls ask and closes.
func (p *program) asks(ctx context.Context, w where, g token.Grant, ask func(*client.Client) error) (err error) {
	v, err := p.connect(ctx, w, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	return ask(v.as(g))
}

// asksOpenly connects, has ask call what everybody may without saying who they are, and closes.
func (p *program) asksOpenly(ctx context.Context, w where, ask func(*client.Client) error) error {
	return p.asks(ctx, w, token.Grant{Role: asOperator.Role}, func(c *client.Client) error {
		open := *c
		open.Token = nil
		return ask(&open)
	})
}

// The roles that need no more to be said than their name.
var (
	asOperator = token.Grant{Role: domain.RoleOperator}
	asAuditor  = token.Grant{Role: domain.RoleAuditor}
)

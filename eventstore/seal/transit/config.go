package transit

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"time"
)

// Config says where Vault is and who we are there.
type Config struct {
	Address    string // https://host:port; http to a loopback address only
	Namespace  string // of Vault Enterprise; "": none
	Mount      string // of the Transit engine; default "coffre"
	CAFile     string // PEM certificates to trust; "": the system's
	ServerName string // expected in Vault's certificate; "": the address's host

	Application Login // required
	Rotator     Login // nil: nothing can be rotated
	Destroyer   Login // nil: no certificate can be signed

	Timeout   time.Duration // of one call with its retry; default 900 ms, at most a minute
	OpenFor   time.Duration // how long an open breaker lets nothing through; default 1 s
	Logger    *slog.Logger  // told about logins and the breaker; nil: nothing is logged
	Transport func(http.RoundTripper) http.RoundTripper
}

// Defaults and limits.
const (
	defaultMount   = "coffre"
	defaultTimeout = 900 * time.Millisecond // so that a caller is answered within a second
	maxTimeout     = time.Minute
	defaultOpenFor = time.Second
	tripAfter      = 5                // failed calls in a row that open the breaker
	longTask       = 30 * time.Second // the rotator's calls: nobody waits for them
	freshToken     = time.Second      // a younger token that is refused is not the reason
	maxAnswer      = 8 << 20          // bytes
	idleConns      = 32
)

var (
	errAddress = errors.New("vault address: https://host:port, or http to a loopback address, and nothing else")
	errMount   = errors.New("vault mount: words of letters, digits, - and _, with / between them")
	errLogin   = errors.New("vault: the application has no login")
	errCA      = errors.New("vault CA file: no certificate in it")

	mountPattern = regexp.MustCompile(`^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$`)
)

// withDefaults checks everything and reports all that is wrong.
func (c Config) withDefaults() (Config, error) {
	var wrong []error
	if !allowedAddress(c.Address) {
		wrong = append(wrong, errAddress)
	}
	if c.Mount == "" {
		c.Mount = defaultMount
	}
	if !mountPattern.MatchString(c.Mount) {
		wrong = append(wrong, errMount)
	}
	if c.Application == nil {
		wrong = append(wrong, errLogin)
	}
	for _, login := range []Login{c.Application, c.Rotator, c.Destroyer} {
		if login != nil {
			wrong = append(wrong, login.check())
		}
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.OpenFor == 0 {
		c.OpenFor = defaultOpenFor
	}
	if c.Timeout < 0 || c.Timeout > maxTimeout || c.OpenFor < 0 || c.OpenFor > maxTimeout {
		wrong = append(wrong, fmt.Errorf("vault timeouts: up to %v", maxTimeout))
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, errors.Join(wrong...)
}

// allowedAddress reports whether a token may be sent there.
func allowedAddress(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && loopback
}

// transport speaks HTTP/1.1: there a call that took too long takes its connection
// with it, and the next one dials anew.
func (c Config) transport(timeout time.Duration) (http.RoundTripper, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("vault CA file: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errCA
		}
	}
	var t http.RoundTripper = &http.Transport{
		DialContext:     (&net.Dialer{Timeout: timeout}).DialContext,
		TLSClientConfig: conf, TLSHandshakeTimeout: timeout,
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
		MaxIdleConns: idleConns, MaxIdleConnsPerHost: idleConns, IdleConnTimeout: time.Minute,
		ResponseHeaderTimeout: timeout,
	}
	if c.Transport != nil {
		t = c.Transport(t)
	}
	return t, nil
}

package webhook

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"coffre/domain"
	"coffre/eventstore/spans"
)

// Policy lists the addresses that deliveries may go to besides public ones.
type Policy struct {
	// Allow lists networks that are reached although they are not public: a consumer
	// in the same data centre.
	Allow []netip.Prefix
	// Dev allows plain http to this machine, for trying out. Never set it in production.
	Dev bool
}

// Endpoint is a URL that passed [ParseEndpoint], with the policy its connections
// are checked against.
type Endpoint struct {
	url    *url.URL
	policy Policy
}

// Refusals of ParseEndpoint. They never repeat the URL, which may hold a token.
var (
	ErrEndpoint = domain.NewError(domain.Invalid, "webhookUrlInvalid",
		"a webhook URL is absolute, https, with a plain ASCII host name, and has neither user information nor fragment")
	ErrEndpointPort = domain.NewError(domain.Invalid, "webhookPortRefused",
		"a webhook listens on port 443 or on one from 1024 up")
	ErrEndpointAddress = domain.NewError(domain.Invalid, "webhookAddressRefused",
		"that address is not public and was not allowed by configuration")
)

// ParseEndpoint checks a URL as far as it can be without the network. The address
// behind the name is checked at every connection.
func ParseEndpoint(raw string, p Policy) (Endpoint, error) {
	u, err := url.Parse(raw)
	if err != nil || len(raw) > 2048 || u.Opaque != "" || u.User != nil || u.Fragment != "" || strings.Contains(raw, "#") {
		return Endpoint{}, ErrEndpoint
	}
	host := u.Hostname()
	addr, addrErr := netip.ParseAddr(host)
	local := host == "localhost" || addrErr == nil && addr.Unmap().IsLoopback()
	switch {
	case u.Scheme == "http" && p.Dev && local:
	case u.Scheme != "https":
		return Endpoint{}, ErrEndpoint
	}
	if addrErr != nil && !plainName(host) {
		return Endpoint{}, ErrEndpoint
	}
	if host == "localhost" {
		addr, addrErr = netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
	}
	if addrErr == nil && !p.admits(addr) {
		return Endpoint{}, ErrEndpointAddress
	}
	if !p.admitsPort(u.Port(), local) || strings.HasSuffix(u.Host, ":") {
		return Endpoint{}, ErrEndpointPort
	}
	return Endpoint{u, p}, nil
}

// plainName reports whether host is a name of letters, digits and dashes that no
// resolver takes for an address ("0x7f.1", "2130706433").
func plainName(host string) bool {
	if host == "" || len(host) > 253 {
		return false
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !(c == '-' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z') {
				return false
			}
		}
	}
	last := labels[len(labels)-1]
	return last[0] < '0' || last[0] > '9' // a name that ends in a number is an address to somebody
}

func (p Policy) admitsPort(port string, local bool) bool {
	if port == "" {
		return true
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && (n == 443 || n >= 1024 || n == 80 && p.Dev && local)
}

// String returns scheme and host only: path and query may hold a token.
func (e Endpoint) String() string {
	if e.url == nil {
		return ""
	}
	return e.url.Scheme + "://" + e.url.Host
}

// GoString hides the same.
func (e Endpoint) GoString() string { return e.String() }

// notPublic lists what lies within the two ranges of unicast addresses and yet is
// not, or not certainly, one host on the internet (IANA special-purpose registries).
var notPublic = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)

var globalUnicast = netip.MustParsePrefix("2000::/3")

func prefixes(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		all[i] = netip.MustParsePrefix(t)
	}
	return all
}

// admits reports whether a connection to a may be made.
func (p Policy) admits(a netip.Addr) bool {
	a = a.Unmap() // ::ffff:127.0.0.1 is 127.0.0.1
	if a.Zone() != "" {
		return false
	}
	if p.Dev && a.IsLoopback() {
		return true
	}
	for _, allowed := range p.Allow {
		if allowed.Contains(a) {
			return true
		}
	}
	// What translates to IPv4 (64:ff9b::/96, ::/96) lies outside 2000::/3.
	if a.Is6() && !globalUnicast.Contains(a) {
		return false
	}
	for _, n := range notPublic {
		if n.Contains(a) {
			return false
		}
	}
	return a.IsValid()
}

var errAddress = errors.New("webhook: the address behind the name is refused")

// control checks the resolved address before every connection, so that a name that now
// resolves to another address gains nothing.
func (p Policy) control(network, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp4" && network != "tcp6" || !p.admits(to.Addr()) {
		return errAddress
	}
	return nil
}

// Client returns a client whose connections the policy admits one by one. It follows no redirect,
// and a call takes at most that long. nil roots are the system's.
func (e Endpoint) Client(timeout time.Duration, roots *x509.CertPool) *http.Client {
	return &http.Client{
		Transport: spans.Transport("http", e.transport(roots)), Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (e Endpoint) transport(roots *x509.CertPool) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, Control: e.policy.control}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		Proxy:                  nil, // a proxy would connect in our place, unchecked
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:    10 * time.Second,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 16 << 10,
		MaxIdleConnsPerHost:    workers,
		IdleConnTimeout:        90 * time.Second,
	}
}

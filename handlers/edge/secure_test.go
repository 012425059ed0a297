package edge

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"coffre/domain"
	"coffre/eventstore/kurrent/wire/certtest"
	"coffre/handlers/edge/token"
)

// pairOf issues a certificate and returns it with its key.
func pairOf(t testing.TB, a *certtest.Authority, template *x509.Certificate) tls.Certificate {
	t.Helper()
	cert, key := a.Issue(t, template)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func poolOf(all ...*certtest.Authority) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, a := range all {
		pool.AppendCertsFromPEM(a.PEM)
	}
	return pool
}

// secure serves h over TLS, and returns its address and the handshakes that failed.
func secure(t testing.TB, h http.Handler, config func() *tls.Config) (at net.Addr, failed chan error) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	failed = make(chan error, 100)
	server, served := NewHTTPServer(h), make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(StrictListener(SecureListener(l, config, func(err error) { failed <- err }))) // ends when it is closed
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return l.Addr(), failed
}

// tellingCertificate answers with the certificate that a request is presented with.
var tellingCertificate = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	p, _ := presented(r, []string{"Bearer x"})
	_, _ = fmt.Fprintf(w, "%x %s", p.Certificate, r.Proto) // whoever asked reads it, or does not
})

// TestACertificateThatIsShownIsPresented: the one that the client holds the key of, of an authority
// for clients, and no other; no version of HTTP but 1.1 is spoken.
func TestACertificateThatIsShownIsPresented(t *testing.T) {
	a, partners, strangers := certtest.NewAuthority(t), certtest.NewAuthority(t), certtest.NewAuthority(t)
	config := &tls.Config{
		Certificates: []tls.Certificate{pairOf(t, a, certtest.Loopback())}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		ClientCAs: poolOf(partners), ClientAuth: tls.VerifyClientCertIfGiven,
	}
	at, failed := secure(t, tellingCertificate, func() *tls.Config { return config })
	mine, ended := pairOf(t, partners, certtest.Client()), certtest.Client()
	ended.NotAfter = time.Now().Add(-time.Hour)
	sum := sha256.Sum256(mine.Certificate[0])
	for _, c := range []struct {
		name  string
		shown []tls.Certificate
		want  string // "": the handshake fails
	}{
		{"none", nil, strings.Repeat("0", 64) + " HTTP/1.1"},
		{"a partner's", []tls.Certificate{mine}, hex.EncodeToString(sum[:]) + " HTTP/1.1"},
		{"a stranger's", []tls.Certificate{pairOf(t, strangers, certtest.Client())}, ""},
		{"one that ended", []tls.Certificate{pairOf(t, partners, ended)}, ""},
		{"one for servers", []tls.Certificate{pairOf(t, partners, certtest.Loopback())}, ""},
		{"another's, without its key", []tls.Certificate{{Certificate: mine.Certificate, PrivateKey: pairOf(t, partners, certtest.Client()).PrivateKey}}, ""},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{
				RootCAs: poolOf(a), MaxVersion: version, NextProtos: []string{"h2", "http/1.1"},
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { // whatever authorities are asked for
					if c.shown == nil {
						return &tls.Certificate{}, nil
					}
					return &c.shown[0], nil
				},
			}}
			resp, err := (&http.Client{Transport: transport}).Get("https://" + at.String() + "/")
			if c.want == "" {
				if err == nil {
					t.Errorf("%s is let in", c.name)
					resp.Body.Close()
				} else if told := <-failed; told == nil {
					t.Errorf("%s: nobody is told", c.name)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			body, err := io.ReadAll(resp.Body)
			if resp.Body.Close(); err != nil || string(body) != c.want {
				t.Errorf("%s: %q, %v, want %q", c.name, body, err, c.want)
			}
			transport.CloseIdleConnections()
		}
	}
	select {
	case err := <-failed:
		t.Error("one handshake more failed:", err)
	default:
	}
}

// TestFramingHoldsOverTLS: what is ambiguous is refused as over plain connections, and nothing
// after it is served.
func TestFramingHoldsOverTLS(t *testing.T) {
	a := certtest.NewAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{pairOf(t, a, certtest.Loopback())}, MinVersion: tls.VersionTLS12}
	at, _ := secure(t, echoing, func() *tls.Config { return config })
	c, err := tls.Dial("tcp", at.String(), &tls.Config{RootCAs: poolOf(a)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, plainPost+"Content-Length: 3\r\n\r\nabc"+plainPost+"Content-Length: 13\r\nTransfer-Encoding: chunked\r\n\r\n"+oneChunk+hiddenGet); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	if status, _, err := readAnswer(in); status != 200 || err != nil {
		t.Fatalf("the request before is answered %d, %v", status, err)
	}
	if status, body, err := readAnswer(in); err != nil || status != 400 {
		t.Errorf("answered %d %q, %v", status, body, err)
	}
	if more, err := io.ReadAll(in); len(more) > 0 {
		t.Errorf("after it comes %q, %v", more, err)
	}
}

// TestASessionEndsWithItsConfiguration: whoever showed a certificate of an authority that counts
// no more does not come back on a session of before.
func TestASessionEndsWithItsConfiguration(t *testing.T) {
	a, first, second := certtest.NewAuthority(t), certtest.NewAuthority(t), certtest.NewAuthority(t)
	server := pairOf(t, a, certtest.Loopback())
	config := func(clients *certtest.Authority) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{server}, MinVersion: tls.VersionTLS12, ClientCAs: poolOf(clients), ClientAuth: tls.VerifyClientCertIfGiven}
	}
	configs := make(chan *tls.Config, 4)
	before := config(first)
	for range 2 {
		configs <- before
	}
	configs <- config(second)
	at, failed := secure(t, tellingCertificate, func() *tls.Config { return <-configs })
	mine := pairOf(t, first, certtest.Client())
	sessions := tls.NewLRUClientSessionCache(1)
	var resumed []bool
	for range 3 {
		c, err := tls.Dial("tcp", at.String(), &tls.Config{RootCAs: poolOf(a), ClientSessionCache: sessions,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &mine, nil }})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: vault\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(c) // of the third, the end of the connection
		if len(answer) > 0 {
			resumed = append(resumed, c.ConnectionState().DidResume)
		}
		c.Close()
	}
	if len(resumed) != 2 || resumed[0] || !resumed[1] {
		t.Errorf("%v were answered, resumed or not; want the first, and the second resumed", resumed)
	}
	if err := <-failed; err == nil {
		t.Error("the third did not fail")
	}
}

// TestHandshakesThatFailAreTold, but a port that is only tried is not.
func TestHandshakesThatFailAreTold(t *testing.T) {
	a := certtest.NewAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{pairOf(t, a, certtest.Loopback())}, MinVersion: tls.VersionTLS12}
	at, failed := secure(t, echoing, func() *tls.Config { return config })
	if err := dialed(t, at).Close(); err != nil {
		t.Fatal(err)
	}
	reset := dialed(t, at)
	if err := errors.Join(bare(reset).(*net.TCPConn).SetLinger(0), reset.Close()); err != nil { // as some probes do
		t.Fatal(err)
	}
	c := dialed(t, at)
	if _, err := io.WriteString(c, plainPost+"Content-Length: 0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); err != nil {
		t.Log(err)
	}
	if _, ok := (<-failed).(tls.RecordHeaderError); !ok {
		t.Error("the first failure is not that of the plain request")
	}
}

// TestPartnersShowACertificate: an issuer and a consumer are known only over a connection on which
// they showed one; people need none.
func TestPartnersShowACertificate(t *testing.T) {
	s := Certified{believing{}}
	for _, role := range []domain.Role{domain.RoleIssuer, domain.RoleConsumer, domain.RoleCitizen, domain.RoleAuditor, domain.RolePrivacyOfficer, domain.RoleOperator} {
		partner := role == domain.RoleIssuer || role == domain.RoleConsumer
		if caller, err := s.Authenticate(t.Context(), token.Bearer(string(role))); (err != nil) != partner || partner && caller.Role != "" {
			t.Errorf("%s without a certificate: %q, %v", role, caller.Role, err)
		}
		p := token.Bearer(string(role))
		p.Certificate[0] = 1
		if caller, err := s.Authenticate(t.Context(), p); err != nil || caller.Role != role {
			t.Errorf("%s with one: %v", role, err)
		}
	}
	if _, err := s.Authenticate(t.Context(), token.Bearer("expired")); err != token.ErrExpired {
		t.Error(err)
	}
}

// pipes is a listener of connections in memory, on which a write waits until it is read.
type pipes struct {
	accepted chan net.Conn
	ended    chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}
func (p pipes) Close() error   { close(p.ended); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p pipes) dial() net.Conn {
	here, there := net.Pipe()
	p.accepted <- there
	return here
}

// TestAClientThatTakesNothingHoldsNobody: a handshake ends in time also where the vault's part of it
// is not read, and a server that closes idle connections does not wait for whoever reads nothing.
func TestAClientThatTakesNothingHoldsNobody(t *testing.T) {
	a := certtest.NewAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{pairOf(t, a, certtest.Loopback())}, MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true}
	now := time.Now() // the clock of the test begins before the certificate does
	synctest.Test(t, func(t *testing.T) {
		l := pipes{make(chan net.Conn), make(chan struct{})}
		failed, served := make(chan error, 1), make(chan struct{})
		server := NewHTTPServer(echoing)
		go func() {
			defer close(served)
			_ = server.Serve(StrictListener(SecureListener(l, func() *tls.Config { return config }, func(err error) { failed <- err }))) // ends when it is closed
		}()
		hello, began := l.dial(), time.Now()
		if _, err := io.WriteString(hello, clientHello(t)); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; !isTimeout(err) || time.Since(began) != readHeaderTimeout {
			t.Errorf("the handshake ended after %v: %v", time.Since(began), err)
		}
		var idle []net.Conn
		for range 3 {
			below := l.dial()
			c := tls.Client(below, &tls.Config{RootCAs: poolOf(a), ServerName: "localhost", Time: func() time.Time { return now }})
			if _, err := io.WriteString(c, plainPost+"Content-Length: 0\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if status, _, err := readAnswer(bufio.NewReader(c)); status != 200 || err != nil {
				t.Fatal(status, err)
			}
			idle = append(idle, below)
		}
		synctest.Wait()
		began = time.Now()
		if err := server.Shutdown(t.Context()); err != nil || time.Since(began) != 0 {
			t.Errorf("the server ended after %v: %v", time.Since(began), err)
		}
		time.Sleep(farewellTime)
		synctest.Wait()
		for _, c := range append(idle, hello) {
			if _, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("a connection is open: %v", err)
			}
		}
		<-served
	})
}

// clientHello is how a client of TLS begins.
func clientHello(t testing.TB) string {
	here, there := net.Pipe()
	go func() {
		_ = tls.Client(here, &tls.Config{ServerName: "localhost"}).Handshake() // nobody answers
	}()
	hello := make([]byte, 16<<10)
	n, err := there.Read(hello)
	if err != nil {
		t.Fatal(err)
	}
	there.Close()
	return string(hello[:n])
}

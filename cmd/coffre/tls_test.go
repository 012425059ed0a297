package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coffre/domain"
	"coffre/eventstore/kurrent/wire/certtest"
)

// TestServesOverTLS: a process with a certificate serves HTTPS and nothing else; partners show a
// certificate, citizens need none; and a certificate that is replaced is shown without a new start.
func TestServesOverTLS(t *testing.T) {
	a, partners := certtest.NewAuthority(t), certtest.NewAuthority(t)
	where := t.TempDir()
	write := func(name string, text []byte) string {
		t.Helper()
		path := filepath.Join(where, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert, key := a.Issue(t, certtest.Loopback())
	certFile, keyFile := write("cert.pem", cert), write("key.pem", key)
	mine, itsKey := partners.Issue(t, certtest.Client())
	clients, own, mineFile, itsKeyFile := write("clients.pem", partners.PEM), write("ca.pem", a.PEM), write("mine.pem", mine), write("mine.key", itsKey)

	dir := filepath.Join(where, "data")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	banner, logged := &notifier{line: make(chan string, 1)}, &bytes.Buffer{}
	ended := make(chan int, 1)
	go func() {
		ended <- newProgram(terminal{In: strings.NewReader(""), Out: banner, Err: io.MultiWriter(logged, banner)}).run(ctx, []string{"serve", "--dev", "--data", dir, "--listen", "127.0.0.1:0",
			"--tls-cert", certFile, "--tls-key", keyFile, "--tls-client-ca-file", clients})
	}()
	var said string
	select {
	case said = <-banner.line:
	case code := <-ended:
		t.Fatalf("it ended with %d", code)
	}
	_, address, _ := strings.Cut(said, "Coffre serves ")
	address, _, _ = strings.Cut(address, ",")
	if !strings.HasPrefix(address, "https://") {
		t.Fatalf("it serves %s", address)
	}

	s := &shell{t: t, adapt: func(p *program) { p.open = nil }} // the server owns the directory
	token := func(role domain.Role, more ...string) string {
		return write(string(role)+".token", []byte(s.must(0, append([]string{"token", "--data", dir, "--role", string(role)}, more...)...).out))
	}
	issuer := token(domain.RoleIssuer, "--org", "0206731645")
	s.in = `{"ssin":"85073003328","documentType":"marriageCertificate","sourceReference":"m-1","validFrom":"2026-03-01","content":{"certificateNumber":"1","country":"BE","date":"2026-03-01"}}`
	at := []string{"documents", "import", "--url", address, "--ca-file", own, "--token-file", issuer}
	if got := s.run(append(at, "-")...); got.code == 0 || !strings.Contains(got.err, "TLS client certificate") {
		t.Errorf("a partner without a certificate: %d %s", got.code, got.err)
	}
	s.must(0, append(at, "--client-cert", mineFile, "--client-key", itsKeyFile, "-")...)

	trusts := x509.NewCertPool()
	trusts.AppendCertsFromPEM(a.PEM)
	shown := func(path string) (*http.Response, string) {
		t.Helper()
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusts}}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get(address + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(body)
	}
	first, page := shown("/signin")
	if first.StatusCode != http.StatusOK || !strings.Contains(page, "<html") || first.Proto != "HTTP/1.1" {
		t.Errorf("people are answered %d over %s", first.StatusCode, first.Proto)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.Get("http://" + u.Host + "/livez"); err == nil {
		t.Errorf("in clear it answers %d", resp.StatusCode)
		resp.Body.Close()
	}

	cert, key = a.Issue(t, certtest.Loopback())
	write("key.pem", key)
	write("cert.pem", cert)
	serial := func(r *http.Response) string { return r.TLS.PeerCertificates[0].SerialNumber.String() }
	var last *http.Response
	for last = first; serial(last) == serial(first); last, _ = shown("/livez") {
		if t.Context().Err() != nil {
			t.Fatal("the certificate that was replaced is still shown")
		}
	}
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("the server ended with %d", code)
	}
	if !strings.Contains(logged.String(), "was read again") {
		t.Errorf("nobody is told of the new certificate: %s", logged)
	}
	if code := newProgram(terminal{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}).run(t.Context(), []string{"serve", "--dev", "--data", dir, "--tls-cert", certFile, "--tls-key", itsKeyFile}); code != exitFailed {
		t.Errorf("with another's key the start ends with %d", code)
	}
}

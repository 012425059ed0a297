package vault

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coffre/cmd/coffre/files"
	"coffre/eventstore/kurrent/wire/certtest"
)

// shownBy serves with certificates that are read from files under a clock of the test's.
type shownBy struct {
	*Certificates
	files CertificateFiles
	log   *bytes.Buffer
	clock time.Time
}

func newShownBy(t *testing.T, a, clients *certtest.Authority) *shownBy {
	t.Helper()
	dir := t.TempDir()
	s := &shownBy{
		files: CertificateFiles{Setting: "--tls-cert", CertFile: filepath.Join(dir, "cert"), KeySetting: "--tls-key", KeyFile: filepath.Join(dir, "key"), CASetting: "--tls-client-ca-file"},
		log:   &bytes.Buffer{}, clock: time.Now(),
	}
	s.write(t, a)
	if clients != nil {
		s.files.CAFile = filepath.Join(dir, "clients")
		put(t, s.files.CAFile, clients.PEM)
	}
	var err error
	if s.Certificates, err = s.files.Read(slog.New(slog.NewTextHandler(s.log, nil)), func() time.Time { return s.clock }); err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// write puts a new certificate of an authority into the files.
func (s *shownBy) write(t *testing.T, a *certtest.Authority) {
	t.Helper()
	cert, key := a.Issue(t, lasting())
	put(t, s.files.CertFile, cert)
	put(t, s.files.KeyFile, key)
}

// lasting is a server's certificate for ninety days.
func lasting() *x509.Certificate {
	c := certtest.Loopback()
	c.NotAfter = time.Now().AddDate(0, 0, 90)
	return c
}

// serial is that of the certificate that counts.
func (s *shownBy) serial() string { return s.Config().Certificates[0].Leaf.SerialNumber.String() }

// TestCertificatesAreReadAgain when they changed and fit each other; until then the one before
// counts, and the vault's operators are told.
func TestCertificatesAreReadAgain(t *testing.T) {
	a := certtest.NewAuthority(t)
	s := newShownBy(t, a, nil)
	first := s.serial()
	later := func() { s.clock = s.clock.Add(certificateLook) }
	if s.write(t, a); s.serial() != first {
		t.Error("the files are looked at more often than once a second")
	}
	later()
	second := s.serial()
	if second == first || strings.Count(s.log.String(), "was read again") != 1 {
		t.Fatalf("the new certificate does not count: %s", s.log)
	}
	if later(); s.serial() != second || strings.Count(s.log.String(), "was read again") != 1 {
		t.Errorf("what did not change is read again: %s", s.log)
	}
	cert, key := a.Issue(t, lasting())
	for _, halfway := range []struct {
		name, told string
		do         func()
	}{
		{"the key is another's", "--tls-cert and --tls-key: these are no certificates in PEM of which the first is the own, and the key that belongs to it", func() { put(t, s.files.CertFile, cert) }},
		{"the file is empty", "--tls-cert and --tls-key: these are no certificates in PEM of which the first is the own, and the key that belongs to it", func() { put(t, s.files.KeyFile, nil) }},
		{"the file is a directory", "--tls-key: this is no file that can be read again", func() {
			if err := errors.Join(os.Remove(s.files.KeyFile), os.Mkdir(s.files.KeyFile, 0o700)); err != nil {
				t.Fatal(err)
			}
		}},
		{"the file is gone", "--tls-key: there is no such file", func() {
			if err := os.Remove(s.files.KeyFile); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		s.log.Reset()
		halfway.do()
		for range 2 {
			later()
			if s.serial() != second {
				t.Errorf("%s: the one before does not count", halfway.name)
			}
			if told := s.ending(s.clock); told != "the certificate for those who connect cannot be read again: "+halfway.told {
				t.Errorf("%s: told %q", halfway.name, told)
			}
		}
		if lines := strings.Count(s.log.String(), "\n"); halfway.name != "the file is empty" && lines != 1 || strings.Contains(s.log.String(), s.files.KeyFile) {
			t.Errorf("%s: %d lines: %s", halfway.name, lines, s.log)
		}
	}
	put(t, s.files.KeyFile, key)
	if later(); s.serial() == second || s.ending(s.clock) != "" {
		t.Errorf("when the files fit, the new certificate does not count: %s", s.ending(s.clock))
	}
	third := s.serial()
	s.clock = s.clock.Add(-time.Hour) // as an operator does who sets it
	if s.write(t, a); s.serial() == third {
		t.Error("after the clock was put back the files are not looked at")
	}
}

// TestCertificatesThatCannotBeRead end a start, and are told by their settings.
func TestCertificatesThatCannotBeRead(t *testing.T) {
	a := certtest.NewAuthority(t)
	for name, c := range map[string]struct {
		do   func(*CertificateFiles)
		want string
	}{
		"no key":            {func(f *CertificateFiles) { f.KeyFile += ".none" }, "--tls-key: there is no such file"},
		"another's key":     {func(f *CertificateFiles) { _, key := a.Issue(t, certtest.Client()); put(t, f.KeyFile, key) }, "--tls-cert and --tls-key: these are no certificates in PEM of which the first is the own, and the key that belongs to it"},
		"no authorities":    {func(f *CertificateFiles) { put(t, f.CAFile, []byte("none")) }, "--tls-client-ca-file: there is no certificate in PEM"},
		"half an authority": {func(f *CertificateFiles) { put(t, f.CAFile, append(bytes.Clone(a.PEM), a.PEM[:len(a.PEM)/2]...)) }, "--tls-client-ca-file: a certificate in the file cannot be read"},
		"a broken authority": {func(f *CertificateFiles) {
			put(t, f.CAFile, append(bytes.Clone(a.PEM), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"...))
		}, "--tls-client-ca-file: a certificate in the file cannot be read"},
		"too large": {func(f *CertificateFiles) { put(t, f.CAFile, make([]byte, files.MaxSmall+1)) }, "--tls-client-ca-file: "},
	} {
		s := newShownBy(t, a, a)
		c.do(&s.files)
		if _, err := s.files.Read(slog.New(slog.DiscardHandler), time.Now); err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// authorities returns certificates with names of half a kilobyte.
func authorities(t *testing.T, n int) (text []byte) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		one := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: fmt.Sprintf("%0500d", i)}, NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true}
		der, err := x509.CreateCertificate(nil, one, one, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return text
}

// TestAsManyAuthoritiesAsTLSHasRoomFor are served.
func TestAsManyAuthoritiesAsTLSHasRoomFor(t *testing.T) {
	a := certtest.NewAuthority(t)
	s := newShownBy(t, a, a)
	put(t, s.files.CAFile, authorities(t, 120))
	if _, err := s.files.Read(slog.New(slog.DiscardHandler), time.Now); err != nil {
		t.Error(err)
	}
}

// TestTheEndOfTheOwnCertificateIsTold, and that of an authority for clients.
func TestTheEndOfTheOwnCertificateIsTold(t *testing.T) {
	a := certtest.NewAuthority(t)
	own, both := newShownBy(t, a, nil), newShownBy(t, a, a) // an authority's certificate ends in an hour
	for _, c := range []struct {
		s    *shownBy
		days int
		want string
	}{
		{own, 70, ""},
		{own, 80, "a certificate in the file of --tls-cert ends on "},
		{own, 91, "a certificate in the file of --tls-cert ended on "},
		{both, 0, "a certificate in the file of --tls-cert and --tls-client-ca-file ends on "},
		{both, 1, "a certificate in the file of --tls-cert and --tls-client-ca-file ended on "},
	} {
		if told := c.s.ending(time.Now().AddDate(0, 0, c.days)); !strings.HasPrefix(told, c.want) || c.want == "" && told != "" {
			t.Errorf("after %d days: %q, want %q", c.days, told, c.want)
		}
	}
}

// TestHandshakesThatFailAreCounted by their reason, in one line a minute, which tells nothing that a
// client said.
func TestHandshakesThatFailAreCounted(t *testing.T) {
	a, strangers := certtest.NewAuthority(t), certtest.NewAuthority(t)
	s := newShownBy(t, a, a)
	inner, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := s.Listener(inner)
	defer l.Close()
	trusts := x509.NewCertPool()
	trusts.AppendCertsFromPEM(a.PEM)
	ended := certtest.Client()
	ended.NotAfter = time.Now().Add(-time.Hour)
	pair := func(a *certtest.Authority, template *x509.Certificate) *tls.Certificate {
		cert, key := a.Issue(t, template)
		p, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		return &p
	}
	try := func(config *tls.Config) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			c, err := net.Dial("tcp", inner.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if config == nil {
				_, _ = io.WriteString(c, "GET / HTTP/1.1\r\n\r\n") // and the answer is nothing
				return
			}
			secured := tls.Client(c, config)
			if secured.Handshake() == nil {
				_, _ = secured.Read(make([]byte, 1)) // of TLS 1.3 a client hears later that it was refused
			}
		}()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("the handshake went well")
		}
		c.Close()
		<-done
	}
	showing := func(c *tls.Certificate) *tls.Config {
		return &tls.Config{RootCAs: trusts, ServerName: "localhost", GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c, nil }}
	}
	for _, c := range []struct {
		config *tls.Config
		want   string
	}{
		{nil, "the client does not speak TLS"},
		{showing(pair(strangers, certtest.Client())), "the client's certificate is of no authority in --tls-client-ca-file"},
		{showing(pair(a, ended)), "the client's certificate has ended, or has not begun"},
		{showing(pair(a, certtest.Loopback())), "the client's certificate is not for clients"},
		{&tls.Config{ServerName: "localhost"}, "the client ended it, as one does that does not trust the certificate of --tls-cert"},
		{&tls.Config{RootCAs: trusts, ServerName: "localhost", MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, "have no version or cipher in common"},
	} {
		s.log.Reset()
		for range 3 {
			try(c.config)
		}
		if told := s.log.String(); strings.Count(told, "\n") != 1 || !strings.Contains(told, c.want) || !strings.Contains(told, "times=1") {
			t.Errorf("want %q once, got %s", c.want, told)
		}
		s.clock = s.clock.Add(failureNotice)
		try(c.config)
		if told := s.log.String(); strings.Count(told, "\n") != 2 || !strings.Contains(told, "times=3") || strings.Contains(told, "partner") {
			t.Errorf("after a minute: %s", told)
		}
	}
	if reason := s.reasonOf(errors.New("other")); reason == "" {
		t.Error("nothing is said of other failures")
	}
}

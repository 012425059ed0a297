package vault

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coffre/eventstore/kurrent/wire"
	"coffre/eventstore/kurrent/wire/certtest"
	"coffre/eventstore/memory"
)

func TestKurrentUsers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"", "\n", "auditor", "auditor:", ":secret", "auditor:secret\n\n"} {
		write(text)
		if _, err := readUsers(file); !errors.Is(err, errUsers) {
			t.Errorf("%q: %v", text, err)
		}
	}
	write("auditor:s:cret\r\nother:x")
	allow, err := readUsers(file)
	if err != nil {
		t.Fatal(err)
	}
	for pair, want := range map[[2]string]bool{
		{"auditor", "s:cret"}: true, {"other", "x"}: true,
		{"auditor", "x"}: false, {"auditor", ""}: false, {"", ""}: false, {"other", "x\r"}: false,
	} {
		if got := allow(pair[0], pair[1]); got != want {
			t.Errorf("%q: %t", pair, got)
		}
	}
}

// Requests of HTTP/1 at the port of KurrentDB's clients are held to the framing that the API's
// are held to, in clear and over TLS.
func TestKurrentPortRefusesAmbiguousRequests(t *testing.T) {
	files := certtest.Make(t)
	pem, err := os.ReadFile(files.CA)
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(pem) {
		t.Fatal(err)
	}
	for name, o := range map[string]KurrentListener{"in clear": {}, "over TLS": {CertFile: files.Cert, KeyFile: files.Key}} {
		o.Listen = "127.0.0.1:0"
		where, end, err := o.Offer(t.Context(), wire.Options{Store: memory.New()}, make(chan error, 1))
		if err != nil {
			t.Fatal(err)
		}
		address := strings.TrimPrefix(where[:strings.Index(where, "?")], "esdb://")
		for sent, want := range map[string]int{
			"GET / HTTP/1.1\r\nHost: x\r\n\r\n": http.StatusNotFound,
			"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": http.StatusBadRequest,
			"GET / HTTP/1.1\nHost: x\r\n\r\n": http.StatusBadRequest,
		} {
			var c net.Conn
			if o.CertFile == "" {
				c, err = net.Dial("tcp", address)
			} else {
				c, err = tls.Dial("tcp", address, &tls.Config{RootCAs: roots, NextProtos: []string{"http/1.1"}})
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(c, sent); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatalf("%s, %q: %v", name, sent, err)
			}
			answer.Body.Close()
			if answer.StatusCode != want {
				t.Errorf("%s, %q is answered %d, want %d", name, sent, answer.StatusCode, want)
			}
			c.Close()
		}
		end()
	}
}

// TestTheCertificateForKurrentIsReadAgain when its files changed.
func TestTheCertificateForKurrentIsReadAgain(t *testing.T) {
	f, a := certtest.Make(t), certtest.NewAuthority(t)
	where, end, err := KurrentListener{Listen: "127.0.0.1:0", CertFile: f.Cert, KeyFile: f.Key}.Offer(t.Context(), wire.Options{Store: memory.New(), Logger: slog.New(slog.DiscardHandler)}, make(chan error, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	shown := func() string {
		c, err := tls.Dial("tcp", strings.TrimPrefix(where[:strings.Index(where, "?")], "esdb://"), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	first := shown()
	cert, key := a.Issue(t, certtest.Loopback())
	for path, text := range map[string][]byte{f.Cert: cert, f.Key: key} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for shown() == first {
		if t.Context().Err() != nil {
			t.Fatal("the certificate that was replaced is still shown")
		}
	}
}

func TestKurrentIsOffUnlessAsked(t *testing.T) {
	where, end, err := KurrentListener{}.Offer(t.Context(), wire.Options{Store: memory.New()}, nil)
	if where != "" || err != nil {
		t.Fatalf("offered at %q, %v", where, err)
	}
	end()
}

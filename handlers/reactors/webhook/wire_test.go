package webhook

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// server is a real consumer over TLS on this machine.
func server(t *testing.T, h http.HandlerFunc) (*httptest.Server, *x509.CertPool) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s, roots
}

var loopback = Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

// wired is a kit that sends over the network.
func wired(t *testing.T, e Endpoint, roots *x509.CertPool) *kit {
	t.Helper()
	k := newKit(t)
	k.options.Endpoint, k.options.Roots, k.options.Transport = e, roots, nil
	k.start()
	return k
}

func endpoint(t *testing.T, raw string, p Policy) Endpoint {
	t.Helper()
	e, err := ParseEndpoint(raw, p)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// once makes one try of a body to the endpoint, past queue and schedule.
func (k *kit) once(body string) tryResult {
	id := uuid.New()
	return k.hook.post(k.t.Context(), dueDelivery{Event: id[:], Body: []byte(body)}, time.Now())
}

func TestDeliversOverTLS(t *testing.T) {
	got := make(chan error, 1)
	verifier, err := standardwebhooks.NewWebhook(secretText)
	if err != nil {
		t.Fatal(err)
	}
	s, roots := server(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = verifier.Verify(body, r.Header)
		}
		var e cloudEvent
		if err == nil {
			err = json.Unmarshal(body, &e)
		}
		if r.Method != http.MethodPost || r.URL.RequestURI() != "/hook?token=hidden" || e.SpecVersion != "1.0" {
			err = errors.Join(err, fmt.Errorf("%s %s", r.Method, r.URL))
		}
		w.WriteHeader(http.StatusNoContent)
		got <- err
	})
	k := wired(t, endpoint(t, s.URL+"/hook?token=hidden", loopback), roots)
	k.add(uuid.New(), "document.issued")
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	for _, code := range []int{301, 302, 303, 307, 308} {
		followed := false
		var s *httptest.Server
		s, roots := server(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" {
				followed = true
			}
			http.Redirect(w, r, "/elsewhere", code)
		})
		a := wired(t, endpoint(t, s.URL, loopback), roots).once("{}")
		if followed || a.reason != "redirect" {
			t.Errorf("%d: followed %t, reason %q", code, followed, a.reason)
		}
	}
}

func TestCertificateOfAnotherAuthorityIsRefused(t *testing.T) {
	s, _ := server(t, func(http.ResponseWriter, *http.Request) { t.Error("answered") })
	if a := wired(t, endpoint(t, s.URL, loopback), nil).once("{}"); a.reason != "tls" {
		t.Errorf("reason %q, want tls", a.reason)
	}
}

// The name passed when it was configured and resolves to this machine now.
func TestAddressesAreCheckedAtEveryConnection(t *testing.T) {
	s, roots := server(t, func(http.ResponseWriter, *http.Request) { t.Error("reached") })
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HTTPS_PROXY", s.URL) // and no proxy is a way around
	for _, host := range []string{"localhost", "127.0.0.1"} {
		u.Host = host + ":" + u.Port()
		if a := wired(t, Endpoint{u, Policy{}}, roots).once("{}"); a.reason != "addressRefused" {
			t.Errorf("%s: reason %q, want addressRefused", host, a.reason)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	s, roots := server(t, nil)
	s.Close()
	if a := wired(t, endpoint(t, s.URL, loopback), roots).once("{}"); a.reason != "unreachable" {
		t.Errorf("reason %q", a.reason)
	}
}

func TestAnEndlessAnswerIsNotReadToItsEnd(t *testing.T) {
	s, roots := server(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
	})
	if a := wired(t, endpoint(t, s.URL, loopback), roots).once("{}"); a.reason != "" {
		t.Errorf("reason %q, want delivered", a.reason)
	}
}

func TestParseEndpoint(t *testing.T) {
	allow := Policy{Allow: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}
	dev := Policy{Dev: true}
	for _, c := range []struct {
		raw    string
		policy Policy
		want   error
	}{
		{"https://consumer.example/hook", Policy{}, nil},
		{"https://consumer.example:8443/hook?x=1", Policy{}, nil},
		{"https://xn--bcher-kva.example/", Policy{}, nil},
		{"https://8.8.8.8/", Policy{}, nil},
		{"https://[2606:4700::1111]/", Policy{}, nil},
		{"https://10.1.2.3/", allow, nil},
		{"http://127.0.0.1:8080/", dev, nil},
		{"http://localhost:8080/", dev, nil},
		{"http://[::1]:8080/", dev, nil},

		{"http://consumer.example/", Policy{}, ErrEndpoint},
		{"http://consumer.example/", dev, ErrEndpoint},
		{"http://127.0.0.1:8080/", Policy{}, ErrEndpoint},
		{"http://10.1.2.3/", allow, ErrEndpoint},
		{"", Policy{}, ErrEndpoint},
		{"consumer.example", Policy{}, ErrEndpoint},
		{"//consumer.example/", Policy{}, ErrEndpoint},
		{"https:consumer.example", Policy{}, ErrEndpoint},
		{"https:///hook", Policy{}, ErrEndpoint},
		{"ftp://consumer.example/", Policy{}, ErrEndpoint},
		{"unix:///run/x.sock", Policy{}, ErrEndpoint},
		{"file:///etc/passwd", Policy{}, ErrEndpoint},
		{"https://user@consumer.example/", Policy{}, ErrEndpoint},
		{"https://consumer.example@127.0.0.1/", Policy{}, ErrEndpoint},
		{"https://consumer.example/#f", Policy{}, ErrEndpoint},
		{"https://consumer.example/#", Policy{}, ErrEndpoint},
		{"https://bücher.example/", Policy{}, ErrEndpoint},
		{"https://consumer。example/", Policy{}, ErrEndpoint},
		{"https://consumer..example/", Policy{}, ErrEndpoint},
		{"https://a_b.example/", Policy{}, ErrEndpoint},
		{"https://0x7f.1/", Policy{}, ErrEndpoint},
		{"https://0x7f000001/", Policy{}, ErrEndpoint},
		{"https://2130706433/", Policy{}, ErrEndpoint},
		{"https://127.1/", Policy{}, ErrEndpoint},
		{"https://0177.0.0.1/", Policy{}, ErrEndpoint},
		{"https://" + strings.Repeat("a", 2100) + "/", Policy{}, ErrEndpoint},

		{"https://consumer.example:22/", Policy{}, ErrEndpointPort},
		{"https://consumer.example:80/", dev, ErrEndpointPort},
		{"https://consumer.example:/", Policy{}, ErrEndpointPort},
		{"https://consumer.example:0/", Policy{}, ErrEndpointPort},

		{"https://127.0.0.1/", Policy{}, ErrEndpointAddress},
		{"https://localhost/", Policy{}, ErrEndpointAddress},
		{"https://[::1]/", Policy{}, ErrEndpointAddress},
		{"https://[::ffff:127.0.0.1]/", Policy{}, ErrEndpointAddress},
		{"https://[fe80::1%25eth0]/", Policy{}, ErrEndpointAddress},
		{"https://169.254.169.254/latest", Policy{}, ErrEndpointAddress},
		{"https://10.2.0.1/", allow, ErrEndpointAddress},
	} {
		_, err := ParseEndpoint(c.raw, c.policy)
		if !errors.Is(err, c.want) {
			t.Errorf("%s with %+v: %v, want %v", c.raw, c.policy, err, c.want)
		}
	}
}

func TestAddressesThatAreNotPublic(t *testing.T) {
	for _, a := range []string{
		"0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255",
		"192.0.0.1", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::7f00:1", "64:ff9b::7f00:1", "64:ff9b:1::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
		"2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "100::1",
	} {
		addr := netip.MustParseAddr(a)
		if (Policy{}).admits(addr) {
			t.Errorf("%s is admitted", a)
		}
		if err := (Policy{}).control("tcp4", netip.AddrPortFrom(addr, 443).String(), nil); err == nil {
			t.Errorf("a connection to %s is admitted", a)
		}
		if !(Policy{Allow: []netip.Prefix{netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())}}).admits(addr) {
			t.Errorf("%s is refused although it is allowed", a)
		}
	}
	for _, a := range []string{"8.8.8.8", "193.191.245.1", "::ffff:8.8.8.8", "2606:4700::1111", "2a02:2c40::1"} {
		if !(Policy{}).admits(netip.MustParseAddr(a)) {
			t.Errorf("%s is refused", a)
		}
	}
	for _, network := range []string{"unix", "udp4", "tcp"} {
		if (Policy{}).control(network, "8.8.8.8:443", nil) == nil {
			t.Errorf("network %s is admitted", network)
		}
	}
}

func TestSecretsNeverPrint(t *testing.T) {
	s := secret(t)
	asJSON, err := json.Marshal(map[string]any{"s": s, "p": &s})
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "secret", s, "options", Options{Secrets: []Secret{s}})
	e := endpoint(t, "https://consumer.example/hook?token=hidden", Policy{})
	for _, text := range []string{
		fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %x %q %d", s, s, s, s, s, s, s), fmt.Sprintf("%+v", Options{Secrets: []Secret{s}, Endpoint: e}),
		fmt.Sprintf("%v %+v %#v", e, e, e), string(asJSON), logged.String(),
	} {
		for _, part := range []string{"MfKQ", "31f290f6", "[49 242", "hidden"} {
			if strings.Contains(text, part) {
				t.Errorf("%q holds %q", text, part)
			}
		}
	}
}

func TestParseSecret(t *testing.T) {
	for _, bad := range []string{"", "whsec_", secretText[6:], "whsec_AAAA", "whsec_%%%", "whsk_" + secretText[6:], secretText + "\n", "whsec_" + strings.Repeat("A", 88)} {
		if _, err := ParseSecret(bad); !errors.Is(err, ErrSecret) {
			t.Errorf("%d characters: %v, want ErrSecret", len(bad), err)
		}
	}
}

func TestNewRefusesWhatIsMissing(t *testing.T) {
	for name, o := range map[string]Options{
		"endpoint": {Secrets: []Secret{secret(t)}},
		"secret":   {Endpoint: endpoint(t, "https://consumer.example/", Policy{})},
	} {
		if _, err := New(t.Context(), o); err == nil {
			t.Errorf("accepted without %s", name)
		}
	}
}

func FuzzParseEndpoint(f *testing.F) {
	for _, raw := range []string{"https://consumer.example:8443/x?y#z", "http://127.0.0.1/", "https://[::ffff:127.0.0.1]/", "https://a@b:22"} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		e, err := ParseEndpoint(raw, Policy{})
		if err != nil {
			if len(raw) > 8 && strings.Contains(err.Error(), raw) {
				t.Fatal("the refusal repeats the URL")
			}
			return
		}
		if e.url.Scheme != "https" || e.url.User != nil || e.url.Hostname() == "" {
			t.Fatalf("accepted %q", raw)
		}
		if a, err := netip.ParseAddr(e.url.Hostname()); err == nil && !e.policy.admits(a) {
			t.Fatalf("accepted %q", raw)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for _, v := range []string{"", "120", "-1", "99999999999999999999", "Sun, 22 Nov 2026 11:00:00 GMT", "Sun, 22 Nov 1026 11:00:00 GMT"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if d := retryAfter(value, now); d < 0 || d > maxPause {
			t.Fatalf("%q: %v", value, d)
		}
	})
}

func FuzzDocumentOf(f *testing.F) {
	f.Add("document-0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44")
	f.Add("document-{0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44}")
	f.Add("citizen-0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44")
	f.Fuzz(func(t *testing.T, stream string) {
		id, err := documentOf(stream)
		if err == nil && !strings.EqualFold("document-"+id.String(), stream) {
			t.Fatalf("%q gives %v", stream, id)
		}
	})
}

func FuzzParseSecret(f *testing.F) {
	f.Add(secretText)
	f.Add("whsec_")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSecret(text)
		if err == nil && (len(s.key) < minSecret || len(s.key) > maxSecret) {
			t.Fatalf("a key of %d bytes", len(s.key))
		}
	})
}

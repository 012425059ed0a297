package wire_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"coffre/eventstore"
	"coffre/eventstore/kurrent/wire"
	"coffre/eventstore/kurrent/wire/certtest"
)

func certificate(t *testing.T, f certtest.Files) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}
}

func onlyAuditor(name, password string) bool { return name == "auditor" && password == "p:ss" }

func TestTLSAndPasswords(t *testing.T) {
	f := certtest.Make(t)
	address := start(t, wire.Options{Store: filled(t, 3), TLS: certificate(t, f), Allow: onlyAuditor, HTTP1: func(l net.Listener) net.Listener { return l }})
	for _, scheme := range []string{"esdb", "esdb+discover"} {
		for user, known := range map[string]bool{"auditor:p%3Ass@": true, "auditor:wrong@": false, "other:p%3Ass@": false, "": false} {
			c := client(t, scheme+"://"+user+address+"?tlsCAFile="+url.QueryEscape(f.CA))
			events, err := c.ReadAll(t.Context(), esdb.ReadAllOptions{From: esdb.Start{}}, 10)
			if known {
				mustBe(t, user, commits(drain(t, events, err)), span(1, 3))
				continue
			}
			if err == nil {
				_, err = events.Recv()
			}
			mustCode(t, scheme+" "+user, err, esdb.ErrorCodeUnauthenticated)
			_, err = c.DeleteStream(t.Context(), "consent-1", esdb.DeleteStreamOptions{})
			mustCode(t, scheme+" "+user+" delete", err, esdb.ErrorCodeUnauthenticated)
			_, err = c.SubscribeToAll(t.Context(), esdb.SubscribeToAllOptions{From: esdb.Start{}})
			mustCode(t, scheme+" "+user+" subscribe", err, esdb.ErrorCodeUnauthenticated)
		}
	}
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(f.CA)
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		t.Fatal(err)
	}
	web := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	resp, err := web.Get("https://" + address + "/subscriptions")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("HTTP/1 over TLS: %d", resp.StatusCode)
	}
}

func TestOffLoopbackOnlyInPrivate(t *testing.T) {
	secured := certificate(t, certtest.Make(t))
	for what, o := range map[string]wire.Options{
		"nothing": {}, "passwords only": {Allow: onlyAuditor}, "TLS only": {TLS: secured},
	} {
		l, err := net.Listen("tcp", "0.0.0.0:0")
		if err != nil {
			t.Fatal(err)
		}
		o.Store = filled(t, 1)
		if err := wire.New(o).Serve(l); !errors.Is(err, wire.ErrNotPrivate) {
			t.Errorf("%s: %v, want ErrNotPrivate", what, err)
		}
	}
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	server := wire.New(wire.Options{Store: filled(t, 1), TLS: secured, Allow: onlyAuditor})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	server.Close()
	if err := <-served; err != nil {
		t.Errorf("with both: %v", err)
	}
}

// Who reads is told of before anything is answered, and a reading that is refused hands out
// nothing.
func TestReadingsAreToldFirst(t *testing.T) {
	f, store := certtest.Make(t), filled(t, 6)
	var told []wire.Reading
	refuse := false
	var mu sync.Mutex
	o := wire.Options{Store: store, Reading: func(_ context.Context, r wire.Reading) error {
		mu.Lock()
		defer mu.Unlock()
		if told = append(told, r); refuse {
			return eventstore.ErrUnavailable
		}
		return nil
	}, TLS: certificate(t, f), Allow: onlyAuditor}
	c := client(t, "esdb://auditor:p%3Ass@"+start(t, o)+"?tlsCAFile="+url.QueryEscape(f.CA))
	third, err := c.ReadAll(t.Context(), esdb.ReadAllOptions{From: esdb.Start{}}, 3)
	last := drain(t, third, err)[2]
	at := eventstore.Position{Commit: last.Position.Commit, Prepare: last.Position.Prepare}
	rest, err := c.ReadAll(t.Context(), esdb.ReadAllOptions{From: last.Position}, 10)
	drain(t, rest, err)
	back, err := c.ReadAll(t.Context(), esdb.ReadAllOptions{From: last.Position, Direction: esdb.Backwards}, 10)
	drain(t, back, err)
	one, err := c.ReadStream(t.Context(), "consent-1", esdb.ReadStreamOptions{From: esdb.Start{}}, 10)
	drain(t, one, err)
	live, err := c.SubscribeToStream(t.Context(), "document-1", esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := live.Close(); err != nil {
		t.Fatal(err)
	}
	want := []wire.Reading{{Name: "auditor"}, {Name: "auditor", From: at}, {Name: "auditor"}, {Name: "auditor", Stream: "consent-1"}, {Name: "auditor", Stream: "document-1"}}
	if !slices.Equal(told, want) {
		t.Errorf("told %+v, want %+v", told, want)
	}
	refuse = true
	for what, read := range map[string]func() (*esdb.ReadStream, error){
		"the log": func() (*esdb.ReadStream, error) {
			return c.ReadAll(t.Context(), esdb.ReadAllOptions{From: esdb.Start{}}, 1)
		},
		"a stream": func() (*esdb.ReadStream, error) {
			return c.ReadStream(t.Context(), "consent-1", esdb.ReadStreamOptions{From: esdb.Start{}}, 1)
		},
	} {
		events, err := read()
		if err == nil {
			_, err = events.Recv()
			events.Close()
		}
		if err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s is read without a record: %v", what, err)
		}
	}
}

// F35: while an address has sent too many wrong passwords, a good one of it is not looked at
// either, on whatever connection; who was let in before goes on.
func TestF35PasswordsAreNotGuessed(t *testing.T) {
	f := certtest.Make(t)
	asked := 0
	var mu sync.Mutex
	address := start(t, wire.Options{Store: filled(t, 3), TLS: certificate(t, f), Allow: func(name, password string) bool {
		mu.Lock()
		defer mu.Unlock()
		asked++
		return onlyAuditor(name, password)
	}})
	read := func(c *esdb.Client) error {
		events, err := c.ReadAll(t.Context(), esdb.ReadAllOptions{From: esdb.Start{}}, 1)
		if err == nil {
			defer events.Close()
			_, err = events.Recv()
		}
		return err
	}
	as := func(user string) *esdb.Client {
		return client(t, "esdb://"+user+address+"?tlsCAFile="+url.QueryEscape(f.CA))
	}
	before := as("auditor:p%3Ass@")
	if err := read(before); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		guesses := as("auditor:wrong@")
		for range 10 {
			if read(guesses) == nil {
				t.Fatal("a wrong password is taken")
			}
		}
	}
	mu.Lock()
	tried := asked
	mu.Unlock()
	if tried > 2+20 { // the read before, by admit and by who reads, and twenty guesses
		t.Errorf("%d passwords were looked at", tried)
	}
	if read(as("auditor:p%3Ass@")) == nil {
		t.Error("the address need not wait")
	}
	if err := read(before); err != nil {
		t.Errorf("who was let in before: %v", err)
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// TestBrokersFromTheCommandLine tells an issuer through NATS JetStream of its documents, before and
// after the broker was away: each event once, in order, and nothing personal in what the broker
// keeps or the vault logs.
func TestBrokersFromTheCommandLine(t *testing.T) {
	t.Parallel()
	const number, password = "84022711082", "canary-broker-password"
	store, at := t.TempDir(), freeAddress(t)
	host, port, _ := strings.Cut(at, ":")
	start := func() *server.Server {
		t.Helper()
		o := &server.Options{Host: host, JetStream: true, StoreDir: store, SyncAlways: true, NoLog: true, NoSigs: true, Username: "coffre", Password: password}
		if _, err := fmt.Sscan(port, &o.Port); err != nil {
			t.Fatal(err)
		}
		s, err := server.NewServer(o)
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		if !s.ReadyForConnections(time.Minute) {
			t.Fatal("the broker does not start")
		}
		return s
	}
	consume := func() (*nats.Subscription, func()) {
		t.Helper()
		c, err := nats.Connect("nats://"+at, nats.UserInfo("coffre", password))
		if err != nil {
			t.Fatal(err)
		}
		js, err := c.JetStream()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.AddStream(&nats.StreamConfig{Name: "COFFRE", Subjects: []string{"coffre.>"}}); err != nil {
			t.Fatal(err)
		}
		sub, err := js.SubscribeSync("coffre.>", nats.OrderedConsumer())
		if err != nil {
			t.Fatal(err)
		}
		return sub, c.Close
	}
	dir := t.TempDir()
	config := file(t, "brokers.json", fmt.Sprintf(`{"links":[{"name":"towns","role":"issuer","organisation":"0206731645","begin":"kept",
		"nats":{"url":"nats://%s","subject":"coffre.towns","user":"coffre","passwordFile":%q}}]}`, at, file(t, "broker.key", password)))

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	banner, logged := &notifier{line: make(chan string, 1)}, &bytes.Buffer{}
	ended := make(chan int, 1)
	go func() {
		ended <- newProgram(terminal{In: strings.NewReader(""), Out: banner, Err: io.MultiWriter(logged, banner)}).run(ctx, []string{"serve", "--dev", "--data", dir, "--listen", "127.0.0.1:0", "--brokers-config", config})
	}()
	<-banner.line
	s := &shell{t: t, adapt: func(p *program) { p.open = nil }} // the server owns the directory
	issue := func(n int) (document string) {
		t.Helper()
		s.in = fmt.Sprintf(`{"ssin":%q,"documentType":"marriageCertificate","sourceReference":"m-%d","validFrom":"2026-03-01","content":{"certificateNumber":"canary-content","country":"BE","date":"2026-03-01"}}`, number, n)
		out := s.must(0, "documents", "import", "--data", dir, "-").out
		return out
	}
	issue(1) // the broker does not run yet
	b := start()
	sub, closed := consume()
	seen := map[string]bool{}
	hear := func(sub *nats.Subscription) string {
		t.Helper()
		m, err := sub.NextMsg(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		var event struct {
			ID, Type, Service string
			Data              struct{ DocumentID string }
		}
		if err := json.Unmarshal(m.Data, &event); err != nil {
			t.Fatal(err)
		}
		if m.Subject != "coffre.towns.documents.notify.issued" || event.Type != "be.coffre.vault.v1.documents.notify.issued" || m.Header.Get(nats.MsgIdHdr) != event.ID || event.Data.DocumentID == "" {
			t.Errorf("%s: %s", m.Subject, m.Data)
		}
		for _, canary := range []string{number, "canary"} {
			if bytes.Contains(m.Data, []byte(canary)) {
				t.Errorf("%s is in a message", canary)
			}
		}
		if seen[event.ID] {
			t.Errorf("%s came twice", event.ID)
		}
		seen[event.ID] = true
		return event.Data.DocumentID
	}
	first := hear(sub)
	closed()
	b.Shutdown()
	b.WaitForShutdown()
	issue(2)
	b = start()
	defer func() { b.Shutdown(); b.WaitForShutdown() }()
	sub, closed = consume() // from the first on
	clear(seen)
	if again := hear(sub); again != first {
		t.Errorf("the broker keeps %s first, want %s", again, first)
	}
	if second := hear(sub); second == first {
		t.Error("the second event is about the first document")
	}
	closed()
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("the server ended with %d", code)
	}
	for _, canary := range []string{number, "canary-content", password} {
		if bytes.Contains(logged.Bytes(), []byte(canary)) {
			t.Errorf("%s was logged", canary)
		}
		err := filepath.WalkDir(store, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			if bytes.Contains(text, []byte(canary)) {
				t.Errorf("%s is in the broker's %s", canary, filepath.Base(path))
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestBrokersConfigIsRefused(t *testing.T) {
	secret := file(t, "broker.key", "s")
	whole := fmt.Sprintf(`"name":"towns","role":"issuer","organisation":"0206731645","nats":{"url":"nats://127.0.0.1:4222","subject":"coffre","user":"coffre","passwordFile":%q}`, secret)
	for name, text := range map[string]string{
		"no JSON":                          `url`,
		"no link":                          `{"links":[]}`,
		"an unknown member":                `{"links":[{` + whole + `,"canary":"x"}]}`,
		"a role that hears nothing":        `{"links":[{` + strings.Replace(whole, "issuer", "auditor", 1) + `}]}`,
		"two brokers":                      `{"links":[{` + whole + `,"outbox":{"dsnFile":"canary","table":"t"}}]}`,
		"no broker":                        `{"links":[{"name":"towns","role":"issuer","organisation":"0206731645"}]}`,
		"a name twice":                     `{"links":[{` + whole + `},{` + whole + `}]}`,
		"an unknown organisation":          `{"links":[{` + strings.Replace(whole, "0206731645", "0400000046", 1) + `}]}`,
		"an unknown type":                  `{"links":[{` + whole + `,"types":["canary"]}]}`,
		"an unknown document type":         `{"links":[{` + whole + `,"documentTypes":["canary"]}]}`,
		"no encryption to another machine": `{"links":[{` + strings.Replace(whole, "127.0.0.1", "192.0.2.1", 1) + `}]}`,
		"a password in the address":        `{"links":[{` + strings.Replace(whole, "nats://", "nats://coffre:canary@", 1) + `}]}`,
		"a subject with a wildcard":        `{"links":[{` + strings.Replace(whole, `"coffre","user"`, `"canary.>","user"`, 1) + `}]}`,
		"no password":                      `{"links":[{` + strings.Replace(whole, secret, secret+".none", 1) + `}]}`,
		"a table that is none":             `{"links":[{"name":"t","role":"issuer","organisation":"0206731645","outbox":{"dsnFile":` + fmt.Sprintf("%q", secret) + `,"table":"canary\";--"}}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			code := newProgram(terminal{In: strings.NewReader(""), Out: &out, Err: &out}).run(ctx, []string{"serve", "--dev", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--brokers-config", file(t, "brokers.json", text)})
			if code == 0 || ctx.Err() != nil || strings.Contains(strings.ReplaceAll(out.String(), t.Name(), ""), "canary") {
				t.Errorf("%d %s", code, &out)
			}
		})
	}
}

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"coffre/handlers/reactors/webhook"
)

// opsAddress is where a server says that operators find it.
var opsAddress = regexp.MustCompile(`For operators: (http://127\.0\.0\.1:[0-9]+)`)

// TestF41WebhookFromTheCommandLine lets a receiver answer 410, and a person see that, enable it,
// and replace its secret, with the commands of the page for operators.
func TestF41WebhookFromTheCommandLine(t *testing.T) {
	t.Parallel()
	type notice struct {
		header http.Header
		body   []byte
	}
	notices := make(chan notice, 100)
	var gone atomic.Bool
	gone.Store(true)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if gone.Load() {
			w.WriteHeader(http.StatusGone)
		}
		notices <- notice{r.Header, body}
	}))
	defer receiver.Close()
	dir, first := t.TempDir(), webhook.NewSecretText()
	secrets := file(t, "webhook.key", first+"\n")

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	banner := &notifier{line: make(chan string, 1)}
	ended := make(chan int, 1)
	go func() {
		ended <- newProgram(terminal{In: strings.NewReader(""), Out: banner, Err: banner}).run(ctx, []string{"serve", "--dev", "--data", dir, "--listen", "127.0.0.1:0",
			"--webhook-url", receiver.URL + "/hook?token=hidden", "--webhook-secret-file", secrets})
	}()
	ops := opsAddress.FindStringSubmatch(<-banner.line)
	if ops == nil {
		t.Fatal("it does not say where operators find it")
	}
	s := &shell{t: t, adapt: func(p *program) { p.open = nil }} // the server owns the directory
	issued := 0
	issue := func() {
		issued++
		s.in = fmt.Sprintf(`{"ssin":"84022711082","documentType":"marriageCertificate","sourceReference":"m-%d","validFrom":"2026-03-01","content":{"certificateNumber":"1","country":"BE","date":"2026-03-01"}}`, issued)
		s.must(0, "documents", "import", "--data", dir, "-")
	}
	list := func() map[string]any {
		out := s.must(0, "webhooks", "list", "--data", dir, "--json").out
		if strings.Contains(out, "hidden") || strings.Contains(out, "whsec_") {
			t.Errorf("it shows what it must not: %s", out)
		}
		return jsonLines(t, out)[0]
	}
	metric := func(line string) {
		t.Helper()
		r, err := http.Get(ops[1] + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if all, err := io.ReadAll(r.Body); err != nil || !strings.Contains(string(all), line+"\n") {
			t.Errorf("the metrics lack %q, %v", line, err)
		}
	}

	issue()
	<-notices
	for list()["state"] != "disabled" && t.Context().Err() == nil { // the answer was read, and is recorded
	}
	metric("coffre_webhook_enabled 0")
	metric("coffre_webhook_pending 1")
	if got := s.must(0, "webhooks", "list", "--data", dir).out; !strings.Contains(got, receiver.URL) || !strings.Contains(got, "disabled") {
		t.Errorf("list: %s", got)
	}
	gone.Store(false)
	if got := s.must(0, "webhooks", "enable", "--data", dir).out; !strings.Contains(got, "enabled") {
		t.Errorf("enable: %s", got)
	}
	again := <-notices
	metric("coffre_webhook_enabled 1")
	fits := func(n notice, secret string) bool {
		t.Helper()
		verifier, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		return verifier.Verify(n.body, n.header) == nil
	}
	if !fits(again, first) {
		t.Error("the notice is not signed with the secret")
	}

	s.must(exitFailed, "webhooks", "rotate", "--data", dir, "--secret-file", secrets, "--finish")
	if got := jsonLines(t, s.must(0, "webhooks", "rotate", "--data", dir, "--secret-file", secrets, "--json").out)[0]; len(got["secrets"].([]any)) != 2 {
		t.Errorf("rotate: %v", got)
	}
	s.must(exitFailed, "webhooks", "rotate", "--data", dir, "--secret-file", secrets) // one at a time
	text, err := os.ReadFile(secrets)
	if err != nil {
		t.Fatal(err)
	}
	next := strings.Fields(string(text))[0]
	issue()
	if both := <-notices; !fits(both, first) || !fits(both, next) {
		t.Errorf("signed by the old %v, by the new %v", fits(both, first), fits(both, next))
	}
	if got := jsonLines(t, s.must(0, "webhooks", "rotate", "--data", dir, "--secret-file", secrets, "--finish", "--json").out)[0]; len(got["secrets"].([]any)) != 1 {
		t.Errorf("finish: %v", got)
	}
	issue()
	if one := <-notices; fits(one, first) || !fits(one, next) {
		t.Errorf("signed by the old %v, by the new %v", fits(one, first), fits(one, next))
	}
	if err := os.WriteFile(secrets, []byte("no secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := s.must(exitFailed, "webhooks", "rotate", "--data", dir); !strings.Contains(got.err, "former ones sign on") {
		t.Errorf("no secret: %s", got.err)
	}
	if got := s.must(0, "webhooks", "replay", "--data", dir).out; !strings.Contains(got, "tried again  0") {
		t.Errorf("replay: %s", got)
	}
	if got := s.must(exitFailed, "webhooks", "replay", "--data", dir, "--event", anna); !strings.Contains(got.err, "resourceNotFound") {
		t.Errorf("replay of an event: %s", got.err)
	}
	acts := s.must(0, "audit", "replay", "--data", dir, "--type", "audit.operated").out
	for _, act := range []string{"enable webhook", "send again what failed", "replace the secret of webhook"} {
		if !strings.Contains(acts, act) {
			t.Errorf("not on record: %q in\n%s", act, acts)
		}
	}
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("serve ended with %d", code)
	}
}

// A vault without a webhook says so.
func TestWebhooksOfAVaultWithoutOne(t *testing.T) {
	s, dir := onDisk(t), t.TempDir()
	if got := jsonLines(t, s.must(0, "webhooks", "list", "--data", dir, "--json").out); len(got) != 0 {
		t.Errorf("list: %v", got)
	}
	for _, word := range []string{"enable", "replay", "rotate"} {
		if got := s.must(exitFailed, "webhooks", word, "--data", dir); !strings.Contains(got.err, "no webhook") {
			t.Errorf("%s: %s", word, got.err)
		}
	}
}

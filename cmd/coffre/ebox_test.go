package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEboxFromTheCommandLine issues documents to somebody who chooses a language in between: each
// is a message in My eBox, in that language and to that number, whose access is on record, and
// nothing personal of it stays on disk or in the log.
func TestEboxFromTheCommandLine(t *testing.T) {
	t.Parallel()
	const number, clientSecret = "84022711082", "canary-client-secret"
	messages := make(chan map[string]any, 100)
	eBox := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/token" {
			if _, secret, _ := r.BasicAuth(); secret != clientSecret {
				w.WriteHeader(http.StatusUnauthorized)
			}
			fmt.Fprint(w, `{"access_token":"canary-token","token_type":"Bearer","expires_in":600}`)
			return
		}
		var m map[string]any
		if err := json.Unmarshal([]byte(r.FormValue("messageToPublish")), &m); err != nil || r.URL.Path != "/ebox/publishMessage" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"messageId":"m","expirationDate":"2027-03-01T12:00:00+01:00"}`)
		messages <- m
	}))
	defer eBox.Close()
	dir := t.TempDir()
	config := file(t, "ebox.json", fmt.Sprintf(`{"url":"%[1]s/ebox","tokenUrl":"%[1]s/token","clientId":"coffre","clientSecretFile":%[2]q,
		"carrier":"0671516647","purpose":"notification","legalBasis":"publicTask","deliberation":"EX-26/060"}`, eBox.URL, file(t, "ebox.key", clientSecret)))

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	banner, logged := &notifier{line: make(chan string, 1)}, &bytes.Buffer{}
	ended := make(chan int, 1)
	go func() {
		ended <- newProgram(terminal{In: strings.NewReader(""), Out: banner, Err: io.MultiWriter(logged, banner)}).run(ctx, []string{"serve", "--dev", "--data", dir, "--listen", "127.0.0.1:0", "--ebox-config", config})
	}()
	<-banner.line
	s := &shell{t: t, adapt: func(p *program) { p.open = nil }} // the server owns the directory
	issue := func(n int) (subject map[string]any) {
		t.Helper()
		s.in = fmt.Sprintf(`{"ssin":%q,"documentType":"marriageCertificate","sourceReference":"m-%d","validFrom":"2026-03-01","content":{"certificateNumber":"1","country":"BE","date":"2026-03-01"}}`, number, n)
		s.must(0, "documents", "import", "--data", dir, "-")
		m := <-messages
		if to, _ := m["recipient"].(map[string]any); to["eboxIdValue"] != number || to["eboxType"] != "citizen" {
			t.Errorf("it went to %v", to)
		}
		subject, _ = m["subject"].(map[string]any)
		return subject
	}
	if got := issue(1); len(got) != 1 || !strings.Contains(fmt.Sprint(got["nl"]), "Nieuw document") {
		t.Errorf("without a choice: %v", got)
	}
	who := file(t, "ssin", number)
	if got := s.must(0, "preferences", "set", "--data", dir, "--ssin-file", who, "--language", "fr", "--accesses", "none").out; !strings.Contains(got, "fr") {
		t.Errorf("set: %s", got)
	}
	if got := s.must(0, "preferences", "show", "--data", dir, "--ssin-file", who, "--json").out; !strings.Contains(got, `"accessNotices":"none"`) || !strings.Contains(got, `"documentNotices":"eboxEach"`) {
		t.Errorf("show: %s", got)
	}
	if got := issue(2); len(got) != 1 || !strings.Contains(fmt.Sprint(got["fr"]), "Nouveau document") {
		t.Errorf("with a choice: %v", got)
	}
	told := ""
	for strings.Count(told, `"kind":"delivery"`) != 2 && t.Context().Err() == nil { // until the read model has them
		told = s.must(0, "accesses", "list", "--data", dir, "--ssin-file", who, "--json").out
	}
	if !strings.Contains(told, "0671516647") || !strings.Contains(told, "EX-26/060") {
		t.Errorf("the access log: %s", told)
	}

	stop()
	if code := <-ended; code != 0 {
		t.Errorf("it ended with %d: %s", code, logged)
	}
	if len(messages) != 0 {
		t.Errorf("%d messages more than documents", len(messages))
	}
	for _, canary := range []string{number, clientSecret, "canary-token", "Nouveau document"} {
		if strings.Contains(logged.String(), canary) {
			t.Errorf("%s is in the process's log", canary)
		}
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			b, err := os.ReadFile(path)
			if bytes.Contains(b, []byte(canary)) {
				t.Errorf("%s is in %s", canary, filepath.Base(path))
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestEboxConfigIsRefused(t *testing.T) {
	dir, secret := t.TempDir(), file(t, "ebox.key", "s")
	whole := `"url":"https://e.example","tokenUrl":"https://t.example","clientId":"c","clientSecretFile":` + fmt.Sprintf("%q", secret) + `,"carrier":"0671516647","purpose":"notification","legalBasis":"publicTask"`
	for name, text := range map[string]string{
		"no JSON":                       `url`,
		"no deliberation":               `{` + whole + `}`,
		"an unknown member":             `{` + whole + `,"deliberation":"1","canary":"x"}`,
		"an unknown purpose":            `{` + strings.Replace(whole, "notification", "canary", 1) + `,"deliberation":"1"}`,
		"an address that is not public": `{` + strings.Replace(whole, "https://e.example", "https://169.254.169.254/x", 1) + `,"deliberation":"1"}`,
		"no secret":                     `{` + strings.Replace(whole, secret, dir, 1) + `,"deliberation":"1"}`,
	} {
		var out bytes.Buffer
		code := newProgram(terminal{In: strings.NewReader(""), Out: &out, Err: &out}).run(t.Context(), []string{"serve", "--dev", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--ebox-config", file(t, "ebox.json", text)})
		if code == 0 || strings.Contains(out.String(), "canary") {
			t.Errorf("%s: %d %s", name, code, &out)
		}
	}
}

package edge

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/handlers/contract"
)

// TestAProcessThatStartsSaysHowFarItIs: it lives, it is not ready, it says at what it is, and
// everything else is to be tried again. The pace is for operators alone.
func TestAProcessThatStartsSaysHowFarItIs(t *testing.T) {
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	s := &Server{Now: func() time.Time { return at }, NewID: uuid.New, Slog: slog.New(slog.DiscardHandler)}
	far := Opening{Doing: contract.StartStepReadModels, Known: true, Percent: 40, PerSecond: 11000, Left: 90 * time.Second}
	begun := Opening{Doing: contract.StartStepKeys}
	ask := func(o Opening, operators bool, method, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.Opening(func(context.Context) Opening { return o }, operators).ServeHTTP(w, httptest.NewRequest(method, path, nil))
		return w
	}
	for _, c := range []struct {
		now       Opening
		operators bool
		path      string
		status    int
		says      string
	}{
		{far, false, "/livez", http.StatusOK, "alive"},
		{begun, true, "/livez", http.StatusOK, "alive"},
		{begun, false, "/readyz", http.StatusServiceUnavailable, "not ready: keys\n"},
		{far, false, "/readyz", http.StatusServiceUnavailable, "not ready: readModels, 40%, until 2026-11-28T12:01:30Z\n"},
		{far, true, "/readyz", http.StatusServiceUnavailable, "not ready: readModels, 40%, 11000 events a second, until 2026-11-28T12:01:30Z\n"},
		{begun, false, "/health", http.StatusServiceUnavailable, `{"status":"DOWN","start":{"doing":"keys"}}`},
		{far, false, "/health", http.StatusServiceUnavailable, `{"status":"DOWN","start":{"doing":"readModels","percent":40,"expectedAt":"2026-11-28T12:01:30Z"}}`},
		{far, true, contract.Base + "/health", http.StatusServiceUnavailable, `{"status":"DOWN","start":{"doing":"readModels","percent":40,"eventsPerSecond":11000,"expectedAt":"2026-11-28T12:01:30Z"}}`},
	} {
		w := ask(c.now, c.operators, http.MethodGet, c.path)
		says := w.Body.String()
		if strings.HasPrefix(c.says, "{") {
			var got, want any
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			_ = json.Unmarshal([]byte(c.says), &want)
			a, _ := json.Marshal(got)
			b, _ := json.Marshal(want)
			if string(a) != string(b) {
				t.Errorf("%s says %s, want %s", c.path, a, b)
			}
		} else if !strings.HasPrefix(says, c.says) {
			t.Errorf("%s says %q, want %q", c.path, says, c.says)
		}
		if again := w.Header().Get("Retry-After") != ""; w.Code != c.status || again != (c.status == http.StatusServiceUnavailable) {
			t.Errorf("%s is %d with Retry-After %q, want %d", c.path, w.Code, w.Header().Get("Retry-After"), c.status)
		}
	}
	for _, c := range []struct {
		now          Opening
		method, path string
		wait         string
	}{
		{begun, http.MethodPost, contract.Base + "/documents/query", "5"},
		{far, http.MethodPost, contract.Base + "/documents/query", "60"},
		{Opening{Doing: contract.StartStepReadModels, Known: true, Left: 2500 * time.Millisecond}, http.MethodGet, "/", "3"},
		{begun, http.MethodGet, "/metrics", "5"},
	} {
		w := ask(c.now, false, c.method, c.path)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != c.wait || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %d, Retry-After %q, %s", c.method, c.path, w.Code, w.Header().Get("Retry-After"), w.Body)
		}
	}
}

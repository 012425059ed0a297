package edge

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"coffre/handlers/contract"
)

// listening serves a handler as the vault does, on loopback, until the test ends.
func listening(t testing.TB, h http.Handler) net.Addr {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, served := NewHTTPServer(h), make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(StrictListener(l)) // ends when it is closed
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return l.Addr()
}

// F35: every answer that a stranger can provoke has the headers that keep browsers from making
// something else of it, whatever was asked; and none tells what concerns others.
func TestF35EveryAnswerHasItsHeaders(t *testing.T) {
	s := newServer()
	s.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "coffre_log_leaves 7") })
	for name, at := range map[string]net.Addr{"public": listening(t, s.Handler(whole{s: s})), "operators": listening(t, s.Operators())} {
		for _, asked := range []string{
			"OPTIONS * HTTP/1.1", "OPTIONS /health HTTP/1.1", "TRACE / HTTP/1.1", "GET / HTTP/1.1", "GET /%2e%2e HTTP/1.1", "GET /health HTTP/1.1", "GET /livez HTTP/1.1", "GET /readyz HTTP/1.1",
			"HEAD /livez HTTP/1.1", "DELETE /health HTTP/1.1", "GET /metrics HTTP/1.1", "GET /debug/pprof/ HTTP/1.1", "GET /" + strings.Repeat("x", MaxTarget) + " HTTP/1.1",
			"GET " + contract.Base + "/doc HTTP/1.1", "GET " + contract.Base + "/registry HTTP/1.1", "PUT " + contract.Base + "/documents HTTP/1.1", "POST " + contract.Base + "/documents HTTP/1.1",
		} {
			c, err := net.Dial("tcp", at.String())
			if err != nil {
				t.Fatal(err)
			}
			method, _, _ := strings.Cut(asked, " ")
			if _, err := fmt.Fprintf(c, "%s\r\nHost: vault\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", asked); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(bufio.NewReader(c), httptest.NewRequest(method, "/", nil))
			if err != nil {
				t.Fatalf("%s: %v", asked, err)
			}
			body, _ := io.ReadAll(answer.Body) // what came of it is looked at
			_ = c.Close()
			for _, header := range []string{"X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Content-Security-Policy", "Strict-Transport-Security", "Cache-Control", "BelGov-Trace-Id"} {
				if answer.Header.Get(header) == "" {
					t.Errorf("%s, %.60s: %d without %s", name, asked, answer.StatusCode, header)
				}
			}
			if name == "public" && strings.Contains(string(body), "coffre_") || answer.Header.Get("Server") != "" {
				t.Errorf("%.60s tells %.60s, %v", asked, body, answer.Header)
			}
		}
	}
}

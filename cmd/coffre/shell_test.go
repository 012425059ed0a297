package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"coffre/cmd/coffre/vault"
	"coffre/handlers/contract"
)

// shell types commands, as a person would.
type shell struct {
	t     *testing.T
	in    string // what the next command finds on standard input
	adapt func(*program)
}

// typed is what came of a command.
type typed struct {
	code     int
	out, err string
}

func (s *shell) run(args ...string) typed {
	s.t.Helper()
	var out, err bytes.Buffer
	p := newProgram(terminal{In: strings.NewReader(s.in), Out: &out, Err: &err})
	p.patience = 50 * time.Millisecond
	if s.adapt != nil {
		s.adapt(p)
	}
	code := p.run(s.t.Context(), args)
	return typed{code, out.String(), err.String()}
}

// must runs a command that has to end with that code.
func (s *shell) must(code int, args ...string) typed {
	s.t.Helper()
	got := s.run(args...)
	if got.code != code {
		s.t.Fatalf("coffre %s: exit code %d, want %d\nout: %s\nerr: %s", strings.Join(args, " "), got.code, code, got.out, got.err)
	}
	for _, stream := range []string{got.out, got.err} {
		if strings.ContainsAny(stream, "\x1b\r") {
			s.t.Errorf("coffre %s: colour or a progress bar, and nobody is at the terminal: %q", strings.Join(args, " "), stream)
		}
	}
	return got
}

// fake is a vault that is only a handler.
type fake struct{ h http.Handler }

func (f fake) Control() http.Handler   { return f.h }
func (f fake) SignEnd(context.Context) {}
func (f fake) Close() error            { return nil }

// answering returns a shell whose directories hold a vault that h plays. Its read
// models, which a command waits for, are up to date.
func answering(t *testing.T, h http.HandlerFunc) *shell {
	return &shell{t: t, adapt: func(p *program) {
		p.open = func(context.Context, vault.DataDir) (runningVault, error) {
			return fake{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/vault/v1/projections" {
					answer(t, w, 200, contract.Projections{Items: []contract.Projection{{Name: "wallet", State: contract.ProjectionStateLive}}})
					return
				}
				h(w, r)
			})}, nil
		}
	}}
}

// answer writes a JSON answer.
func answer(t *testing.T, w http.ResponseWriter, status int, v any) {
	t.Helper()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.MarshalWrite(w, v); err != nil {
		t.Error(err)
	}
}

func refuse(t *testing.T, w http.ResponseWriter, status int, slug, detail string) {
	t.Helper()
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	if err := json.MarshalWrite(w, contract.Problem{Type: "urn:problem-type:coffre:" + slug, Title: "No", Status: status, Detail: detail}); err != nil {
		t.Error(err)
	}
}

func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func body(t *testing.T, r *http.Request) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

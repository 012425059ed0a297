package main

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"coffre/cmd/coffre/vault"
)

// TestDemo plays the story twice on one directory, once for people and once for a
// machine.
func TestDemo(t *testing.T) {
	s, dir := onDisk(t), t.TempDir()
	told := s.must(0, "demo", "--data", dir)
	if !strings.Contains(told.out, "steps, each as it must be.") || strings.Contains(told.out, "NO") || told.err != "" {
		t.Errorf("out %q, err %q", told.out, told.err)
	}
	steps := jsonLines(t, s.must(0, "demo", "--data", dir, "--json").out)
	for n, step := range steps[:len(steps)-1] {
		if step["ok"] != true || step["step"] != float64(n+1) || step["said"] == "" || step["chapter"] == "" {
			t.Errorf("step %d: %v", n+1, step)
		}
	}
	if last := steps[len(steps)-1]; last["done"] != true || len(steps) < 40 {
		t.Errorf("it ends with %v after %d steps", last, len(steps))
	}
}

// TestDemoSeesWhatIsWrong breaks one answer of the vault at a time: the story has
// to end at once with code 1.
func TestDemoSeesWhatIsWrong(t *testing.T) {
	for name, broken := range map[string]struct {
		path   string
		answer func(*testing.T, http.ResponseWriter)
		says   string
	}{
		"an empty wallet": {"/wallet", func(t *testing.T, w http.ResponseWriter) {
			answer(t, w, 200, map[string]any{"self": "x", "citizenId": exportID, "items": []any{}})
		}, "must see 3"},
		"a fault": {"/evidence/query", func(t *testing.T, w http.ResponseWriter) {
			refuse(t, w, 500, "internalServerError", "")
		}, "internalServerError"},
		"a withdrawal that does nothing": {"/withdraw", func(t *testing.T, w http.ResponseWriter) {
			answer(t, w, 200, map[string]any{"href": "x", "consentId": exportID, "state": "withdrawn"})
		}, "must be refused as consentWithdrawn"},
		"a certificate without signature": {"/certificate", func(t *testing.T, w http.ResponseWriter) {
			answer(t, w, 200, map[string]any{"unreadableEvents": 1})
		}, "not signed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := onDisk(t)
			s.adapt = func(p *program) {
				open := p.open
				p.open = func(ctx context.Context, dir vault.DataDir) (runningVault, error) {
					v, err := open(ctx, dir)
					if err != nil {
						return nil, err
					}
					return breaking{v, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if strings.HasSuffix(r.URL.Path, broken.path) {
							broken.answer(t, w)
							return
						}
						v.Control().ServeHTTP(w, r)
					})}, nil
				}
			}
			got := s.must(exitFailed, "demo", "--data", t.TempDir())
			if !strings.Contains(got.out, "  NO  ") || !strings.Contains(got.out, broken.says) || strings.Contains(got.out, "each as it must be") {
				t.Errorf("out %q", got.out)
			}
		})
	}
}

// breaking is a real vault with another handler before it.
type breaking struct {
	runningVault
	h http.Handler
}

func (b breaking) Control() http.Handler { return b.h }

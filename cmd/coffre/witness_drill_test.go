package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/cmd/coffre/vault"
	"coffre/eventstore/proof"
	"coffre/eventstore/proof/bundle"
	"coffre/eventstore/witness/witnesstest"
	"coffre/handlers/contract"
)

// withWitness opens a vault whose checkpoints a witness is asked to cosign.
func (d *drilled) withWitness(t *testing.T, policy string) *rig {
	t.Helper()
	said, err := proof.ParsePolicy([]byte(policy))
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(t.Context(), d.dir, vault.Options{
		Checkpoints: vault.CheckpointsConfig{Every: 100 * time.Millisecond}, Witnesses: &vault.WitnessesConfig{Policy: said, Dev: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	return rigOf(t, v, d.dir)
}

// awaited asks again until the answer is the one that is waited for, or the test's time is up.
func awaited(t *testing.T, what string, there func() bool) {
	t.Helper()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !there() {
		select {
		case <-look.C:
		case <-t.Context().Done():
			t.Fatalf("never: %s", what)
		}
	}
}

// operators returns what operators see at a path.
func (r *rig) operators(t *testing.T, path string) string {
	t.Helper()
	w := httptest.NewRecorder()
	r.Operators().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Body.String()
}

// Somebody who has a vault with its keys shows one history to one auditor and another to a second
// one. A witness of another administration cosigns one of the two: the first auditor sees whole
// what the witness saw, the second one lacks its cosignature, and each sees it in the other's
// checkpoint. The vault that serves the second history is told, too.
func TestSplitViewIsFoundByAWitness(t *testing.T) {
	d := newDrilled(t, vault.StoresConfig{})
	s := &shell{t: t}
	key := strings.TrimSpace(s.must(0, "audit", "keys", "--data", string(d.dir)).out)
	state := filepath.Join(t.TempDir(), "witness.state")
	w := startWitness(t, "--state", state, "--name", "witness.example/north", "--log", key)
	policy := fmt.Sprintf("log %s\nwitness north %s %s\nquorum north\n", key, w.key, w.url)
	trusted := file(t, "trusted.policy", policy)

	other := d.copy(t)
	show := func(one *drilled, name string, events int) *rig {
		r := one.withWitness(t, policy)
		for n := range events {
			if w := r.issue(t, uuid.New(), ssinB, fmt.Sprint(name, n)); w.Code != http.StatusCreated {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
		}
		return r
	}
	first := show(d, "first ", 3)
	_, c := first.checkpoint(t)
	awaited(t, "the witness cosigns", func() bool {
		answer := first.get(t, anyAuditor, "/log/checkpoint?which=witnessed")
		cosigned, err := proof.Peek(answer.Body.Bytes())
		return answer.Code == http.StatusOK && err == nil && cosigned.Size >= c.Size && strings.Contains(answer.Body.String(), "\u2014 witness.example/north ")
	})
	if got := first.operators(t, "/readyz"); !strings.Contains(got, "with enough cosignatures") || !strings.Contains(got, "north cosigns") {
		t.Errorf("readyz: %s", got)
	}
	if got := first.operators(t, "/metrics"); !strings.Contains(got, `coffre_witness_age_seconds{witness="north"}`) || !strings.Contains(got, "coffre_checkpoint_witnessed_age_seconds") || strings.Contains(got, "coffre_witness_trouble{") {
		t.Errorf("metrics: %s", got)
	}
	if first.Health(t.Context()) != contract.HealthStatusUP {
		t.Error("the first history's vault is not well")
	}
	first.close(t)
	second := show(other, "second ", 5)
	awaited(t, "the vault of the second history is told", func() bool {
		return strings.Contains(second.operators(t, "/metrics"), `coffre_witness_trouble{trouble="disagrees",witness="north"} 1`)
	})
	if got := second.operators(t, "/readyz"); !strings.Contains(got, "north does not cosign (disagrees)") {
		t.Errorf("readyz: %s", got)
	}
	if second.Health(t.Context()) != contract.HealthStatusDEGRADED {
		t.Error("the second history's vault is well")
	}
	second.checkpoint(t)
	second.close(t)

	bundles := t.TempDir()
	one, two := filepath.Join(bundles, "first.bundle"), filepath.Join(bundles, "second.bundle")
	s.must(0, "audit", "bundle", "--data", string(d.dir), "--out", one)
	s.must(0, "audit", "bundle", "--data", string(other.dir), "--out", two)
	report := func(code int, args ...string) (r bundle.Report) {
		t.Helper()
		got := s.must(code, append([]string{"audit", "verify", "--json"}, args...)...)
		if err := json.Unmarshal([]byte(got.out), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := report(0, one, "--witness-policy", trusted); r.Witnessed == nil || r.Witnessed.Size != r.Size || r.Size < c.Size || len(r.Cosigned) != 1 || r.Cosigned[0].Witness != "north" || !r.Trusted {
		t.Errorf("the first auditor: %+v", r)
	}
	if got := s.must(0, "audit", "verify", one, "--witness-policy", trusted); !strings.Contains(got.out, "north (witness.example/north) at ") || !strings.Contains(got.out, "the log is whole") {
		t.Errorf("the first auditor: %s", got.out)
	}
	if got := s.must(0, "audit", "verify", one); !strings.Contains(got.out, "witness.example/north (give --witness-policy") {
		t.Errorf("without a policy: %s", got.out)
	}
	if r := report(exitIncomplete, two, "--witness-policy", trusted); r.Wrong != 0 || r.Incomplete == "" {
		t.Errorf("the second auditor: %+v", r)
	}
	report(0, two, "--key", d.keys) // by itself it is whole
	if r := report(exitTamper, two, "--checkpoint", one, "--witness-policy", trusted); r.Findings[0].Kind != bundle.Forked {
		t.Errorf("the auditors compare: %+v", r)
	}
	report(0, string(d.dir), "--witness-policy", trusted) // beside a vault, too
	if r := report(exitTamper, string(other.dir), "--checkpoint", one, "--witness-policy", trusted); r.Findings[0].Kind != bundle.Forked {
		t.Errorf("the second auditor at the vault: %+v", r)
	}
	if got := s.must(0, "witness", "key", "--state", state, "--json"); !strings.Contains(got.out, c.Origin) {
		t.Errorf("%s", got.out)
	}
}

// What does not make sense is told before anything is served.
func TestServeChecksItsWitnesses(t *testing.T) {
	witness := startWitness(t, "--state", filepath.Join(t.TempDir(), "w"), "--name", "witness.example/w", "--log", witnesstest.New(t, "log.example/1").Key.String())
	var served serveOptions
	s := &shell{t: t, adapt: func(p *program) {
		p.serve = func(_ context.Context, _ terminal, o serveOptions) error { served = o; return nil }
	}}
	line := func(url string) string { return "witness w " + witness.key + " " + url + "\nquorum w\n" }
	for says, args := range map[string][]string{
		"no witness of the policy has an address": {"--witness-policy", file(t, "p", line(""))},
		"witness w: a witness's address is":       {"--witness-policy", file(t, "p", line("http://witness.example"))},
		"witness w: that address is not public":   {"--witness-policy", file(t, "p", line("https://10.1.2.3"))},
		"--witness-policy: line 1: ":              {"--witness-policy", file(t, "p", "secret42\n")},
		"--witness-policy: no such file":          {"--witness-policy", filepath.Join(t.TempDir(), "none")},
		"and no policy":                           {"--witness-networks", "10.0.0.0/8"},
		"is a list of networks":                   {"--witness-policy", file(t, "p", line("https://10.1.2.3")), "--witness-networks", "10.0.0.1/8"},
		"no certificate in it":                    {"--witness-policy", file(t, "p", line("https://w.example")), "--witness-ca-file", file(t, "ca", "secret42")},
	} {
		if got := s.must(exitUsage, append([]string{"serve", "--dev", "--data", t.TempDir()}, args...)...); !strings.Contains(got.err, says) || strings.Contains(got.err, "secret42") {
			t.Errorf("%v: %s", args, got.err)
		}
	}
	for _, args := range [][]string{
		{"--witness-policy", file(t, "p", line(witness.url))},
		{"--witness-policy", file(t, "p", line("https://10.1.2.3")), "--witness-networks", "10.0.0.0/8,192.168.7.0/24"},
	} {
		s.must(0, append([]string{"serve", "--dev", "--data", t.TempDir()}, args...)...)
		if served.Witnesses == nil || len(served.Witnesses.Policy.Witnesses) != 1 {
			t.Errorf("%v: %+v", args, served.Witnesses)
		}
	}
}

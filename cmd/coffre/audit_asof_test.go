package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/eventstore/proof/bundle"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

// storied is a vault in which the demo was played and that nobody serves, with a bundle of it.
type storied struct {
	*shell
	dir, bundle string
	events      []contract.LogEvent
}

func newStoried(t *testing.T) *storied {
	t.Helper()
	s := &storied{shell: onDisk(t), dir: t.TempDir()}
	s.bundle = filepath.Join(t.TempDir(), "log.bundle")
	s.must(0, "demo", "--data", s.dir)
	s.must(0, "audit", "bundle", "--data", s.dir, "--out", s.bundle)
	for line := range strings.Lines(s.must(0, "audit", "replay", s.bundle, "--json").out) {
		var e contract.LogEvent
		if json.Unmarshal([]byte(line), &e) == nil && e.Type != "" {
			s.events = append(s.events, e)
		}
	}
	if len(s.events) < 50 {
		t.Fatalf("the story has %d events only", len(s.events))
	}
	return s
}

// citizens are those who were registered, in their order.
func (s *storied) citizens() (all []domain.CitizenID) {
	for _, e := range s.events {
		if e.Type == "citizen.registered" {
			all = append(all, must1(citizenID(strings.TrimPrefix(e.Stream, "citizen-"))))
		}
	}
	return all
}

func (s *storied) asOf(place string, who domain.CitizenID, args ...string) (a asOfAnswer) {
	s.t.Helper()
	got := s.must(0, append([]string{"audit", "asof", place, "--citizen", who.String(), "--json"}, args...)...)
	if err := json.Unmarshal([]byte(got.out), &a); err != nil {
		s.t.Fatal(err)
	}
	return a
}

// What an auditor counts from a bundle, and from the directory, is what the vault answers for
// the same two clocks; and nobody needs a key for it.
func TestAuditorCountsWhatTheVaultAnswers(t *testing.T) {
	s := newStoried(t)
	r := &drilled{dir: vault.DataDir(s.dir)}
	served := r.open(t)
	defer served.Close()
	compared := 0
	for _, who := range s.citizens() {
		for n := 5; n < len(s.events); n += 1 + len(s.events)/6 {
			at := s.events[n].RecordedAt
			for _, validAt := range []string{"", "2026-01-02", "2031-06-30"} {
				args := []string{"--asof", at.Format(time.RFC3339Nano)}
				query := url.Values{"asOf": {at.Format(time.RFC3339Nano)}}
				if validAt != "" {
					args, query["validAt"] = append(args, "--validat", validAt), []string{validAt}
				}
				counted := s.asOf(s.bundle, who, args...)
				w := served.get(t, anyAuditor, "/citizens/"+who.String()+"/wallet?"+query.Encode())
				var answered contract.Wallet
				if err := json.Unmarshal(w.Body.Bytes(), &answered); err != nil || w.Code != http.StatusOK {
					t.Fatal(w.Code, err)
				}
				if want, got := walletTold(answered), countedTold(counted); got != want {
					t.Fatalf("as of %s, valid at %q, the auditor counts\n%s\nand the vault answers\n%s", at, validAt, got, want)
				}
				compared += len(counted.Documents)
			}
		}
	}
	if compared < 20 {
		t.Fatalf("only %d documents were compared", compared)
	}
}

func walletTold(w contract.Wallet) string {
	var all strings.Builder
	for _, d := range w.Items {
		var readers []string
		for _, c := range d.WhoMayRead {
			readers = append(readers, c.ConsentID.String())
		}
		fmt.Fprintln(&all, d.DocumentID, d.DocumentType, d.Issuer, d.Version, d.State, d.Reason, d.ValidFrom, d.ValidUntil, d.EffectiveFrom, readers)
	}
	return all.String()
}

func countedTold(a asOfAnswer) string {
	var all strings.Builder
	for _, d := range a.Documents {
		var readers []string
		for _, id := range d.Readers {
			readers = append(readers, id.String())
		}
		fmt.Fprintln(&all, d.Document, d.Type, d.Issuer, d.Version, d.State, d.Reason, d.ValidFrom, d.ValidUntil, d.EffectiveFrom, readers)
	}
	return all.String()
}

// A consent that was withdrawn was granted before, and a mandate that ended stood before.
func TestAuditorSeesWhatStoodBefore(t *testing.T) {
	s := newStoried(t)
	n := slices.IndexFunc(s.events, func(e contract.LogEvent) bool { return e.Type == "consent.withdrawn" })
	withdrawn := s.events[n]
	who := withdrawn.Actor.CitizenID
	id := strings.TrimPrefix(withdrawn.Stream, "consent-")
	for at, want := range map[time.Time]contract.ConsentState{
		withdrawn.RecordedAt.Add(-time.Microsecond): contract.ConsentStateGranted, withdrawn.RecordedAt: contract.ConsentStateWithdrawn,
	} {
		a := s.asOf(s.dir, who, "--as-of", at.Format(time.RFC3339Nano))
		i := slices.IndexFunc(a.Consents, func(c contract.Consent) bool { return c.ConsentID.String() == id })
		if i < 0 || a.Consents[i].State != want {
			t.Errorf("at %s: %+v", at, a.Consents)
		}
	}
	mandates := 0
	for _, who := range s.citizens() {
		mandates += len(s.asOf(s.bundle, who).Mandates)
	}
	if mandates == 0 {
		t.Error("no mandate was told")
	}
}

// What cannot be answered, or not in full, is said by the exit code, and so is tampering.
func TestAuditorsExitCodes(t *testing.T) {
	s := newStoried(t)
	who := s.citizens()[0].String()
	later := time.Now().Add(time.Hour).Format(time.RFC3339)
	if got := s.must(exitIncomplete, "audit", "asof", s.bundle, "--citizen", who, "--as-of", later); !strings.Contains(got.err, "not settled") || got.out != "" {
		t.Errorf("%+v", got)
	}
	part := filepath.Join(t.TempDir(), "part.bundle")
	s.must(0, "audit", "bundle", "--data", s.dir, "--type", "document.issued", "--out", part)
	if got := s.must(exitIncomplete, "audit", "asof", part, "--citizen", who); !strings.Contains(got.out, "selection") {
		t.Errorf("%+v", got)
	}
	s.must(0, "audit", "replay", part, "--citizen", who)

	b, err := os.ReadFile(s.bundle)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(b), "\n")
	cut := file(t, "cut.bundle", strings.Join(lines[:len(lines)-2], ""))
	n := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, `"event":{"leaf":3,`) })
	lines[n] = strings.Replace(lines[n], `"revision":`, `"revision":7`, 1)
	changed := file(t, "changed.bundle", strings.Join(lines, ""))
	for _, args := range [][]string{{"audit", "replay"}, {"audit", "asof", "--citizen", who}} {
		if got := s.must(exitTamper, append(args, changed)...); !strings.Contains(got.out, "TAMPERED") || !strings.Contains(got.out, "leaf 3") {
			t.Errorf("%v: %s", args, got.out)
		}
		if got := s.must(exitIncomplete, append(args, cut)...); !strings.Contains(got.out, "INCOMPLETE") {
			t.Errorf("%v: %s", args, got.out)
		}
		s.must(exitUsage, append(args, filepath.Join(t.TempDir(), "nothing"))...)
	}
	for _, args := range [][]string{{s.bundle, "--data", s.dir}, {}, {"--data", s.dir, "--key", "x"}, {"--url", "https://127.0.0.1:1"}, {s.bundle, "--document", "x"}, {s.bundle, "--consumer", "1"}} {
		s.must(exitUsage, append([]string{"audit", "replay"}, args...)...)
	}
}

// A replay of a document or of a consumer tells what concerns it, the outcomes of its
// accesses and the end of its consents included, and nothing else.
func TestReplayFollowsDocumentsAndConsumers(t *testing.T) {
	s := newStoried(t)
	var authorized contract.LogEvent
	for _, e := range s.events {
		if e.Type == "access.authorized" && strings.HasPrefix(e.Stream, "consent-") {
			authorized = e
		}
	}
	var f facts
	if err := json.Unmarshal(authorized.Facts, &f); err != nil {
		t.Fatal(err)
	}
	for flag, id := range map[string]string{"--document": f.word("document"), "--consumer": f.word("consumer")} {
		types := map[string]int{}
		for _, e := range jsonLines(t, s.must(0, "audit", "replay", s.bundle, flag, id, "--json").out) {
			if name, ok := e["type"].(string); ok {
				types[name]++
			}
		}
		for _, want := range map[string][]string{"--document": {"document.issued", "access.authorized", "access.disclosed"}, "--consumer": {"consent.granted", "consent.withdrawn", "access.authorized", "access.disclosed", "access.refused"}}[flag] {
			if types[want] == 0 {
				t.Errorf("%s: no %s among %v", flag, want, types)
			}
		}
		if types["registry.published"] > 0 || flag == "--consumer" && types["document.issued"] > 0 {
			t.Errorf("%s: %v", flag, types)
		}
	}
}

// What no checkpoint covers is never passed over in silence: a bundle that lacks it says so and
// ends with a code of its own, and so does the check of a directory, once it is no more a
// matter of seconds.
func TestWhatNoCheckpointCoversIsSaid(t *testing.T) {
	dir, o := t.TempDir(), vault.Options{Checkpoints: vault.CheckpointsConfig{Every: time.Hour}}
	open := func(o vault.Options) *rig {
		v, err := vault.Open(t.Context(), vault.DataDir(dir), o)
		if err != nil {
			t.Fatal(err)
		}
		key, err := token.OpenDevKey(vault.DataDir(dir).File(vault.DevKeyFile))
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Runner.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		return &rig{Instance: v, dir: vault.DataDir(dir), key: key}
	}
	r := open(vault.Options{})
	_, last := r.checkpoint(t)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = open(o) // which signs none for an hour
	for n := range 3 {
		if w := r.issue(t, uuid.New(), ssinA, fmt.Sprint("after ", n)); w.Code != http.StatusCreated {
			t.Fatal(w.Code)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	s := &shell{t: t, adapt: func(p *program) {
		p.open = func(ctx context.Context, dir vault.DataDir) (runningVault, error) { return vault.Open(ctx, dir, o) }
	}}
	found := jsonLines(t, s.must(0, "audit", "verify", dir, "--json").out)[0]
	if found["after"].(float64) < 3 || found["size"] != float64(last.Size) {
		t.Errorf("%v", found)
	}
	source, err := vault.OpenAuditSource(t.Context(), vault.DataDir(dir), vault.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	for wait, incomplete := range map[time.Duration]bool{0: false, 2 * time.Minute: true} {
		report := bundle.Report{Size: last.Size}
		if err := unsigned(t.Context(), source, &report, time.Now().Add(wait)); err != nil || (report.Incomplete != "") != incomplete || report.After < 3 {
			t.Errorf("after %s: %+v, %v", wait, report, err)
		}
	}
	out := filepath.Join(t.TempDir(), "late.bundle")
	if got := s.must(exitIncomplete, "audit", "bundle", "--data", dir, "--out", out); !strings.Contains(got.out, "INCOMPLETE") {
		t.Errorf("%+v", got)
	}
	s.must(0, "audit", "verify", out)
}

// A short command on a directory that nobody serves leaves what it recorded proved, however
// seldom checkpoints are signed otherwise.
func TestShortCommandHasItsOwnRecordSigned(t *testing.T) {
	s := onDisk(t)
	dir := t.TempDir()
	s.adapt = func(p *program) {
		p.open = func(ctx context.Context, dir vault.DataDir) (runningVault, error) {
			return vault.Open(ctx, dir, vault.Options{Checkpoints: vault.CheckpointsConfig{Every: time.Hour}})
		}
	}
	s.must(0, "projections", "status", "--data", dir)
	var covered float64
	for range 2 {
		s.must(0, "audit", "replay", "--data", dir)
		found := jsonLines(t, s.must(0, "audit", "verify", dir, "--json").out)[0]
		if found["after"] != 0.0 || found["size"].(float64) <= covered {
			t.Fatalf("%v events are covered, after %v, and %v follow", found["size"], covered, found["after"])
		}
		covered = found["size"].(float64)
	}
}

// Between two checkpoints stands what happened since the first, and a log that does not begin
// with the first is none of its history.
func TestDifferenceOfTwoCheckpoints(t *testing.T) {
	s := newStoried(t)
	d := &drilled{dir: vault.DataDir(s.dir)}
	r := d.open(t)
	for n := range 3 {
		if w := r.issue(t, uuid.New(), ssinA, fmt.Sprint("later ", n)); w.Code != http.StatusCreated {
			t.Fatal(w.Code)
		}
	}
	note, _ := r.checkpoint(t)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	later, kept := filepath.Join(t.TempDir(), "later.bundle"), file(t, "later.checkpoint", note)
	s.must(0, "audit", "bundle", "--data", s.dir, "--out", later)
	for _, args := range [][]string{{s.bundle, later}, {s.bundle, kept, "--of", s.dir}} {
		out := jsonLines(t, s.must(0, append([]string{"audit", "diff", "--json"}, args...)...).out)
		sum := out[len(out)-2]
		types := sum["types"].(map[string]any)
		if types["document.issued"] != 3.0 || types["registry.published"] != nil || sum["to"].(float64) <= sum["from"].(float64) {
			t.Errorf("%v: %v", args, sum)
		}
		told := s.must(0, append([]string{"audit", "diff"}, args...)...).out
		if strings.Count(told, " issued identityData ") != 3 || !strings.Contains(told, "the log is whole") {
			t.Errorf("%v: %s", args, told)
		}
	}
	other := newStoried(t)
	if got := s.must(exitTamper, "audit", "diff", other.bundle, later); !strings.Contains(got.out, "TAMPERED") {
		t.Errorf("another log: %s", got.out)
	}
	for _, args := range [][]string{{later, s.bundle}, {s.bundle, kept}, {s.bundle}, {s.bundle, file(t, "x", "x")}} {
		s.must(exitUsage, append([]string{"audit", "diff"}, args...)...)
	}
}

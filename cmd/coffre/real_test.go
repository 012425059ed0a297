package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	samples "coffre/deploy/registry"
)

// onDisk returns a shell whose vaults are real ones.
func onDisk(t *testing.T) *shell { return &shell{t: t} }

// jsonLines decodes what a command printed for machines.
func jsonLines(t *testing.T, out string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(out) {
		var one map[string]any
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, one)
	}
	return all
}

func TestVersion(t *testing.T) {
	got := jsonLines(t, onDisk(t).must(0, "version", "--json").out)[0]
	for _, name := range []string{"version", "go", "sqlite", "platform"} {
		if got[name] == "" || got[name] == nil {
			t.Errorf("%s is not said: %v", name, got)
		}
	}
	if s, _ := got["sqlite"].(string); !strings.HasPrefix(s, "3.") {
		t.Errorf("SQLite %q", s)
	}
}

func TestRegistryIsPublishedOnce(t *testing.T) {
	s, dir := onDisk(t), t.TempDir()
	files := filepath.Join(t.TempDir(), "registry")
	if err := os.CopyFS(files, samples.Files); err != nil {
		t.Fatal(err)
	}
	// The samples are published into an empty log already.
	if got := s.must(0, "registry", "apply", "--data", dir, files); !strings.Contains(got.out, "in force already") {
		t.Errorf("out %q", got.out)
	}
	name := filepath.Join(files, "procedures.json")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(strings.Replace(string(b), "Request for a housing allowance", "Asking for a housing allowance", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := jsonLines(t, s.must(0, "registry", "apply", "--data", dir, "--json", files).out)[0]; got["version"] != 2.0 {
		t.Errorf("published as %v", got)
	}
	if got := s.must(0, "registry", "show", "--data", dir, "--lang", "fr"); !strings.Contains(got.out, "Registre, version 2") || !strings.Contains(got.out, "Carte ISI+") {
		t.Errorf("out %q", got.out)
	}
	if err := os.WriteFile(filepath.Join(files, "purposes.json"), []byte(`{"items": [{"code": "x"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := s.must(exitFailed, "registry", "apply", "--data", dir, files); !strings.Contains(got.err, "purposes.json") {
		t.Errorf("err %q", got.err)
	}
}

func TestServeIsAskedWhileItRuns(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	var banner notifier
	banner.line = make(chan string, 1)
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan int)
	go func() {
		ended <- newProgram(terminal{In: strings.NewReader(""), Out: &banner, Err: &banner}).run(ctx, []string{"serve", "--dev", "--data", dir, "--listen", "127.0.0.1:0"})
	}()
	said := <-banner.line
	if !strings.Contains(said, "coffre demo --data "+dir) || !strings.Contains(said, "TRYING OUT") {
		t.Errorf("it says %q", said)
	}
	s := &shell{t: t, adapt: func(p *program) { p.open = nil }} // the server owns the directory
	if got := s.must(0, "health", "--data", dir); !strings.Contains(got.out, "UP") && !strings.Contains(got.out, "DEGRADED") {
		t.Errorf("out %q", got.out)
	}
	s.in = `{"ssin":"84022711082","documentType":"marriageCertificate","sourceReference":"m-1","validFrom":"2026-03-01","content":{"certificateNumber":"1","country":"BE","date":"2026-03-01"}}`
	if got := s.must(0, "documents", "import", "--data", dir, "-"); !strings.Contains(got.out, "1 issued") {
		t.Errorf("out %q", got.out)
	}
	token := strings.TrimSpace(s.must(0, "token", "--data", dir, "--role", "auditor").out)
	_, address, _ := strings.Cut(said, "http://")
	address, _, _ = strings.Cut(address, ",")
	if got := s.must(0, "audit", "replay", "--url", "http://"+address, "--token-file", file(t, "token", token)); !strings.Contains(got.out, "issued marriageCertificate") {
		t.Errorf("out %q", got.out)
	}
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("serve ended with %d", code)
	}
}

// notifier hands on the first thing that holds a line of what to try.
type notifier struct {
	line chan string
	said bool
}

func (n *notifier) Write(b []byte) (int, error) {
	if !n.said && strings.Contains(string(b), "coffre demo") {
		n.said = true
		n.line <- string(b)
	}
	return len(b), nil
}

func TestReplayOfARealLog(t *testing.T) {
	s, dir := onDisk(t), t.TempDir()
	s.in = `{"ssin":"84022711082","documentType":"marriageCertificate","sourceReference":"m-1","validFrom":"2026-03-01","content":{"certificateNumber":"1","country":"BE","date":"2026-03-01"}}
{"ssin":"71022722582","documentType":"marriageCertificate","sourceReference":"m-2","validFrom":"2026-03-01","content":{"certificateNumber":"2","country":"BE","date":"2026-03-01"}}`
	s.must(0, "documents", "import", "--data", dir, "-")
	all := jsonLines(t, s.must(0, "audit", "replay", "--data", dir, "--json").out)
	sum := all[len(all)-1]
	if sum["events"] != float64(len(all)-1) || sum["lastLeaf"] != float64(len(all)-2) {
		t.Errorf("the end says %v after %d events", sum, len(all)-1)
	}
	var citizen string
	for _, e := range all[:len(all)-1] {
		if e["type"] == "citizen.registered" {
			citizen, _ = e["facts"].(map[string]any)["citizen"].(string)
		}
	}
	for _, c := range []struct {
		args   []string
		events float64
	}{
		{[]string{"--citizen", citizen}, 2}, // registered, issued
		{[]string{"--citizen", citizen, "--type", "document.issued"}, 1},
		{[]string{"--type", "document.issued"}, 2},
		{[]string{"--stream", "citizen-" + citizen}, 1},
		{[]string{"--citizen", citizen}, 3}, // and that their stream was read
		{[]string{"--from", "2999-01-01"}, 0},
		{[]string{"--until", "2000-01-01T00:00:00Z"}, 0},
	} {
		got := jsonLines(t, s.must(0, append([]string{"audit", "replay", "--data", dir, "--json"}, c.args...)...).out)
		if sum := got[len(got)-1]; sum["events"] != c.events || len(got) != int(c.events)+1 {
			t.Errorf("%v: %v, want %v events", c.args, sum, c.events)
		}
	}
	told := s.must(0, "audit", "replay", "--data", dir).out
	if !strings.Contains(told, "0206731645 issued marriageCertificate") || !strings.Contains(told, "last leaf") || strings.Contains(told, "84022711082") {
		t.Errorf("told %q", told)
	}
}

// TestCommandsOfEveryRole types each remaining command at a real vault.
func TestCommandsOfEveryRole(t *testing.T) {
	s, dir := onDisk(t), t.TempDir()
	f := inventFamily(newProgram(terminal{}).now())
	lines := []any{
		map[string]any{"ssin": f.mother.ssin.Reveal(), "documentType": identityData, "sourceReference": "i-1", "validFrom": "2024-01-01",
			"content": map[string]any{"given_name": f.mother.given, "family_name": f.mother.family, "birthdate": f.mother.born}},
		map[string]any{"ssin": f.child.ssin.Reveal(), "documentType": isiPlusCard, "sourceReference": "c-1", "validFrom": f.child.born, "validUntil": f.child.born.EndOfYear(12),
			"content": map[string]any{"name": f.child.name(), "birthDate": f.child.born}, "parents": []string{f.mother.ssin.Reveal()}},
	}
	for _, l := range lines {
		s.in += string(must1(json.Marshal(l))) + "\n"
	}
	s.must(0, "documents", "import", "--data", dir, "-")
	s.in = ""
	mother := file(t, "mother", f.mother.ssin.Reveal()+"\n")
	text := func(v any) string { s, _ := v.(string); return s }
	one := func(args ...string) map[string]any {
		t.Helper()
		return jsonLines(t, s.must(0, append(args, "--data", dir, "--json")...).out)[0]
	}

	wallet := one("wallet", "show", "--ssin-file", mother)
	items, _ := wallet["items"].([]any)
	if len(items) != 2 {
		t.Fatalf("the wallet holds %d documents", len(items))
	}
	citizen := text(wallet["citizenId"])
	people := s.must(0, "wallet", "show", "--data", dir, "--citizen", citizen, "--lang", "fr").out
	if !strings.Contains(people, "Carte ISI+ (de ") || !strings.Contains(people, "valable") {
		t.Errorf("wallet: %s", people)
	}
	s.in = f.mother.ssin.Reveal()
	if got := one("wallet", "show", "--ssin-file", "-", "--valid-at", "2020-01-01"); got["validAt"] != "2020-01-01" {
		t.Errorf("wallet of another day: %v", got)
	}
	var document string
	for _, i := range items {
		if i := i.(map[string]any); i["documentType"] == string(identityData) {
			document = text(i["documentId"])
		}
	}
	for _, args := range [][]string{{"--org", string(socialSecurity)}, {"--ssin-file", mother}} {
		got := s.must(0, append([]string{"documents", "show", "--data", dir, document}, args...)...).out
		if !strings.Contains(got, f.mother.family) || !strings.Contains(got, "family_name") {
			t.Errorf("document %v: %s", args, got)
		}
	}
	if got := s.must(exitFailed, "documents", "show", "--data", dir, "--org", string(flanders), document); !strings.Contains(got.err, "resourceNotFound") {
		t.Errorf("another issuer sees: %q", got.err)
	}
	if got := s.must(0, "mandates", "list", "--data", dir, "--ssin-file", mother).out; !strings.Contains(got, "parentOfMinor") {
		t.Errorf("mandates: %s", got)
	}

	consent := one("consents", "grant", "--ssin-file", mother, "--consumer", string(railways), "--purpose", "ageVerification", "--type", string(identityData), "--uses", "3")
	if got := s.must(0, "consents", "list", "--data", dir, "--ssin-file", mother).out; !strings.Contains(got, "granted") || !strings.Contains(got, "0 of 3") {
		t.Errorf("consents: %s", got)
	}
	if got := one("consents", "withdraw", "--ssin-file", mother, text(consent["consentId"])); got["state"] != "withdrawn" {
		t.Errorf("withdrawn: %v", got)
	}
	out := filepath.Join(t.TempDir(), "consents.jsonl")
	if got := one("export", "consentLog", "--reason", "audit", "--format", "jsonl", "--out", out); got["rows"] != 2.0 {
		t.Errorf("export: %v", got)
	}
	if b, err := os.ReadFile(out); err != nil || strings.Count(string(b), text(consent["consentId"])) < 2 || strings.Contains(string(b), f.mother.family) {
		t.Errorf("the export holds %q, %v", b, err)
	}
	keys := file(t, "keys.json", s.must(0, "erase", "keys", "--data", dir, "--json").out)
	if got := s.must(0, "export", "verify", out, "--key", keys).out; !strings.Contains(got, "holds") || !strings.Contains(got, "rows") {
		t.Errorf("verified: %q", got)
	}
	if err := os.WriteFile(out, []byte("{}\n{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := s.must(exitTamper, "export", "verify", out, "--key", keys); !strings.Contains(got.err, "SHA-256") {
		t.Errorf("another file: %q", got.err)
	}
	if got := s.must(exitUsage, "export", "verify", keys, "--key", keys); !strings.Contains(got.err, "manifest") {
		t.Errorf("a file without a manifest: %q", got.err)
	}

	if got := s.must(0, "projections", "status", "--data", dir).out; !strings.Contains(got, "wallet") {
		t.Errorf("projections: %s", got)
	}
	if got := one("projections", "rebuild", "wallet"); got["state"] != "done" {
		t.Errorf("rebuilt: %v", got)
	}
	if got := s.must(exitUsage, "projections", "rebuild", "--data", dir, "nothing"); got.out != "" {
		t.Errorf("rebuilt: %s", got.out)
	}
	before := one("keys", "status")
	after := one("keys", "rotate")
	if kek := after["keyEncryptionKeys"].([]any)[1].(map[string]any); before["dataKeys"] != 2.0 || after["nextStep"] != "backUp" || kek["version"] != 2.0 || kek["current"] != true {
		t.Errorf("keys before %v, after %v", before, after)
	}
	if got := s.must(exitFailed, "keys", "retire", "--data", dir); !strings.Contains(got.err, "restored for a test") {
		t.Errorf("retired: %s%s", got.out, got.err)
	}
	if got := s.must(exitFailed, "keys", "trim", "--data", dir, "--yes"); !strings.Contains(got.err, "retire has to come first") {
		t.Errorf("trimmed: %s%s", got.out, got.err)
	}
	if pepper := one("keys", "rotate", "--pepper")["pepper"].(map[string]any); pepper["version"] != 2.0 || pepper["phase"] != "settled" {
		t.Errorf("pepper: %v", pepper)
	}
	if got := s.must(0, "keys", "status", "--data", dir).out; !strings.Contains(got, "KEK VERSION") {
		t.Errorf("keys: %s", got)
	}

	erasure := text(one("erase", "request", "--ssin-file", mother)["erasureId"])
	if got := one("erase", "status", erasure); got["state"] != "requested" {
		t.Errorf("erasure: %v", got)
	}
	one("erase", "approve", "--yes", "--subject", "second-officer", erasure)
	if err := poll(t.Context(), func() (bool, time.Time, error) {
		state := one("erase", "status", erasure)["state"]
		return state == "keysDestroyed" || state == "final", time.Time{}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := one("erase", "certificate", erasure); text(got["signature"]) == "" || text(got["citizenId"]) != citizen {
		t.Errorf("certificate: %v", got)
	}
	if got := s.must(0, "erase", "certificate", "--data", dir, erasure).out; !strings.Contains(got, "\nWhat stays:\n\nwhat  the facts in clear in the log") {
		t.Errorf("certificate: %s", got)
	}
	if got := s.must(0, "audit", "replay", "--data", dir, "--citizen", citizen).out; !strings.Contains(got, "destroyed the keys") {
		t.Errorf("replay: %s", got)
	}
}

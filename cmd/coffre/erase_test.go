package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"coffre/cmd/coffre/vault"
	"coffre/eventstore/seal/ringtest"
	"coffre/handlers/contract"
)

// erasing is a vault on disk with three documents, imported from one file, of two
// persons.
type erasing struct {
	*shell
	dir, file, person string
}

const erasedSSIN, otherSSIN = ssinA, ssinB

func newErasing(t *testing.T) *erasing {
	t.Helper()
	e := &erasing{shell: onDisk(t), dir: t.TempDir(), person: file(t, "ssin.txt", erasedSSIN)}
	var lines strings.Builder
	for i, ssin := range []string{erasedSSIN, otherSSIN, erasedSSIN} {
		fmt.Fprintf(&lines, `{"ssin":"%s","documentType":"householdComposition","sourceReference":"night-%d","validFrom":"2026-01-01","content":{"address":{"municipality":"Canaryville","postalCode":"1000"},"asOf":"2026-01-01","householdSize":4,"members":[{"relation":"child"}]}}`+"\n", ssin, i)
	}
	e.file = file(t, "night.jsonl", lines.String())
	if got := e.must(0, e.at("documents", "import", "--org", "0308356862", e.file)...); !strings.HasPrefix(got.out, "3 lines: 3 issued") {
		t.Fatal(got.out)
	}
	return e
}

// at adds the directory to a command.
func (e *erasing) at(args ...string) []string { return append(args, "--data", e.dir) }

// request asks for the person's erasure and returns its id.
func (e *erasing) request() string {
	e.t.Helper()
	var asked contract.Erasure
	e.decode(e.must(0, e.at("erase", "request", "--ssin-file", e.person, "--json")...).out, &asked)
	return asked.ErasureID.String()
}

// finish waits until the keys are destroyed, however often the vault is opened.
func (e *erasing) finish(id string) {
	e.t.Helper()
	for e.t.Context().Err() == nil {
		var now contract.Erasure
		e.decode(e.must(0, e.at("erase", "status", "--json", id)...).out, &now)
		if now.State == contract.ErasureStateKeysDestroyed {
			return
		}
	}
}

func (e *erasing) erase() string {
	e.t.Helper()
	id := e.request()
	e.must(0, e.at("erase", "approve", "--yes", id)...)
	e.finish(id)
	return id
}

func (e *erasing) decode(text string, into any) {
	e.t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		e.t.Fatal(err)
	}
}

// E-4: an issuer who sends the same file every night resurrects nobody: each line of
// an erased person is refused, the others are as before, and nothing is recorded but that the
// issuer was refused, about nobody.
func TestNightlyImportResurrectsNobody(t *testing.T) {
	e := newErasing(t)
	e.erase()
	before := replayed(t, e.shell, e.dir)
	for range 2 {
		got := e.must(exitRefused, e.at("documents", "import", "--org", "0308356862", e.file)...)
		if got.out != "3 lines: 0 issued, 1 unchanged, 2 refused\n" {
			t.Errorf("E-4 %q", got.out)
		}
		for _, line := range []string{"line 1", "line 3"} {
			if !strings.Contains(got.err, line+": refused: urn:problem-type:coffre:citizenErased") {
				t.Errorf("E-4 %s is answered: %q", line, got.err)
			}
		}
	}
	after := replayed(t, e.shell, e.dir)
	delete(after, "access.refused")
	if !reflect.DeepEqual(before, after) {
		t.Errorf("E-4 something was recorded: %v, before it %v", after, before)
	}
	for _, line := range jsonLines(t, e.must(0, "audit", "replay", "--data", e.dir, "--type", "access.refused", "--json").out) {
		if line["citizen"] != nil {
			t.Errorf("E-4 recorded of somebody: %v", line)
		}
	}
}

// E-3: a certificate is checked with its bytes and a key that one trusts, and against
// the log; what does not hold ends with 3, what cannot be asked with 2.
func TestEraseVerify(t *testing.T) {
	e := newErasing(t)
	id := e.erase()
	certificate := e.must(0, e.at("erase", "certificate", "--json", id)...).out
	bundle := e.must(0, e.at("erase", "keys", "--json")...).out
	log := e.must(0, e.at("audit", "replay", "--json")...).out
	var keys contract.SigningKeys
	e.decode(bundle, &keys)
	key := base64.StdEncoding.EncodeToString(keys.Keys[0].PublicKey)
	for _, k := range keys.Keys {
		if k.Purpose == contract.SigningPurposeErasure {
			key = base64.StdEncoding.EncodeToString(k.PublicKey)
		}
	}
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stranger := base64.StdEncoding.EncodeToString(public)
	good, all, whole := file(t, "certificate.json", certificate), file(t, "keys.json", bundle), file(t, "log.jsonl", log)
	var cut strings.Builder
	for line := range strings.Lines(log) {
		if !strings.Contains(line, `"type":"document.issued"`) {
			cut.WriteString(line)
		}
	}
	changed := strings.Replace(certificate, `"scope":"citizen"`, `"scope":"document"`, 1)
	strange := strings.ReplaceAll(bundle, `"signingKeyId":"`, `"signingKeyId":"other-`)
	if changed == certificate || strange == bundle {
		t.Fatal("nothing was changed")
	}
	// From here on there is no vault to ask.
	if err := os.RemoveAll(e.dir); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		code int
		args []string
		said string
	}{
		{"by the bundle", 0, []string{good, "--key", all}, "holds"},
		{"by one key", 0, []string{good, "--key", key}, "holds"},
		{"by a file with the key", 0, []string{good, "--key", "@" + file(t, "key", key+"\n")}, "holds"},
		{"against the log", 0, []string{good, "--key", all, "--events", whole}, "holds what the certificate says"},
		{"as JSON", 0, []string{good, "--key", all, "--events", whole, "--json"}, `"compared":true`},
		{"under another key", exitTamper, []string{good, "--key", stranger}, "signature does not hold"},
		{"by a bundle without its key", exitTamper, []string{good, "--key", file(t, "strange", strange)}, "not among those"},
		{"changed", exitTamper, []string{file(t, "changed", changed), "--key", all}, "signature does not hold"},
		{"unsigned", exitTamper, []string{file(t, "unsigned", withoutSignature(t, good)), "--key", key}, "does not hold"},
		{"no certificate", exitFailed, []string{file(t, "none", "{}"), "--key", key}, "not a certificate of erasure"},
		{"no certificate, by the bundle", exitFailed, []string{file(t, "none", "{}"), "--key", all}, "not a certificate of erasure"},
		{"no JSON", exitFailed, []string{file(t, "noJSON", "secret"), "--key", key}, "not a certificate of erasure"},
		{"against a log that was cut", exitTamper, []string{good, "--key", all, "--events", file(t, "cut", cut.String())}, "0 of 2"},
		{"against nothing", exitTamper, []string{good, "--key", all, "--events", file(t, "empty", "")}, "is not there"},
		{"against what is no log", exitUsage, []string{good, "--key", all, "--events", file(t, "text", "secret\n")}, "line 1 is not an event"},
		{"without a key", exitUsage, []string{good}, "key"},
		{"by what is no key", exitUsage, []string{good, "--key", file(t, "nokey", "secret")}, "--key is"},
		{"by a key that is nowhere", exitUsage, []string{good, "--key", "@nowhere"}, "--key is"},
		{"a file that is nowhere", exitUsage, []string{"nowhere", "--key", all}, "certificate"},
	} {
		got := e.must(tc.code, append([]string{"erase", "verify"}, tc.args...)...)
		if !strings.Contains(got.out+got.err, tc.said) || strings.Contains(got.out+got.err, "secret") {
			t.Errorf("E-3 %s: out %q, err %q", tc.name, got.out, got.err)
		}
	}
	if _, err := os.Stat(e.dir); !os.IsNotExist(err) {
		t.Error("verify touched the vault's directory")
	}
}

// E-3: after an erasure the whole log still verifies, in a bundle and in the directory, and an
// auditor checks the certificate's hash over what nobody can read any more with the same command.
func TestAuditorVerifiesAnErasedLog(t *testing.T) {
	e := newErasing(t)
	id := e.erase()
	good := file(t, "certificate.json", e.must(0, e.at("erase", "certificate", "--json", id)...).out)
	keys := file(t, "keys.json", e.must(0, e.at("erase", "keys", "--json")...).out)
	whole, part := filepath.Join(t.TempDir(), "whole.bundle"), filepath.Join(t.TempDir(), "part.bundle")
	e.must(0, e.at("audit", "bundle", "--out", whole)...)
	e.must(0, e.at("audit", "bundle", "--out", part, "--type", "citizen.key-destroyed")...)
	text := string(must1(os.ReadFile(whole)))
	before := file(t, "before.bundle", strings.ReplaceAll(text, `"type":"document.issued/`, `"type":"document.issuee/`))
	changed := file(t, "changed.json", strings.Replace(string(must1(os.ReadFile(good))), `"unreadableEvents":2`, `"unreadableEvents":1`, 1))
	for name, tc := range map[string]struct {
		code int
		args []string
		said string
	}{
		"the bundle":            {0, []string{whole, "--certificate", good}, "the log is whole"},
		"the directory":         {0, []string{e.dir, "--certificate", good}, "the log is whole"},
		"a part":                {exitIncomplete, []string{part, "--certificate", good}, "a part of the log is not enough"},
		"another log":           {exitTamper, []string{before, "--certificate", good}, "the digest over the unreadable events is another"},
		"another certificate":   {exitTamper, []string{whole, "--certificate", changed}, "signature does not hold"},
		"no certificate at all": {exitUsage, []string{whole, "--certificate", "nowhere"}, "--certificate"},
	} {
		got := e.must(tc.code, append([]string{"audit", "verify", "--key", keys}, tc.args...)...)
		if !strings.Contains(got.out+got.err, tc.said) {
			t.Errorf("E-3 %s: out %q, err %q", name, got.out, got.err)
		}
	}
	e.must(exitUsage, "audit", "verify", whole, "--certificate", good)
}

// E-3: a copy of the key ring from before an erasure brings nothing back: every start
// destroys again what the shred list names, and what the log names without one.
func TestRestoredKeyRingIsShreddedAgain(t *testing.T) {
	for _, list := range []bool{true, false} {
		t.Run(fmt.Sprintf("shred list %t", list), func(t *testing.T) {
			e := newErasing(t)
			older := map[string][]byte{}
			for _, suffix := range []string{"", "-wal", "-shm"} {
				b, err := os.ReadFile(filepath.Join(e.dir, "keys.db"+suffix))
				if err == nil {
					older[suffix] = b
				} else if suffix == "" {
					t.Fatal(err)
				}
			}
			id := e.erase()
			before := e.must(0, e.at("erase", "certificate", "--json", id)...).out
			for range 2 { // the second start has nothing left to do, and does not mind
				for _, suffix := range []string{"", "-wal", "-shm"} {
					name := filepath.Join(e.dir, "keys.db"+suffix)
					if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
						t.Fatal(err)
					}
					if b, kept := older[suffix]; kept {
						if err := os.WriteFile(name, b, 0o600); err != nil {
							t.Fatal(err)
						}
					}
				}
				if !list {
					if err := os.Remove(filepath.Join(e.dir, vault.ShredFile)); err != nil && !os.IsNotExist(err) {
						t.Fatal(err)
					}
				}
				if got := e.must(exitFailed, e.at("wallet", "show", "--ssin-file", e.person)...); strings.Contains(got.out+got.err, "Canaryville") {
					t.Error("E-3 the restored ring opens what was erased")
				}
				got := e.must(exitRefused, e.at("documents", "import", "--org", "0308356862", e.file)...)
				if got.out != "3 lines: 0 issued, 1 unchanged, 2 refused\n" || strings.Count(got.err, "citizenErased") != 2 {
					t.Errorf("E-4 after the restore: %q %q", got.out, got.err)
				}
				if after := e.must(0, e.at("erase", "certificate", "--json", id)...).out; statedBy(t, after) != statedBy(t, before) {
					t.Error("E-3 the certificate changed")
				}
				if got := replayed(t, e.shell, e.dir)["citizen.key-destroyed"]; got != 1.0 {
					t.Errorf("E-3 recorded %v times", got)
				}
			}
		})
	}
}

// E-3: a server that is killed while it erases, at whatever moment, goes on when it is
// started again: there is one record and one certificate that holds, and the log too.
func TestKillServeWhileErasing(t *testing.T) {
	t.Parallel()
	rounds := 6
	if os.Getenv("COFFRE_SOAK") == "1" {
		rounds = 60
	}
	seed := mathrand.Uint64()
	t.Logf("seed %d", seed)
	rng := mathrand.New(mathrand.NewPCG(seed, 1))
	d := newDrill(t)
	e := &erasing{shell: onDisk(t), dir: string(d.dir)}
	server, err := d.start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cut := 0
	for n := range rounds {
		ssin := ringtest.SSIN(n).Reveal()
		e.person = file(t, "ssin.txt", ssin)
		line := fmt.Sprintf(`{"ssin":"%s","documentType":"householdComposition","sourceReference":"kill","validFrom":"2026-01-01","content":{"address":{"municipality":"Canaryville","postalCode":"1000"},"asOf":"2026-01-01","householdSize":4,"members":[{"relation":"child"}]}}`, ssin)
		night := file(t, "night.jsonl", line+"\n")
		e.must(0, e.at("documents", "import", "--org", "0308356862", night)...)
		id := e.request()
		e.must(0, e.at("erase", "approve", "--yes", id)...)
		select {
		case <-time.After(time.Duration(rng.Int64N(int64(6 * time.Millisecond)))): // a moment of the erasure, whichever
		case <-server.ended:
		}
		server.kill()
		if server, err = d.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		var now contract.Erasure
		e.decode(e.must(0, e.at("erase", "status", "--json", id)...).out, &now)
		if now.State != contract.ErasureStateKeysDestroyed {
			cut++
		}
		e.finish(id)
		certificate := file(t, "certificate.json", e.must(0, e.at("erase", "certificate", "--json", id)...).out)
		keys := file(t, "keys.json", e.must(0, e.at("erase", "keys", "--json")...).out)
		log := file(t, "log.jsonl", e.must(0, e.at("audit", "replay", "--json")...).out)
		if got := e.must(0, "erase", "verify", certificate, "--key", keys, "--events", log); !strings.Contains(got.out, "events now unreadable  1") {
			t.Errorf("E-3 %s", got.out)
		}
		e.must(exitRefused, e.at("documents", "import", "--org", "0308356862", night)...)
		if got := replayed(t, e.shell, e.dir); got["citizen.key-destroyed"] != float64(n+1) || got["citizen.erasure-started"] != float64(n+1) || got["document.issued"] != float64(n+1) {
			t.Fatalf("E-3 after %d erasures the log has %v", n+1, got)
		}
	}
	t.Logf("%d of %d were not done when the server was back", cut, rounds)
	if err := server.terminate(t.Context()); err != nil {
		t.Error(err)
	}
}

// withoutSignature returns a certificate whose signature somebody took away.
func withoutSignature(t *testing.T, name string) string {
	t.Helper()
	var members map[string]jsontext.Value
	if err := json.Unmarshal([]byte(readFile(t, name)), &members); err != nil {
		t.Fatal(err)
	}
	delete(members, "signature")
	b, err := json.Marshal(members, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// statedBy returns what a certificate attests. One that was lost with the key database is made
// again, under the checkpoint of then and another signature.
func statedBy(t *testing.T, certificate string) string {
	t.Helper()
	var members map[string]jsontext.Value
	if err := json.Unmarshal([]byte(certificate), &members); err != nil {
		t.Fatal(err)
	}
	for _, ofThen := range []string{"checkpoint", "signature"} {
		if len(members[ofThen]) == 0 {
			t.Fatalf("a certificate without %s", ofThen)
		}
		delete(members, ofThen)
	}
	b, err := json.Marshal(members, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

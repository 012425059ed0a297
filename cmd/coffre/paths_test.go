package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coffre/cmd/coffre/vault"
)

// TestF4PathsOfAnyName lets a vault live, from its first document to the restored backup, in
// folders and files of names that are signs elsewhere: in addresses, patterns, shells and
// terminals. A server is reached through its socket there.
func TestF4PathsOfAnyName(t *testing.T) {
	for _, name := range []string{"a b", "é?x=1&y#z%20+[*]\\:;'\"\n\x01", strings.Repeat("long/", 40) + "end"} {
		parent := filepath.Join(t.TempDir(), name)
		if err := os.MkdirAll(parent, 0o700); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(parent, "data")
		put := func(name, content string) string {
			path := filepath.Join(parent, name)
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		s := onDisk(t)
		const line = `{"ssin":"84022711082","documentType":"marriageCertificate","sourceReference":"m-1","validFrom":"2026-03-01","content":{"certificateNumber":"1","country":"BE","date":"2026-03-01"}}`
		s.must(0, "documents", "import", "--data", dir, put("documents 1.jsonl", line))
		stop := servedWith(t, vault.DataDir(dir), vault.Options{})
		person := put("ssin #1", "84022711082")
		if got := s.must(0, "wallet", "show", "--data", dir, "--ssin-file", person); !strings.Contains(got.out, "Marriage") {
			t.Errorf("%q: served: %q", name, got.out)
		}
		s.must(0, "export", "consentLog", "--reason", "audit", "--data", dir, "--out", filepath.Join(parent, "consents 1.csv"))
		stop()

		id, _ := ageKey(t)
		key, archive, back := put("backup key", id.String()+"\n"), filepath.Join(parent, "a backup?"), filepath.Join(parent, "restored data")
		s.must(0, "backup", "--data", dir, "--out", archive, "--recipient", id.Recipient().String(), "--verify", "--identity-file", key)
		s.must(0, "restore", archive, "--data", back, "--identity-file", key, "--no-shred-list", "--yes", "--kek-file", filepath.Join(dir, vault.KEKFile))
		if got := s.must(0, "wallet", "show", "--data", back, "--ssin-file", person); !strings.Contains(got.out, "Marriage") {
			t.Errorf("%q: restored: %q", name, got.out)
		}
	}
}

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// A receipt is put where --out says in the bytes that the vault sent, which are what is signed;
// one that is refused leaves no file.
func TestConsentsReceiptIsKeptAsItWasSent(t *testing.T) {
	const id, sent = "0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44", `{"dct:identifier":"x", "n":1.0}`
	refuse := false
	s := answering(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/vault/v1/consents/"+id+"/receipt" || r.URL.Query().Get("format") != "iso27560" || r.URL.Query().Get("lang") != "fr":
			t.Errorf("asked for %s", r.URL)
		case refuse:
			answer(t, w, 404, map[string]any{"type": "urn:problem-type:belgif:resourceNotFound", "status": 404, "title": "Not Found"})
		default:
			w.Header().Set("Content-Type", "application/ld+json")
			_, _ = w.Write([]byte(sent))
		}
	})
	dir := t.TempDir()
	ask := func(out string) []string {
		return []string{"consents", "receipt", id, "--data", t.TempDir(), "--citizen", id, "--officer", "anna", "--format", "iso27560", "--lang", "fr", "--out", out}
	}
	out := filepath.Join(dir, "receipt.jsonld")
	s.must(0, ask(out)...)
	if b, err := os.ReadFile(out); err != nil || string(b) != sent {
		t.Errorf("the file holds %q, %v", b, err)
	}
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is open to others: %v, %v", info.Mode(), err)
	}
	if got := s.must(0, ask("-")...); got.out != sent {
		t.Errorf("out %q", got.out)
	}
	s.must(exitFailed, ask(out)...) // it is there already
	refuse = true
	s.must(exitFailed, ask(filepath.Join(dir, "none"))...)
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	s.must(exitUsage, append(ask("-"), "--lang", "es")...)
	s.must(exitUsage, "consents", "receipt", "--out", "-", "--data", dir, "--citizen", id)
}

package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"coffre/handlers/contract"
)

// TestOutReplacesNoFileWithoutForce names a file that is there, with every command that
// writes one: nothing is asked of the vault, and the file stays. With --force it is replaced.
func TestOutReplacesNoFileWithoutForce(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	commands := map[string][]string{
		"coffre backup":              {"backup", "--recipient", id.Recipient().String()},
		"coffre registry processing": {"registry", "processing"},
		"coffre export consentLog":   {"export", "consentLog", "--reason", "audit"},
		"coffre export accessLog":    {"export", "accessLog", "--reason", "audit"},
		"coffre export refusals":     {"export", "refusals", "--reason", "audit"},
		"coffre export auditTrail":   {"export", "auditTrail", "--reason", "audit"},
		"coffre export register":     {"export", "register", "--reason", "audit"},
		"coffre audit bundle":        {"audit", "bundle"},
		"coffre citizens report":     {"citizens", "report", "--citizen", anna},
		"coffre consents receipt":    {"consents", "receipt", anna, "--citizen", anna},
		"coffre documents download":  {"documents", "download", anna, anna},
	}
	root, _ := newRoot(newProgram(terminal{}))
	each(root, func(cmd *cobra.Command) {
		if cmd.Flags().Lookup("out") == nil {
			return
		}
		words, known := commands[cmd.CommandPath()]
		if !known {
			t.Fatalf("%s has --out and no row here", cmd.CommandPath())
		}
		delete(commands, cmd.CommandPath())
		t.Run(cmd.Name(), func(t *testing.T) {
			asked := false
			s := answering(t, func(w http.ResponseWriter, r *http.Request) {
				asked = true
				switch {
				case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/exports"):
					answer(t, w, 202, contract.Export{Status: contract.TaskProgress{State: contract.TaskStateDone}})
				case strings.Contains(r.URL.Path, "/exports/") && !strings.HasSuffix(r.URL.Path, "/content"):
					answer(t, w, 200, contract.Export{Status: contract.TaskProgress{State: contract.TaskStateDone}})
				default:
					w.Header().Set("Content-Type", "application/octet-stream")
					_, _ = w.Write([]byte("new")) // a broken answer is seen below
				}
			})
			dir := t.TempDir()
			out := filepath.Join(dir, "kept")
			link := filepath.Join(dir, "link") // leads nowhere, and is there all the same
			if err := os.WriteFile(out, []byte("old"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("nowhere", link); err != nil {
				t.Fatal(err)
			}
			words = append(words, "--data", t.TempDir(), "--out")
			for _, there := range []string{out, link} {
				if got := s.must(exitFailed, append(words, there)...); !strings.Contains(got.err, "--force") || asked {
					t.Errorf("err %q, asked of the vault: %t", got.err, asked)
				}
			}
			if b, err := os.ReadFile(out); err != nil || string(b) != "old" {
				t.Errorf("the file holds %q, %v", b, err)
			}
			if cmd.Name() == "bundle" {
				return // it writes no answer as it is: the tests of tampering read what it writes
			}
			s.must(0, append(words, out, "--force")...)
			s.must(0, append(words, out+"2")...)
			for _, name := range []string{out, out + "2"} {
				b, err := os.ReadFile(name)
				if err != nil || !bytes.Equal(b, []byte("new")) {
					t.Errorf("the file holds %q, %v", b, err)
				}
				if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("the file is open to others: %v, %v", info, err)
				}
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 3 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	})
	if len(commands) > 0 {
		t.Errorf("no such commands: %v", commands)
	}
}

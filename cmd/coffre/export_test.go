package main

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/handlers/contract"
)

const exportID = "0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44"

// exports plays the making of one file, that is ready when it was looked at twice.
func exports(t *testing.T, content, sum string, end contract.TaskState) http.HandlerFunc {
	looks := 0
	return func(w http.ResponseWriter, r *http.Request) {
		e := contract.Export{ExportID: uuid.MustParse(exportID), Kind: contract.ExportKindConsentLog, Format: contract.ExportFormatCsv}
		switch r.Method + " " + r.URL.Path {
		case "POST /vault/v1/exports":
			e.Status = contract.TaskProgress{State: contract.TaskStateProcessing}
			answer(t, w, 202, e)
		case "GET /vault/v1/exports/" + exportID:
			e.Status = contract.TaskProgress{State: contract.TaskStateProcessing, PollAfter: time.Now().Add(time.Millisecond)}
			if looks++; looks > 1 {
				e.Status = contract.TaskProgress{State: end, Problem: contract.Problem{Type: "urn:problem-type:coffre:storageFull", Detail: "no room"}}
				e.Rows, e.Sha256 = new(int64(1)), sum
			}
			answer(t, w, 200, e)
		case "GET /vault/v1/exports/" + exportID + "/content":
			w.Header().Set("Content-Type", "text/csv")
			_, _ = w.Write([]byte(content))
		default:
			t.Errorf("asked for %s %s", r.Method, r.URL.Path)
		}
	}
}

func TestExportIsWholeOrNotThere(t *testing.T) {
	content := "consentId,decision\n1,granted\n"
	hash := sha256.Sum256([]byte(content))
	sum := hex.EncodeToString(hash[:])

	dir := t.TempDir()
	out := filepath.Join(dir, "consents.csv")
	got := answering(t, exports(t, content, sum, contract.TaskStateDone)).must(0, "export", "consentLog", "--reason", "audit", "--data", t.TempDir(), "--out", out)
	if !strings.Contains(got.out, sum) || strings.Contains(got.out, "granted") {
		t.Errorf("out %q", got.out)
	}
	b, err := os.ReadFile(out)
	if err != nil || string(b) != content {
		t.Errorf("the file holds %q, %v", b, err)
	}
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is open to others: %v, %v", info.Mode(), err)
	}

	// Another file than the vault made: the one that is there stays.
	got = answering(t, exports(t, "something else", sum, contract.TaskStateDone)).must(exitFailed, "export", "consentLog", "--reason", "audit", "--data", t.TempDir(), "--out", out, "--force")
	if b, err := os.ReadFile(out); err != nil || string(b) != content || !strings.Contains(got.err, errHash.Error()) {
		t.Errorf("the file holds %q, %v; err %q", b, err, got.err)
	}
	got = answering(t, exports(t, content, sum, contract.TaskStateFailed)).must(exitFailed, "export", "consentLog", "--reason", "audit", "--data", t.TempDir(), "--out", out, "--force")
	if !strings.Contains(got.err, "storageFull: no room") {
		t.Errorf("err %q", got.err)
	}
	got = answering(t, exports(t, content, sum, contract.TaskStateCancelled)).must(exitFailed, "export", "consentLog", "--reason", "audit", "--data", t.TempDir(), "--out", out, "--force")
	if !strings.Contains(got.err, errTaskCancelled.Error()) {
		t.Errorf("err %q", got.err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	got = answering(t, exports(t, content, sum, contract.TaskStateDone)).must(0, "export", "consentLog", "--reason", "audit", "--data", t.TempDir(), "--out", "-")
	if got.out != content || !strings.Contains(got.err, sum) {
		t.Errorf("out %q, err %q", got.out, got.err)
	}
	got = answering(t, exports(t, content, sum, contract.TaskStateDone)).must(exitFailed, "export", "consentLog", "--reason", "audit", "--data", t.TempDir(), "--out", filepath.Join(dir, "no", "where.csv"))
	if !strings.Contains(got.err, fs.ErrNotExist.Error()) && !strings.Contains(got.err, "no such file") {
		t.Errorf("err %q", got.err)
	}
}

// A connection that breaks off in the middle costs what was under way, and the file is whole; of
// another file, or where the vault sends no rest, nothing is put together.
func TestADownloadGoesOnWhereItBroke(t *testing.T) {
	content := strings.Repeat("consentId,decision\n1,granted\n", 20_000)
	hash := sha256.Sum256([]byte(content))
	sum := hex.EncodeToString(hash[:])
	for name, test := range map[string]struct {
		ranges, tag, then string // what the first answer says, and the tag of the file afterwards
		breaks            int    // answers that break off
		code              int
	}{
		"once":                {"bytes", sum, sum, 1, 0},
		"again and again":     {"bytes", sum, sum, maxResumed, 0},
		"more often":          {"bytes", sum, sum, maxResumed + 1, exitFailed},
		"of another file":     {"bytes", sum, strings.Repeat("0", 64), 1, exitFailed},
		"without any rest":    {"none", sum, sum, 1, exitFailed},
		"of a vault that was": {"", "", "", 1, exitFailed},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			rest := exports(t, content, sum, contract.TaskStateDone)
			out := filepath.Join(t.TempDir(), "consents.csv")
			got := answering(t, func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasSuffix(r.URL.Path, "/content") {
					rest(w, r)
					return
				}
				tag := test.tag
				if asked++; asked > 1 {
					tag = test.then
				}
				w.Header().Set("Accept-Ranges", test.ranges)
				w.Header().Set("ETag", `"`+tag+`"`)
				if asked <= test.breaks {
					w = &brokenOff{w, len(content) / (maxResumed + 2)}
				}
				if test.ranges != "bytes" {
					_, _ = w.Write([]byte(content))
					return
				}
				http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
			}).must(test.code, "export", "consentLog", "--reason", "audit", "--data", t.TempDir(), "--out", out)
			if b, err := os.ReadFile(out); test.code == 0 && string(b) != content || test.code != 0 && err == nil {
				t.Errorf("the file holds %d bytes, %v; err %q", len(b), err, got.err)
			}
		})
	}
}

// brokenOff breaks an answer off after some bytes.
type brokenOff struct {
	http.ResponseWriter
	left int
}

func (b *brokenOff) Write(p []byte) (int, error) {
	if n := min(len(p), b.left); n < len(p) {
		_, _ = b.ResponseWriter.Write(p[:n])
		_ = http.NewResponseController(b.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	b.left -= len(p)
	return b.ResponseWriter.Write(p)
}

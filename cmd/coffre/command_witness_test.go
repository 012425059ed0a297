package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"coffre/eventstore/proof"
	"coffre/eventstore/witness/witnesstest"
)

// witnessing is a `coffre witness` that runs.
type witnessing struct {
	url, key string
	said     string
	end      func()
}

// startWitness types coffre witness and reads where it serves and which key it has.
func startWitness(t *testing.T, args ...string) *witnessing {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, err := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		code := newProgram(terminal{In: strings.NewReader(""), Out: io.Discard, Err: err}).run(ctx, append([]string{"witness", "--listen", "127.0.0.1:0"}, args...))
		_ = err.Close()
		ended <- code
	}()
	w := &witnessing{}
	lines := bufio.NewReader(out)
	where, key := regexp.MustCompile(`http://[0-9.:]+/add-checkpoint`), regexp.MustCompile(`^  (\S+\+[0-9a-f]{8}\+\S+)\n$`)
	for w.key == "" {
		line, err := lines.ReadString('\n')
		if w.said += line; err != nil {
			t.Fatalf("the witness ended: %s", w.said)
		}
		if at := where.FindString(line); at != "" {
			w.url = strings.TrimSuffix(at, "/add-checkpoint")
		}
		if m := key.FindStringSubmatch(line); m != nil {
			w.key = m[1]
		}
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	w.end = func() {
		cancel()
		if code, running := <-ended; running && code != 0 {
			t.Errorf("the witness ended with %d", code)
		}
		close(ended)
		w.end = func() {}
	}
	t.Cleanup(func() { w.end() })
	return w
}

func (w *witnessing) post(t *testing.T, body []byte) (int, string) {
	t.Helper()
	r, err := http.Post(w.url+"/add-checkpoint", "", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	answer, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(answer)
}

// raw sends bytes as they are and returns what comes back until the connection is closed.
func (w *witnessing) raw(t *testing.T, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// A witness is started from nothing, cosigns, and after a restart knows its key and what it
// cosigned.
func TestWitnessFromTheCommandLine(t *testing.T) {
	log := witnesstest.New(t, "log.example/1")
	state := filepath.Join(t.TempDir(), "witness.state")
	policy := file(t, "logs.policy", "log "+log.Key.String()+"\nquorum none\n")
	w := startWitness(t, "--state", state, "--name", "witness.example/north", "--policy", policy)
	key, err := proof.ParseKey(w.key)
	if err != nil || key.Name != "witness.example/north" || key.Use != proof.Cosigns || !strings.Contains(w.said, "A new key was made") {
		t.Fatalf("%v, %v: %s", key, err, w.said)
	}
	r := log.Request(t, 0, 3)
	status, line := w.post(t, r.Encode())
	if all, _, err := proof.Cosignatures(append(r.Checkpoint, line...), []proof.NamedKey{key}); status != http.StatusOK || err != nil || len(all) != 1 {
		t.Fatalf("%d %s: %v", status, line, err)
	}
	s := &shell{t: t}
	if got := s.must(exitFailed, "witness", "--state", state, "--log", log.Key.String()); !strings.Contains(got.err, "another process has this state") {
		t.Errorf("a second process: %s", got.err)
	}
	if got := s.must(0, "witness", "key", "--state", state, "--json"); got.out != fmt.Sprintf(`{"name":"witness.example/north","key":%q,"logs":{"log.example/1":3}}`+"\n", w.key) {
		t.Errorf("%s", got.out)
	}
	if got := s.must(0, "witness", "key", "--state", state); !strings.Contains(got.out, w.key) || !strings.Contains(got.out, "3 leaves") {
		t.Errorf("%s", got.out)
	}
	w.end()

	again := startWitness(t, "--state", state, "--log", log.Key.String())
	if again.key != w.key || strings.Contains(again.said, "new key") {
		t.Fatalf("another key: %s", again.said)
	}
	if status, answer := again.post(t, log.Fork(1).Request(t, 0, 3).Encode()); status != http.StatusConflict || answer != "3\n" {
		t.Errorf("it forgot what it cosigned: %d %s", status, answer)
	}
	// What a gateway could read otherwise is refused before anybody reads it.
	body := "POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
	if answer := again.raw(t, body); !strings.HasPrefix(answer, "HTTP/1.1 400 ") {
		t.Errorf("two lengths: %s", answer)
	}
}

func TestWitnessSaysWhatIsMissing(t *testing.T) {
	log := witnesstest.New(t, "log.example/1").Key.String()
	state := filepath.Join(t.TempDir(), "witness.state")
	s := &shell{t: t}
	for says, args := range map[string][]string{
		"name a new witness with --name": {"--state", state, "--log", log},
		"--name is a name without":       {"--state", state, "--log", log, "--name", "two words"},
		"--log or --policy is missing":   {"--state", state},
		"--log is the verifier key":      {"--state", state, "--log", "secret42"},
		"--policy has no line of a log":  {"--state", state, "--policy", file(t, "p", "quorum none\n")},
		"--policy: line 1: ":             {"--state", state, "--policy", file(t, "p", "secret42\n")},
		"--policy: no such file":         {"--state", state, "--policy", filepath.Join(t.TempDir(), "none")},
		"--listen is HOST:PORT":          {"--state", state, "--log", log, "--listen", "8090"},
	} {
		if got := s.must(exitUsage, append([]string{"witness"}, args...)...); !strings.Contains(got.err, says) || strings.Contains(got.err, "secret42") {
			t.Errorf("%v: %s", args, got.err)
		}
	}
	s.must(exitFailed, "witness", "key", "--state", state)
}

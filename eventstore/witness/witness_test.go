package witness_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"coffre/eventstore/proof"
	"coffre/eventstore/witness"
	"coffre/eventstore/witness/witnesstest"
)

const name = "witness.example/w1"

var now = time.Unix(1_772_366_415, 0).UTC()

// watching is a witness of logs, with the file of its state and what it logged.
type watching struct {
	*witness.Witness
	state  *witness.State
	path   string
	server *httptest.Server
	logged *bytes.Buffer
}

// open makes a process of the witness whose state lies at a path.
func open(t *testing.T, path string, logs ...*witnesstest.Log) *watching {
	t.Helper()
	state, _, err := witness.Open(path, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = state.Close() })
	var keys []proof.NamedKey
	for _, l := range logs {
		keys = append(keys, l.Key)
	}
	w := &watching{state: state, path: path, logged: new(bytes.Buffer)}
	w.Witness = witness.New(state, keys, func() time.Time { return now }, slog.New(slog.NewTextHandler(w.logged, nil)))
	w.server = httptest.NewServer(w.Handler())
	t.Cleanup(w.server.Close)
	return w
}

func newWatching(t *testing.T, logs ...*witnesstest.Log) *watching {
	return open(t, filepath.Join(t.TempDir(), "witness.state"), logs...)
}

// post submits a body and returns status, media type and body of the answer.
func (w *watching) post(t *testing.T, body []byte) (int, string, string) {
	t.Helper()
	r, err := http.Post(w.server.URL+"/add-checkpoint", "", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	answer, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, r.Header.Get("Content-Type"), string(answer)
}

// cosigns submits a request and has the cosignature verified.
func (w *watching) cosigns(t *testing.T, r witness.Request) proof.Cosignature {
	t.Helper()
	status, _, line := w.post(t, r.Encode())
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, line)
	}
	all, wrong, err := proof.Cosignatures(append(bytes.Clone(r.Checkpoint), line...), []proof.NamedKey{w.Key()})
	if err != nil || len(all) != 1 || len(wrong) > 0 || !all[0].At.Equal(now) || all[0].Line != line {
		t.Fatalf("%v, %v, %v: %q", all, wrong, err, line)
	}
	return all[0]
}

// The answers that C2SP tlog-witness says, in the order in which a request is judged.
func TestWitnessAnswersAsTheProtocolSays(t *testing.T) {
	log, stranger := witnesstest.New(t, "log.example/1"), witnesstest.New(t, "log.example/2")
	w := newWatching(t, log)
	body := func(r witness.Request) string { return string(r.Encode()) }
	replace := func(from, to string, r witness.Request) string {
		b := body(r)
		if strings.Count(b, from) == 0 {
			t.Fatalf("no %q in %q", from, b)
		}
		return strings.Replace(b, from, to, 1)
	}
	without := func(r witness.Request) witness.Request { r.Proof = r.Proof[1:]; return r }
	from := func(old int64, r witness.Request) witness.Request { r.Old = old; return r }
	with := func(r witness.Request, h proof.Hash) witness.Request {
		r.Proof = append(slices.Clone(r.Proof), h)
		return r
	}
	const said = 5 // leaves that were cosigned last
	w.cosigns(t, log.Request(t, 0, 3))
	w.cosigns(t, log.Request(t, 3, said))
	w.cosigns(t, log.Request(t, said, said)) // again, as the log signs again while nothing happens
	for what, c := range map[string]struct {
		body   string
		status int
		answer string
	}{
		"no old size":          {body(log.Request(t, 0, 7))[len("old 0\n"):], 400, ""},
		"a size with a zero":   {replace("old 5", "old 05", log.Request(t, said, 7)), 400, ""},
		"a size with a sign":   {replace("old 5", "old +5", log.Request(t, said, 7)), 400, ""},
		"a negative size":      {replace("old 5", "old -5", log.Request(t, said, 7)), 400, ""},
		"two blanks":           {replace("old 5", "old  5", log.Request(t, said, 7)), 400, ""},
		"a carriage return":    {replace("old 5\n", "old 5\r\n", log.Request(t, said, 7)), 400, ""},
		"a hash cut short":     {replace("old 5\n", "old 5\nAAAA\n", log.Request(t, said, 7)), 400, ""},
		"64 hashes":            {replace("old 5\n", "old 5\n"+strings.Repeat(strings.Repeat("A", 43)+"=\n", 64), log.Request(t, said, said)), 400, ""},
		"no checkpoint":        {"old 5\n\n", 400, ""},
		"no note":              {"old 5\n\nlog.example/1\n7\n", 400, ""},
		"no signature lines":   {strings.Split(body(log.Request(t, said, 7)), "\u2014")[0], 400, ""},
		"a size beyond":        {body(from(8, log.Request(t, 0, 7))), 400, ""},
		"an unknown log":       {body(stranger.Request(t, 0, 7)), 404, ""},
		"another key":          {body(log.Rotated(t).Request(t, said, 7)), 403, ""},
		"another size signed":  {replace("\n7\n", "\n8\n", log.Request(t, said, 7)), 403, ""},
		"an earlier size":      {body(log.Request(t, 3, 7)), 409, "5\n"},
		"from nothing":         {body(log.Request(t, 0, 7)), 409, "5\n"},
		"a later size":         {body(log.Request(t, 6, 7)), 409, "5\n"},
		"a smaller checkpoint": {body(log.Request(t, 3, 4)), 409, "5\n"},
		"another root":         {body(log.Fork(2).Request(t, said, said)), 409, ""},
		"another history":      {body(log.Fork(2).Request(t, said, 7)), 422, ""},
		"no proof":             {body(witness.Request{Old: said, Checkpoint: log.Checkpoint(t, 7)}), 422, ""},
		"a hash missing":       {body(without(log.Request(t, said, 7))), 422, ""},
		"a hash too many":      {body(with(log.Request(t, said, 7), proof.Hash{1})), 422, ""},
		"a proof of the same":  {body(with(log.Request(t, said, said), proof.Hash{1})), 422, ""},
		"more than it may":     {replace("old 5\n", "old 5\n"+strings.Repeat("x", witness.MaxRequest), log.Request(t, said, 7)), 413, ""},
	} {
		status, media, answer := w.post(t, []byte(c.body))
		if status != c.status || c.answer != "" && (answer != c.answer || media != "text/x.tlog.size") || c.answer == "" && media == "text/x.tlog.size" {
			t.Errorf("%s: %d %s %q", what, status, media, answer)
		}
	}
	w.cosigns(t, log.Request(t, said, 7)) // nothing of that moved it
	if !strings.Contains(w.logged.String(), "two checkpoints of one size that disagree") || strings.Count(w.logged.String(), "log.example/1\\n5\\n") != 2 {
		t.Errorf("both checkpoints are evidence: %s", w.logged)
	}
	fresh := newWatching(t, log)
	if status, _, _ := fresh.post(t, []byte(body(with(log.Request(t, 0, 7), proof.Hash{1})))); status != 422 {
		t.Errorf("a proof from nothing: %d", status)
	}
	if status, _, _ := fresh.post(t, []byte(body(log.Request(t, 3, 7)))); status != 409 {
		t.Errorf("a size that was never cosigned: %d", status)
	}
}

func TestWitnessAnswersNothingElse(t *testing.T) {
	log := witnesstest.New(t, "log.example/1")
	w := newWatching(t, log)
	for what, c := range map[string]struct {
		method, path, encoding string
		status                 int
	}{
		"another method":  {http.MethodGet, "/add-checkpoint", "", 405},
		"another path":    {http.MethodPost, "/", "", 404},
		"a path below":    {http.MethodPost, "/add-checkpoint/", "", 404},
		"parameters":      {http.MethodPost, "/add-checkpoint?x=1", "", 400},
		"a lone question": {http.MethodPost, "/add-checkpoint?", "", 400},
		"an encoding":     {http.MethodPost, "/add-checkpoint", "gzip", 415},
	} {
		r := httptest.NewRequest(c.method, c.path, bytes.NewReader(log.Request(t, 0, 1).Encode()))
		if c.encoding != "" {
			r.Header.Set("Content-Encoding", c.encoding)
		}
		out := httptest.NewRecorder()
		w.Handler().ServeHTTP(out, r)
		if out.Code != c.status || strings.Contains(out.Body.String(), "\u2014") {
			t.Errorf("%s: %d %s", what, out.Code, out.Body)
		}
	}
}

// A log whose key was replaced goes on with the same history; keys of several logs stand apart.
func TestWitnessKnowsSeveralKeysAndLogs(t *testing.T) {
	log := witnesstest.New(t, "log.example/1")
	rotated, other := log.Rotated(t), witnesstest.New(t, "log.example/2")
	w := newWatching(t, log, rotated, other)
	w.cosigns(t, log.Request(t, 0, 3))
	w.cosigns(t, rotated.Request(t, 3, 600))
	w.cosigns(t, other.Request(t, 0, 2))
	w.cosigns(t, log.Request(t, 600, 601))
	r := witness.Request{Old: 2, Checkpoint: other.Checkpoint(t, 2, "time 2026-03-01T12:00:15.123456Z", "more")}
	w.cosigns(t, r) // lines that a log adds are signed with the rest
	if got := w.state.Sizes(); got["log.example/1"] != 601 || got["log.example/2"] != 2 {
		t.Errorf("%v", got)
	}
}

var errCrash = errors.New("crash")

// However the process ends while it keeps a checkpoint, and whatever it is asked for then: two
// histories never both get a cosignature.
func TestCrashAtEveryStepOfCosigning(t *testing.T) {
	log := witnesstest.New(t, "log.example/1")
	fork := log.Fork(4)
	steps := []string{"write", "sync", "close", "rename", "sync the folder", "end"}
	for _, step := range steps {
		t.Run(step, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "witness.state")
			w := open(t, path, log)
			w.cosigns(t, log.Request(t, 0, 3))
			met := false
			w.state.Fault(func(at string) error {
				if at != step {
					return nil
				}
				met = true
				return errCrash
			})
			if c, err := w.Add(log.Request(t, 3, 6)); !errors.Is(err, errCrash) || c.Line != "" || !met {
				t.Fatalf("a cosignature left before the state was kept: %q, %v", c.Line, err)
			}
			if err := w.state.Close(); err != nil {
				t.Fatal(err)
			}
			again := open(t, path, log)
			if _, err := os.Stat(path + ".new"); !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("an unfinished file with the key was left behind: %v", err)
			}
			// The log goes on where the witness is, as its protocol says.
			old := again.state.Sizes()["log.example/1"]
			if old != 3 && old != 6 {
				t.Fatalf("the witness is at %d", old)
			}
			if renamed := slices.Index(steps, step) > slices.Index(steps, "rename"); renamed != (old == 6) {
				t.Fatalf("the witness is at %d after a crash before %q", old, step)
			}
			again.cosigns(t, log.Request(t, old, 6))
			for _, r := range []witness.Request{fork.Request(t, 6, 6), fork.Request(t, 6, 7), fork.Request(t, 3, 6)} {
				if c, err := again.Add(r); err == nil {
					t.Fatalf("two histories were cosigned: %q", c.Line)
				}
			}
		})
	}
}

// A write that failed in a process that goes on is as one that did not happen.
func TestWitnessGoesOnAfterAFailedWrite(t *testing.T) {
	log := witnesstest.New(t, "log.example/1")
	w := newWatching(t, log)
	w.cosigns(t, log.Request(t, 0, 3))
	w.state.Fault(func(at string) error {
		if at == "sync" {
			return errCrash
		}
		return nil
	})
	if status, _, answer := w.post(t, log.Request(t, 3, 6).Encode()); status != http.StatusInternalServerError || strings.Contains(answer, "crash") {
		t.Fatalf("%d %s", status, answer)
	}
	w.state.Fault(nil)
	w.cosigns(t, log.Request(t, 3, 6))
}

// Of several who submit at the same time nobody takes the witness back.
func TestWitnessIsAskedAtOnce(t *testing.T) {
	log := witnesstest.New(t, "log.example/1")
	w := newWatching(t, log)
	w.cosigns(t, log.Request(t, 0, 1))
	const many = 8
	requests := make([]witness.Request, many)
	for i := range requests {
		requests[i] = log.Request(t, 1, int64(2+i))
	}
	won := make(chan int64, many)
	for i, r := range requests {
		go func() {
			if _, err := w.Add(r); err != nil {
				won <- 0
				return
			}
			won <- int64(2 + i)
		}()
	}
	var winner int64
	for range many {
		if n := <-won; n > 0 && winner > 0 {
			t.Errorf("%d and %d were cosigned from one", winner, n)
		} else if n > 0 {
			winner = n
		}
	}
	if got := w.state.Sizes()["log.example/1"]; winner == 0 || got != winner {
		t.Errorf("%d was cosigned, the state has %d", winner, got)
	}
}

func TestStateIsOfOneWitnessAndOneProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "witness.state")
	if _, _, err := witness.Open(path, ""); !errors.Is(err, witness.ErrNoState) {
		t.Errorf("without a name nothing is made: %v", err)
	}
	if _, _, err := witness.Open(path, "two words"); !errors.Is(err, proof.ErrKey) {
		t.Errorf("a name that no note can hold: %v", err)
	}
	s, made, err := witness.Open(path, name)
	if err != nil || !made {
		t.Fatalf("%v, %v", made, err)
	}
	if _, _, err := witness.Open(path, name); !errors.Is(err, witness.ErrInUse) {
		t.Errorf("a second process: %v", err)
	}
	key := s.Key()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := witness.Open(path, "other.example/w"); !errors.Is(err, witness.ErrOtherName) {
		t.Errorf("another name: %v", err)
	}
	for _, n := range []string{"", name} {
		s, made, err := witness.Open(path, n)
		if err != nil || made || !s.Key().Equal(key) {
			t.Fatalf("%v, %v", made, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A state that is not whole, or that others can read, is refused: a witness that begins anew
// under its old name would cosign anything.
func TestDamagedStateIsRefused(t *testing.T) {
	log := witnesstest.New(t, "log.example/1")
	w := newWatching(t, log)
	w.cosigns(t, log.Request(t, 0, 3))
	if err := w.state.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(w.path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(w.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	for what, b := range map[string]string{
		"empty":            "",
		"cut off":          string(whole[:len(whole)-3]),
		"more behind":      string(whole) + "{}",
		"an unknown field": strings.Replace(string(whole), `"format"`, `"more": 1, "format"`, 1),
		"another format":   strings.Replace(string(whole), `"format": 1`, `"format": 2`, 1),
		"no logs":          strings.Replace(string(whole), `"logs"`, `"Logs2"`, 1),
		"another origin":   strings.Replace(string(whole), `"log.example/1": `, `"log.example/2": `, 1),
		"no checkpoint":    strings.Replace(string(whole), `"log.example/1\n3\n`, `"log.example/1\nx\n`, 1),
	} {
		if b == string(whole) {
			t.Fatalf("%s: nothing was changed: %s", what, whole)
		}
		if err := os.WriteFile(w.path, []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := witness.Open(w.path, name); err == nil {
			t.Errorf("%s: it was opened", what)
		}
	}
	if err := os.WriteFile(w.path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(w.path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := witness.Open(w.path, name); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("readable by others: %v", err)
	}
}

// The client tells every answer apart, believes none that the witness's key did not sign, and
// repeats nothing of it.
func TestClientAsksAWitness(t *testing.T) {
	log := witnesstest.New(t, "log.example/1")
	w := newWatching(t, log)
	c := &witness.Client{HTTP: w.server.Client(), Key: w.Key(), URL: w.server.URL}
	if one, err := c.Add(t.Context(), log.Request(t, 0, 3)); err != nil || !one.Witness.Equal(w.Key()) || !one.At.Equal(now) {
		t.Fatalf("%+v, %v", one, err)
	}
	var size *witness.SizeError
	if _, err := c.Add(t.Context(), log.Request(t, 0, 5)); !errors.As(err, &size) || size.Size != 3 {
		t.Errorf("%v", err)
	}
	for want, r := range map[error]witness.Request{
		witness.ErrForked:       log.Fork(1).Request(t, 3, 3),
		witness.ErrInconsistent: log.Fork(1).Request(t, 3, 5),
		proof.ErrSignature:      log.Rotated(t).Request(t, 3, 5),
		proof.ErrOrigin:         witnesstest.New(t, "log.example/2").Request(t, 0, 5),
	} {
		if _, err := c.Add(t.Context(), r); !errors.Is(err, want) {
			t.Errorf("%v, not %v", err, want)
		}
	}
	other := newWatching(t, log)
	answers := map[string]struct {
		status int
		media  string
		body   string
		want   error
	}{
		"another key":             {200, "", other.cosigns(t, log.Request(t, 0, 4)).Line, witness.ErrAnswer},
		"nothing":                 {200, "", "", witness.ErrAnswer},
		"too much":                {200, "", strings.Repeat("x", 1<<17), witness.ErrAnswer},
		"a page":                  {200, "text/html", "<p>secret42</p>", witness.ErrAnswer},
		"a redirect":              {302, "", "", witness.ErrAnswer},
		"a size of words":         {409, "text/x.tlog.size", "secret42\n", witness.ErrAnswer},
		"a size without an end":   {409, "text/x.tlog.size", "7", witness.ErrAnswer},
		"the size that was asked": {409, "text/x.tlog.size", "3\n", witness.ErrAnswer},
		"overloaded":              {429, "", "", witness.ErrAway},
		"broken":                  {503, "", "secret42", witness.ErrAway},
	}
	for what, a := range answers {
		server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
			out.Header().Set("Content-Type", a.media)
			out.WriteHeader(a.status)
			fmt.Fprint(out, a.body)
		}))
		c := &witness.Client{HTTP: server.Client(), Key: w.Key(), URL: server.URL}
		if _, err := c.Add(t.Context(), log.Request(t, 3, 4)); !errors.Is(err, a.want) || strings.Contains(err.Error(), "secret42") || strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("%s: %v", what, err)
		}
		server.Close()
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	c.URL = gone.URL
	if _, err := c.Add(t.Context(), log.Request(t, 3, 4)); !errors.Is(err, witness.ErrAway) || strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("nobody there: %v", err)
	}
}

// A witness that answers with a size for roots that disagree, as others do, is understood.
func TestClientKnowsAForkByTheSize(t *testing.T) {
	log := witnesstest.New(t, "log.example/1")
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("Content-Type", "text/x.tlog.size")
		out.WriteHeader(http.StatusConflict)
		fmt.Fprint(out, "3\n")
	}))
	defer server.Close()
	c := &witness.Client{HTTP: server.Client(), Key: proof.NamedKey{Name: name, Use: proof.Cosigns, Public: log.Key.Public}, URL: server.URL}
	if _, err := c.Add(t.Context(), log.Request(t, 3, 3)); !errors.Is(err, witness.ErrForked) {
		t.Errorf("%v", err)
	}
}

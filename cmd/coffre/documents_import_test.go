package main

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/contract"
)

// lines returns n lines about some citizens, in turn.
func lines(n, citizens int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"ssin":"%011d","sourceReference":"r-%d"}`+"\n", i%citizens, i)
	}
	return b.String()
}

// register plays the issuing of documents and notes what came.
type register struct {
	t    *testing.T
	deny func(line string, try int) (status int, slug string) // 0: take it

	mu            sync.Mutex
	keys          map[string][]string // idempotency keys by line
	byCitizen     map[string][]string
	now, mostEver int
}

func (r *register) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path != "/vault/v1/documents" || req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/json" {
		r.t.Errorf("asked for %s %s as %q", req.Method, req.URL.Path, req.Header.Get("Content-Type"))
	}
	line := body(r.t, req)
	var of struct{ SSIN, SourceReference string }
	if json.Unmarshal([]byte(line), &of, json.MatchCaseInsensitiveNames(true)) != nil {
		of.SSIN = "?"
	}
	r.mu.Lock()
	r.now++
	r.mostEver = max(r.mostEver, r.now)
	r.keys[line] = append(r.keys[line], req.Header.Get("Idempotency-Key"))
	try := len(r.keys[line])
	status, slug := 0, ""
	if r.deny != nil {
		status, slug = r.deny(line, try)
	}
	known := status == 0 && slices.Contains(r.byCitizen[of.SSIN], of.SourceReference)
	if status == 0 && !known {
		r.byCitizen[of.SSIN] = append(r.byCitizen[of.SSIN], of.SourceReference)
	}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.now--
	}()
	switch {
	case status != 0:
		refuse(r.t, w, status, slug, "no")
	case known:
		answer(r.t, w, 200, contract.DocumentReceipt{Version: 1, State: contract.DocumentStateValid})
	default:
		answer(r.t, w, 201, contract.DocumentReceipt{Version: 1, State: contract.DocumentStateValid})
	}
}

func newRegister(t *testing.T) *register {
	return &register{t: t, keys: map[string][]string{}, byCitizen: map[string][]string{}}
}

func TestImportKeepsTheOrderOfACitizen(t *testing.T) {
	r := newRegister(t)
	s := answering(t, r.ServeHTTP)
	name := file(t, "documents.jsonl", lines(200, 9))
	dir := t.TempDir()
	if got := s.must(0, "documents", "import", "--data", dir, name); got.out != "200 lines: 200 issued, 0 unchanged, 0 refused\n" || got.err != "" {
		t.Errorf("out %q, err %q", got.out, got.err)
	}
	for ssin, references := range r.byCitizen {
		for i := 1; i < len(references); i++ {
			var a, b int
			if _, err := fmt.Sscanf(references[i-1]+" "+references[i], "r-%d r-%d", &a, &b); err != nil || a > b {
				t.Fatalf("citizen %s: %v", ssin, references)
			}
		}
	}
	if r.mostEver > inFlight {
		t.Errorf("%d requests at a time, want at most %d", r.mostEver, inFlight)
	}
	// Once more, and from standard input: nothing is new.
	if got := s.must(0, "documents", "import", "--data", dir, name, "--json"); got.out != `{"issued":0,"lines":200,"refused":0,"unchanged":200}`+"\n" {
		t.Errorf("out %q", got.out)
	}
	s.in = lines(3, 9)
	if got := s.must(0, "documents", "import", "--data", dir, "-"); got.out != "3 lines: 0 issued, 3 unchanged, 0 refused\n" {
		t.Errorf("out %q", got.out)
	}
}

// Spreadsheets and editors begin a file with a byte-order mark and end lines with CRLF; a mark
// further on is what it is elsewhere, no JSON.
func TestF15ImportOfAFileWithAByteOrderMark(t *testing.T) {
	r := newRegister(t)
	r.deny = func(line string, _ int) (int, string) {
		if !jsontext.Value(line).IsValid() {
			return 400, "malformed"
		}
		return 0, ""
	}
	s := answering(t, r.ServeHTTP)
	text := "\ufeff" + strings.ReplaceAll(lines(3, 2), "\n", "\r\n")
	if got := s.must(0, "documents", "import", "--data", t.TempDir(), file(t, "documents.jsonl", text)); got.out != "3 lines: 3 issued, 0 unchanged, 0 refused\n" {
		t.Errorf("out %q, err %q", got.out, got.err)
	}
	s.in = "\ufeff"
	if got := s.must(0, "documents", "import", "--data", t.TempDir(), "-"); got.out != "0 lines: 0 issued, 0 unchanged, 0 refused\n" {
		t.Errorf("out %q, err %q", got.out, got.err)
	}
	s.in = lines(1, 1) + "\n\ufeff{}"
	if got := s.must(exitRefused, "documents", "import", "--data", t.TempDir(), "-"); !strings.HasPrefix(got.out, "2 lines: 0 issued, 1 unchanged, 1 refused") {
		t.Errorf("out %q, err %q", got.out, got.err)
	}
}

// TestImportTellsNoValue has lines refused whose every value is a secret.
func TestImportTellsNoValue(t *testing.T) {
	r := newRegister(t)
	r.deny = func(line string, _ int) (int, string) {
		switch {
		case !jsontext.Value(line).IsValid():
			return 400, "malformed"
		case strings.Contains(line, "wrong"):
			return 409, "documentAlreadyIssued"
		}
		return 0, ""
	}
	s := answering(t, r.ServeHTTP)
	name := file(t, "documents.jsonl", strings.Join([]string{
		`{"ssin":"53480200724","sourceReference":"fine"}`,
		``,
		`{"ssin":"53480200724","sourceReference":"wrong-secret"}`,
		`not json, secret`,
		`{"ssin":"53480200724","content":"` + strings.Repeat("secret", maxLine/6+1) + `"}`,
		`  `,
		`{"ssin":"84022711082","sourceReference":"fine too"}`,
	}, "\n"))
	got := s.must(exitRefused, "documents", "import", "--data", t.TempDir(), name)
	if got.out != "5 lines: 2 issued, 0 unchanged, 3 refused\n" {
		t.Errorf("out %q", got.out)
	}
	if strings.Contains(got.err, "secret") || strings.Contains(got.err, "5348") {
		t.Errorf("a refused line is told with what it says: %q", got.err)
	}
	told := slices.Sorted(strings.Lines(got.err))
	want := []string{
		"line 3: refused: urn:problem-type:coffre:documentAlreadyIssued: no\n",
		"line 4: refused: urn:problem-type:coffre:malformed: no\n",
		"line 5: refused: urn:problem-type:belgif:payloadTooLarge: a line has at most 327680 bytes\n",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	got = s.must(exitRefused, "documents", "import", "--data", t.TempDir(), "--json", name, name)
	if n := strings.Count(got.out, `"type":"urn:problem-type:`); n != 6 || !strings.Contains(got.err, name+" line 3") {
		t.Errorf("%d refusals on standard output, want 6; err %q", n, got.err)
	}
}

func TestImportWaitsForABusyVault(t *testing.T) {
	for _, slug := range []string{"overloaded", "requestInFlight"} {
		r := newRegister(t)
		r.deny = func(_ string, try int) (int, string) {
			if try == 1 {
				return map[string]int{"overloaded": 503, "requestInFlight": 409}[slug], slug
			}
			return 0, ""
		}
		s := answering(t, r.ServeHTTP)
		s.must(0, "documents", "import", "--data", t.TempDir(), file(t, "documents.jsonl", lines(3, 3)))
		for line, keys := range r.keys {
			if len(keys) != 2 || keys[0] != keys[1] || keys[0] == "" {
				t.Errorf("%s: line %s went with the keys %v, want one key twice", slug, line, keys)
			}
		}
	}
}

func TestImportEndsOnAFault(t *testing.T) {
	r := newRegister(t)
	r.deny = func(line string, _ int) (int, string) {
		if strings.Contains(line, "r-5") {
			return 500, "internalServerError"
		}
		return 0, ""
	}
	s := answering(t, r.ServeHTTP)
	got := s.must(exitFailed, "documents", "import", "--data", t.TempDir(), file(t, "documents.jsonl", lines(8, 8)))
	if !strings.Contains(got.err, "line 6: internalServerError") || !strings.Contains(got.out, " lines: ") {
		t.Errorf("out %q, err %q", got.out, got.err)
	}
	r.deny = func(string, int) (int, string) { return 401, "expiredAccessToken" }
	s.must(exitFailed, "documents", "import", "--data", t.TempDir(), file(t, "documents.jsonl", lines(8, 8)))
	missing := s.must(exitFailed, "documents", "import", "--data", t.TempDir(), "nowhere.jsonl")
	if !strings.Contains(missing.err, "nowhere.jsonl: no such file") || strings.Contains(missing.err, os.TempDir()) {
		t.Errorf("err %q", missing.err)
	}
}

// TestImportKeysAreNotMadeOfTheLine: the vault keeps them in clear.
func TestImportKeysAreNotMadeOfTheLine(t *testing.T) {
	r := newRegister(t)
	s := answering(t, r.ServeHTTP)
	name := file(t, "documents.jsonl", lines(1, 1))
	for range 2 {
		s.must(0, "documents", "import", "--data", t.TempDir(), name)
	}
	for _, keys := range r.keys {
		if len(keys) != 2 || keys[0] == keys[1] {
			t.Errorf("the same line has the same key in every run: %v", keys)
		}
	}
}

// Files that no document names are listed page by page: of one issuer as the issuer, else of
// all as an operator.
func TestUnclaimedFilesShowEveryPage(t *testing.T) {
	ids := []uuid.UUID{newErasureID(1).UUID, newErasureID(2).UUID}
	for _, more := range [][]string{nil, {"--org", "0220916609"}} {
		var asked []string
		sh := answering(t, func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.Method+" "+r.URL.Path+"?"+r.URL.Query().Encode())
			page := contract.UnclaimedAttachments{Items: []contract.UnclaimedAttachment{{AttachmentID: domain.AttachmentID{UUID: ids[min(len(asked), 2)-1]}, Issuer: "0220916609"}}}
			if len(asked) == 1 {
				page.NextCursor = "theNext"
			}
			answer(t, w, 200, page)
		})
		out := sh.must(0, append([]string{"documents", "unclaimed", "--data", t.TempDir()}, more...)...).out
		for _, id := range ids {
			if strings.Count(out, id.String()) != 1 {
				t.Errorf("%s is not shown once in\n%s", id, out)
			}
		}
		if want := []string{"GET /vault/v1/attachments?pageSize=200", "GET /vault/v1/attachments?after=theNext&pageSize=200"}; !slices.Equal(asked, want) {
			t.Errorf("asked for %q", asked)
		}
	}
	onDisk(t).must(exitUsage, "documents", "unclaimed", "--data", t.TempDir(), "--org", "1")
}

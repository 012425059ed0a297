package edge

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

// echoing answers each request with its method, its path and the length of its body.
var echoing = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	_, _ = fmt.Fprintf(w, "%s %s %d", r.Method, r.URL.Path, n) // whoever asked reads it, or does not
})

const (
	plainPost = "POST /a HTTP/1.1\r\nHost: vault\r\n"
	hiddenGet = "GET /smuggled HTTP/1.1\r\nHost: vault\r\n\r\n"
	atOnce    = 1 << 20 // a piece that holds all
	oneChunk  = "3\r\nabc\r\n0\r\n\r\n"
)

// A request that a gateway and the vault may take for two different ones is answered with an
// error, the connection is closed, and nothing that was sent after it is served. It is so
// however the bytes are cut, and also after a request that was answered.
func TestAmbiguousRequestsAreRefusedAndTheConnectionCloses(t *testing.T) {
	at := listening(t, echoing)
	for name, sent := range map[string]string{
		"a length beside chunks":                  plainPost + "Content-Length: 13\r\nTransfer-Encoding: chunked\r\n\r\n" + oneChunk,
		"chunks beside a length":                  plainPost + "transfer-encoding: Chunked\r\ncontent-length: 13\r\n\r\n" + oneChunk,
		"two lengths":                             plainPost + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
		"a length twice":                          plainPost + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		"a list of lengths":                       plainPost + "Content-Length: 3, 3\r\n\r\nabc",
		"a length with a sign":                    plainPost + "Content-Length: +3\r\n\r\nabc",
		"an empty length":                         plainPost + "Content-Length: \r\n\r\n",
		"an encoding twice":                       plainPost + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + oneChunk,
		"another encoding":                        plainPost + "Transfer-Encoding: gzip, chunked\r\n\r\n" + oneChunk,
		"chunks in HTTP/1.0":                      "POST /a HTTP/1.0\r\nHost: vault\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + oneChunk,
		"a bare line feed after the request line": "GET /a HTTP/1.1\nHost: vault\r\n\r\n",
		"a bare line feed after a field":          "GET /a HTTP/1.1\r\nHost: vault\nX-A: b\r\n\r\n",
		"a bare line feed as the end of a head":   "GET /a HTTP/1.1\r\nHost: vault\r\n\n",
		"a bare carriage return":                  "GET /a HTTP/1.1\r\nHost: vault\r\nX-A: b\rContent-Length: 3\r\n\r\n",
		"a value that goes on in the next line":   "GET /a HTTP/1.1\r\nHost: vault\r\nX-A: b\r\n Content-Length: 3\r\n\r\n",
		"a first line that goes on":               "GET /a HTTP/1.1\r\n Host: vault\r\n\r\n",
		"a blank before the colon":                plainPost + "Content-Length : 3\r\n\r\nabc",
		"a tab before the colon":                  plainPost + "Transfer-Encoding\t: chunked\r\n\r\n" + oneChunk,
		"a field without a colon":                 "GET /a HTTP/1.1\r\nHost: vault\r\nnothing\r\n\r\n",
		"several hosts":                           "GET /a HTTP/1.1\r\nHost: vault\r\nHost: other\r\n\r\n",
		"no host":                                 "GET /a HTTP/1.1\r\n\r\n",
		"a host with a blank":                     "GET /a HTTP/1.1\r\nHost: vault other\r\n\r\n",
		"a NUL in a value":                        "GET /a HTTP/1.1\r\nHost: vault\r\nX-A: a\x00b\r\n\r\n",
		"a chunk's size with a bare line feed":    plainPost + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
		"a chunk's size in another form":          plainPost + "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
		"a chunk that is longer than its size":    plainPost + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
		"a chunk that ends in a bare line feed":   plainPost + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n",
		"a trailer with a bare line feed":         plainPost + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: a\n\r\n",
	} {
		for _, before := range []string{"", plainPost + "Content-Length: 3\r\n\r\nabc", plainPost + "Transfer-Encoding: chunked\r\n\r\n" + oneChunk} {
			for _, piece := range []int{1, 7, atOnce} {
				c := dialed(t, at)
				go write(c, before+sent+hiddenGet, piece)
				in := bufio.NewReader(c)
				if before != "" {
					if status, _, err := readAnswer(in); status != 200 || err != nil {
						t.Errorf("%s: the request before is answered %d, %v", name, status, err)
					}
				}
				// Of an answer to who still sends, the system may drop the end.
				if status, body, err := readAnswer(in); (err != nil && piece == atOnce) || err == nil && status != 400 && status != 501 {
					t.Errorf("%s, in pieces of %d: answered %d %q, %v", name, piece, status, body, err)
				}
				if status, body, err := readAnswer(in); err == nil && (status != 400 || strings.Contains(body, "smuggled")) {
					t.Errorf("%s, in pieces of %d: what came after it is answered %d %q", name, piece, status, body)
				}
				_ = c.Close()
			}
		}
	}
}

// Requests that only one reading is possible of are served one after the other on their
// connection, however the bytes are cut.
func TestUnambiguousRequestsAreServedOneAfterTheOther(t *testing.T) {
	at := listening(t, echoing)
	var sent strings.Builder
	var want []string
	for _, one := range []struct{ sent, want string }{
		{"GET /a HTTP/1.1\r\nHost: vault\r\n\r\n", "GET /a 0"},
		{plainPost + "Content-Length: 3\r\n\r\nabc", "POST /a 3"},
		{"\r\nGET /empty/line/before HTTP/1.1\r\nHost: vault\r\n\r\n", "GET /empty/line/before 0"},
		{plainPost + "Content-Length: 0\r\n\r\n", "POST /a 0"},
		{plainPost + "content-length:  4 \r\n\r\n\n\n\r\n", "POST /a 4"},
		{plainPost + "Transfer-Encoding: chunked\r\n\r\n" + oneChunk, "POST /a 3"},
		{plainPost + "Transfer-Encoding: chunked\r\n\r\n3;a=b\r\n\n\r\n\r\nA \r\n0123456789\r\n0\r\nX-Trailer: a\r\n\r\n", "POST /a 13"},
		{plainPost + "X-Long: " + strings.Repeat("x", 9000) + "\r\nContent-Length: 9000\r\n\r\n" + strings.Repeat("\n", 9000), "POST /a 9000"},
		{"GET /last HTTP/1.1\r\nHost:vault\r\nX-Empty:\r\n\r\n", "GET /last 0"},
	} {
		sent.WriteString(one.sent)
		want = append(want, one.want)
	}
	for _, piece := range []int{1, 5, 4096, 1 << 20} {
		c := dialed(t, at)
		go write(c, sent.String(), piece)
		in := bufio.NewReader(c)
		for _, want := range want {
			if status, body, err := readAnswer(in); status != 200 || body != want || err != nil {
				t.Fatalf("in pieces of %d: %d %q, %v; want %q", piece, status, body, err, want)
			}
		}
		_ = c.Close()
	}
}

// What follows a broken head in the same bytes is never handed on.
func TestNothingAfterABrokenHeadIsRead(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	go write(far, "GET /a HTTP/1.1\r\nHost: vault\n"+hiddenGet, 1<<20)
	got, err := io.ReadAll(iotest.OneByteReader(&strictConn{Conn: near}))
	if err != nil || string(got) != "GET /a HTTP/1.1\r\nHost: vault\x00\r\n\r\n" {
		t.Errorf("read %q, %v", got, err)
	}
}

func BenchmarkFraming(b *testing.B) {
	head := []byte(plainPost + "Authorization: Bearer " + strings.Repeat("x", 700) + "\r\nContent-Type: application/json\r\nIdempotency-Key: 0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")
	var f framing
	for b.Loop() {
		if _, ok := f.follow(head); !ok {
			b.Fatal("refused")
		}
	}
}

func dialed(t *testing.T, at net.Addr) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// write sends a text in pieces, until the other end closes.
func write(c net.Conn, text string, piece int) {
	for len(text) > 0 {
		n := min(piece, len(text))
		if _, err := io.WriteString(c, text[:n]); err != nil {
			return
		}
		text = text[n:]
	}
}

// readAnswer reads one answer.
func readAnswer(in *bufio.Reader) (status int, body string, err error) {
	got, err := http.ReadResponse(in, nil)
	if err != nil {
		return 0, "", err
	}
	defer got.Body.Close()
	b, err := io.ReadAll(got.Body)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return got.StatusCode, string(b), err
}

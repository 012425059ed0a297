package edge

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"

	"coffre/handlers/contract"
)

// refusing is a whole API whose uploads are refused after their first bytes.
type refusing struct{ whole }

var errNoPDF = BadInput("", "fileContent", "no PDF")

// UploadAttachment implements contract.StrictServerInterface.
func (refusing) UploadAttachment(_ context.Context, r contract.UploadAttachmentRequestObject) (contract.UploadAttachmentResponseObject, error) {
	first := make([]byte, 4)
	if _, err := io.ReadFull(r.Body, first); err != nil {
		return nil, err
	}
	return nil, errNoPDF
}

// large is one request with a body that is refused.
type large struct {
	what, path, media, bearer string
	size                      int64
	status                    int
	problem                   string
}

var refusedBodies = []large{
	{"an expired token", "/attachments", "application/pdf", "expired", 9 << 20, 401, "expiredAccessToken"},
	{"no token", "/attachments", "application/pdf", "", 9 << 20, 401, "noAccessToken"},
	{"a wrong role", "/attachments", "application/pdf", "citizen", 9 << 20, 403, "missingPermission"},
	{"no PDF", "/attachments", "application/pdf", "issuer", 9 << 20, 400, "badRequest"},
	{"too large a file", "/attachments", "application/pdf", "issuer", 11 << 20, 413, "payloadTooLarge"},
	{"no media type of files", "/attachments", "text/plain", "issuer", 9 << 20, 415, "unsupportedMediaType"},
	{"too much JSON", "/documents", "application/json", "issuer", 20 << 20, 413, "payloadTooLarge"},
	{"a path that is none", "/nothing", "application/json", "issuer", 9 << 20, 404, "resourceNotFound"},
}

// F39: a refusal arrives at a client that sends the whole body before it reads, whichever
// check refuses it, over plain connections and TLS, HTTP/1.1 and HTTP/2; and the connection
// serves the next request.
func TestF39RefusalsArrive(t *testing.T) {
	s := newServer()
	h := s.Handler(refusing{whole{s: s}})
	plain := listening(t, h).String()
	secured := httptest.NewUnstartedServer(h)
	secured.Config = NewHTTPServer(h)
	secured.EnableHTTP2 = true
	secured.StartTLS()
	t.Cleanup(secured.Close)
	pool := secured.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	for name, dial := range map[string]func() (net.Conn, error){
		"plain": func() (net.Conn, error) { return net.Dial("tcp", plain) },
		"TLS": func() (net.Conn, error) {
			return tls.Dial("tcp", secured.Listener.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "example.com", NextProtos: []string{"http/1.1"}})
		},
	} {
		for _, l := range refusedBodies {
			for _, chunked := range []bool{false, true} {
				t.Run(fmt.Sprintf("HTTP/1.1 %s, %s, chunked %t", name, l.what, chunked), func(t *testing.T) {
					c, err := dial()
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					if chunked && l.status == 413 && l.media == "application/pdf" {
						l.status, l.problem = 411, "lengthRequired" // its length is not known
					} else if chunked && l.problem == "badRequest" {
						l.status, l.problem = 411, "lengthRequired"
					}
					l.writeWhole(t, c, chunked)
					in := bufio.NewReader(c)
					l.wants(t, in)
					if _, err := io.WriteString(c, "GET /livez HTTP/1.1\r\nHost: vault\r\n\r\n"); err != nil {
						t.Fatal(err)
					}
					next, err := http.ReadResponse(in, nil)
					if err != nil || next.StatusCode != 200 {
						t.Errorf("the next request on the connection: %v", err)
					}
				})
			}
		}
	}
	for _, l := range refusedBodies {
		t.Run("HTTP/2, "+l.what, func(t *testing.T) {
			client := secured.Client()
			sent := io.LimitReader(zeros{}, l.size)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, secured.URL+contract.Base+l.path, sent)
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = l.size
			l.header(req.Header)
			answer, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if answer.ProtoMajor != 2 {
				t.Fatalf("spoke %s", answer.Proto)
			}
			l.judge(t, answer)
		})
	}
}

// zeros is endless.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func (l large) header(h http.Header) {
	h.Set("Content-Type", l.media)
	h.Set("Idempotency-Key", uuid.NewString())
	if l.bearer != "" {
		h.Set("Authorization", "Bearer "+l.bearer)
	}
}

// writeWhole sends the request with its whole body, and fails the test when it cannot.
func (l large) writeWhole(t *testing.T, c net.Conn, chunked bool) {
	t.Helper()
	h := http.Header{}
	l.header(h)
	var head strings.Builder
	fmt.Fprintf(&head, "POST %s%s HTTP/1.1\r\nHost: vault\r\n", contract.Base, l.path)
	if chunked {
		h.Set("Transfer-Encoding", "chunked")
	} else {
		h.Set("Content-Length", fmt.Sprint(l.size))
	}
	if err := h.Write(&head); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, head.String()+"\r\n"); err != nil {
		t.Fatal(err)
	}
	piece := make([]byte, 1<<20)
	for left := l.size; left > 0; left -= int64(len(piece)) {
		piece := piece[:min(left, int64(len(piece)))]
		if chunked {
			if _, err := fmt.Fprintf(c, "%x\r\n", len(piece)); err != nil {
				t.Fatalf("the body is not taken: %v", err)
			}
		}
		if _, err := c.Write(piece); err != nil {
			t.Fatalf("the body is not taken, %d bytes are left: %v", left, err)
		}
		if chunked {
			if _, err := io.WriteString(c, "\r\n"); err != nil {
				t.Fatalf("the body is not taken: %v", err)
			}
		}
	}
	if chunked {
		if _, err := io.WriteString(c, "0\r\n\r\n"); err != nil {
			t.Fatalf("the body is not taken: %v", err)
		}
	}
}

func (l large) wants(t *testing.T, in *bufio.Reader) {
	t.Helper()
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.judge(t, answer)
}

func (l large) judge(t *testing.T, answer *http.Response) {
	t.Helper()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != l.status || !strings.Contains(string(text), ":"+l.problem+`"`) {
		t.Errorf("answered %d %s, %v", answer.StatusCode, text, err)
	}
}

// F39: a client that waits to be asked for its body is refused without sending it; and a body
// that is longer than the bound is not read to its end.
func TestF39WhatIsNotRead(t *testing.T) {
	s := newServer()
	at := listening(t, s.Handler(refusing{whole{s: s}})).String()
	for what, asked := range map[string]string{
		"that waits":    "Expect: 100-continue\r\nContent-Length: 9437184",
		"beyond bounds": fmt.Sprintf("Content-Length: %d", drainBytes+1),
	} {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := fmt.Fprintf(c, "POST %s/attachments HTTP/1.1\r\nHost: vault\r\nAuthorization: Bearer expired\r\nContent-Type: application/pdf\r\n%s\r\n\r\n", contract.Base, asked); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || answer.StatusCode != 401 || !answer.Close {
			t.Errorf("a body %s: %+v, %v", what, answer, err)
		}
	}
}

// stuck is a body of which nothing comes until its deadline.
type stuck struct{ read int }

func (s *stuck) Read([]byte) (int, error) {
	s.read++
	return 0, context.DeadlineExceeded
}
func (*stuck) Close() error { return nil }

// Bodies that are thrown away are bounded in number, and a read that fails ends one.
func TestDrainsAreBounded(t *testing.T) {
	s := newServer()
	endless := &stuck{}
	b := &body{ReadCloser: endless, length: 1 << 20}
	w := httptest.NewRecorder()
	s.drain(w, b)
	if endless.read != 1 || s.drains.now != 0 {
		t.Errorf("read %d times, %d go on", endless.read, s.drains.now)
	}
	for range maxDrains {
		if !s.drains.begin() {
			t.Fatal("no room")
		}
	}
	endless = &stuck{}
	w = httptest.NewRecorder()
	s.drain(w, &body{ReadCloser: endless, length: 1 << 20})
	if endless.read != 0 || w.Header().Get("Connection") != "close" {
		t.Errorf("one more is read %d times", endless.read)
	}
}

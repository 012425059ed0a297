package edge

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Bounds on what is read and thrown away of a body that nobody wants, so that a client that
// sends all before it reads gets its refusal (RFC 9112 section 9.6).
const (
	drainBytes = 32 << 20 // of one body
	drainTime  = 10 * time.Second
	maxDrains  = 64 // at a time; beyond them a refusal is sent without
	drainPiece = 32 << 10
)

// body is the body of a request that knows how far it was read.
type body struct {
	io.ReadCloser
	length int64 // as the client said; below 0: it did not
	waits  bool  // the client sends it once it is asked to (Expect: 100-continue)
	read   int64
	ended  bool
}

func newBody(r *http.Request) *body {
	return &body{ReadCloser: r.Body, length: r.ContentLength, waits: strings.EqualFold(r.Header.Get("Expect"), "100-continue")}
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	b.ended = b.ended || err != nil
	return n, err
}

// left reports whether the client may be sending what nobody has read. A client that waits
// to be asked for its body sends nothing, and is told the refusal at once.
func (b *body) left() bool {
	return !b.ended && (b.length < 0 || b.read < b.length) && !(b.waits && b.read == 0)
}

// drains counts the bodies that are thrown away now. The zero value is ready.
type drains struct {
	mu  sync.Mutex
	now int
}

func (d *drains) begin() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.now >= maxDrains {
		return false
	}
	d.now++
	return true
}

func (d *drains) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now--
}

// drain reads and throws away what is left of a request's body, within the bounds. The
// connection is closed after the answer when something is left still.
func (s *Server) drain(w http.ResponseWriter, b *body) {
	if b == nil || !b.left() {
		return
	}
	if b.length <= drainBytes && s.drains.begin() {
		defer s.drains.end()
		until := time.Now().Add(drainTime)
		_ = http.NewResponseController(w).SetReadDeadline(until) // a writer without one reads from memory
		piece := make([]byte, drainPiece)
		for read := int64(0); read <= drainBytes && b.left() && time.Now().Before(until); {
			n, err := b.Read(piece)
			if read += int64(n); err != nil {
				break
			}
		}
	}
	if b.left() {
		w.Header().Set("Connection", "close")
	}
}

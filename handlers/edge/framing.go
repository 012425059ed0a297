package edge

import (
	"bytes"
	"io"
	"net"
	"strconv"
)

// StrictListener returns a listener whose connections carry only HTTP/1 requests that end in
// the same place for whoever reads them. The standard library is lenient where a gateway in
// front may read otherwise, and then hides the rest of one request in the next (request
// smuggling, RFC 9112 section 11.2): it takes a length beside chunks, lengths given twice,
// lines without a carriage return, and values that go on in the next line. On these
// connections such a request is answered 400, and the connection is closed. The requests
// must come in clear: TLS ends in front, or in the listener that is given (SecureListener).
func StrictListener(l net.Listener) net.Listener { return strictListener{l} }

type strictListener struct{ net.Listener }

func (l strictListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &strictConn{Conn: c}, nil
}

// strictConn watches the requests that are read from a connection. What breaks the framing
// is replaced by a byte that no request may hold, so that the server refuses it itself, and
// nothing after it is read. Like a server, it is read by one goroutine at a time.
type strictConn struct {
	net.Conn
	framing framing
	broken  bool
	rest    string // to be read after what broke the framing
}

// NetConn returns the connection below.
func (c *strictConn) NetConn() net.Conn { return c.Conn }

// CloseWrite ends what is sent and leaves the other direction open, so that an answer
// arrives before the connection is closed.
func (c *strictConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (c *strictConn) Read(p []byte) (int, error) {
	if c.broken {
		if c.rest == "" {
			return 0, io.EOF
		}
		n := copy(p, c.rest)
		c.rest = c.rest[n:]
		return n, nil
	}
	n, err := c.Conn.Read(p)
	at, ok := c.framing.follow(p[:n])
	if ok {
		return n, err
	}
	p[at] = 0
	c.broken, c.rest = true, "\r\n\r\n"
	return at + 1, nil
}

// framingState is what comes next on a connection.
type framingState uint8

const (
	requestLine framingState = iota
	headLine
	bodyBytes
	chunkLine
	chunkBytes
	chunkEnd
	trailerLine
	nothingMore // the server closes after this head
)

// maxLine bounds a line in bytes, beyond what the server takes as a whole head.
const maxLine = maxHeaders + 8<<10

// framing knows where each request on a connection ends.
type framing struct {
	state   framingState
	line    []byte // the beginning of a line whose end has not come
	empty   int    // empty lines before a request
	left    int64  // bytes of the body or of the chunk
	old     bool   // the request is of HTTP/1.0
	sized   bool   // it has a length
	encoded bool   // it has a transfer encoding
	chunked bool
}

// follow takes what came next on the connection. ok is false when the framing is broken, at
// a byte of b that may still be changed.
func (f *framing) follow(b []byte) (at int, ok bool) {
	for i := 0; i < len(b); {
		switch f.state {
		case bodyBytes, chunkBytes:
			n := min(f.left, int64(len(b)-i))
			i, f.left = i+int(n), f.left-n
			if f.left == 0 && f.state == bodyBytes {
				f.state = requestLine
			} else if f.left == 0 {
				f.state = chunkEnd
			}
			continue
		case nothingMore:
			return i, false
		}
		end := bytes.IndexByte(b[i:], '\n')
		if end < 0 {
			f.line = append(f.line, b[i:]...)
			return i, len(f.line) <= maxLine
		}
		line := b[i : i+end+1]
		if len(f.line) > 0 {
			f.line = append(f.line, line...)
			line = f.line
		}
		if !f.take(line) {
			return i, false
		}
		f.line, i = f.line[:0], i+end+1
	}
	return 0, true
}

// take takes a whole line with its end.
func (f *framing) take(line []byte) bool {
	text := line[:len(line)-1]
	if bytes.IndexByte(text, '\r') != len(text)-1 || len(text) == 0 { // one, at the end
		return false
	}
	text = text[:len(text)-1]
	switch f.state {
	case requestLine:
		if len(text) == 0 { // tolerated between requests (RFC 9112 section 2.2)
			f.empty++
			return f.empty <= 2
		}
		*f = framing{state: headLine, line: f.line, old: bytes.HasSuffix(text, []byte(" HTTP/1.0"))}
	case headLine:
		if len(text) == 0 {
			f.beginBody()
			return true
		}
		return f.field(text)
	case chunkLine:
		return f.chunk(text)
	case chunkEnd:
		f.state = chunkLine
		return len(text) == 0
	case trailerLine:
		if len(text) == 0 {
			f.state = requestLine
			return true
		}
		_, _, ok := field(text)
		return ok
	}
	return true
}

// field cuts a line of a head. It refuses one without a name, with a blank beside it, and
// one that continues the line before.
func field(text []byte) (name, value []byte, ok bool) {
	name, value, ok = bytes.Cut(text, []byte(":"))
	return name, bytes.Trim(value, " \t"), ok && len(name) > 0 && bytes.IndexByte(name, ' ') < 0 && bytes.IndexByte(name, '\t') < 0
}

// field takes a line of a head, of which only lengths and encodings matter here.
func (f *framing) field(text []byte) bool {
	name, value, ok := field(text)
	switch {
	case !ok:
		return false
	case len(name) == len("content-length") && bytes.EqualFold(name, []byte("content-length")):
		n, digits := digitsOf(value, 10)
		if f.sized || f.encoded || !digits {
			return false
		}
		f.sized, f.left = true, n
	case len(name) == len("transfer-encoding") && bytes.EqualFold(name, []byte("transfer-encoding")):
		if f.sized || f.encoded || f.old {
			return false
		}
		f.encoded, f.chunked = true, bytes.EqualFold(value, []byte("chunked"))
	}
	return true
}

// beginBody goes on after the last line of a head.
func (f *framing) beginBody() {
	switch {
	case f.chunked:
		f.state = chunkLine
	case f.encoded: // the server answers 501 and closes
		f.state = nothingMore
	case f.left > 0:
		f.state = bodyBytes
	default:
		f.state = requestLine
	}
}

// chunk takes the line before a chunk: its size, and extensions that nobody reads.
func (f *framing) chunk(text []byte) bool {
	size, _, _ := bytes.Cut(text, []byte(";"))
	n, ok := digitsOf(bytes.TrimRight(size, " \t"), 16)
	if f.left, f.state = n, chunkBytes; n == 0 {
		f.state = trailerLine
	}
	return ok
}

// maxDigits of a number fit an int64, in either base.
const maxDigits = 15

// digitsOf reads a number of digits only.
func digitsOf(text []byte, base int) (int64, bool) {
	if len(text) == 0 || len(text) > maxDigits || text[0] == '-' || text[0] == '+' {
		return 0, false
	}
	n, err := strconv.ParseInt(string(text), base, 64)
	return n, err == nil
}

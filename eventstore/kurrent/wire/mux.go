package wire

import (
	"bufio"
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// preface is how an HTTP/2 connection begins (RFC 9113 section 3.4); no request of
// HTTP/1 does.
const preface = "PRI "

// mux tells HTTP/2, which is gRPC here, from HTTP/1 on one port, after TLS where
// there is any. A client that does not come to its first bytes in time is dropped.
type mux struct {
	inner net.Listener
	tls   *tls.Config
	grpc  *lane
	other *lane // nil: HTTP/1 is not spoken
	door  *doorkeeper

	closing sync.Once
	closed  chan struct{}
}

// lane is a listener that gets its connections from a mux.
type lane struct {
	m     *mux
	conns chan net.Conn
}

func newMux(l net.Listener, c *tls.Config, door *doorkeeper) *mux {
	m := &mux{inner: l, door: door, closed: make(chan struct{})}
	if c != nil {
		m.tls = c.Clone()
		m.tls.MinVersion = max(m.tls.MinVersion, tls.VersionTLS12)
		m.tls.NextProtos = []string{"h2", "http/1.1"}
	}
	m.grpc = &lane{m, make(chan net.Conn)}
	return m
}

// run sorts connections until the listener ends.
func (m *mux) run() error {
	defer m.close()
	for {
		c, err := m.inner.Accept()
		if err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				continue
			}
			return err
		}
		if g := m.door.receive(c); g != nil {
			go m.sort(g)
		}
	}
}

func (m *mux) close() {
	m.closing.Do(func() {
		close(m.closed)
		_ = m.inner.Close() // nothing was written to a listener
	})
}

func (m *mux) sort(c net.Conn) {
	if err := c.SetDeadline(time.Now().Add(handshake)); err != nil {
		_ = c.Close()
		return
	}
	if m.tls != nil {
		secured := tls.Server(c, m.tls)
		if err := secured.Handshake(); err != nil {
			_ = c.Close()
			return
		}
		c = secured
	}
	in := bufio.NewReader(c)
	first, err := in.Peek(len(preface))
	if err != nil || c.SetDeadline(time.Time{}) != nil {
		_ = c.Close()
		return
	}
	to := m.other
	if string(first) == preface {
		to = m.grpc
	}
	if to == nil {
		_ = c.Close()
		return
	}
	select {
	case to.conns <- &peeked{Conn: c, in: in}:
	case <-m.closed:
		_ = c.Close()
	}
}

// peeked is a connection whose first bytes were read already.
type peeked struct {
	net.Conn
	in *bufio.Reader
}

func (p *peeked) Read(b []byte) (int, error) { return p.in.Read(b) }

// Accept implements net.Listener.
func (l *lane) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.m.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener: the lanes end together.
func (l *lane) Close() error { l.m.close(); return nil }

// Addr implements net.Listener.
func (l *lane) Addr() net.Addr { return l.m.inner.Addr() }

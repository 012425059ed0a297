package edge

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// farewellTime is how long a client that takes nothing may keep a connection that the vault closes.
const farewellTime = time.Second

// SecureListener returns a listener whose connections speak TLS, each with the configuration
// that config returns when it is accepted. A session is so resumed under the configuration
// alone in which it began: whoever an earlier one let in is judged anew. The server behind
// reads HTTP/1, so a configuration offers no other protocol. failed is told of each handshake
// that failed, but of those that the client only left; it must not block, and may be called
// concurrently.
func SecureListener(l net.Listener, config func() *tls.Config, failed func(error)) net.Listener {
	return secureListener{l, config, failed}
}

type secureListener struct {
	net.Listener
	config func() *tls.Config
	failed func(error)
}

func (l secureListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	// TLS writes while it is read, to shake hands and to answer an update of keys. A server sets a
	// deadline of its own once it read the head of a request.
	_ = c.SetWriteDeadline(time.Now().Add(readHeaderTimeout)) // of one that is closed already, nothing is read either
	return &secureConn{Conn: tls.Server(c, l.config()), failed: l.failed}, nil
}

// secureConn is a connection of TLS whose first reading is the handshake: it happens within
// the time that a server gives for the head of a request. Like a server, it is read by one
// goroutine at a time.
type secureConn struct {
	*tls.Conn
	failed func(error)
	told   bool
	closed atomic.Bool
}

// Close implements net.Conn. It does not block: a server closes its idle connections one after the
// other, and to tell a client of the end takes seconds where the client reads nothing.
func (c *secureConn) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	late := time.AfterFunc(farewellTime, func() { _ = c.NetConn().Close() }) // the system goes on sending what it has of an answer
	go func() {
		_ = c.Conn.Close() // nothing to do about one that is closed
		late.Stop()
	}()
	return nil
}

func (c *secureConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && !c.told && !c.ConnectionState().HandshakeComplete {
		if c.told = true; !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, syscall.ECONNRESET) {
			c.failed(err)
		}
	}
	return n, err
}

// shown returns the SHA-256 of the certificate that a request's client showed on its
// connection, and that an authority for clients vouches for; zero when there is none.
func shown(ctx context.Context) (certificate [sha256.Size]byte) {
	for c := connFrom(ctx); c != nil; {
		if secure, ok := c.(interface{ ConnectionState() tls.ConnectionState }); ok {
			if state := secure.ConnectionState(); len(state.VerifiedChains) > 0 {
				certificate = sha256.Sum256(state.PeerCertificates[0].Raw)
			}
			return certificate
		}
		wraps, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return certificate
		}
		c = wraps.NetConn()
	}
	return certificate
}

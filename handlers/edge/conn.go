package edge

import (
	"context"
	"net"
)

// sendBuffer is the number of bytes of an answer that the system keeps for a reader who
// does not take them, twice on Linux: they are out of the vault's hands.
const sendBuffer = 128 << 10

type connKey struct{}

// withConn returns the context of the requests on a connection.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if b, ok := bare(c).(interface{ SetWriteBuffer(bytes int) error }); ok {
		_ = b.SetWriteBuffer(sendBuffer) // a system that refuses has a bound of its own
	}
	return context.WithValue(ctx, connKey{}, c)
}

// connFrom returns the connection of a request, nil where none is known.
func connFrom(ctx context.Context) net.Conn {
	c, _ := ctx.Value(connKey{}).(net.Conn)
	return c
}

// bare returns the connection below those that wrap it, as TLS does.
func bare(c net.Conn) net.Conn {
	for {
		wraps, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		c = wraps.NetConn()
	}
}

// breakOff closes a connection and drops what its reader has not got yet. It does not
// block, and may be called while others use the connection.
func breakOff(c net.Conn) {
	c = bare(c)
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it, what the system still keeps is delivered
	}
	_ = c.Close() // nothing to do about one that is closed
}

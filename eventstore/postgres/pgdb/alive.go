package pgdb

import (
	"context"
	"crypto/tls"
	"database/sql/driver"
	"errors"
	"net"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// reuse looks, before a pooled connection is used again, whether the server closed
// it meanwhile: a look at the socket costs a microsecond, where a ping costs a round
// trip and no look costs somebody's query after each restart of the server.
func reuse(ctx context.Context, conn *pgx.Conn) error {
	switch state := peek(conn.PgConn().Conn()); {
	case state == ended, state == spoken && conn.Ping(ctx) != nil:
		return driver.ErrBadConn
	}
	return nil
}

// socket is what a look at a resting connection finds.
type socket int

const (
	silent socket = iota // as it should be
	spoken               // something to read: a notice, or a farewell
	ended
)

func peek(c net.Conn) socket {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	with, ok := c.(syscall.Conn)
	if !ok {
		return silent
	}
	raw, err := with.SyscallConn()
	if err != nil {
		return ended
	}
	state := silent
	// Control, and not Read, which waits for whoever reads the connection: the driver
	// leaves a reader behind when the server was slow to take what it wrote.
	err = raw.Control(func(fd uintptr) {
		var one [1]byte
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case n > 0:
			state = spoken
		case err == nil, !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR):
			state = ended
		}
	})
	if err != nil {
		return ended
	}
	return state
}

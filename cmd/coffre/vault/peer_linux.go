package vault

import (
	"net"
	"syscall"
)

// peer returns the number of the account whose process opened a connection of a Unix
// socket (SO_PEERCRED); false for every other connection.
func peer(conn net.Conn) (uid uint32, known bool) {
	if below, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = below.NetConn()
	}
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, false
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return 0, false
	}
	err = raw.Control(func(fd uintptr) {
		if cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			uid, known = cred.Uid, true
		}
	})
	return uid, known && err == nil
}

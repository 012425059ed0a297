package edge

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// one is a listener that accepts one connection, whose other end is the test's.
type one struct {
	conn   chan net.Conn
	closed chan struct{}
}

func (o one) Accept() (net.Conn, error) {
	select {
	case c := <-o.conn:
		return c, nil
	case <-o.closed:
		return nil, net.ErrClosed
	}
}

func (o one) Close() error   { close(o.closed); return nil }
func (o one) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// R21: whoever sends a request a byte at a time, or none at all, holds a connection for a
// bounded time, and the request is never handed on.
func TestR21SlowRequestsEnd(t *testing.T) {
	head := "POST /vault/v1/documents HTTP/1.1\r\nHost: vault.example\r\nContent-Length: 100000\r\n\r\n"
	for name, c := range map[string]struct {
		send  string
		every time.Duration // between two bytes
		ends  time.Duration // at the latest
	}{
		"says nothing":      {"", 0, readHeaderTimeout},
		"a slow head":       {head, time.Second, readHeaderTimeout},
		"a slow body":       {head + string(make([]byte, 100000)), 100 * time.Millisecond, readTimeout},
		"idle after a head": {head, 0, readTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				whole := false
				s := NewHTTPServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, err := io.Copy(io.Discard, r.Body)
					whole = err == nil
				}))
				l := one{make(chan net.Conn), make(chan struct{})}
				served := make(chan error, 1)
				go func() { served <- s.Serve(l) }()
				ours, theirs := net.Pipe()
				l.conn <- theirs
				began := time.Now()
				var sending sync.WaitGroup
				sending.Go(func() {
					for i := range len(c.send) {
						if _, err := ours.Write([]byte{c.send[i]}); err != nil {
							return // the server has closed the connection
						}
						time.Sleep(c.every)
					}
				})
				io.Copy(io.Discard, ours) // until the server closes the connection
				if took := time.Since(began); took > c.ends+time.Second {
					t.Errorf("the connection was held for %v", took)
				}
				if whole {
					t.Error("the request was handed on as if it were whole")
				}
				ours.Close()
				sending.Wait()
				s.Close()
				if err := <-served; !errors.Is(err, http.ErrServerClosed) {
					t.Error(err)
				}
			})
		})
	}
}

package wire

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"coffre/eventstore/memory"
)

// anyHTTP1 lets requests of HTTP/1 come as they are.
func anyHTTP1(l net.Listener) net.Listener { return l }

// opened serves a store with a doorkeeper that waits so long for a call, and returns the
// address and the number of connections that it dropped.
func opened(t *testing.T, wait time.Duration) (string, *atomic.Int64) {
	t.Helper()
	var dropped atomic.Int64
	s := New(Options{Store: memory.New(), HTTP1: anyHTTP1, Dropped: func() { dropped.Add(1) }})
	s.door.login = wait
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String(), &dropped
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// F35: a connection on which nobody is let in ends, whether it says nothing or speaks the
// protocol and makes no call.
func TestF35SilentConnectionsEnd(t *testing.T) {
	address, dropped := opened(t, 50*time.Millisecond)
	for _, says := range []string{"", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"} {
		c := dial(t, address)
		if _, err := io.WriteString(c, says); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%.20q: %v", says, err)
		}
	}
	if n := dropped.Load(); n != 3 {
		t.Errorf("%d are counted", n)
	}
}

// F35: one address has so many connections on which nobody was let in; those beyond are
// closed at once, and a place is had again when one ends.
func TestF35SilentConnectionsAreBounded(t *testing.T) {
	address, dropped := opened(t, time.Hour)
	var silent []net.Conn
	for range maxSilentOf {
		silent = append(silent, dial(t, address))
	}
	beyond := dial(t, address)
	if _, err := beyond.Read(make([]byte, 1)); err == nil {
		t.Fatal("one more stays")
	}
	if n := dropped.Load(); n != 1 {
		t.Errorf("%d are counted", n)
	}
	// A request of HTTP/1 is answered, so the place of its connection was there.
	silent[0].Close()
	for {
		c := dial(t, address)
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err == nil {
			if answer, err := io.ReadAll(c); err == nil && bytes.HasPrefix(answer, []byte("HTTP/1.1 404")) {
				break
			}
		}
	}
}

// F35: wrong passwords are counted over the connections of an address; when it has none left
// the operator is told once, and it waits. Others do not, nor does a connection on which
// somebody was let in.
func TestF35WrongPasswordsPause(t *testing.T) {
	var told bytes.Buffer
	paused := 0
	now := time.Unix(1_800_000_000, 0)
	d := newDoorkeeper(Options{Logger: slog.New(slog.NewTextHandler(&told, nil)), Paused: func() { paused++ }})
	d.now = func() time.Time { return now }
	for i := range wrongPasswords {
		if !d.mayTry("192.0.2.1:1") {
			t.Fatalf("the %d. password is not looked at", i+1)
		}
		d.wasWrong("192.0.2.1:" + string(rune('1'+i%9)))
	}
	for _, address := range []string{"192.0.2.1:9", "[::ffff:192.0.2.1]:7"} {
		if d.mayTry(address) {
			t.Errorf("%s is not made to wait", address)
		}
	}
	if !d.mayTry("192.0.2.2:1") {
		t.Error("another address waits")
	}
	if paused != 1 || strings.Count(told.String(), "192.0.2.1/32") != 1 {
		t.Errorf("told %d times: %s", paused, told.String())
	}
	client, server := net.Pipe()
	defer client.Close()
	g := d.receive(addressed{server, "192.0.2.1:5"})
	d.letIn("192.0.2.1:5")
	if !d.mayTry("192.0.2.1:5") {
		t.Error("who was let in waits for others' passwords")
	}
	if g.timer.Stop() {
		t.Error("a connection ends on which somebody was let in")
	}
	if err := g.Close(); err != nil || len(d.conns)+len(d.of)+d.silent != 0 {
		t.Errorf("%d, %d, %d are left: %v", len(d.conns), len(d.of), d.silent, err)
	}
	now = now.Add(oneBackEvery)
	if !d.mayTry("192.0.2.1:1") {
		t.Error("nothing comes back")
	}
	d.wasWrong("192.0.2.1:1")
	if d.mayTry("192.0.2.1:1") || paused != 2 {
		t.Error("more than one comes back in a minute")
	}
	for range wrongPasswords {
		d.wasWrong("[2001:db8::1]:1")
	}
	if d.mayTry("[2001:db8::ffff]:1") || !d.mayTry("[2001:db8:0:1::1]:1") {
		t.Error("of IPv6, 64 bits are one address")
	}
}

// addressed is a connection from an address.
type addressed struct {
	net.Conn
	from string
}

func (a addressed) RemoteAddr() net.Addr { return textAddr(a.from) }

type textAddr string

func (textAddr) Network() string  { return "tcp" }
func (a textAddr) String() string { return string(a) }

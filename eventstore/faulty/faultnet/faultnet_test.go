package faultnet

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// echo answers each line with itself, and tells seen what it was sent.
func echo(t *testing.T) (addr string, seen chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	seen = make(chan string, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for lines := bufio.NewReader(c); ; {
					line, err := lines.ReadString('\n')
					if err != nil {
						return
					}
					seen <- line
					io.WriteString(c, line)
				}
			}()
		}
	}()
	return l.Addr().String(), seen
}

func proxy(t *testing.T) (*Proxy, chan string) {
	t.Helper()
	addr, seen := echo(t)
	p, err := New(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, seen
}

type client struct {
	net.Conn
	lines *bufio.Reader
}

func dial(t *testing.T, p *Proxy) client {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return client{c, bufio.NewReader(c)}
}

func (c client) ask(line string) (string, error) {
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		return "", err
	}
	answer, err := c.lines.ReadString('\n')
	return strings.TrimSuffix(answer, "\n"), err
}

func mustEcho(t *testing.T, c client, line string) {
	t.Helper()
	if got, err := c.ask(line); got != line || err != nil {
		t.Fatalf("%q is answered %q, %v", line, got, err)
	}
}

func TestPassesUntilTold(t *testing.T) {
	p, _ := proxy(t)
	c := dial(t, p)
	mustEcho(t, c, "one")
	p.Cut()
	if got, err := c.ask("two"); err == nil {
		t.Fatalf("a connection that was cut answers %q", got)
	}
	mustEcho(t, dial(t, p), "three")
	p.Refuse()
	if conn, err := net.Dial("tcp", p.Addr()); err == nil { // else the refusal was faster than the system's word that it is there
		defer conn.Close()
		if got, err := (client{conn, bufio.NewReader(conn)}).ask("four"); err == nil {
			t.Fatalf("a connection that was refused answers %q", got)
		}
	}
	p.Heal()
	mustEcho(t, dial(t, p), "five")
}

func TestDelay(t *testing.T) {
	p, _ := proxy(t)
	c := dial(t, p)
	const late = 20 * time.Millisecond
	p.Delay(late)
	asked := time.Now()
	mustEcho(t, c, "one")
	if took := time.Since(asked); took < 2*late {
		t.Fatalf("both ways took %v", took)
	}
}

func TestBlackholeKeepsConnectionsAndBytes(t *testing.T) {
	p, seen := proxy(t)
	c := dial(t, p)
	mustEcho(t, c, "one")
	<-seen
	p.Blackhole()
	fresh := dial(t, p)
	for _, c := range []client{c, fresh} {
		io.WriteString(c, "two\n")
		c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if got, err := c.lines.ReadString('\n'); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%q, %v came out of a black hole", got, err)
		}
		c.SetReadDeadline(time.Time{})
	}
	if len(seen) > 0 {
		t.Fatalf("%q went through a black hole", <-seen)
	}
	p.Heal()
	for _, c := range []client{c, fresh} {
		if got, err := c.lines.ReadString('\n'); got != "two\n" || err != nil {
			t.Fatalf("healed: %q, %v", got, err)
		}
	}
}

func TestLoseReply(t *testing.T) {
	p, seen := proxy(t)
	c := dial(t, p)
	mustEcho(t, c, "COMMIT") // before it is told
	<-seen
	lost := p.LoseReply("COMMIT")
	mustEcho(t, c, "two")
	<-seen
	if got, err := c.ask("COMMIT"); err == nil || got != "" {
		t.Fatalf("the reply to lose is %q, %v", got, err)
	}
	<-lost
	if got := <-seen; got != "COMMIT\n" {
		t.Fatalf("the server saw %q", got)
	}
	mustEcho(t, dial(t, p), "COMMIT") // once
}

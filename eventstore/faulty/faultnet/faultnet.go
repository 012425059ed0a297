// Package faultnet is a TCP proxy that breaks the network between a client and its
// server on command: it delays, it lets nothing through, it resets connections, it
// loses exactly the reply that would have told the client what the server did.
//
// Invariant: as long as nothing was commanded, or after Heal, every byte passes, in
// order.
package faultnet

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Proxy stands before one server. Its methods may be called concurrently.
type Proxy struct {
	target   string
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex
	links   map[*link]struct{}
	closed  bool
	refuse  bool
	delay   time.Duration
	pattern []byte        // of the reply to lose; nil: none
	lost    chan struct{} // closed when it was lost
	open    chan struct{} // closed while bytes may pass
}

// link is one client's connection and the one to the server behind it.
type link struct {
	client, server net.Conn
	gone           chan struct{} // closed when the link is cut
	once           sync.Once
}

func (l *link) cut() {
	l.once.Do(func() {
		close(l.gone)
		for _, c := range []net.Conn{l.client, l.server} {
			if tcp, ok := c.(*net.TCPConn); ok {
				tcp.SetLinger(0) // a reset, as from a machine that lost its memory
			}
			if c != nil {
				c.Close()
			}
		}
	})
}

// New listens on loopback and passes connections on to target, a host and port.
func New(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("faultnet: %w", err)
	}
	p := &Proxy{target: target, listener: l, links: map[*link]struct{}{}, open: make(chan struct{})}
	close(p.open)
	p.running.Go(p.accept)
	return p, nil
}

// Addr is what the client connects to, "127.0.0.1:54321".
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Delay holds every piece back for d, in both directions. A reply is late by twice
// as much.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Blackhole lets nothing through, without ending any connection: new ones are
// accepted, and nobody answers them. What is held back passes when it is healed.
func (p *Proxy) Blackhole() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.open:
		p.open = make(chan struct{})
	default:
	}
}

// Refuse resets all connections, and every new one at once.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	p.refuse = true
	p.mu.Unlock()
	p.Cut()
}

// Cut resets all connections there are now.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.cut()
	}
}

// LoseReply resets the next connection on which the server sends something that
// contains pattern, once the server has sent it and before the client has seen any of
// it. The channel is closed when that has happened.
func (p *Proxy) LoseReply(pattern string) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pattern, p.lost = []byte(pattern), make(chan struct{})
	return p.lost
}

// Heal ends what was commanded. Connections that were cut stay so.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse, p.delay, p.pattern = false, 0, nil
	select {
	case <-p.open:
	default:
		close(p.open)
	}
}

// Close ends all connections and the proxy.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	err := p.listener.Close()
	p.Cut()
	p.running.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		l := &link{client: client, gone: make(chan struct{})}
		p.mu.Lock()
		unwanted := p.refuse || p.closed
		if !unwanted {
			p.links[l] = struct{}{}
			p.running.Go(func() { p.join(l) })
		}
		p.mu.Unlock()
		if unwanted {
			l.cut()
		}
	}
}

// join connects to the server and passes bytes both ways until either side ends.
func (p *Proxy) join(l *link) {
	defer func() {
		p.mu.Lock()
		delete(p.links, l)
		p.mu.Unlock()
		l.cut()
	}()
	if !p.pass(l) {
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	p.mu.Lock()
	l.server = server
	select {
	case <-l.gone: // cut while it was being dialled
		server.Close()
		p.mu.Unlock()
		return
	default:
	}
	p.mu.Unlock()
	var pumps sync.WaitGroup
	pumps.Go(func() { p.pump(l, server, l.client, false) })
	pumps.Go(func() { p.pump(l, l.client, server, true) })
	pumps.Wait()
}

// pump passes what from sends on to to.
func (p *Proxy) pump(l *link, to, from net.Conn, replies bool) {
	defer l.cut()
	buf := make([]byte, 32<<10)
	var since reply
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if replies && p.loses(&since, buf[:n]) {
				return
			}
			if !p.pass(l) {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// reply is what one server has sent since the pattern was set.
type reply struct {
	lost chan struct{} // tells which pattern
	tail []byte        // its end: a pattern may lie across two reads
}

// loses tells whether the next piece of a reply makes it the one to lose.
func (p *Proxy) loses(r *reply, piece []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pattern == nil {
		return false
	}
	if r.lost != p.lost {
		r.lost, r.tail = p.lost, nil
	}
	r.tail = append(r.tail, piece...)
	if !bytes.Contains(r.tail, p.pattern) {
		r.tail = bytes.Clone(r.tail[max(0, len(r.tail)-len(p.pattern)+1):])
		return false
	}
	p.pattern = nil
	close(p.lost)
	return true
}

// pass waits until a piece may pass; false when the link is cut meanwhile.
func (p *Proxy) pass(l *link) bool {
	p.mu.Lock()
	open, delay := p.open, p.delay
	p.mu.Unlock()
	if delay > 0 {
		late := time.NewTimer(delay)
		defer late.Stop()
		select {
		case <-late.C:
		case <-l.gone:
			return false
		}
	}
	select {
	case <-open:
		return true
	case <-l.gone:
		return false
	}
}

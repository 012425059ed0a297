package wire

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// Bounds on those who have not shown who they are.
const (
	maxConnections = 256 // in all
	maxSilent      = 96  // that made no call which was let in
	maxOfAddress   = 128
	maxSilentOf    = 48 // of one address
	// login is how long a connection may last without a call that is let in.
	login = 20 * time.Second

	// An address has so many wrong passwords, and gets one back each minute. While it has
	// none left, no password of it is looked at.
	wrongPasswords = 20
	oneBackEvery   = time.Minute
	maxAddresses   = 4096 // that are remembered for their wrong passwords
)

// doorkeeper knows the connections and what their addresses did. Its methods may be called
// concurrently.
type doorkeeper struct {
	login time.Duration
	now   func() time.Time
	log   *slog.Logger
	// dropped and paused count; neither is nil.
	dropped, paused func()

	mu     sync.Mutex
	conns  map[string]*guest // by the address and port of the other end
	of     map[netip.Prefix]*presence
	silent int
	wrong  *lru.Cache[netip.Prefix, *tries]
}

// presence counts the connections of one address.
type presence struct{ conns, silent int }

// tries are the wrong passwords of one address.
type tries struct {
	left float64
	at   time.Time
}

func newDoorkeeper(o Options) *doorkeeper {
	d := &doorkeeper{
		login: login, now: time.Now, log: o.Logger, dropped: o.Dropped, paused: o.Paused,
		conns: make(map[string]*guest), of: make(map[netip.Prefix]*presence),
	}
	if d.dropped == nil {
		d.dropped = func() {}
	}
	if d.paused == nil {
		d.paused = func() {}
	}
	var err error
	if d.wrong, err = lru.New[netip.Prefix, *tries](maxAddresses); err != nil {
		panic(err) // only for a size that is not positive
	}
	return d
}

// network returns what counts as one address: of IPv6 the 64 bits that one holder has.
func network(address string) netip.Prefix {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return netip.Prefix{}
	}
	ip, bits := ap.Addr().Unmap().WithZone(""), 32
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// guest is a connection that gives its place back when it is closed.
type guest struct {
	net.Conn
	d       *doorkeeper
	name    string
	network netip.Prefix
	timer   *time.Timer // ends it unless a call is let in
	known   bool        // under the doorkeeper's lock: a call was let in
	once    sync.Once
}

// receive returns a connection that may stay, or closes it and returns nil.
func (d *doorkeeper) receive(c net.Conn) *guest {
	g := &guest{Conn: c, d: d, name: c.RemoteAddr().String()}
	g.network = network(g.name)
	d.mu.Lock()
	p := d.of[g.network]
	if p == nil {
		p = new(presence)
	}
	if len(d.conns) >= maxConnections || d.silent >= maxSilent || p.conns >= maxOfAddress || p.silent >= maxSilentOf {
		d.mu.Unlock()
		d.dropped()
		_ = c.Close() // nothing to do about one that is closed
		return nil
	}
	p.conns++
	p.silent++
	d.silent++
	d.of[g.network], d.conns[g.name] = p, g
	g.timer = time.AfterFunc(d.login, func() {
		d.dropped()
		_ = g.Close() // nothing to do about one that is closed
	})
	d.mu.Unlock()
	return g
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.once.Do(func() {
		d := g.d
		d.mu.Lock()
		defer d.mu.Unlock()
		g.timer.Stop()
		p := d.of[g.network]
		p.conns--
		if !g.known {
			p.silent--
			d.silent--
		}
		if p.conns == 0 {
			delete(d.of, g.network)
		}
		if d.conns[g.name] == g {
			delete(d.conns, g.name)
		}
	})
	return g.Conn.Close()
}

// letIn notes that a call on the connection from an address and port was let in.
func (d *doorkeeper) letIn(address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := d.conns[address]
	if g == nil || g.known {
		return
	}
	g.known = true
	g.timer.Stop()
	d.of[g.network].silent--
	d.silent--
}

// mayTry reports whether a password of an address is looked at: always on a connection on
// which one was good.
func (d *doorkeeper) mayTry(address string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if g := d.conns[address]; g != nil && g.known {
		return true
	}
	t, found := d.wrong.Get(network(address))
	return !found || d.refilled(t) >= 1
}

// refilled returns how many wrong passwords an address has left now, under the lock.
func (d *doorkeeper) refilled(t *tries) float64 {
	now := d.now()
	if since := now.Sub(t.at); since > 0 {
		t.left = min(t.left+float64(since)/float64(oneBackEvery), wrongPasswords)
	}
	t.at = now
	return t.left
}

// wasWrong counts a wrong password of an address, and tells the operator when it has none
// left. The address is that of an auditor's tool, or of whoever guesses; of a citizen it is
// never.
func (d *doorkeeper) wasWrong(address string) {
	d.mu.Lock()
	n := network(address)
	t, found := d.wrong.Get(n)
	if !found {
		t = &tries{left: wrongPasswords, at: d.now()}
		d.wrong.Add(n, t)
	}
	before := d.refilled(t)
	t.left = max(before-1, 0)
	pauses := before >= 1 && t.left < 1
	d.mu.Unlock()
	if pauses {
		d.paused()
		d.log.Warn("wrong passwords on the port for KurrentDB's clients: those of this address are not looked at for a while", slog.String("address", n.String()))
	}
}

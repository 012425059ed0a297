package reactors

import (
	"context"
	"fmt"
	"hash/fnv"
	"sync"

	"coffre/eventstore"
)

// partsOfAReactor is into how many parts the events of each reactor are divided: that many
// citizens are worked on at once, and that many processes share the work at most.
const partsOfAReactor = 8

// Part is a share of the citizens: the events of one citizen lie in the same part. The zero
// Part is everybody.
type Part struct {
	Number int // from 0
	Of     int // how many parts there are
}

// String names the part, "3 of 8".
func (p Part) String() string { return fmt.Sprintf("%d of %d", p.Number+1, p.Of) }

// has reports whether events with a key lie in the part.
func (p Part) has(key string) bool {
	if p.Of <= 1 {
		return true
	}
	h := fnv.New64a()
	h.Write([]byte(key))
	return h.Sum64()%uint64(p.Of) == uint64(p.Number)
}

// keyOf returns what an event is ordered by unless its reactor says otherwise: its citizen, or
// its stream where it is about nobody.
func keyOf(n Notice) string {
	if n.Citizen.IsZero() {
		return string(n.Stream)
	}
	return n.Citizen.String()
}

// turn tells subscriptions when this process may work on a part. Its methods may be called
// concurrently.
type turn struct {
	mu      sync.Mutex
	held    context.Context // nil while another process has the part
	changed chan struct{}   // closed when held changes
}

func newTurn() *turn { return &turn{changed: make(chan struct{})} }

func (t *turn) set(held context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held = held
	close(t.changed)
	t.changed = make(chan struct{})
}

// wait returns a context that ends with the turn or with ctx, once this process has the turn.
func (t *turn) wait(ctx context.Context) (held context.Context, leave func(), err error) {
	for {
		t.mu.Lock()
		held, changed := t.held, t.changed
		t.mu.Unlock()
		if held != nil && held.Err() == nil {
			mine, cancel := context.WithCancel(ctx)
			unhook := context.AfterFunc(held, cancel)
			return mine, func() { unhook(); cancel() }, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// gate keeps events back while it is shut. Its methods may be called concurrently.
type gate struct {
	mu   sync.Mutex
	shut chan struct{} // closed when the gate opens; nil while it is open
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case shut && g.shut == nil:
		g.shut = make(chan struct{})
	case !shut && g.shut != nil:
		close(g.shut)
		g.shut = nil
	}
}

func (g *gate) wait(ctx context.Context) error {
	for {
		g.mu.Lock()
		shut := g.shut
		g.mu.Unlock()
		if shut == nil {
			return ctx.Err()
		}
		select {
		case <-shut:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lowest returns the position before which everything was passed.
func lowest(a, b eventstore.Position) eventstore.Position {
	if b.Compare(a) < 0 {
		return b
	}
	return a
}

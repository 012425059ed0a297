package pgdb

import (
	"sync"
	"time"
)

// settle is the time without a refused write after which a server whose disk was full counts
// as having room again: while it is full, small writes still fit into pages that it has.
const settle = 10 * time.Second

// Room says whether a server lacks room on its disk, by how writes end there. The server's
// disk is not ours to look at. The zero value has seen none; nil has, and never sees any. Its
// methods may be called concurrently.
type Room struct {
	Now func() time.Time // nil: time.Now

	mu     sync.Mutex
	full   time.Time // when a write was refused for want of room; zero: none was since there was room
	passed bool      // a write passed since
}

// Note notes how a write ended: nil says that it was committed. Errors of another kind than
// [Full] say nothing.
func (r *Room) Note(err error) {
	if r == nil || err != nil && !Full(err) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.full, r.passed = r.now(), false
	} else {
		r.passed = true
	}
}

// Short reports whether the server lacked room when last heard of: a write was refused, and
// since then none has passed or ten seconds have not.
func (r *Room) Short() bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.passed && !r.full.IsZero() && r.now().Sub(r.full) >= settle {
		r.full = time.Time{}
	}
	return !r.full.IsZero()
}

func (r *Room) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}

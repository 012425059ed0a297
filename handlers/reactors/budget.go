package reactors

import (
	"sync"
	"time"
)

const (
	budgetSize   = 100 // retries that a reactor may spend at once
	budgetEarned = 0.5 // by each event that was handled
	budgetRefill = 5.0 // in each second, so that a quiet reactor still finds out what is bad
)

// budget bounds the retries of a reactor, so that a fault that is not of single events, as of a
// table or of a peer that refuses everything, neither multiplies the load nor sets everything
// aside: without a retry left an event is delivered again later. Its methods may be called
// concurrently.
type budget struct {
	mu   sync.Mutex
	left float64
	at   time.Time
}

func newBudget() *budget { return &budget{left: budgetSize, at: time.Now()} }

func (b *budget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = min(budgetSize, b.left+budgetEarned)
}

// spend takes a retry, and reports whether there was one.
func (b *budget) spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.left = min(budgetSize, b.left+budgetRefill*now.Sub(b.at).Seconds())
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

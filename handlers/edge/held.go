package edge

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// Held keeps the leases of answers that were given in process, until what another answer was
// made of them is sent: an erasure waits for that as it waits for an answer of the API. Make it
// with [WithHeld] and end it with Release. Its methods may be called concurrently.
type Held struct {
	mu     sync.Mutex
	leases []Lease
}

type heldKey struct{}

// WithHeld returns a context whose requests to a Handler leave their leases to the Held.
func WithHeld(ctx context.Context) (context.Context, *Held) {
	h := new(Held)
	return context.WithValue(ctx, heldKey{}, h), h
}

// HeldBy returns what holds the leases of ctx; one without leases where nothing does.
func HeldBy(ctx context.Context) *Held {
	if h, held := ctx.Value(heldKey{}).(*Held); held {
		return h
	}
	return new(Held)
}

// keep takes a lease over and reports whether somebody holds leases of ctx.
func keep(ctx context.Context, l Lease) bool {
	h, held := ctx.Value(heldKey{}).(*Held)
	if held {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.leases = append(h.leases, l)
	}
	return held
}

// MaySend returns nil while all leases allow bytes to be sent, and bounds the time in which w
// takes them; or why nothing may be sent, an error of [Lease]. The caller writes at once, at
// most PieceSize bytes for each call.
func (h *Held) MaySend(ctx context.Context, w http.ResponseWriter) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.leases) == 0 {
		return nil
	}
	left := MaxPiece
	for _, l := range h.leases {
		of, err := l.Left(ctx)
		if err != nil {
			return err
		}
		left = min(left, of)
	}
	if left <= 0 {
		return ErrReaderTooSlow
	}
	return (&answer{ResponseWriter: w}).setDeadline(time.Now().Add(left))
}

// Release ends all leases: nothing that they cover is sent any more.
func (h *Held) Release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.leases {
		l.Release()
	}
	h.leases = nil
}

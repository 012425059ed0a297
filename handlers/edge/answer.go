package edge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"coffre/domain"
)

// Bounds of an answer that holds personal data, and of files that are sent in pieces.
const (
	// MaxAnswer bounds the time in which one answer is sent; [Call.SendFor] changes it.
	MaxAnswer = time.Minute
	// MaxPiece bounds the time in which a reader takes one piece.
	MaxPiece = 15 * time.Second
	// PieceSize is the number of bytes of one piece. A reader of less than 64 KiB in 15
	// seconds, about 4.4 kB/s, does not get an answer to its end.
	PieceSize = 64 << 10
)

// ErrReaderTooSlow is the error of an answer that its reader did not take in time.
var ErrReaderTooSlow = domain.NewError(domain.Unavailable, "readerTooSlow", "the answer was not taken in time")

// Lease is the right to send what an answer holds of somebody. seal.KeyLease implements
// it.
type Lease interface {
	// Left returns for how long bytes may be sent from now on, or why they may not. It
	// may wait, for less than half a minute.
	Left(ctx context.Context) (time.Duration, error)
	// Release says that nothing is sent any more. It is called once.
	Release()
}

// answer writes the answer to one request. Under a lease it sends piece by piece, each
// with a deadline that ends no later than the lease, so that no byte leaves afterwards.
// Its Write and WriteHeader are for one goroutine; end may be called by any.
type answer struct {
	http.ResponseWriter
	conn net.Conn // nil: not known
	ctx  context.Context

	mu     sync.Mutex
	status int           // with which it began; 0: not yet
	lease  Lease         // nil: it holds nothing personal
	sendIn time.Duration // bound on its whole time; 0 means MaxAnswer
	end    time.Time     // of that bound, once it began
	why    error         // why nothing more is sent; nil while something may be
	done   bool          // nobody writes any more
	sent   int64         // bytes written under a lease
	unless *EntityTags   // what the reader has already; nil: not told
	empty  bool          // the reader has it: nothing but the header is written
}

// Lease returns the lease under which the call's answer is sent; make makes it, the first
// time, with the function that ends the answer. Nil where no answer is written: outside a
// server's requests.
func (c *Call) Lease(make func(ended func(error)) Lease) Lease {
	a := c.answer
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lease == nil && !a.done {
		a.lease = make(a.breakOff)
	}
	return a.lease
}

// SendFor sets how long the call's answer may take to be sent, in place of MaxAnswer.
func (c *Call) SendFor(d time.Duration) {
	if a := c.answer; a != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.sendIn = d
	}
}

// MaySend returns nil while bytes of the call's answer may be sent, or why they may not.
func (c *Call) MaySend() error {
	if c.answer == nil {
		return nil
	}
	return c.answer.admit()
}

// BreakOff ends the call's answer: nothing more of it is sent, and the connection of one
// that began is closed. Any goroutine may call it, also after the answer was sent.
func (c *Call) BreakOff(why error) {
	if c.answer != nil {
		c.answer.breakOff(why)
	}
}

func (a *answer) breakOff(why error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.done || a.why != nil {
		return
	}
	a.why = why
	if a.status == 0 {
		return // it can still be told
	}
	if a.conn != nil {
		breakOff(a.conn)
		return
	}
	_ = a.setDeadline(time.Unix(1, 0)) // wakes the writer, who has the reason
}

// setDeadline sets the time at which a blocked write ends. Not every writer has one.
func (a *answer) setDeadline(t time.Time) error {
	if err := http.NewResponseController(a.ResponseWriter).SetWriteDeadline(t); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// admit returns nil when the next piece may be sent, and sets its deadline.
func (a *answer) admit() error {
	a.mu.Lock()
	lease, why := a.lease, a.why
	a.mu.Unlock()
	if why != nil || lease == nil {
		return why
	}
	left, err := lease.Left(context.WithoutCancel(a.ctx))
	if err != nil {
		a.breakOff(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.why != nil {
		return a.why
	}
	now := time.Now()
	if a.end.IsZero() {
		if a.sendIn == 0 {
			a.sendIn = MaxAnswer
		}
		a.end = now.Add(a.sendIn)
	}
	left = min(left, MaxPiece, a.end.Sub(now))
	if left <= 0 {
		return ErrReaderTooSlow
	}
	return a.setDeadline(now.Add(left))
}

// WriteHeader begins the answer unless nothing may be sent any more; then Write returns
// why.
func (a *answer) WriteHeader(status int) {
	if a.admit() != nil {
		return
	}
	h := a.Header()
	a.mu.Lock()
	if a.status == 0 {
		if status == http.StatusOK && a.unless != nil && a.unless.matches(h.Get("ETag")) {
			status, a.empty = http.StatusNotModified, true
			h.Del("Content-Type")
			h.Del("Content-Length")
		}
		a.status = status
	}
	a.mu.Unlock()
	a.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer. It returns why when the answer was ended.
func (a *answer) Write(b []byte) (n int, err error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	a.mu.Lock()
	bare, empty := a.lease == nil && a.why == nil, a.empty
	a.mu.Unlock()
	if empty {
		return len(b), nil
	}
	if bare {
		return a.ResponseWriter.Write(b)
	}
	for first := true; first || len(b) > 0; first = false {
		if err := a.admit(); err != nil {
			return n, err
		}
		wrote, err := a.ResponseWriter.Write(b[:min(len(b), PieceSize)])
		n, a.sent = n+wrote, a.sent+int64(wrote)
		if err != nil {
			return n, a.failed(err)
		}
		b = b[wrote:]
	}
	return n, nil
}

// failed returns the reason of a write that did not succeed, and sees to it that nothing
// the system keeps of the answer arrives later.
func (a *answer) failed(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		err = ErrReaderTooSlow
	}
	a.breakOff(err)
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.why
}

func isTimeout(err error) bool {
	var timed interface{ Timeout() bool }
	return errors.As(err, &timed) && timed.Timeout()
}

// discard makes the answer one without personal data: a problem takes its place. It
// returns why it was ended, and whether it began.
func (a *answer) discard() (why error, began bool) {
	a.mu.Lock()
	lease := a.lease
	why, began = a.why, a.status != 0
	if !began {
		a.lease, a.why = nil, nil
	}
	a.mu.Unlock()
	if !began && lease != nil {
		lease.Release()
	}
	return why, began
}

// finish releases the lease once nobody writes any more. What net/http still keeps of a
// long answer is handed to the system first; a short one is only counted by its end, so
// that it comes with its length.
func (a *answer) finish() {
	if a.sent > PieceSize && a.admit() == nil {
		if err := http.NewResponseController(a.ResponseWriter).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			_ = a.failed(err) // net/http meets the error again
		}
	}
	a.mu.Lock()
	lease := a.lease
	a.lease, a.done = nil, true
	a.mu.Unlock()
	if lease != nil && !keep(a.ctx, lease) {
		lease.Release()
	}
}

// Unwrap lets http.ResponseController reach what is below.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

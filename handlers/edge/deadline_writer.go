package edge

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// longPieceTimeout bounds the time for one piece of a long answer.
	longPieceTimeout = time.Minute
	// MaxLongAnswer bounds the time in which a long answer is sent: an export, a backup.
	MaxLongAnswer = 2 * time.Hour
)

// DeadlineWriter gives each piece of a long answer that no key opens a deadline of its own,
// so that it may take up to MaxLongAnswer while its reader goes on reading. It must not be
// used concurrently.
type DeadlineWriter struct {
	w       io.Writer
	control *http.ResponseController
	end     time.Time
}

// NewDeadlineWriter returns a DeadlineWriter that writes to w from now on.
func NewDeadlineWriter(w http.ResponseWriter) *DeadlineWriter {
	return &DeadlineWriter{w, http.NewResponseController(w), time.Now().Add(MaxLongAnswer)}
}

// Write implements io.Writer. It returns ErrReaderTooSlow after MaxLongAnswer.
func (p *DeadlineWriter) Write(b []byte) (int, error) {
	now := time.Now()
	if !now.Before(p.end) {
		return 0, ErrReaderTooSlow
	}
	// Not every writer has deadlines; then its own limits hold.
	if err := p.control.SetWriteDeadline(now.Add(min(longPieceTimeout, p.end.Sub(now)))); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, fmt.Errorf("send: %w", err)
	}
	return p.w.Write(b)
}

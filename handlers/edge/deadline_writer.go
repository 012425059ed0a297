package edge

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// pieceTimeout bounds the time for one piece of an answer.
const pieceTimeout = time.Minute

// DeadlineWriter gives each piece of a long answer a deadline of its own, so that an answer
// may take as long as its reader goes on reading. It must not be used concurrently.
type DeadlineWriter struct {
	w       io.Writer
	control *http.ResponseController
}

// NewDeadlineWriter returns a DeadlineWriter that writes to w.
func NewDeadlineWriter(w http.ResponseWriter) *DeadlineWriter {
	return &DeadlineWriter{w, http.NewResponseController(w)}
}

func (p *DeadlineWriter) Write(b []byte) (int, error) {
	// Not every writer has deadlines; then its own limits hold.
	if err := p.control.SetWriteDeadline(time.Now().Add(pieceTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, fmt.Errorf("send: %w", err)
	}
	return p.w.Write(b)
}

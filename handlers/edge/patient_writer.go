package edge

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// sendWithin bounds the time for one piece of an answer.
const sendWithin = time.Minute

// patientWriter gives each piece of a long answer a deadline of its own, so that the
// answer takes as long as its reader goes on reading.
type patientWriter struct {
	w       io.Writer
	control *http.ResponseController
}

// Patiently returns a writer of a long answer: each piece written has a minute.
func Patiently(w http.ResponseWriter) *patientWriter {
	return &patientWriter{w, http.NewResponseController(w)}
}

func (p *patientWriter) Write(b []byte) (int, error) {
	// Not every writer has deadlines; then its own limits hold.
	if err := p.control.SetWriteDeadline(time.Now().Add(sendWithin)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, fmt.Errorf("send: %w", err)
	}
	return p.w.Write(b)
}

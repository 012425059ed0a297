package kurrent

import (
	"bytes"
	"io"
	"log"
	"sync"
)

// The official client ends the process, by log.Fatalf, when an event's time is not a
// number. What log.Fatalf does first is to write; so whoever writes for the standard
// logger stops it there, by a panic that [walled] turns into an error.

// malformed is the panic that stands in for the end of the process.
type malformed struct{}

func (malformed) Error() string {
	return "kurrent: the server sent an event whose time is not a number"
}

// fatal is the beginning of the line that the client logs before it ends the process,
// after the logger's own prefix.
var fatal = []byte("Failed to parse created date as int")

// guarding is a writer of the log that passes lines on and panics at one that would end
// the process.
type guarding struct{ inner io.Writer }

func (g *guarding) Write(b []byte) (int, error) {
	if bytes.Contains(b, fatal) {
		panic(malformed{})
	}
	return g.inner.Write(b)
}

var guardMu sync.Mutex

// guardProcess sees to it that the standard logger writes through a guarding.
func guardProcess() {
	if _, guarded := log.Writer().(*guarding); guarded {
		return
	}
	guardMu.Lock()
	defer guardMu.Unlock()
	if w := log.Writer(); w != nil {
		if _, guarded := w.(*guarding); !guarded {
			log.SetOutput(&guarding{w})
		}
	}
}

package sqlite

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"coffre/eventstore"
)

// ends remembers after which revision streams have no record that was acknowledged, so that
// whoever remembers a stream up to there need not ask the file. It knows streams that were
// appended to or read lately. Those that do not exist it does not: to look for a person whom
// nobody knows takes no less than to look for somebody else (rule A-9). Its methods may be
// called concurrently, change by the one writer only.
//
// Invariant: an append moves the end of its stream before anybody is told of it, and nobody
// who read the stream before moves it back.
type ends struct {
	mu      sync.Mutex
	streams *simplelru.LRU[eventstore.Stream, eventstore.Revision]
	turns   uint64 // counts the beginnings and ends of changes: odd during one
}

func newEnds(most int) *ends {
	streams, err := simplelru.NewLRU[eventstore.Stream, eventstore.Revision](most, nil)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return &ends{streams: streams}
}

// of returns the last revision that a stream may have; known is false when nobody
// remembers.
func (e *ends) of(s eventstore.Stream) (last eventstore.Revision, known bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.streams.Get(s)
}

// change moves the ends of streams and then publishes what was appended to them.
func (e *ends) change(move func(moved func(eventstore.Stream, eventstore.Revision)), publish func()) {
	e.mu.Lock()
	e.turns++
	move(func(s eventstore.Stream, last eventstore.Revision) { e.streams.Add(s, last) })
	e.mu.Unlock()
	publish()
	e.mu.Lock()
	e.turns++
	e.mu.Unlock()
}

// turn returns the present turn, for whoever is about to read a stream.
func (e *ends) turn() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.turns
}

// found remembers where a stream ended for a reader who began in that turn: not if anything
// was appended since, or was about to be published then, for it may have been to that stream.
func (e *ends) found(s eventstore.Stream, last eventstore.Revision, turn uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if last >= 0 && turn == e.turns && turn%2 == 0 {
		e.streams.Add(s, last)
	}
}

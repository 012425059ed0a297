package eventstore

import (
	"context"
	"sync"

	"github.com/google/uuid"
)

// flight is an append whose place is fixed and whose outcome nobody knows yet. The next
// writer of the stream decides on the state after it, and expects its last record there: if
// the append fails, so does what was decided on it, and is decided again.
type flight struct {
	after  any           // snapshot[S] of the stream, if the append succeeds
	last   uuid.UUID     // id of the stream's last record then
	landed chan struct{} // closed when the outcome is known
}

// flights has the last append of each stream that is under way. The zero value is ready;
// its methods may be called concurrently.
type flights struct {
	mu   sync.Mutex
	last map[Stream]*flight
}

// of returns the last append under way; nil when there is none.
func (f *flights) of(s Stream) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last[s]
}

// begin makes an append the last one of its stream.
func (f *flights) begin(s Stream, after any, last uuid.UUID) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last == nil {
		f.last = map[Stream]*flight{}
	}
	begun := &flight{after: after, last: last, landed: make(chan struct{})}
	f.last[s] = begun
	return begun
}

// end says that the outcome is known. It calls last first, unless a later append is or was
// under way, whose state is newer.
func (f *flights) end(s Stream, ended *flight, last func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last[s] == ended {
		last()
		delete(f.last, s)
	}
	close(ended.landed)
}

// wait returns when the last append under way has an outcome, or with ctx's error.
func (f *flights) wait(ctx context.Context, s Stream) error {
	under := f.of(s)
	if under == nil {
		return nil
	}
	select {
	case <-under.landed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

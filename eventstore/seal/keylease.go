package seal

import (
	"context"
	"errors"
	"sync"
	"time"

	"coffre/domain"
	"coffre/eventstore"
)

// KeyLease is the right of one answer to send what the keys of citizens and of their
// streams opened. It ends when one of these keys is withdrawn or destroyed, in the
// process that does so and in any other that reads of it, and when the ring's own lease
// cannot be renewed. Make it with [Ring.NewKeyLease] and end it with Release, for a
// destruction waits until every lease on its keys in this process is released. Its
// methods may be called concurrently.
type KeyLease struct {
	ring  *Ring
	ended func(error)

	mu       sync.Mutex
	streams  []coveredStream
	citizens []domain.CitizenID
	lost     error
	released chan struct{} // nil until a destruction waits for it
}

type coveredStream struct {
	stream  eventstore.Stream
	citizen domain.CitizenID
}

// NewKeyLease returns a lease that covers no key yet. ended is called at most once, with
// eventstore.ErrErased or ErrKeysUnavailable, when the lease ends before it is released: it
// has to stop what is being sent, and must not block or call the lease.
func (r *Ring) NewKeyLease(ended func(error)) *KeyLease {
	l := &KeyLease{ring: r, ended: ended}
	r.leasing.Lock()
	defer r.leasing.Unlock()
	if r.leases == nil {
		r.leases = make(map[*KeyLease]struct{})
	}
	r.leases[l] = struct{}{}
	return l
}

// Cover adds the key of a stream. Call it before the key opens something, so that no
// destruction falls between the two. It returns the errors of [Opener.Open] that concern
// the key; a stream without a key is no error here.
func (l *KeyLease) Cover(ctx context.Context, stream eventstore.Stream) error {
	k, err := l.ring.contentKey(ctx, stream)
	switch {
	case errors.Is(err, ErrUnknown):
		return nil
	case err != nil:
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.streams); n == 0 || l.streams[n-1].stream != stream {
		l.streams = append(l.streams, coveredStream{stream, k.citizen})
	}
	return l.lost
}

// CoverCitizen adds the keys of a citizen.
func (l *KeyLease) CoverCitizen(citizen domain.CitizenID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.citizens = append(l.citizens, citizen)
}

// leaseMargin is the part of a lease that is left for a write to be broken off in.
const leaseMargin = 10

// Left returns for how long what was opened may still be sent: at least a third of the
// ring's lease, which it renews if it must. It returns the error of a lease that ended.
func (l *KeyLease) Left(ctx context.Context) (time.Duration, error) {
	r := l.ring
	left := r.lease.left(r.cfg.Now(), r.cfg.Lease)
	if left <= r.cfg.Lease/3 {
		attempt, cancel := context.WithTimeout(ctx, r.cfg.Lease/3)
		err := r.read(attempt)
		cancel()
		if err != nil {
			err = unavailable(ctx, "renew lease", err)
			l.end(err)
			return 0, err
		}
		left = r.lease.left(r.cfg.Now(), r.cfg.Lease)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return left - r.cfg.Lease/leaseMargin, l.lost
}

// Release ends the lease: nothing that was opened under it is sent any more.
func (l *KeyLease) Release() {
	l.ring.leasing.Lock()
	delete(l.ring.leases, l)
	l.ring.leasing.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.released != nil {
		close(l.released)
		l.released = nil
	}
}

// end tells the holder that the lease ended.
func (l *KeyLease) end(why error) {
	l.mu.Lock()
	first := l.lost == nil
	if first {
		l.lost = why
	}
	l.mu.Unlock()
	if first {
		l.ended(why)
	}
}

// covers reports whether the lease is on a key of one of the citizens or streams.
func (l *KeyLease) covers(citizens map[domain.CitizenID]bool, streams map[eventstore.Stream]bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.citizens {
		if citizens[c] {
			return true
		}
	}
	for _, s := range l.streams {
		if citizens[s.citizen] || streams[s.stream] {
			return true
		}
	}
	return false
}

// waited returns the channel that is closed when the lease is released.
func (l *KeyLease) waited() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.released == nil {
		l.released = make(chan struct{})
	}
	return l.released
}

// endLeases ends the leases on the keys of citizens and of streams, after these keys were
// forgotten, and returns them.
func (r *Ring) endLeases(citizens []domain.CitizenID, streams []eventstore.Stream) []*KeyLease {
	ofCitizens, ofStreams := make(map[domain.CitizenID]bool, len(citizens)), make(map[eventstore.Stream]bool, len(streams))
	for _, c := range citizens {
		ofCitizens[c] = true
	}
	for _, s := range streams {
		ofStreams[s] = true
	}
	return r.endLeasesIf(eventstore.ErrErased, func(l *KeyLease) bool { return l.covers(ofCitizens, ofStreams) })
}

func (r *Ring) endLeasesIf(why error, match func(*KeyLease) bool) []*KeyLease {
	var ended []*KeyLease
	r.leasing.Lock()
	for l := range r.leases {
		if match(l) {
			ended = append(ended, l)
		}
	}
	r.leasing.Unlock()
	for _, l := range ended {
		l.end(why)
	}
	return ended
}

// endUse forgets the keys of citizens and of streams, ends every lease on them in this
// process, and returns when what was sent under these leases has stopped.
func (r *Ring) endUse(ctx context.Context, citizens []domain.CitizenID, streams []eventstore.Stream) error {
	r.forget(citizens, streams)
	for _, l := range r.endLeases(citizens, streams) {
		select {
		case <-r.released(l):
		case <-ctx.Done():
			return unavailable(ctx, "wait for answers under way", ctx.Err())
		}
	}
	return nil
}

// released returns a channel that is closed once the lease is released.
func (r *Ring) released(l *KeyLease) <-chan struct{} {
	r.leasing.Lock()
	defer r.leasing.Unlock()
	if _, held := r.leases[l]; !held {
		done := make(chan struct{})
		close(done)
		return done
	}
	return l.waited()
}

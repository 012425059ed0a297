package sqlite

import (
	"slices"
	"sync"
	"time"

	"coffre/eventstore"
	"coffre/eventstore/proof"
)

const (
	reservedShare = 8        // one part in so many is kept free for eventstore.Reserved
	maxDrain      = 1024     // appends in one transaction, so that the first is not answered too late
	maxDrainBytes = 16 << 20 // bytes in one transaction, unless one append has more
	gatherEnough  = 48       // from so many on, waiting for more gains nothing (facts: performance)
	overhead      = 256      // bytes a queued record costs beyond its own
)

// request is an append on its way through the queue.
type request struct {
	batch eventstore.Batch // the store's own copy, with stream and, when known, revision set
	first eventstore.Revision
	sums  []proof.Hash // computed by the caller's goroutine when the expectation tells the revisions
	size  int
	done  chan answer // has room for the one answer
}

type answer struct {
	appended eventstore.Appended
	err      error
}

// newRequest copies the batch, because a caller who gives up in the middle of a
// transaction may change its bytes while they are being written.
func newRequest(b eventstore.Batch) *request {
	r := &request{batch: b, first: -1, done: make(chan answer, 1)}
	r.batch.Records = slices.Clone(b.Records)
	for _, record := range b.Records {
		r.size += record.Size()
	}
	buf := make([]byte, 0, r.size)
	keep := func(b []byte) []byte {
		start := len(buf)
		buf = append(buf, b...)
		return buf[start:]
	}
	known := b.Expected >= eventstore.NoStream && b.Expected < 1<<62
	if known {
		r.first = eventstore.Revision(b.Expected) + 1
		r.sums = make([]proof.Hash, len(b.Records))
	}
	for i := range r.batch.Records {
		record := &r.batch.Records[i]
		record.Stream = b.Stream
		record.Meta, record.Clear, record.Sealed = keep(record.Meta), keep(record.Clear), keep(record.Sealed)
		if known {
			record.Revision = r.first + eventstore.Revision(i)
			r.sums[i] = proof.LeafHash(record)
		}
	}
	r.size += overhead * len(b.Records)
	return r
}

// queue holds appends until the sequencer takes them.
type queue struct {
	maxCount, maxBytes int
	gather             time.Duration

	mu      sync.Mutex
	waiting []*request
	bytes   int
	refuse  error         // why nothing is taken any more; nil while it is
	arrived chan struct{} // has a token after something changed
}

func newQueue(o Options) *queue {
	q := &queue{maxCount: o.MaxQueued, maxBytes: o.MaxQueuedBytes, gather: o.Gather, arrived: make(chan struct{}, 1)}
	if q.maxCount <= 0 {
		q.maxCount = defaultQueue
	}
	if q.maxBytes <= 0 {
		q.maxBytes = defaultQueueBytes
	}
	return q
}

// put queues r, or says at once why not. An append alone is always taken, however
// large, so that none is refused for ever.
func (q *queue) put(r *request) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.refuse != nil {
		return q.refuse
	}
	count, size := q.maxCount, q.maxBytes
	if r.batch.Class != eventstore.Reserved {
		count -= (count + reservedShare - 1) / reservedShare
		size -= size / reservedShare
	}
	if len(q.waiting) > 0 && (len(q.waiting) >= count || q.bytes+r.size > size) {
		return eventstore.ErrOverloaded
	}
	q.waiting = append(q.waiting, r)
	q.bytes += r.size
	q.signal()
	return nil
}

// withdraw takes r out again, unless the sequencer has it already.
func (q *queue) withdraw(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting, r)
	if i < 0 {
		return false
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	q.bytes -= r.size
	return true
}

// take waits for appends and returns as many as fit one transaction, in order of
// arrival; none when the queue takes no more.
func (q *queue) take() []*request {
	for !q.ready() {
		<-q.arrived
	}
	if q.gather > 0 {
		q.gatherMore()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.refuse != nil {
		return nil
	}
	n, size := 0, 0
	for n < len(q.waiting) && n < maxDrain && (n == 0 || size+q.waiting[n].size <= maxDrainBytes) {
		size += q.waiting[n].size
		n++
	}
	taken := slices.Clone(q.waiting[:n])
	q.waiting = slices.Delete(q.waiting, 0, n)
	q.bytes -= size
	return taken
}

func (q *queue) ready() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) > 0 || q.refuse != nil
}

// gatherMore gives callers a moment to join the transaction.
func (q *queue) gatherMore() {
	timer := time.NewTimer(q.gather)
	defer timer.Stop()
	for {
		q.mu.Lock()
		enough := len(q.waiting) >= gatherEnough || q.refuse != nil
		q.mu.Unlock()
		if enough {
			return
		}
		select {
		case <-q.arrived:
		case <-timer.C:
			return
		}
	}
}

// close answers all that wait with err, and whoever comes later.
func (q *queue) close(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refuse = err
	for _, r := range q.waiting {
		r.done <- answer{err: err}
	}
	q.waiting, q.bytes = nil, 0
	q.signal()
}

func (q *queue) signal() {
	select {
	case q.arrived <- struct{}{}:
	default:
	}
}

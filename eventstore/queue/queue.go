// Package queue is where the appends of one process wait for the only goroutine
// that writes them, many in one transaction (group commit). The stores in SQL share
// it.
//
// Invariant: an append is answered once: it is withdrawn and nothing of it will be
// written, or its writer answers it, or its caller is told that the outcome is
// unknown.
package queue

import (
	"context"
	"slices"
	"sync"
	"time"

	"coffre/eventstore"
	"coffre/eventstore/proof"
)

const (
	defaultCount = 4096
	defaultBytes = 64 << 20

	reservedShare = 8                      // one part in so many is kept free for eventstore.Reserved
	maxDrain      = eventstore.MaxTogether // appends in one transaction, so that the first is not answered too late
	maxDrainBytes = 16 << 20               // bytes in one transaction, unless one append has more
	gatherEnough  = 48                     // from so many on, waiting for more gained nothing when it was measured
	overhead      = 256                    // bytes a queued record costs beyond its own
)

// Options bound a queue. The zero value is right for production.
type Options struct {
	// MaxCount bounds the appends that wait, MaxBytes what they hold; 0 means 4096
	// and 64 MiB. An eighth of both is kept free for eventstore.Reserved.
	MaxCount, MaxBytes int
	// Gather is how long Take waits for company before it returns fewer than 48
	// appends; 0 means not at all.
	Gather time.Duration
}

// Answer is how an append ended.
type Answer struct {
	Appended eventstore.Appended
	Err      error
}

// Request is an append on its way through the queue.
type Request struct {
	// Batch is the store's own copy, with stream and, when known, revision set.
	Batch eventstore.Batch
	// First is the revision of the first record if the expectation tells; else -1.
	First eventstore.Revision
	// Sums are the records' checksums, computed by the caller's goroutine when the
	// expectation tells the revisions; else nil.
	Sums []proof.Hash
	// Rows are the columns of the records, made by the caller's goroutine; nil without
	// [Queue.FormRows].
	Rows []Row
	Size int // in bytes, what a record costs beyond its own included

	done     chan Answer // has room for the one answer
	together int         // requests from this one on that are written in one transaction or not at all; 0: it is alone
}

// Row is how a store keeps metadata and clear facts of a record.
type Row struct{ Meta, Clear []byte }

// NewRequest copies the batch, because a caller who gives up in the middle of a
// transaction may change its bytes while they are being written.
func NewRequest(b eventstore.Batch) *Request {
	r := &Request{Batch: b, First: -1, done: make(chan Answer, 1)}
	r.Batch.Records = slices.Clone(b.Records)
	for _, record := range b.Records {
		r.Size += record.Size()
	}
	buf := make([]byte, 0, r.Size)
	keep := func(b []byte) []byte {
		start := len(buf)
		buf = append(buf, b...)
		return buf[start:]
	}
	known := b.Expected >= eventstore.NoStream && b.Expected < 1<<62
	if known {
		r.First = eventstore.Revision(b.Expected) + 1
		r.Sums = make([]proof.Hash, len(b.Records))
	}
	for i := range r.Batch.Records {
		record := &r.Batch.Records[i]
		record.Stream = b.Stream
		record.Meta, record.Clear, record.Sealed = keep(record.Meta), keep(record.Clear), keep(record.Sealed)
		if known {
			record.Revision = r.First + eventstore.Revision(i)
			r.Sums[i] = proof.LeafHash(record)
		}
	}
	r.Size += overhead * len(b.Records)
	return r
}

// Answer tells the caller how the append ended. The writer calls it once.
func (r *Request) Answer(a Answer) { r.done <- a }

// Queue holds appends until the writer takes them. Its methods may be called
// concurrently, Take by one goroutine only.
type Queue struct {
	maxCount, maxBytes int
	gather             time.Duration
	form               func(*eventstore.Record) Row // nil: rows are no business of the callers

	mu      sync.Mutex
	waiting []*Request
	bytes   int
	refuse  error         // why nothing is taken any more; nil while it is
	arrived chan struct{} // has a token after something changed
}

// New returns an empty queue.
func New(o Options) *Queue {
	q := &Queue{maxCount: o.MaxCount, maxBytes: o.MaxBytes, gather: o.Gather, arrived: make(chan struct{}, 1)}
	if q.maxCount <= 0 {
		q.maxCount = defaultCount
	}
	if q.maxBytes <= 0 {
		q.maxBytes = defaultBytes
	}
	return q
}

// FormRows lets the goroutine of each caller make the rows of its records, so that the
// writer need not. It is called before the first Append.
func (q *Queue) FormRows(form func(*eventstore.Record) Row) { q.form = form }

// Append checks b as every store must, queues it and waits for its answer. It keeps
// the port's word about contexts: withdrawn while it waits, unknown once taken.
func (q *Queue) Append(ctx context.Context, b eventstore.Batch) (eventstore.Appended, error) {
	if err := b.Check(); err != nil {
		return eventstore.Appended{}, err
	}
	if err := ctx.Err(); err != nil {
		return eventstore.Appended{}, err
	}
	r := q.request(b)
	if err := q.put(r); err != nil {
		return eventstore.Appended{}, err
	}
	if b.Queued != nil {
		b.Queued()
	}
	a, err := q.await(ctx, r)
	if err != nil {
		return eventstore.Appended{}, err
	}
	return a.Appended, a.Err
}

// await returns the answer to the first of what was put, which is that to all of them, or
// why there is none.
func (q *Queue) await(ctx context.Context, all ...*Request) (Answer, error) {
	select {
	case a := <-all[0].done:
		return a, nil
	case <-ctx.Done():
	}
	if q.withdraw(all...) {
		return Answer{}, ctx.Err()
	}
	select {
	case a := <-all[0].done:
		return a, nil
	default:
		// ctx's own error is not wrapped: it would say that nothing was written.
		return Answer{}, eventstore.ErrOutcomeUnknown
	}
}

// AppendTogether does what [eventstore.Together] says, for a writer that answers all
// requests of a transaction alike when [Together] holds of them.
func (q *Queue) AppendTogether(ctx context.Context, batches []eventstore.Batch) error {
	if err := eventstore.CheckTogether(batches); err != nil || len(batches) == 0 {
		return err
	}
	all := make([]*Request, len(batches))
	for i, b := range batches {
		b.Class = eventstore.Ordinary
		all[i] = q.request(b)
		all[i].together = len(batches) - i
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := q.put(all...); err != nil {
		return err
	}
	a, err := q.await(ctx, all...)
	if err != nil {
		return err
	}
	return a.Err
}

// Together reports whether what Take returned is written as a whole or not at all.
func Together(taken []*Request) bool { return len(taken) > 0 && taken[0].together > 0 }

func (q *Queue) request(b eventstore.Batch) *Request {
	r := NewRequest(b)
	if q.form != nil {
		r.Rows = make([]Row, len(r.Batch.Records))
		for i := range r.Rows {
			r.Rows[i] = q.form(&r.Batch.Records[i])
		}
	}
	return r
}

// put queues requests of one class in their order, or says at once why not. What comes
// into an empty queue is always taken, however large, so that none is refused for ever.
func (q *Queue) put(all ...*Request) error {
	more := 0
	for _, r := range all {
		more += r.Size
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.refuse != nil {
		return q.refuse
	}
	count, size := q.maxCount, q.maxBytes
	if all[0].Batch.Class != eventstore.Reserved {
		count -= (count + reservedShare - 1) / reservedShare
		size -= size / reservedShare
	}
	if len(q.waiting) > 0 && (len(q.waiting)+len(all) > count || q.bytes+more > size) {
		return eventstore.ErrOverloaded
	}
	q.waiting = append(q.waiting, all...)
	q.bytes += more
	q.signal()
	return nil
}

// withdraw takes requests that follow each other out again, unless the writer has them
// already: it takes all or none of them.
func (q *Queue) withdraw(all ...*Request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting, all[0])
	if i < 0 {
		return false
	}
	q.waiting = slices.Delete(q.waiting, i, i+len(all))
	for _, r := range all {
		q.bytes -= r.Size
	}
	return true
}

// Len tells how many appends wait.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// Take waits for appends and returns as many as fit one transaction, in order of
// arrival, or those of one AppendTogether; none when the queue takes no more.
func (q *Queue) Take() []*Request {
	for {
		for !q.ready() {
			<-q.arrived
		}
		if q.gather > 0 {
			q.gatherMore()
		}
		if taken, closed := q.drain(); closed || len(taken) > 0 {
			return taken
		}
	}
}

// drain takes what waits out of the queue, which may be nothing: a caller can withdraw its
// append after ready has seen it.
func (q *Queue) drain() (taken []*Request, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.refuse != nil {
		return nil, true
	}
	if len(q.waiting) == 0 {
		return nil, false
	}
	n, size := q.waiting[0].together, 0
	if n == 0 {
		n = q.alone()
	}
	for _, r := range q.waiting[:n] {
		size += r.Size
	}
	taken = slices.Clone(q.waiting[:n])
	q.waiting = slices.Delete(q.waiting, 0, n)
	q.bytes -= size
	return taken, false
}

// alone returns how many of the first that wait fit one transaction and need no company.
func (q *Queue) alone() int {
	size := 0
	for n, r := range q.waiting[:min(len(q.waiting), maxDrain)] {
		if size += r.Size; r.together > 0 || n > 0 && size > maxDrainBytes {
			return n
		}
	}
	return min(len(q.waiting), maxDrain)
}

func (q *Queue) ready() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) > 0 || q.refuse != nil
}

// gatherMore gives callers a moment to join the transaction.
func (q *Queue) gatherMore() {
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

// Close answers all that wait with err, and whoever comes later. What the writer has
// taken it still answers.
func (q *Queue) Close(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refuse = err
	for _, r := range q.waiting {
		r.Answer(Answer{Err: err})
	}
	q.waiting, q.bytes = nil, 0
	q.signal()
}

func (q *Queue) signal() {
	select {
	case q.arrived <- struct{}{}:
	default:
	}
}

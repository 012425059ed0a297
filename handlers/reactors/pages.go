package reactors

import (
	"context"
	"sync"
	"sync/atomic"

	"coffre/eventstore"
)

// pagesKept bounds the pages of the log that are kept in memory: subscriptions that have caught
// up read the same ones.
const pagesKept = 32

// pages reads the log once for several subscriptions. Its methods may be called concurrently.
type pages struct {
	store eventstore.Store

	mu   sync.Mutex
	at   map[eventstore.Position]*page // by the position after which it begins
	kept []eventstore.Position         // the oldest first
}

// page is what lies after a position, without what is sealed. It never changes once read is
// closed.
type page struct {
	read    chan struct{}
	failed  bool
	records []*paged
}

// paged is a record with its notice, which the first subscription that asks makes for all. Its
// methods may be called concurrently.
type paged struct {
	eventstore.Record
	noticed atomic.Pointer[Notice] // nil until somebody asked
}

// notice returns the record's notice without the number of its leaf.
func (r *paged) notice(ctx context.Context, people *citizens) (Notice, error) {
	if n := r.noticed.Load(); n != nil {
		return *n, nil
	}
	citizen, err := people.of(ctx, r.Record)
	if err != nil {
		return Notice{}, err
	}
	n := unnumbered(r.Record, citizen)
	r.noticed.Store(&n)
	return n, nil
}

func newPages(store eventstore.Store) *pages {
	return &pages{store: store, at: map[eventstore.Position]*page{}}
}

// after returns records that lie after a position, in order, and the error that ended the
// reading; none and nil where the log ends. The records are shared and must not be changed.
func (p *pages) after(ctx context.Context, position eventstore.Position) ([]*paged, error) {
	for {
		p.mu.Lock()
		there := p.at[position]
		if there == nil {
			break
		}
		p.mu.Unlock()
		select {
		case <-there.read:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if !there.failed {
			return there.records, nil
		}
	}
	mine := &page{read: make(chan struct{})}
	p.at[position] = mine
	p.mu.Unlock()

	records, err := p.readFrom(ctx, position)

	p.mu.Lock()
	mine.records, mine.failed = records, err != nil
	if err != nil || len(records) == 0 {
		delete(p.at, position) // what comes there is not known yet
	} else if p.kept = append(p.kept, position); len(p.kept) > pagesKept {
		delete(p.at, p.kept[0])
		p.kept = p.kept[1:]
	}
	p.mu.Unlock()
	close(mine.read)
	return records, err
}

func (p *pages) readFrom(ctx context.Context, position eventstore.Position) (records []*paged, err error) {
	for r, err := range p.store.ReadAll(ctx, position, pageSize) {
		if err != nil {
			return records, err
		}
		r.Sealed, r.Sum = nil, [32]byte{}
		records = append(records, &paged{Record: r})
	}
	return records, nil
}

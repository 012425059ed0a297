package projections

import (
	"context"
	"errors"
	"time"

	"coffre/eventstore"
)

// Bounds of one page, which is also the largest batch of one transaction.
const (
	pageEvents  = 4096
	pageBytes   = 8 << 20
	keptBytes   = 4 << 20 // of pages remembered for the others, two of any size besides
	keptPages   = 64
	readTimeout = 30 * time.Second // for one page: a store that hangs is asked again
)

// item is one leaf of a page.
type item struct {
	leaf  int64
	event eventstore.Event
	err   error // why the event cannot be taken in: undecodable or damaged
}

// page is a stretch of the log, read and decoded once for all projections. It is
// not changed after it was made.
type page struct {
	items []item // the leaves that some projection wants to see
	after Checkpoint
	bytes int
}

// feed reads the log for several projections. Those that are equally far, as all
// are when live or rebuilt together, share pages.
type feed struct {
	store  eventstore.Store
	codec  eventstore.Codec
	wanted map[string]bool // categories

	turn  chan struct{} // holds one token; guards what follows
	kept  map[Checkpoint]*page
	order []Checkpoint // of kept, oldest first
	bytes int
}

func newFeed(store eventstore.Store, codec eventstore.Codec, all []Projection) *feed {
	f := &feed{store: store, codec: codec, wanted: map[string]bool{}, turn: make(chan struct{}, 1), kept: map[Checkpoint]*page{}}
	f.turn <- struct{}{}
	for _, p := range all {
		for _, c := range p.Categories() {
			f.wanted[c] = true
		}
	}
	return f
}

// page returns what follows a checkpoint; its after equals it when nothing does.
func (f *feed) page(ctx context.Context, from Checkpoint) (*page, error) {
	select {
	case <-f.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { f.turn <- struct{}{} }()
	if p := f.kept[from]; p != nil {
		return p, nil
	}
	p, err := f.read(ctx, from)
	if err != nil {
		return nil, err
	}
	if p.after != from {
		f.keep(from, p)
	}
	return p, nil
}

// batch returns what follows a checkpoint: one page, and the remembered ones behind it.
func (f *feed) batch(ctx context.Context, from Checkpoint) ([]item, Checkpoint, error) {
	p, err := f.page(ctx, from)
	if err != nil {
		return nil, from, err
	}
	items, to, bytes := p.items, p.after, p.bytes
	for to.Next-from.Next < pageEvents/2 && bytes < pageBytes/2 && to != from {
		more := f.remembered(to)
		if more == nil {
			break
		}
		items = append(items[:len(items):len(items)], more.items...)
		to, bytes = more.after, bytes+more.bytes
	}
	return items, to, nil
}

// remembered returns a page that was read before; nil when it would have to be read.
func (f *feed) remembered(from Checkpoint) *page {
	select {
	case <-f.turn:
		defer func() { f.turn <- struct{}{} }()
		return f.kept[from]
	default:
		return nil
	}
}

func (f *feed) keep(from Checkpoint, p *page) {
	f.kept[from] = p
	f.order = append(f.order, from)
	f.bytes += p.bytes
	for len(f.order) > 2 && (f.bytes > keptBytes || len(f.order) > keptPages) {
		f.bytes -= f.kept[f.order[0]].bytes
		delete(f.kept, f.order[0])
		f.order = f.order[1:]
	}
}

// read makes one page. A record that cannot be decoded becomes an item with an error,
// and reading goes on behind it.
func (f *feed) read(ctx context.Context, from Checkpoint) (*page, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	p := &page{after: from}
	for left, more := pageEvents, true; more; {
		more = false
		for r, err := range f.store.ReadAll(ctx, p.after.Position, left) {
			var damaged *eventstore.Corrupt
			switch {
			case errors.As(err, &damaged):
				r = eventstore.Record{Stream: damaged.Stream, Revision: damaged.Revision, Position: damaged.Position}
				more = true // the store ends here, the log may not
			case err != nil:
				return nil, err
			}
			if r.Position.Compare(p.after.Position) <= 0 {
				more = false
				continue // seen: a store may repeat itself
			}
			f.add(p, r, err)
			if left--; left == 0 || p.bytes >= pageBytes {
				return p, nil
			}
		}
	}
	return p, nil
}

func (f *feed) add(p *page, r eventstore.Record, err error) {
	category := r.Stream.Category()
	leaf := p.after.Next
	p.after.Position = r.Position
	if !Ours(category) {
		return
	}
	p.after.Next++
	if !f.wanted[category] {
		return
	}
	it := item{leaf: leaf, event: eventstore.Event{Record: r}, err: err}
	if err == nil {
		it.event.Data, it.err = f.codec.Decode(r.Type, r.Clear, nil)
	}
	p.bytes += r.Size() + 512 // the decoded event weighs, too
	p.items = append(p.items, it)
}

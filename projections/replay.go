package projections

import (
	"context"
	"errors"
	"fmt"

	"coffre/eventstore"
)

// Replay is a read model that is made from the log outside of any runner, on a medium that
// nobody else uses. It is for one goroutine.
type Replay struct {
	p      Projection
	model  Model
	feed   *feed
	wanted map[string]bool
	g      *generation
}

// NewReplay makes the empty tables of a read model on a medium. With watched it takes in one
// event at a time, as [Replay.Watch] needs it; else it is built as a rebuild is.
func NewReplay(ctx context.Context, medium Medium, store eventstore.Store, codec eventstore.Codec, p Projection, watched bool) (*Replay, error) {
	r := &Replay{p: p, model: medium.Model(p.Name(), p.Version()), feed: newFeed(store, codec, []Projection{p}), wanted: map[string]bool{}}
	for _, c := range p.Categories() {
		r.wanted[c] = true
	}
	var err error
	if watched {
		var tables Tables
		schema := p.Schema()
		if tables, err = r.model.Create(ctx, checkpointTable+schema.Tables+schema.Indexes+firstCheckpoint(p)); err == nil {
			r.g = &generation{Tables: tables}
		}
	} else {
		r.g, err = createGeneration(ctx, r.model, p)
	}
	if err != nil {
		return nil, fmt.Errorf("replay %s: %w", p.Name(), err)
	}
	return r, nil
}

// At returns how far the read model has come.
func (r *Replay) At() Checkpoint { return r.g.at }

// To takes the log in up to its leaf next, which is not taken in, or to its end, and makes the
// tables ready for readers. told, unless nil, gets the number of leaves that were passed. The
// error is *Poisoned for an event that the read model cannot take in.
// That number is negative when pages that were taken in together are read again, one by one, to
// find the event at fault.
func (r *Replay) To(ctx context.Context, next int64, told func(leaves int64)) error {
	err := r.build(ctx, next, told, func() error { return nil })
	if errors.Is(err, errTogether) {
		err = r.build(ctx, next, told, r.g.commitOpen)
	}
	if err == nil {
		err = r.g.commitOpen()
	}
	if err != nil {
		return errors.Join(err, r.g.rollback())
	}
	if !r.g.building {
		return nil
	}
	r.g, err = r.g.finish(ctx, r.model, r.p)
	return err
}

// build takes in what follows up to leaf next, and calls then after each page.
func (r *Replay) build(ctx context.Context, next int64, told func(leaves int64), then func() error) error {
	return r.pages(ctx, next, func(items []item, to Checkpoint) error {
		from := r.g.at.Next
		err := r.g.apply(ctx, 0, r.p, r.wanted, items, to)
		if told != nil {
			told(r.g.at.Next - from)
		}
		if err != nil {
			return err
		}
		return then()
	})
}

// Watch is To event by event: after each, seen looks at the tables in the same transaction.
func (r *Replay) Watch(ctx context.Context, next int64, seen func(tx *Tx, leaf int64, e eventstore.Event) error) error {
	return r.pages(ctx, next, func(items []item, to Checkpoint) error {
		for i := range items {
			it := &items[i]
			if it.err != nil {
				return &Poisoned{Name: r.p.Name(), Leaf: it.leaf, Type: it.event.Type, Err: it.err}
			}
			err := r.g.commit(ctx, 0, Checkpoint{it.event.Position, it.leaf + 1}, func(tx *Tx) error {
				if err := applyRecovered(ctx, r.p, tx, it); err != nil {
					return err
				}
				return seen(tx, it.leaf, it.event)
			})
			if err != nil {
				return err
			}
		}
		if r.g.at == to {
			return nil
		}
		return r.g.commit(ctx, 0, to, func(*Tx) error { return nil }) // past what others take in
	})
}

// pages calls take with what follows in the log, up to leaf next.
func (r *Replay) pages(ctx context.Context, next int64, take func(items []item, to Checkpoint) error) error {
	for r.g.at.Next < next {
		p, err := r.feed.read(ctx, r.g.at)
		if err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		items, to := p.items, p.after
		for len(items) > 0 && items[len(items)-1].leaf >= next {
			items = items[:len(items)-1]
		}
		if to.Next > next && len(items) > 0 {
			to = Checkpoint{items[len(items)-1].event.Position, items[len(items)-1].leaf + 1}
		}
		if to == r.g.at || to.Next > next {
			return nil // nothing that this read model takes in is left
		}
		if err := take(items, to); err != nil {
			return err
		}
		if p.after.Next > next {
			return nil
		}
	}
	return nil
}

// Close closes the tables and removes them.
func (r *Replay) Close(ctx context.Context) error {
	return errors.Join(r.g.Close(), r.g.Remove(context.WithoutCancel(ctx)))
}

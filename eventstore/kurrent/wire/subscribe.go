package wire

import (
	"context"
	"errors"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"

	"coffre/eventstore"
	"coffre/eventstore/kurrent/form"
)

// checkpointEvery is how long a live subscriber with a filter is left without a
// checkpoint while records pass by.
const checkpointEvery = time.Second

// confirm is the first message of a subscription; clients wait for it.
func (r *reading) confirm() error {
	return r.out.Send(&streams.ReadResp{Content: &streams.ReadResp_Confirmation{
		Confirmation: &streams.ReadResp_SubscriptionConfirmation{SubscriptionId: uuid.NewString()},
	}})
}

func (r *reading) caughtUp() error {
	return r.out.Send(&streams.ReadResp{Content: &streams.ReadResp_CaughtUp_{CaughtUp: &streams.ReadResp_CaughtUp{}}})
}

func (r *reading) fellBehind() error {
	return r.out.Send(&streams.ReadResp{Content: &streams.ReadResp_FellBehind_{FellBehind: &streams.ReadResp_FellBehind{}}})
}

// subscribeStream sends the records of one stream after the revision given, and
// those to come. The stream need not be there yet.
func (r *reading) subscribeStream(o *streams.ReadReq_Options_StreamOptions) error {
	s, ours := form.ParseStream(string(o.GetStreamIdentifier().GetStreamName()))
	next, end := from(o)
	if _, ok := o.GetRevisionOption().(*streams.ReadReq_Options_StreamOptions_Revision); ok {
		next++
	}
	if ours && end {
		last, err := r.last(s)
		if err != nil {
			return err
		}
		next = last + 1
	}
	if err := r.confirm(); err != nil {
		return err
	}
	if !ours {
		<-r.ctx.Done() // nothing ever happens in a stream that cannot be
		return r.ctx.Err()
	}
	live := false
	for {
		seen, err := r.s.o.Store.Head(r.ctx) // first, so that what comes after it ends the wait
		if err != nil {
			return err
		}
		n := 0
		for record, err := range r.s.o.Store.ReadStream(r.ctx, s, next) {
			if err != nil {
				return err
			}
			if n++; live && n == page {
				live = false
				if err := r.fellBehind(); err != nil {
					return err
				}
			}
			if err := r.send(&record); err != nil {
				return err
			}
			next = record.Revision + 1
		}
		if !live {
			live = true
			if err := r.caughtUp(); err != nil {
				return err
			}
		}
		if err := r.s.o.Store.Wait(r.ctx, seen); err != nil {
			return err
		}
	}
}

// subscribeAll sends the records after the position given, and those to come. With
// a filter it tells now and then how far it has looked.
func (r *reading) subscribeAll(o *streams.ReadReq_Options_AllOptions) error {
	var after eventstore.Position
	switch at := o.GetAllOption().(type) {
	case *streams.ReadReq_Options_AllOptions_Position:
		after = eventstore.Position{Commit: at.Position.GetCommitPosition(), Prepare: at.Position.GetPreparePosition()}
	case *streams.ReadReq_Options_AllOptions_End:
		var err error
		if after, err = r.s.o.Store.Head(r.ctx); err != nil {
			return err
		}
	}
	if err := r.confirm(); err != nil {
		return err
	}
	considered, live := 0, false // records since the last checkpoint
	checkpoint := func() error {
		if r.filter == nil || considered == 0 {
			return nil
		}
		considered = 0
		// Of a record that was considered, so never past the last one there is.
		return r.out.Send(&streams.ReadResp{Content: &streams.ReadResp_Checkpoint_{
			Checkpoint: &streams.ReadResp_Checkpoint{CommitPosition: after.Commit, PreparePosition: after.Prepare},
		}})
	}
	for {
		found, err := collect(r.s.o.Store.ReadAll(r.ctx, after, page), page)
		if err != nil {
			return err
		}
		if live && len(found) == page {
			live = false
			if err := r.fellBehind(); err != nil {
				return err
			}
		}
		for i := range found {
			after = found[i].Position
			considered++
			passes, err := r.filter.admits(&found[i])
			if err != nil {
				return err
			}
			if passes {
				if err := r.send(&found[i]); err != nil {
					return err
				}
			}
			if r.filter != nil && considered >= r.filter.window {
				if err := checkpoint(); err != nil {
					return err
				}
			}
		}
		if len(found) == page {
			continue
		}
		if !live {
			live = true
			if err := errors.Join(checkpoint(), r.caughtUp()); err != nil {
				return err
			}
		}
		if err := r.wait(after, considered > 0 && r.filter != nil, checkpoint); err != nil {
			return err
		}
	}
}

// wait waits for a record after the position. Where a checkpoint is due it tells it
// when nothing came for a while, or, should much come, at the window's end.
func (r *reading) wait(after eventstore.Position, due bool, checkpoint func() error) error {
	if due {
		ctx, cancel := context.WithTimeout(r.ctx, checkpointEvery)
		err := r.s.o.Store.Wait(ctx, after)
		cancel()
		if err == nil || !errors.Is(err, context.DeadlineExceeded) || r.ctx.Err() != nil {
			return err
		}
		if err := checkpoint(); err != nil {
			return err
		}
	}
	return r.s.o.Store.Wait(r.ctx, after)
}

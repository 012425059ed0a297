package wire

import (
	"context"
	"math"
	"slices"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"coffre/eventstore"
	"coffre/eventstore/kurrent/form"
)

const (
	page  = 256  // records held for one client at most
	short = 1023 // up to this revision the end of a stream is found by reading it
)

// reading is one Read call: a read that ends, or a subscription.
type reading struct {
	s       *Server
	ctx     context.Context // ends with the call or the server
	out     streams.Streams_ReadServer
	filter  *filter
	textIDs bool
	count   uint64 // records still to send
}

// Read implements streams.StreamsServer: reads of a stream or of $all, in both
// directions, and subscriptions to either.
func (s *Server) Read(req *streams.ReadReq, out streams.Streams_ReadServer) error {
	ctx, cancel := context.WithCancel(out.Context())
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	o := req.GetOptions()
	_, textIDs := o.GetUuidOption().GetContent().(*streams.ReadReq_Options_UUIDOption_String_)
	f, err := newFilter(o)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	r := &reading{s: s, ctx: ctx, out: out, filter: f, textIDs: textIDs, count: o.GetCount()}
	if told, err := s.tell(ctx, o); err != nil {
		return s.failure(out.Context(), err)
	} else if !told {
		return status.Error(codes.InvalidArgument, "what to read is missing")
	}
	backwards := o.GetReadDirection() == streams.ReadReq_Options_Backwards
	_, live := o.GetCountOption().(*streams.ReadReq_Options_Subscription)
	switch asked := o.GetStreamOption().(type) {
	case *streams.ReadReq_Options_Stream:
		switch {
		case f != nil:
			return status.Error(codes.InvalidArgument, "a stream is read without a filter")
		case live && backwards:
			return status.Error(codes.InvalidArgument, "a subscription goes forwards")
		case live:
			err = r.subscribeStream(asked.Stream)
		default:
			err = r.readStream(asked.Stream, backwards)
		}
	case *streams.ReadReq_Options_All:
		switch {
		case live && backwards:
			return status.Error(codes.InvalidArgument, "a subscription goes forwards")
		case live:
			err = r.subscribeAll(asked.All)
		case backwards:
			err = r.allBackwards(asked.All)
		default:
			err = r.allForwards(asked.All)
		}
	}
	if err == nil {
		return nil
	}
	if _, told := status.FromError(err); told {
		return err
	}
	return s.failure(out.Context(), err)
}

// tell says who is going to read what, and reports false when that cannot be told. Of a
// stream that cannot be, of which nothing is answered, nobody is told.
func (s *Server) tell(ctx context.Context, o *streams.ReadReq_Options) (told bool, err error) {
	name, _ := s.caller(ctx)
	r := Reading{Name: name}
	switch asked := o.GetStreamOption().(type) {
	case *streams.ReadReq_Options_Stream:
		stream, ours := form.ParseStream(string(asked.Stream.GetStreamIdentifier().GetStreamName()))
		if !ours {
			return true, nil
		}
		r.Stream = stream
	case *streams.ReadReq_Options_All:
		if at := asked.All.GetPosition(); at != nil && o.GetReadDirection() == streams.ReadReq_Options_Forwards {
			r.From = eventstore.Position{Commit: at.GetCommitPosition(), Prepare: at.GetPreparePosition()}
		}
	default:
		return false, nil
	}
	if s.o.Reading == nil {
		return true, nil
	}
	return true, s.o.Reading(ctx, r)
}

// send sends one record that the filter admits.
func (r *reading) send(record *eventstore.Record) error {
	return r.out.Send(event(record, r.textIDs))
}

// collect returns at most limit records.
func collect(records func(yield func(eventstore.Record, error) bool), limit int) (found []eventstore.Record, err error) {
	for record, err := range records {
		if err != nil {
			return found, err
		}
		if found = append(found, record); len(found) == limit {
			break
		}
	}
	return found, nil
}

// from returns where in s a read begins that goes forwards from there.
func from(o *streams.ReadReq_Options_StreamOptions) (first eventstore.Revision, end bool) {
	switch at := o.GetRevisionOption().(type) {
	case *streams.ReadReq_Options_StreamOptions_Revision:
		return eventstore.Revision(min(at.Revision, math.MaxInt64)), false
	case *streams.ReadReq_Options_StreamOptions_End:
		return 0, true
	}
	return 0, false
}

// readStream answers a counted read of one stream.
func (r *reading) readStream(o *streams.ReadReq_Options_StreamOptions, backwards bool) error {
	name := o.GetStreamIdentifier()
	s, ours := form.ParseStream(string(name.GetStreamName()))
	there := false
	if ours { // KurrentDB's own streams are not: there are none here
		var err error
		first, end := from(o)
		if backwards {
			there, err = r.streamBackwards(s, first, end)
		} else {
			there, err = r.streamForwards(s, first, end)
		}
		if err != nil {
			return err
		}
	}
	if there {
		return nil
	}
	return r.out.Send(&streams.ReadResp{Content: &streams.ReadResp_StreamNotFound_{
		StreamNotFound: &streams.ReadResp_StreamNotFound{StreamIdentifier: name},
	}})
}

// has reports whether the stream has a record at or after a revision.
func (r *reading) has(s eventstore.Stream, revision eventstore.Revision) (bool, error) {
	found, err := collect(r.s.o.Store.ReadStream(r.ctx, s, revision), 1)
	return len(found) > 0, err
}

// last returns the revision of the stream's last record, -1 when there is none. A
// Store reads forwards only: a short stream is read, in a long one the end is looked
// for.
func (r *reading) last(s eventstore.Stream) (eventstore.Revision, error) {
	low := eventstore.Revision(-1) // is there
	for record, err := range r.s.o.Store.ReadStream(r.ctx, s, 0) {
		if err != nil {
			return -1, err
		}
		if low = record.Revision; low == short {
			break
		}
	}
	if low < short {
		return low, nil
	}
	high := 2 * low // may not be there
	for {
		there, err := r.has(s, high)
		if err != nil {
			return -1, err
		}
		if !there {
			break
		}
		low, high = high, 2*high
	}
	for low+1 < high {
		middle := low + (high-low)/2
		there, err := r.has(s, middle)
		if err != nil {
			return -1, err
		}
		if there {
			low = middle
		} else {
			high = middle
		}
	}
	return low, nil
}

// streamForwards sends records from a revision on and tells whether the stream is
// there. From the end on there is nothing to send.
func (r *reading) streamForwards(s eventstore.Stream, first eventstore.Revision, end bool) (there bool, _ error) {
	if !end && r.count > 0 {
		for record, err := range r.s.o.Store.ReadStream(r.ctx, s, first) {
			if err != nil {
				return true, err
			}
			there = true
			if err := r.send(&record); err != nil {
				return true, err
			}
			if r.count--; r.count == 0 {
				break
			}
		}
	}
	if there || first == 0 && !end && r.count > 0 {
		return there, nil
	}
	return r.has(s, 0)
}

// streamBackwards sends records from a revision, or the end, down, and tells whether
// the stream is there.
func (r *reading) streamBackwards(s eventstore.Stream, from eventstore.Revision, end bool) (there bool, _ error) {
	last, err := r.last(s)
	if err != nil || last < 0 {
		return false, err
	}
	if !end {
		last = min(last, from)
	}
	for last >= 0 && r.count > 0 {
		n := int(min(page, r.count, uint64(last)+1))
		found, err := collect(r.s.o.Store.ReadStream(r.ctx, s, last-eventstore.Revision(n)+1), n)
		if err != nil {
			return true, err
		}
		for i := range slices.Backward(found) {
			if err := r.send(&found[i]); err != nil {
				return true, err
			}
			r.count--
		}
		last -= eventstore.Revision(n)
	}
	return true, nil
}

// before returns a position that lies before p and not before any record that does.
func before(p eventstore.Position) eventstore.Position {
	switch {
	case p.Prepare > 0:
		return eventstore.Position{Commit: p.Commit, Prepare: p.Prepare - 1}
	case p.Commit > 0:
		return eventstore.Position{Commit: p.Commit - 1, Prepare: math.MaxUint64}
	}
	return p
}

// allForwards begins at the position given, which belongs to it.
func (r *reading) allForwards(o *streams.ReadReq_Options_AllOptions) error {
	var after eventstore.Position
	switch at := o.GetAllOption().(type) {
	case *streams.ReadReq_Options_AllOptions_Position:
		after = before(eventstore.Position{Commit: at.Position.GetCommitPosition(), Prepare: at.Position.GetPreparePosition()})
	case *streams.ReadReq_Options_AllOptions_End:
		return nil
	}
	for r.count > 0 {
		found, err := collect(r.s.o.Store.ReadAll(r.ctx, after, page), page)
		if err != nil || len(found) == 0 {
			return err
		}
		for i := range found {
			after = found[i].Position
			if passes, err := r.filter.admits(&found[i]); err != nil {
				return err
			} else if !passes {
				continue
			}
			if r.count == 0 {
				return nil
			}
			if err := r.send(&found[i]); err != nil {
				return err
			}
			r.count--
		}
	}
	return nil
}

// allBackwards begins with the record before the position given. A Store reads
// forwards only: it looks at ever larger spans before the position until they hold a
// page. Where positions count records, the first span does.
func (r *reading) allBackwards(o *streams.ReadReq_Options_AllOptions) error {
	var bound eventstore.Position // what lies before it is still to be sent
	switch at := o.GetAllOption().(type) {
	case *streams.ReadReq_Options_AllOptions_Position:
		bound = eventstore.Position{Commit: at.Position.GetCommitPosition(), Prepare: at.Position.GetPreparePosition()}
	case *streams.ReadReq_Options_AllOptions_End:
		bound = eventstore.Position{Commit: math.MaxUint64, Prepare: math.MaxUint64}
	default:
		return nil // before the start there is nothing
	}
	head, err := r.s.o.Store.Head(r.ctx)
	if err != nil {
		return err
	}
	if beyond := (eventstore.Position{Commit: head.Commit, Prepare: head.Prepare + 1}); bound.Compare(beyond) > 0 {
		bound = beyond
	}
	for r.count > 0 && !bound.IsZero() {
		found, err := r.pageBefore(bound)
		if err != nil || len(found) == 0 {
			return err
		}
		bound = found[0].Position
		for i := range slices.Backward(found) {
			if passes, err := r.filter.admits(&found[i]); err != nil {
				return err
			} else if !passes {
				continue
			}
			if r.count == 0 {
				return nil
			}
			if err := r.send(&found[i]); err != nil {
				return err
			}
			r.count--
		}
	}
	return nil
}

// pageBefore returns the last records that lie before bound, a page of them, fewer
// only where the log begins.
func (r *reading) pageBefore(bound eventstore.Position) ([]eventstore.Record, error) {
	for span := uint64(page); ; span *= 2 {
		var after eventstore.Position
		if bound.Commit > span {
			after = eventstore.Position{Commit: bound.Commit - span, Prepare: math.MaxUint64}
			if bound.Commit-span == bound.Commit {
				after = before(bound)
			}
		}
		var found []eventstore.Record
		for record, err := range r.s.o.Store.ReadAll(r.ctx, after, math.MaxInt32) {
			if err != nil {
				return nil, err
			}
			if record.Position.Compare(bound) >= 0 {
				break
			}
			if found = append(found, record); len(found) == 2*page {
				found = slices.Delete(found, 0, page)
			}
		}
		if len(found) >= page || after.IsZero() {
			return found[max(len(found)-page, 0):], nil
		}
	}
}

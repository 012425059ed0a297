package wire

import (
	"context"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"coffre/eventstore"
	"coffre/eventstore/kurrent/form"
	"coffre/eventstore/proof"
)

// maxAppend bounds the bytes of one append, which the server holds in memory.
const maxAppend = 16 << 20

var (
	errNotOurs = errors.New("the event is not a record of this log")
	errSystem  = errors.New("there are no settings here")
)

// proposal is an append as it comes in.
type proposal struct {
	batch eventstore.Batch
	sums  []proof.Hash
	size  int
	bad   error // why it will be refused; the rest is still taken from the wire
}

// Append implements streams.StreamsServer for records in the form of package
// form. Whatever it answers it answers when the client has sent all: before,
// Go's client would not see it.
//
// A batch that is there already is answered with the wrong version, as every append
// at a revision that has passed: event ids here name attempts, see form.
func (s *Server) Append(stream streams.Streams_AppendServer) error {
	var p proposal
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if s.o.Append {
			p.take(req)
		}
	}
	switch {
	case !s.o.Append:
		return refuse(stream, codes.PermissionDenied, "this log is for reading", exceptionKey, accessDenied)
	case errors.Is(p.bad, errSystem):
		return refuse(stream, codes.PermissionDenied, p.bad.Error(), exceptionKey, accessDenied)
	case errors.Is(p.bad, eventstore.ErrTooLarge):
		return refuse(stream, codes.InvalidArgument, "the append is too large", exceptionKey, tooLargeKey, tooLargeSizeKey, strconv.Itoa(maxAppend))
	case p.bad != nil:
		return refuse(stream, codes.InvalidArgument, p.bad.Error(), exceptionKey, missingProperty)
	}
	if err := p.verify(); err != nil {
		return refuse(stream, codes.InvalidArgument, err.Error(), exceptionKey, missingProperty)
	}
	done, err := s.o.Store.Append(stream.Context(), p.batch)
	if wrong, ok := errors.AsType[*eventstore.WrongRevision](err); ok {
		return stream.SendAndClose(wrongVersion(p.batch.Expected, wrong.Actual))
	}
	if err != nil {
		return s.failure(stream.Context(), err)
	}
	if done.Repeated {
		return stream.SendAndClose(wrongVersion(p.batch.Expected, done.Last))
	}
	return stream.SendAndClose(&streams.AppendResp{Result: &streams.AppendResp_Success_{Success: &streams.AppendResp_Success{
		CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: uint64(done.Last)},
		PositionOption: &streams.AppendResp_Success_Position{Position: &streams.AppendResp_Position{
			CommitPosition: done.Position.Commit, PreparePosition: done.Position.Prepare,
		}},
	}}})
}

// take adds one message.
func (p *proposal) take(req *streams.AppendReq) {
	if p.bad != nil {
		return
	}
	switch content := req.GetContent().(type) {
	case *streams.AppendReq_Options_:
		p.bad = p.begin(content.Options)
	case *streams.AppendReq_ProposedMessage_:
		p.bad = p.add(content.ProposedMessage)
	default:
		p.bad = errNotOurs
	}
}

func (p *proposal) begin(o *streams.AppendReq_Options) error {
	called := string(o.GetStreamIdentifier().GetStreamName())
	if strings.HasPrefix(called, "$") {
		return errSystem
	}
	name, ours := form.ParseStream(called)
	if !ours || p.batch.Stream != "" {
		return errNotOurs
	}
	p.batch.Stream = name
	switch e := o.GetExpectedStreamRevision().(type) {
	case *streams.AppendReq_Options_Revision:
		p.batch.Expected = eventstore.Exact(eventstore.Revision(min(e.Revision, math.MaxInt64)))
	case *streams.AppendReq_Options_NoStream:
		p.batch.Expected = eventstore.NoStream
	case *streams.AppendReq_Options_Any:
		p.batch.Expected = eventstore.Any
	case *streams.AppendReq_Options_StreamExists:
		p.batch.Expected = eventstore.StreamExists
	default:
		return errNotOurs
	}
	return nil
}

func (p *proposal) add(m *streams.AppendReq_ProposedMessage) error {
	if p.size += len(m.GetData()) + len(m.GetCustomMetadata()); p.size > maxAppend || len(p.batch.Records) == eventstore.MaxBatch {
		return eventstore.ErrTooLarge
	}
	if m.GetMetadata()[contentTypeKey] != form.ContentType {
		return errNotOurs
	}
	r, sum, err := form.Parse(m.GetData(), m.GetCustomMetadata())
	if err != nil {
		return errNotOurs
	}
	r.Type = m.GetMetadata()[typeKey]
	p.batch.Records, p.sums = append(p.batch.Records, r), append(p.sums, sum)
	return nil
}

// verify checks what was said to be in the records, where it is told which revisions
// they get, and the rules of the port.
func (p *proposal) verify() error {
	if err := p.batch.Check(); err != nil {
		return errNotOurs
	}
	if p.batch.Expected < eventstore.NoStream || p.batch.Expected > math.MaxInt64-eventstore.MaxBatch {
		return nil
	}
	for i, r := range p.batch.Records {
		r.Stream, r.Revision = p.batch.Stream, eventstore.Revision(p.batch.Expected)+1+eventstore.Revision(i)
		if proof.LeafHash(&r) != p.sums[i] {
			return errNotOurs
		}
	}
	return nil
}

// wrongVersion is an answer, not an error, and has two generations of fields.
func wrongVersion(expected eventstore.Expected, actual eventstore.Revision) *streams.AppendResp {
	w := &streams.AppendResp_WrongExpectedVersion{}
	if actual < 0 {
		w.CurrentRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_NoStream_20_6_0{NoStream_20_6_0: &shared.Empty{}}
		w.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentNoStream{CurrentNoStream: &shared.Empty{}}
	} else {
		w.CurrentRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_CurrentRevision_20_6_0{CurrentRevision_20_6_0: uint64(actual)}
		w.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentRevision{CurrentRevision: uint64(actual)}
	}
	switch expected {
	case eventstore.Any:
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_Any_20_6_0{Any_20_6_0: &shared.Empty{}}
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedAny{ExpectedAny: &shared.Empty{}}
	case eventstore.StreamExists:
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_StreamExists_20_6_0{StreamExists_20_6_0: &shared.Empty{}}
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: &shared.Empty{}}
	case eventstore.NoStream:
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{ExpectedRevision_20_6_0: math.MaxUint64}
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: &shared.Empty{}}
	default:
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{ExpectedRevision_20_6_0: uint64(expected)}
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision{ExpectedRevision: uint64(expected)}
	}
	return &streams.AppendResp{Result: &streams.AppendResp_WrongExpectedVersion_{WrongExpectedVersion: w}}
}

// errKept: nothing is ever taken out of this log; forgetting has its own way, by key.
var errKept = status.Error(codes.PermissionDenied, "nothing is deleted from this log")

// Delete implements streams.StreamsServer: it refuses.
func (s *Server) Delete(ctx context.Context, _ *streams.DeleteReq) (*streams.DeleteResp, error) {
	return nil, denied(ctx)
}

// Tombstone implements streams.StreamsServer: it refuses.
func (s *Server) Tombstone(ctx context.Context, _ *streams.TombstoneReq) (*streams.TombstoneResp, error) {
	return nil, denied(ctx)
}

func denied(ctx context.Context) error {
	_ = grpc.SetTrailer(ctx, metadata.Pairs(exceptionKey, accessDenied)) // fails only outside a call
	return errKept
}

// Package kurrenttest is a server that speaks as much of KurrentDB's protocol as the
// adapter needs, and keeps any event in any stream, KurrentDB's own included: so tests do
// there what an administrator may do on a real one and the protocol over a store of ours
// does not offer, such as deleting a stream.
package kurrenttest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

type event = streams.ReadResp_ReadEvent_RecordedEvent

// Server keeps events in memory. Its methods may be called concurrently.
type Server struct {
	streams.UnimplementedStreamsServer
	Address string // a connection string

	mu      sync.Mutex
	events  []*event
	denied  bool
	grown   chan struct{}       // closed and replaced when there are more events
	deleted map[string]deletion // of streams that somebody deleted
	begins  map[string]uint64   // revision from which a truncated stream is read
}

// deletion is how a stream was deleted.
type deletion int

const (
	present deletion = iota
	softly           // truncated to its end: the server says that it is not there
	forGood          // a tombstone: the server says that it was deleted
)

// Start starts an empty server, which ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Address: "esdb://" + l.Addr().String() + "?tls=false", grown: make(chan struct{}), deleted: map[string]deletion{}, begins: map[string]uint64{}}
	server := grpc.NewServer()
	streams.RegisterStreamsServer(server, s)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() { server.Stop(); serving.Wait() })
	return s
}

// Put appends an event with JSON to a stream, whatever there is.
func (s *Server) Put(stream, typ, data string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(stream, typ, "application/json", []byte(data), nil)
}

// Deny lets nobody append to KurrentDB's own streams, as who is no administrator.
func (s *Server) Deny() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denied = true
}

// DeleteSoftly deletes a stream as KurrentDB does by default: its metadata truncate it, and
// it comes back when they no longer do.
func (s *Server) DeleteSoftly(stream string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add("$$"+stream, "$metadata", "application/json", []byte(`{"$tb":9223372036854775807}`), nil)
	s.deleted[stream] = softly
}

// DeleteForGood deletes a stream as KurrentDB does when it is asked for a tombstone.
func (s *Server) DeleteForGood(stream string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(stream, "$streamDeleted", "application/json", []byte(`{}`), nil)
	s.events[len(s.events)-1].StreamRevision = math.MaxInt64
	s.deleted[stream] = forGood
}

// TruncateBefore lets a stream begin with a revision, as its metadata "$tb" do.
func (s *Server) TruncateBefore(stream string, revision uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add("$$"+stream, "$metadata", "application/json", fmt.Appendf(nil, `{"$tb":%d}`, revision), nil)
	s.begins[stream] = revision
}

// KeepLast lets a stream hold its last n events, as its metadata "$maxCount" do.
func (s *Server) KeepLast(stream string, n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add("$$"+stream, "$metadata", "application/json", fmt.Appendf(nil, `{"$maxCount":%d}`, n), nil)
	if next := s.next(stream); next > n {
		s.begins[stream] = next - n
	}
}

// Scavenge takes away what was deleted or truncated, but tombstones and metadata.
func (s *Server) Scavenge() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = slices.DeleteFunc(s.events, func(e *event) bool {
		name := e.StreamIdentifier.StreamName
		return (s.deleted[string(name)] != present || e.StreamRevision < s.begins[string(name)]) && e.Metadata["type"] != "$streamDeleted"
	})
}

// next returns the revision of the next event of a stream. The caller holds mu.
func (s *Server) next(stream string) uint64 {
	if events := s.of(stream); len(events) > 0 {
		return events[len(events)-1].StreamRevision + 1
	}
	return 0
}

// Len returns how many events there are.
func (s *Server) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.events)
}

// Says returns the newest JSON of a stream; nil when it has none.
func (s *Server) Says(t testing.TB, stream string) (m map[string]any) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.of(stream)
	if len(events) == 0 {
		return nil
	}
	if err := json.Unmarshal(events[len(events)-1].Data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// of returns the events of a stream. The caller holds mu.
func (s *Server) of(stream string) (found []*event) {
	for _, e := range s.events {
		if string(e.StreamIdentifier.StreamName) == stream {
			found = append(found, e)
		}
	}
	return found
}

// add appends an event and returns its position. The caller holds mu.
func (s *Server) add(stream, typ, contentType string, data, custom []byte) uint64 {
	at := uint64(100)
	if n := len(s.events); n > 0 {
		at += s.events[n-1].CommitPosition
	}
	s.events = append(s.events, &event{
		Id:               &shared.UUID{Value: &shared.UUID_String_{String_: uuid.NewString()}},
		StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)},
		StreamRevision:   s.next(stream),
		CommitPosition:   at, PreparePosition: at,
		Metadata: map[string]string{"type": typ, "content-type": contentType, "created": "0"},
		Data:     data, CustomMetadata: custom,
	})
	if of, about := strings.CutPrefix(stream, "$$"); about && s.deleted[of] == softly && !strings.Contains(string(data), `"$tb"`) {
		s.deleted[of] = present
	}
	close(s.grown)
	s.grown = make(chan struct{})
	return at
}

// streamDeleted is the server's answer about a stream that was deleted for good.
func streamDeleted(set func(metadata.MD), stream string) error {
	set(metadata.Pairs("exception", "stream-deleted", "stream-name", stream))
	return status.Error(codes.FailedPrecondition, "x")
}

// Append implements the protocol, for appends that name a revision or no stream.
func (s *Server) Append(in streams.Streams_AppendServer) error {
	var options *streams.AppendReq_Options
	var messages []*streams.AppendReq_ProposedMessage
	for {
		req, err := in.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if m := req.GetProposedMessage(); m != nil {
			messages = append(messages, m)
		} else {
			options = req.GetOptions()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := string(options.StreamIdentifier.StreamName)
	switch {
	case s.denied && name[0] == '$':
		in.SetTrailer(metadata.Pairs("exception", "access-denied"))
		return status.Error(codes.PermissionDenied, "x")
	case s.deleted[name] == forGood:
		return streamDeleted(in.SetTrailer, name)
	}
	last := int64(s.next(name)) - 1
	expected := int64(-1)
	if r, ok := options.ExpectedStreamRevision.(*streams.AppendReq_Options_Revision); ok {
		expected = int64(r.Revision)
	}
	if expected != last && !(expected < 0 && s.deleted[name] == softly) {
		return in.SendAndClose(&streams.AppendResp{Result: &streams.AppendResp_WrongExpectedVersion_{WrongExpectedVersion: &streams.AppendResp_WrongExpectedVersion{}}})
	}
	var at uint64
	for _, m := range messages {
		at = s.add(name, m.Metadata["type"], m.Metadata["content-type"], m.Data, m.CustomMetadata)
	}
	return in.SendAndClose(&streams.AppendResp{Result: &streams.AppendResp_Success_{Success: &streams.AppendResp_Success{
		CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: s.next(name) - 1},
		PositionOption:        &streams.AppendResp_Success_Position{Position: &streams.AppendResp_Position{CommitPosition: at, PreparePosition: at}},
	}}})
}

func send(out streams.Streams_ReadServer, e *event) error {
	return out.Send(&streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{Event: e}}})
}

// Read implements the protocol.
func (s *Server) Read(req *streams.ReadReq, out streams.Streams_ReadServer) error {
	options := req.GetOptions()
	if options.GetSubscription() != nil {
		return s.subscribe(options, out)
	}
	backwards := options.ReadDirection == streams.ReadReq_Options_Backwards
	s.mu.Lock()
	var found []*event
	if one := options.GetStream(); one != nil {
		name := string(one.StreamIdentifier.StreamName)
		how := s.deleted[name]
		found = slices.DeleteFunc(s.of(name), func(e *event) bool { return e.StreamRevision < s.begins[name] })
		switch {
		case how == forGood:
			s.mu.Unlock()
			return streamDeleted(out.SetTrailer, name)
		case how == softly || len(found) == 0:
			s.mu.Unlock()
			return out.Send(&streams.ReadResp{Content: &streams.ReadResp_StreamNotFound_{StreamNotFound: &streams.ReadResp_StreamNotFound{StreamIdentifier: one.StreamIdentifier}}})
		}
		if from, is := one.RevisionOption.(*streams.ReadReq_Options_StreamOptions_Revision); is {
			found = slices.DeleteFunc(found, func(e *event) bool {
				return !backwards && e.StreamRevision < from.Revision || backwards && e.StreamRevision > from.Revision
			})
		}
	} else {
		found = slices.Clone(s.events)
		if from := options.GetAll().GetPosition(); from != nil {
			found = slices.DeleteFunc(found, func(e *event) bool {
				return !backwards && e.CommitPosition < from.CommitPosition || backwards && e.CommitPosition >= from.CommitPosition
			})
		}
	}
	s.mu.Unlock()
	if backwards {
		slices.Reverse(found)
	}
	for _, e := range found[:min(uint64(len(found)), options.GetCount())] {
		if err := send(out, e); err != nil {
			return err
		}
	}
	return nil
}

// subscribe sends what was and what comes, of the types asked for.
func (s *Server) subscribe(options *streams.ReadReq_Options, out streams.Streams_ReadServer) error {
	if err := out.Send(&streams.ReadResp{Content: &streams.ReadResp_Confirmation{Confirmation: &streams.ReadResp_SubscriptionConfirmation{SubscriptionId: "1"}}}); err != nil {
		return err
	}
	after := options.GetAll().GetPosition().GetCommitPosition()
	prefixes := options.GetFilter().GetEventType().GetPrefix()
	for {
		s.mu.Lock()
		found, grown := slices.Clone(s.events), s.grown
		s.mu.Unlock()
		for _, e := range found {
			if e.CommitPosition <= after {
				continue
			}
			after = e.CommitPosition
			if len(prefixes) > 0 && !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(e.Metadata["type"], p) }) {
				continue
			}
			if err := send(out, e); err != nil {
				return err
			}
		}
		select {
		case <-grown:
		case <-out.Context().Done():
			return nil
		}
	}
}

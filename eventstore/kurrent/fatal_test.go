package kurrent_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"coffre/eventstore"
	"coffre/eventstore/kurrent"
	"coffre/eventstore/storetest"
)

// hostile is a server that answers as no server should. What it is not told to do
// otherwise it answers as an empty store.
type hostile struct {
	streams.UnimplementedStreamsServer
	mu     sync.Mutex
	read   func(*streams.ReadReq, streams.Streams_ReadServer) error
	append func(streams.Streams_AppendServer) error
}

func (h *hostile) set(read func(*streams.ReadReq, streams.Streams_ReadServer) error, append func(streams.Streams_AppendServer) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.read, h.append = read, append
}

func (h *hostile) Read(req *streams.ReadReq, out streams.Streams_ReadServer) error {
	h.mu.Lock()
	read := h.read
	h.mu.Unlock()
	// The adapter's probe reads one event of all, backwards; it must pass.
	if read == nil || req.GetOptions().GetCount() == 1 && req.GetOptions().GetReadDirection() == streams.ReadReq_Options_Backwards {
		return nil
	}
	return read(req, out)
}

func (h *hostile) Append(stream streams.Streams_AppendServer) error {
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.append(stream)
}

func startHostile(t *testing.T) (*hostile, *kurrent.Store) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h, server := &hostile{}, grpc.NewServer()
	streams.RegisterStreamsServer(server, h)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() { server.Stop(); serving.Wait() })
	return h, opened(t, l.Addr().String(), kurrent.Options{})
}

func readEvent(change func(*streams.ReadResp_ReadEvent_RecordedEvent)) *streams.ReadResp {
	e := &streams.ReadResp_ReadEvent_RecordedEvent{
		Id:               &shared.UUID{Value: &shared.UUID_String_{String_: "0198f6a0-0000-7000-8000-000000000001"}},
		StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("consent-1")},
		CommitPosition:   7, PreparePosition: 7,
		Metadata: map[string]string{"type": "consent.granted/1", "content-type": "application/octet-stream", "created": "1"},
	}
	change(e)
	return &streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{Event: e}}}
}

// TestHostileAnswers: what the official client meets by a panic, or by ending the
// process, is an error here, and the store goes on.
func TestHostileAnswers(t *testing.T) {
	var said bytes.Buffer
	before := log.Writer()
	log.SetOutput(&said)
	defer log.SetOutput(before)
	h, s := startHostile(t)
	answer := func(m *streams.ReadResp) func(*streams.ReadReq, streams.Streams_ReadServer) error {
		return func(_ *streams.ReadReq, out streams.Streams_ReadServer) error { return out.Send(m) }
	}
	for what, tc := range map[string]struct {
		read    func(*streams.ReadReq, streams.Streams_ReadServer) error
		corrupt bool
	}{
		"a time that is no number":   {answer(readEvent(func(e *streams.ReadResp_ReadEvent_RecordedEvent) { e.Metadata["created"] = "tomorrow" })), true},
		"no time":                    {answer(readEvent(func(e *streams.ReadResp_ReadEvent_RecordedEvent) { delete(e.Metadata, "created") })), true},
		"no name of a stream":        {answer(readEvent(func(e *streams.ReadResp_ReadEvent_RecordedEvent) { e.StreamIdentifier = nil })), false},
		"data that are not a record": {answer(readEvent(func(e *streams.ReadResp_ReadEvent_RecordedEvent) { e.Data = []byte(`{}`) })), true},
		"no event":                   {answer(&streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{}}}), false},
		"a message of another call":  {answer(&streams.ReadResp{Content: &streams.ReadResp_CaughtUp_{CaughtUp: &streams.ReadResp_CaughtUp{}}}), false},
		"an empty message":           {answer(&streams.ReadResp{}), false},
		"deleted, but not what": {func(_ *streams.ReadReq, out streams.Streams_ReadServer) error {
			out.SetTrailer(metadata.Pairs("exception", "stream-deleted"))
			return status.Error(codes.FailedPrecondition, "x")
		}, false},
	} {
		h.set(tc.read, nil)
		for call, records := range map[string]func(func(eventstore.Record, error) bool){
			"stream": s.ReadStream(t.Context(), "consent-1", 0),
			"all":    s.ReadAll(t.Context(), eventstore.Position{}, 10),
		} {
			n := 0
			for r, err := range records {
				n++
				_, corrupt := errors.AsType[*eventstore.Corrupt](err)
				if err == nil || tc.corrupt != corrupt || !corrupt && !errors.Is(err, eventstore.ErrUnavailable) {
					t.Errorf("%s, %s: %+v, %v", what, call, r, err)
				}
				if strings.Contains(err.Error(), "tomorrow") {
					t.Errorf("%s, %s: the error says what was sent: %v", what, call, err)
				}
			}
			if n != 1 {
				t.Errorf("%s, %s: yielded %d times", what, call, n)
			}
		}
	}
	h.set(nil, nil)
	for range s.ReadAll(t.Context(), eventstore.Position{}, 10) {
		t.Error("an empty store yields")
	}
	if said.Len() > 0 {
		t.Errorf("the client said: %s", said.String())
	}
}

// TestHostileRefusals: every error of an append ends in one of the port's, and what
// may have happened is never told as what has not.
func TestHostileRefusals(t *testing.T) {
	h, s := startHostile(t)
	fail := func(code codes.Code, trailers ...string) func(streams.Streams_AppendServer) error {
		return func(stream streams.Streams_AppendServer) error {
			stream.SetTrailer(metadata.Pairs(trailers...))
			return status.Error(code, "x")
		}
	}
	corrupt := &eventstore.Corrupt{}
	for what, tc := range map[string]struct {
		append func(streams.Streams_AppendServer) error
		want   error
	}{
		"access":     {fail(codes.PermissionDenied, "exception", "access-denied"), eventstore.ErrUnavailable},
		"password":   {fail(codes.Unauthenticated), eventstore.ErrUnavailable},
		"size":       {fail(codes.InvalidArgument, "exception", "maximum-append-size-exceeded"), eventstore.ErrTooLarge},
		"overload":   {fail(codes.ResourceExhausted), eventstore.ErrOverloaded},
		"medium":     {fail(codes.FailedPrecondition), eventstore.ErrFailed},
		"deleted":    {fail(codes.FailedPrecondition, "exception", "stream-deleted", "stream-name", "consent-1"), corrupt},
		"timeout":    {fail(codes.Aborted), eventstore.ErrOutcomeUnknown},
		"who knows":  {fail(codes.Unknown), eventstore.ErrOutcomeUnknown},
		"data loss":  {fail(codes.DataLoss), eventstore.ErrOutcomeUnknown},
		"no success": {func(stream streams.Streams_AppendServer) error { return stream.SendAndClose(&streams.AppendResp{}) }, eventstore.ErrOutcomeUnknown},
	} {
		h.set(nil, tc.append)
		done, err := s.Append(t.Context(), eventstore.Batch{Stream: "consent-1", Expected: eventstore.NoStream, Records: storetest.Records(1)})
		_, isCorrupt := errors.AsType[*eventstore.Corrupt](err)
		if tc.want == error(corrupt) && isCorrupt || errors.Is(err, tc.want) {
			continue
		}
		t.Errorf("%s: %+v, %v, want %v", what, done, err, tc.want)
	}
}

// A server that always loses the call is left after the caller's time, not sooner
// told as if nothing had happened.
func TestNeverSettled(t *testing.T) {
	h, s := startHostile(t)
	tries := 0
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h.set(nil, func(streams.Streams_AppendServer) error {
		if tries++; tries == 3 {
			cancel()
		}
		return status.Error(codes.Unavailable, "x")
	})
	if _, err := s.Append(ctx, eventstore.Batch{Stream: "consent-1", Expected: eventstore.NoStream, Records: storetest.Records(1)}); !errors.Is(err, eventstore.ErrOutcomeUnknown) {
		t.Fatalf("%v, want ErrOutcomeUnknown", err)
	}
}

func TestAddresses(t *testing.T) {
	for _, tc := range []struct {
		address  string
		insecure bool
		want     error
	}{
		{"", false, kurrent.ErrAddress},
		{"http://127.0.0.1:2113", false, kurrent.ErrAddress},
		{"esdb://admin:s3cret%zz@host", false, kurrent.ErrAddress},
		{"esdb://127.0.0.1:2113?tls=perhaps", false, kurrent.ErrAddress},
		{"esdb://127.0.0.1:2113?userCertFile=x", false, kurrent.ErrAddress},
		{"esdb://vault.example:2113?tls=false", false, kurrent.ErrInsecure},
		{"esdb+discover://vault.example:2113?tls=false", false, kurrent.ErrInsecure},
		{"esdb://vault.example:2113?tlsVerifyCert=false", false, kurrent.ErrInsecure},
		{"esdb://127.0.0.1:2113,vault.example:2113?tls=false", false, kurrent.ErrInsecure},
		{"esdb://127.0.0.1:1?tls=false", false, eventstore.ErrUnavailable},
		{"esdb+discover://127.0.0.1:1?tls=false", false, eventstore.ErrUnavailable},
		{"esdb://192.0.2.1:1?tls=false", true, eventstore.ErrUnavailable},
	} {
		s, err := kurrent.Open(t.Context(), tc.address, kurrent.Options{Insecure: tc.insecure, Patience: 1})
		if !errors.Is(err, tc.want) || s != nil {
			t.Errorf("%s: %v, want %v", tc.address, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
}

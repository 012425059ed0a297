package kurrent_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

	"coffre/eventstore"
	"coffre/eventstore/kurrent"
	"coffre/eventstore/storetest"
)

// ordinary is a server that keeps any event in any stream, KurrentDB's own included,
// as far as preparing one needs it.
type ordinary struct {
	streams.UnimplementedStreamsServer
	mu     sync.Mutex
	events []*streams.ReadResp_ReadEvent_RecordedEvent
	denied bool // who asks is no administrator
}

func startOrdinary(t *testing.T) (*ordinary, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o, server := &ordinary{}, grpc.NewServer()
	streams.RegisterStreamsServer(server, o)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() { server.Stop(); serving.Wait() })
	return o, "esdb://" + l.Addr().String() + "?tls=false"
}

func (o *ordinary) of(stream string) (found []*streams.ReadResp_ReadEvent_RecordedEvent) {
	for _, e := range o.events {
		if string(e.StreamIdentifier.StreamName) == stream {
			found = append(found, e)
		}
	}
	return found
}

// put appends whatever there is.
func (o *ordinary) put(stream, typ, data string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.add(stream, typ, "application/json", []byte(data), nil)
}

func (o *ordinary) add(stream, typ, contentType string, data, custom []byte) uint64 {
	at := uint64(len(o.events)+1) * 100
	e := &streams.ReadResp_ReadEvent_RecordedEvent{
		Id:               &shared.UUID{Value: &shared.UUID_String_{String_: uuid.NewString()}},
		StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)},
		StreamRevision:   uint64(len(o.of(stream))),
		CommitPosition:   at, PreparePosition: at,
		Metadata: map[string]string{"type": typ, "content-type": contentType, "created": "0"},
		Data:     data, CustomMetadata: custom,
	}
	o.events = append(o.events, e)
	return at
}

func (o *ordinary) Append(in streams.Streams_AppendServer) error {
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
	o.mu.Lock()
	defer o.mu.Unlock()
	name := string(options.StreamIdentifier.StreamName)
	if o.denied && name[0] == '$' {
		in.SetTrailer(metadata.Pairs("exception", "access-denied"))
		return status.Error(codes.PermissionDenied, "x")
	}
	last := int64(len(o.of(name))) - 1
	expected := int64(-1)
	if r, ok := options.ExpectedStreamRevision.(*streams.AppendReq_Options_Revision); ok {
		expected = int64(r.Revision)
	}
	if expected != last {
		return in.SendAndClose(&streams.AppendResp{Result: &streams.AppendResp_WrongExpectedVersion_{WrongExpectedVersion: &streams.AppendResp_WrongExpectedVersion{}}})
	}
	var at uint64
	for _, m := range messages {
		at = o.add(name, m.Metadata["type"], m.Metadata["content-type"], m.Data, m.CustomMetadata)
	}
	return in.SendAndClose(&streams.AppendResp{Result: &streams.AppendResp_Success_{Success: &streams.AppendResp_Success{
		CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: uint64(len(o.of(name)) - 1)},
		PositionOption:        &streams.AppendResp_Success_Position{Position: &streams.AppendResp_Position{CommitPosition: at, PreparePosition: at}},
	}}})
}

func (o *ordinary) Read(req *streams.ReadReq, out streams.Streams_ReadServer) error {
	options := req.GetOptions()
	o.mu.Lock()
	found := slices.Clone(o.events)
	if s := options.GetStream(); s != nil {
		if found = o.of(string(s.StreamIdentifier.StreamName)); len(found) == 0 {
			o.mu.Unlock()
			return out.Send(&streams.ReadResp{Content: &streams.ReadResp_StreamNotFound_{StreamNotFound: &streams.ReadResp_StreamNotFound{StreamIdentifier: s.StreamIdentifier}}})
		}
	}
	o.mu.Unlock()
	if options.ReadDirection == streams.ReadReq_Options_Backwards {
		slices.Reverse(found)
	}
	from := options.GetAll().GetPosition().GetCommitPosition()
	for n, e := range found {
		if e.CommitPosition < from || uint64(n) >= options.GetCount() && from == 0 {
			continue
		}
		if err := out.Send(&streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{Event: e}}}); err != nil {
			return err
		}
	}
	return nil
}

// says returns the newest JSON of a stream.
func (o *ordinary) says(t *testing.T, stream string) (m map[string]any) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	events := o.of(stream)
	if len(events) == 0 {
		return nil
	}
	if err := json.Unmarshal(events[len(events)-1].Data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

var ourCategories = kurrent.Options{Categories: []string{"consent", "registry"}}

func prepare(t *testing.T, address string, p kurrent.PrepareOptions) kurrent.Prepared {
	t.Helper()
	found, err := kurrent.Prepare(t.Context(), address, ourCategories, p)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A server nobody prepared is told of, and left as it is.
func TestPrepareTellsWhatItFinds(t *testing.T) {
	o, address := startOrdinary(t)
	o.put("orders-1", "x", `{}`)
	found := prepare(t, address, kurrent.PrepareOptions{})
	if found.Records != 0 || found.Head || fmt.Sprint(found.ReadAll) != "[$admins]" || found.Streams != nil || len(found.Done) != 0 || len(found.Doubts) != 3 {
		t.Errorf("%+v", found)
	}
	if len(o.events) != 1 {
		t.Errorf("%d events where one was", len(o.events))
	}
}

func TestPrepareSetsRights(t *testing.T) {
	o, address := startOrdinary(t)
	o.put("$$$all", "$metadata", `{"$acl":{"$r":"$admins","$w":["$admins"]},"kept":1}`)
	o.put("$settings", "x", `{"$systemStreamAcl":{"$r":"$admins"},"$userStreamAcl":{"$r":"$all","$w":"$all"}}`)
	found := prepare(t, address, kurrent.PrepareOptions{User: "coffre", Alone: true})
	if len(found.Done) != 2 || len(found.Doubts) != 0 || fmt.Sprint(found.ReadAll) != "[$admins coffre]" || fmt.Sprint(found.Streams) != "[coffre $admins]" {
		t.Errorf("%+v", found)
	}
	if all := fmt.Sprint(o.says(t, "$$$all")); all != "map[$acl:map[$r:[$admins coffre] $w:[$admins]] kept:1]" {
		t.Errorf("rights of all: %s", all)
	}
	want := "map[$systemStreamAcl:map[$r:$admins] $userStreamAcl:map[$d:[$admins] $mr:[coffre $admins] $mw:[$admins] $r:[coffre $admins] $w:[coffre $admins]]]"
	if settings := fmt.Sprint(o.says(t, "$settings")); settings != want {
		t.Errorf("settings: %s", settings)
	}
	before := len(o.events)
	if again := prepare(t, address, kurrent.PrepareOptions{User: "coffre", Alone: true}); len(again.Done) != 0 || len(again.Doubts) != 0 {
		t.Errorf("again: %+v", again)
	}
	if len(o.events) != before {
		t.Error("the second time something was written")
	}
	if _, err := kurrent.Prepare(t.Context(), address, ourCategories, kurrent.PrepareOptions{Alone: true}); !errors.Is(err, kurrent.ErrAloneWithoutUser) {
		t.Errorf("alone, but who: %v", err)
	}
}

// What somebody told the server to forget of the log's streams is found and lifted;
// others' streams are theirs.
func TestPrepareLiftsTruncation(t *testing.T) {
	o, address := startOrdinary(t)
	s, err := kurrent.Open(t.Context(), address, ourCategories)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, name := range []eventstore.Stream{"consent-1", "consent-2", "consent-3", "registry"} {
		if _, err := s.Append(t.Context(), eventstore.Batch{Stream: name, Expected: eventstore.NoStream, Records: storetest.Records(300 / 2)}); err != nil {
			t.Fatal(err)
		}
	}
	o.put("$$consent-1", "$metadata", `{"$tb":2,"$acl":{"$r":"x"}}`)
	o.put("$$consent-2", "$metadata", `{"$maxCount":1}`)
	o.put("$$consent-2", "$metadata", `{}`) // somebody thought better of it
	o.put("$$registry", "$metadata", `{"$maxAge":10}`)
	o.put("$$orders-1", "$metadata", `{"$maxCount":1}`)
	o.put("$$consent-3", "$metadata", `{"cacheControl":1}`)
	found := prepare(t, address, kurrent.PrepareOptions{})
	if fmt.Sprint(found.Lifted) != "[consent-1 registry]" || found.Records != 600 || !found.Head || len(found.Done) != 2 {
		t.Errorf("%+v", found)
	}
	if !slices.ContainsFunc(found.Doubts, func(d string) bool { return strings.Contains(d, "2 streams of the log were to be truncated") }) {
		t.Errorf("doubts %q", found.Doubts)
	}
	if one, orders := fmt.Sprint(o.says(t, "$$consent-1")), fmt.Sprint(o.says(t, "$$orders-1")); one != "map[$acl:map[$r:x]]" || orders != "map[$maxCount:1]" {
		t.Errorf("%s and %s", one, orders)
	}
	if again := prepare(t, address, kurrent.PrepareOptions{}); len(again.Lifted) != 0 || len(again.Done) != 0 {
		t.Errorf("again: %+v", again)
	}
}

func TestPrepareNeedsAnAdministrator(t *testing.T) {
	o, address := startOrdinary(t)
	o.denied = true
	if _, err := kurrent.Prepare(t.Context(), address, ourCategories, kurrent.PrepareOptions{User: "coffre"}); !errors.Is(err, eventstore.ErrUnavailable) || !strings.Contains(err.Error(), "administrator") {
		t.Errorf("%v", err)
	}
}

package wire_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"coffre/eventstore"
	"coffre/eventstore/kurrent/form"
	"coffre/eventstore/kurrent/wire"
	"coffre/eventstore/memory"
	"coffre/eventstore/storetest"
)

// start serves the options until the test ends, and returns the address.
func start(t *testing.T, o wire.Options) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := wire.New(o)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return l.Addr().String()
}

// client is the official one, as others use it.
func client(t *testing.T, connection string) *esdb.Client {
	t.Helper()
	config, err := esdb.ParseConnectionString(connection)
	if err != nil {
		t.Fatal(err)
	}
	config.Logger = nil
	c, err := esdb.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// filled returns a store of n records, in turn in two streams and of two types.
func filled(t *testing.T, n int) *memory.Store {
	t.Helper()
	s := memory.New()
	for i := range n {
		records := storetest.Records(1)
		records[0].Type = []string{"consent.granted/1", "document.issued/1"}[i%2]
		add(t, s, []eventstore.Stream{"consent-1", "document-1"}[i%2], records)
	}
	return s
}

func add(t *testing.T, s eventstore.Store, name eventstore.Stream, records []eventstore.Record) eventstore.Appended {
	t.Helper()
	done, err := s.Append(t.Context(), eventstore.Batch{Stream: name, Expected: eventstore.Any, Records: records})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// drain reads to the end and demands that it ends in order.
func drain(t *testing.T, events *esdb.ReadStream, err error) (found []*esdb.RecordedEvent) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	for {
		e, err := events.Recv()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, e.OriginalEvent())
	}
}

func revisions(events []*esdb.RecordedEvent) (list []int) {
	for _, e := range events {
		list = append(list, int(e.EventNumber))
	}
	return list
}

func commits(events []*esdb.RecordedEvent) (list []int) {
	for _, e := range events {
		list = append(list, int(e.Position.Commit))
	}
	return list
}

func mustBe(t *testing.T, what string, got, want []int) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// span is the numbers from a to b, either way.
func span(a, b int) (list []int) {
	for i := a; a <= b && i <= b; i++ {
		list = append(list, i)
	}
	for i := a; a > b && i >= b; i-- {
		list = append(list, i)
	}
	return list
}

func TestReadsStreams(t *testing.T) {
	s := memory.New()
	add(t, s, "consent-1", storetest.Records(200))
	add(t, s, "document-1", storetest.Records(3))
	add(t, s, "consent-1", storetest.Records(200))
	c := client(t, "esdb://"+start(t, wire.Options{Store: s})+"?tls=false")
	for _, tc := range []struct {
		what      string
		direction esdb.Direction
		from      esdb.StreamPosition
		count     uint64
		want      []int
	}{
		{"forwards from the start", esdb.Forwards, esdb.Start{}, 1000, span(0, 399)},
		{"forwards from a revision, inclusive", esdb.Forwards, esdb.Revision(390), 5, span(390, 394)},
		{"forwards from the last", esdb.Forwards, esdb.Revision(399), 5, []int{399}},
		{"forwards from behind the last", esdb.Forwards, esdb.Revision(400), 5, nil},
		{"forwards from the end", esdb.Forwards, esdb.End{}, 5, nil},
		{"backwards from the end", esdb.Backwards, esdb.End{}, 1000, span(399, 0)},
		{"backwards from a revision, inclusive", esdb.Backwards, esdb.Revision(300), 300, span(300, 1)},
		{"backwards from behind the last", esdb.Backwards, esdb.Revision(1 << 60), 2, span(399, 398)},
		{"backwards from the start", esdb.Backwards, esdb.Start{}, 5, []int{0}},
	} {
		events, err := c.ReadStream(t.Context(), "consent-1", esdb.ReadStreamOptions{Direction: tc.direction, From: tc.from}, tc.count)
		mustBe(t, tc.what, revisions(drain(t, events, err)), tc.want)
	}
}

// The end of a stream is found however long it is.
func TestEndOfLongStreams(t *testing.T) {
	s := memory.New()
	c := client(t, "esdb://"+start(t, wire.Options{Store: s})+"?tls=false")
	for n := 0; n < 5000; n += 250 {
		add(t, s, "consent-1", storetest.Records(250))
		if n < 750 || n%1000 == 0 || n == 4750 {
			last := n + 249
			events, err := c.ReadStream(t.Context(), "consent-1", esdb.ReadStreamOptions{Direction: esdb.Backwards, From: esdb.End{}}, 300)
			mustBe(t, fmt.Sprint(last), revisions(drain(t, events, err)), span(last, max(last-299, 0)))
		}
	}
}

func TestReadsAll(t *testing.T) {
	s := filled(t, 600)
	c := client(t, "esdb://"+start(t, wire.Options{Store: s})+"?tls=false")
	at := func(n uint64) esdb.Position { return esdb.Position{Commit: n, Prepare: n} }
	for _, tc := range []struct {
		what      string
		direction esdb.Direction
		from      esdb.AllPosition
		count     uint64
		want      []int
	}{
		{"forwards from the start", esdb.Forwards, esdb.Start{}, 10_000, span(1, 600)},
		{"forwards from a position, inclusive", esdb.Forwards, at(590), 5, span(590, 594)},
		{"forwards from the end", esdb.Forwards, esdb.End{}, 5, nil},
		{"forwards from behind the end", esdb.Forwards, at(601), 5, nil},
		{"backwards from the end", esdb.Backwards, esdb.End{}, 10_000, span(600, 1)},
		{"backwards from a position, exclusive", esdb.Backwards, at(300), 5, span(299, 295)},
		{"backwards from behind the end", esdb.Backwards, at(1 << 60), 2, span(600, 599)},
		{"backwards from the first", esdb.Backwards, at(1), 5, nil},
		{"backwards from the start", esdb.Backwards, esdb.Start{}, 5, nil},
	} {
		events, err := c.ReadAll(t.Context(), esdb.ReadAllOptions{Direction: tc.direction, From: tc.from}, tc.count)
		mustBe(t, tc.what, commits(drain(t, events, err)), tc.want)
	}
}

// What an auditor's tool gets is the record as it is stored, sealed.
func TestEventIsTheRecord(t *testing.T) {
	s := memory.New()
	want := storetest.Records(1)[0]
	want.Time = time.Date(2026, 11, 22, 1, 2, 3, 456789000, time.UTC)
	add(t, s, "consent-1", []eventstore.Record{want})
	want.Stream = "consent-1"
	c := client(t, "esdb://"+start(t, wire.Options{Store: s})+"?tls=false")
	events, err := c.ReadStream(t.Context(), "consent-1", esdb.ReadStreamOptions{From: esdb.Start{}}, 1)
	e := drain(t, events, err)[0]
	if e.EventID != want.ID || e.EventType != want.Type || e.ContentType != form.ContentType || !e.CreatedDate.Equal(want.Time) || e.Position != (esdb.Position{Commit: 1, Prepare: 1}) {
		t.Errorf("%+v", e)
	}
	got, err := form.Decode("consent-1", 0, e.EventType, e.Data, e.UserMetadata)
	if err != nil || !storetest.Same(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

// next returns the next message of a subscription, which must not have been dropped.
func next(t *testing.T, s *esdb.Subscription) *esdb.SubscriptionEvent {
	t.Helper()
	e := s.Recv()
	if e.SubscriptionDropped != nil {
		t.Fatalf("dropped: %v", e.SubscriptionDropped.Error)
	}
	return e
}

func TestSubscribesToStream(t *testing.T) {
	for _, tc := range []struct {
		stream string
		from   esdb.StreamPosition
		want   []int // before it has caught up
		then   int   // where it goes on
	}{
		{"consent-1", esdb.Start{}, span(0, 4), 5},
		{"consent-1", esdb.Revision(2), span(3, 4), 5}, // exclusive
		{"consent-1", esdb.End{}, nil, 5},
		{"consent-new", esdb.Start{}, nil, 0},
	} {
		t.Run(fmt.Sprintf("%s %T", tc.stream, tc.from), func(t *testing.T) {
			s := filled(t, 10)
			c := client(t, "esdb://"+start(t, wire.Options{Store: s})+"?tls=false")
			sub, err := c.SubscribeToStream(t.Context(), tc.stream, esdb.SubscribeToStreamOptions{From: tc.from})
			if err != nil {
				t.Fatal(err)
			}
			defer sub.Close()
			var got []int
			for e := next(t, sub); e.CaughtUp == nil; e = next(t, sub) {
				got = append(got, int(e.EventAppeared.Event.EventNumber))
			}
			mustBe(t, "before", got, tc.want)
			add(t, s, "document-2", storetest.Records(1))
			add(t, s, eventstore.Stream(tc.stream), storetest.Records(2))
			got = []int{int(next(t, sub).EventAppeared.Event.EventNumber), int(next(t, sub).EventAppeared.Event.EventNumber)}
			mustBe(t, "live", got, []int{tc.then, tc.then + 1})
		})
	}
}

func TestSubscribesToAllWithFilters(t *testing.T) {
	for _, tc := range []struct {
		what   string
		filter *esdb.SubscriptionFilter
		want   []int // of the first ten
	}{
		{"no filter", nil, span(1, 10)},
		{"prefix of stream", &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"x", "consent-"}}, []int{1, 3, 5, 7, 9}},
		{"regex of stream", &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Regex: `^doc.*-\d$`}, []int{2, 4, 6, 8, 10}},
		{"prefix of type", &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Prefixes: []string{"document."}}, []int{2, 4, 6, 8, 10}},
		{"regex of type", &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Regex: `granted`}, []int{1, 3, 5, 7, 9}},
		{"F18 what the Python client excludes by default", &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Regex: `^(?!(\$.+$|PersistentConfig\d+$))`}, span(1, 10)},
		{"F18 a look ahead of stream", &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Regex: `^(?!document-).*`}, []int{1, 3, 5, 7, 9}},
		{"F18 a look behind of type", &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Regex: `(?<=document\.)issued`}, []int{2, 4, 6, 8, 10}},
		{"not the system's", esdb.ExcludeSystemEventsFilter(), span(1, 10)},
	} {
		t.Run(tc.what, func(t *testing.T) {
			s := filled(t, 10)
			c := client(t, "esdb://"+start(t, wire.Options{Store: s})+"?tls=false")
			sub, err := c.SubscribeToAll(t.Context(), esdb.SubscribeToAllOptions{From: esdb.Start{}, Filter: tc.filter, MaxSearchWindow: 4, CheckpointInterval: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer sub.Close()
			var got, checkpoints []int
			read := func() {
				for e := next(t, sub); e.CaughtUp == nil; e = next(t, sub) {
					switch {
					case e.CheckPointReached != nil:
						checkpoints = append(checkpoints, int(e.CheckPointReached.Commit))
					case e.EventAppeared != nil:
						got = append(got, int(e.EventAppeared.Event.Position.Commit))
					}
				}
			}
			read()
			mustBe(t, "events", got, tc.want)
			if tc.filter != nil {
				mustBe(t, "checkpoints", checkpoints, []int{4, 8, 10}) // each window, and the end; never beyond it
			} else if checkpoints != nil {
				t.Errorf("checkpoints %v without a filter", checkpoints)
			}
		})
	}
}

// F18: a regular expression that would go back and forth without end ends the call, and
// is not quoted.
func TestF18SlowFiltersEnd(t *testing.T) {
	s := memory.New()
	records := storetest.Records(1)
	records[0].Type = "document.issued/1"
	add(t, s, eventstore.Stream("document-"+strings.Repeat("a", 60)), records)
	c := client(t, "esdb://"+start(t, wire.Options{Store: s})+"?tls=false")
	slow := &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Regex: `(?!canary)^document-(a+)+\b$x`}
	sub, err := c.SubscribeToAll(t.Context(), esdb.SubscribeToAllOptions{From: esdb.Start{}, Filter: slow})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	e := sub.Recv()
	if e.SubscriptionDropped == nil || !strings.Contains(e.SubscriptionDropped.Error.Error(), "too long") || strings.Contains(e.SubscriptionDropped.Error.Error(), "canary") {
		t.Errorf("it goes on: %+v", e)
	}
}

// A subscriber to what is rare still advances, and from its checkpoint misses nothing.
func TestCheckpointsAdvanceAndMissNothing(t *testing.T) {
	s := filled(t, 1000)
	c := client(t, "esdb://"+start(t, wire.Options{Store: s})+"?tls=false")
	rare := &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"rare-"}}
	from := esdb.AllPosition(esdb.Start{})
	last := esdb.Position{}
	for round := range 20 { // a new subscription from each checkpoint
		sub, err := c.SubscribeToAll(t.Context(), esdb.SubscribeToAllOptions{From: from, Filter: rare, MaxSearchWindow: 7 + round})
		if err != nil {
			t.Fatal(err)
		}
		e := next(t, sub)
		for e.CheckPointReached == nil {
			if e.EventAppeared != nil {
				t.Fatal("a record that is not rare")
			}
			e = next(t, sub)
		}
		if at := *e.CheckPointReached; at.Commit <= last.Commit || at.Commit > 1000 {
			t.Fatalf("checkpoint %v after %v", at, last)
		}
		last = *e.CheckPointReached
		from = last
		sub.Close()
	}
	sub, err := c.SubscribeToAll(t.Context(), esdb.SubscribeToAllOptions{From: from, Filter: rare})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	want := add(t, s, "rare-1", storetest.Records(1)).Position.Commit
	for {
		if e := next(t, sub); e.EventAppeared != nil {
			if got := e.EventAppeared.Event.Position.Commit; got != want {
				t.Fatalf("the first rare record is at %d, want %d", got, want)
			}
			break
		}
	}
	// Live, while only others' records pass, a checkpoint comes as well.
	seen := add(t, s, "consent-1", storetest.Records(3)).Position.Commit
	for e := next(t, sub); ; e = next(t, sub) {
		if e.CheckPointReached != nil && e.CheckPointReached.Commit == seen {
			return
		}
	}
}

// A subscriber that does not read holds nobody up, and finds everything later.
func TestSlowSubscriber(t *testing.T) {
	s := memory.New()
	c := client(t, "esdb://"+start(t, wire.Options{Store: s})+"?tls=false")
	sub, err := c.SubscribeToAll(t.Context(), esdb.SubscribeToAllOptions{From: esdb.Start{}})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	const batches, each = 40, 100
	for range batches {
		add(t, s, "consent-1", storetest.Records(each))
	}
	for want := 0; want < batches*each; {
		if e := next(t, sub); e.EventAppeared != nil {
			if got := int(e.EventAppeared.Event.EventNumber); got != want {
				t.Fatalf("revision %d, want %d", got, want)
			}
			want++
		}
	}
}

func mustCode(t *testing.T, what string, err error, want esdb.ErrorCode) {
	t.Helper()
	var e *esdb.Error
	if !errors.As(err, &e) || e.Code() != want {
		t.Errorf("%s: %v, want code %d", what, err, want)
	}
}

func event() esdb.EventData {
	return esdb.EventData{EventID: uuid.New(), EventType: "x", ContentType: esdb.ContentTypeJson, Data: []byte(`{}`)}
}

func TestTypedErrors(t *testing.T) {
	s := filled(t, 10)
	c := client(t, "esdb://"+start(t, wire.Options{Store: s})+"?tls=false")
	for _, name := range []string{"consent-absent", "$settings", "$$consent-1", "$ce-consent", "not%ours"} {
		events, err := c.ReadStream(t.Context(), name, esdb.ReadStreamOptions{From: esdb.Start{}}, 1)
		if err != nil {
			t.Fatal(err)
		}
		_, err = events.Recv()
		mustCode(t, name, err, esdb.ErrorCodeResourceNotFound)
		events.Close()
	}
	for _, o := range []esdb.ReadStreamOptions{
		{From: esdb.Revision(5)}, {From: esdb.End{}}, {Direction: esdb.Backwards, From: esdb.End{}}, {Direction: esdb.Backwards, From: esdb.Revision(5)},
	} {
		events, err := c.ReadStream(t.Context(), "consent-absent", o, 3)
		if err != nil {
			t.Fatal(err)
		}
		_, err = events.Recv()
		mustCode(t, fmt.Sprintf("absent, %+v", o), err, esdb.ErrorCodeResourceNotFound)
		events.Close()
	}
	_, err := c.AppendToStream(t.Context(), "consent-1", esdb.AppendToStreamOptions{}, event())
	mustCode(t, "append", err, esdb.ErrorCodeAccessDenied)
	_, err = c.SetStreamMetadata(t.Context(), "consent-1", esdb.AppendToStreamOptions{}, esdb.StreamMetadata{})
	mustCode(t, "set metadata", err, esdb.ErrorCodeAccessDenied)
	_, err = c.DeleteStream(t.Context(), "consent-1", esdb.DeleteStreamOptions{})
	mustCode(t, "delete", err, esdb.ErrorCodeAccessDenied)
	_, err = c.TombstoneStream(t.Context(), "consent-1", esdb.TombstoneStreamOptions{})
	mustCode(t, "tombstone", err, esdb.ErrorCodeAccessDenied)
	err = c.CreatePersistentSubscription(t.Context(), "consent-1", "group", esdb.PersistentStreamSubscriptionOptions{})
	mustCode(t, "persistent subscription", err, esdb.ErrorCodeUnsupportedFeature)
	_, err = c.SubscribeToAll(t.Context(), esdb.SubscribeToAllOptions{From: esdb.Start{}, Filter: &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Regex: `(?=look`}})
	if err == nil || strings.Contains(err.Error(), "look") {
		t.Errorf("a filter that is none: %v", err)
	}
	if head, err := s.Head(t.Context()); err != nil || head.Commit != 10 {
		t.Fatalf("head %v, %v", head, err)
	}
}

// Where appends are let in, only records are, and only at their revision.
func TestAppendTakesRecordsOnly(t *testing.T) {
	s := memory.New()
	c := client(t, "esdb://"+start(t, wire.Options{Store: s, Append: true})+"?tls=false")
	r := storetest.Records(1)[0]
	r.Stream = "consent-1"
	data, metadata := form.Encode(&r)
	good := esdb.EventData{EventID: uuid.New(), EventType: r.Type, ContentType: esdb.ContentTypeBinary, Data: data, Metadata: metadata}
	moved := good
	moved.EventType = "other/1"
	asJSON := good
	asJSON.ContentType = esdb.ContentTypeJson
	for what, e := range map[string]esdb.EventData{"JSON": event(), "another type": moved, "another content type": asJSON} {
		if _, err := c.AppendToStream(t.Context(), "consent-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, e); err == nil {
			t.Errorf("%s was appended", what)
		}
	}
	if _, err := c.AppendToStream(t.Context(), "consent-2", esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, good); err == nil {
		t.Error("a record of another stream was appended")
	}
	_, err := c.SetStreamMetadata(t.Context(), "consent-1", esdb.AppendToStreamOptions{}, esdb.StreamMetadata{})
	mustCode(t, "set metadata", err, esdb.ErrorCodeAccessDenied)
	done, err := c.AppendToStream(t.Context(), "consent-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, good)
	if err != nil || done.NextExpectedVersion != 0 || done.CommitPosition != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	for _, expected := range []esdb.ExpectedRevision{esdb.NoStream{}, esdb.Revision(7)} {
		other := storetest.Records(1)[0]
		other.Stream = "consent-1"
		if r, ok := expected.(esdb.StreamRevision); ok {
			other.Revision = eventstore.Revision(r.Value) + 1
		}
		data, metadata := form.Encode(&other)
		_, err := c.AppendToStream(t.Context(), "consent-1", esdb.AppendToStreamOptions{ExpectedRevision: expected},
			esdb.EventData{EventType: other.Type, ContentType: esdb.ContentTypeBinary, Data: data, Metadata: metadata})
		mustCode(t, fmt.Sprint(expected), err, esdb.ErrorCodeWrongExpectedVersion)
	}
}

func TestHTTP1IsNotFound(t *testing.T) {
	address := start(t, wire.Options{Store: memory.New(), HTTP1: func(l net.Listener) net.Listener { return l }})
	for _, path := range []string{"/", "/subscriptions", "/streams/consent-1", "/web"} {
		resp, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

// Whoever serves and does not say how requests of HTTP/1 are judged answers none.
func TestHTTP1IsClosedUnlessItsListenerIsWrapped(t *testing.T) {
	c, err := net.Dial("tcp", start(t, wire.Options{Store: memory.New()}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("%d bytes are answered, %v", n, err)
	}
}

func TestGossip(t *testing.T) {
	c := client(t, "esdb+discover://"+start(t, wire.Options{Store: filled(t, 3)})+"?tls=false")
	events, err := c.ReadAll(t.Context(), esdb.ReadAllOptions{From: esdb.Start{}}, 10)
	mustBe(t, "through discovery", commits(drain(t, events, err)), span(1, 3))
}

// Subscriptions end at once when the server does, and Close waits for nobody.
func TestCloseEndsSubscriptions(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := wire.New(wire.Options{Store: filled(t, 3)})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	c := client(t, "esdb://"+l.Addr().String()+"?tls=false")
	sub, err := c.SubscribeToAll(t.Context(), esdb.SubscribeToAllOptions{From: esdb.End{}})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	for next(t, sub).CaughtUp == nil {
	}
	server.Close()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if e := sub.Recv(); e.SubscriptionDropped == nil {
		t.Fatalf("%+v from a server that has stopped", e)
	}
}

// Idle connections live on: clients ping every ten seconds, and a server by default
// takes that for an attack after half a minute.
func TestIdleBeyondKeepAliveSoak(t *testing.T) {
	if os.Getenv("COFFRE_SOAK") != "1" {
		t.Log("not idle for a minute without COFFRE_SOAK=1")
		return
	}
	s := filled(t, 3)
	c := client(t, "esdb://"+start(t, wire.Options{Store: s})+"?tls=false")
	sub, err := c.SubscribeToAll(t.Context(), esdb.SubscribeToAllOptions{From: esdb.End{}})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	for next(t, sub).CaughtUp == nil {
	}
	idle, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	<-idle.Done()
	add(t, s, "consent-1", storetest.Records(1))
	if next(t, sub).EventAppeared == nil {
		t.Fatal("something else than the record came")
	}
}

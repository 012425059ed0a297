package otlp_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"coffre/eventstore/spans"
	"coffre/eventstore/spans/otlp"
)

// collector takes what is sent to it.
type collector struct {
	mu     sync.Mutex
	status int
	heads  []http.Header
	bodies []string
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heads, c.bodies = append(c.heads, r.Header), append(c.bodies, r.URL.Path+" "+string(body))
	w.WriteHeader(c.status)
}

type span struct {
	TraceID, SpanID, ParentSpanID, Name, StartTimeUnixNano, EndTimeUnixNano string
	Kind                                                                    int
	Attributes                                                              []struct {
		Key   string
		Value struct{ StringValue, IntValue *string }
	}
	Links  []struct{ TraceID, SpanID string }
	Status struct{ Code int }
}

// spans returns what was sent, by name.
func (c *collector) spans(t *testing.T) map[string]span {
	t.Helper()
	all := map[string]span{}
	for _, b := range c.bodies {
		_, body, _ := strings.Cut(b, " ")
		var request struct {
			ResourceSpans []struct {
				ScopeSpans []struct{ Spans []span }
			}
		}
		if err := json.Unmarshal([]byte(body), &request); err != nil {
			t.Fatal(err)
		}
		for _, r := range request.ResourceSpans {
			for _, s := range r.ScopeSpans {
				for _, one := range s.Spans {
					all[one.Name] = one
				}
			}
		}
	}
	return all
}

func (s span) text(key string) string {
	for _, a := range s.Attributes {
		if a.Key == key && a.Value.StringValue != nil {
			return *a.Value.StringValue
		} else if a.Key == key {
			return *a.Value.IntValue
		}
	}
	return ""
}

func begin(t *testing.T, c *collector, o otlp.Options) (*otlp.Provider, *spans.Tracer) {
	t.Helper()
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	o.Endpoint, o.Service = server.URL, "coffre"
	p, err := otlp.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p, &spans.Tracer{Provider: p}
}

func end(t *testing.T, p *otlp.Provider) {
	t.Helper()
	if err := p.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

// A request's trace has the id that its caller sees, what happens within lies below it, and what
// follows from its events has a link to it.
func TestATrace(t *testing.T) {
	c := &collector{status: http.StatusOK}
	p, tracer := begin(t, c, otlp.Options{Share: 1, Headers: map[string]string{"Authorization": "Api-Token x"}})
	id := uuid.New()
	r := httptest.NewRequest("GET", "/x", nil)
	r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	r, request := tracer.Request(r, id)
	ctx, within := spans.Begin(r.Context(), "log.append")
	within.Number("coffre.events", 3)
	if got := spans.Trace(ctx); got != strings.ReplaceAll(id.String(), "-", "") {
		t.Errorf("the trace of the request is %s", got)
	}
	within.End(errors.New("with 85073000140 in it"))
	request.Name("getWallet")
	request.End(nil)
	_, follows := tracer.Event(t.Context(), "reactor", id)
	follows.End(nil)
	end(t, p)
	all := c.spans(t)
	root, child, after := all["getWallet"], all["log.append"], all["reactor"]
	if root.TraceID != strings.ReplaceAll(id.String(), "-", "") || root.ParentSpanID != "" || root.Kind != 2 || len(root.Links) != 1 || root.Links[0].TraceID != "0af7651916cd43dd8448eb211c80319c" || root.text("coffre.trace") != id.String() {
		t.Errorf("request %+v", root)
	}
	if child.TraceID != root.TraceID || child.ParentSpanID != root.SpanID || child.Status.Code != 2 || child.text("coffre.events") != "3" {
		t.Errorf("within %+v", child)
	}
	if after.TraceID == root.TraceID || len(after.Links) != 1 || after.Links[0].TraceID != root.TraceID || after.Links[0].SpanID != root.SpanID {
		t.Errorf("follows %+v", after)
	}
	if strings.Contains(strings.Join(c.bodies, ""), "85073000140") {
		t.Error("the text of an error was sent")
	}
	if !strings.HasPrefix(c.bodies[0], "/v1/traces {") || c.heads[0].Get("Content-Type") != "application/json" || c.heads[0].Get("Authorization") != "Api-Token x" {
		t.Errorf("%v %.60s", c.heads[0], c.bodies[0])
	}
	if taken, lost := p.Sent(); taken != 3 || lost != 0 {
		t.Errorf("%d taken, %d lost", taken, lost)
	}
}

// Where callers are one's own, a request goes on in its caller's trace.
func TestATraceGoesOn(t *testing.T) {
	c := &collector{status: http.StatusOK}
	p, tracer := begin(t, c, otlp.Options{})
	tracer.Continues = true
	for _, header := range []string{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "nonsense"} {
		r := httptest.NewRequest("GET", "/x", nil)
		r.Header.Set("Traceparent", header)
		_, span := tracer.Request(r, uuid.New())
		span.Name("request")
		span.End(nil)
	}
	end(t, p)
	if all := c.spans(t); len(all) != 1 || all["request"].TraceID != "0af7651916cd43dd8448eb211c80319c" || all["request"].ParentSpanID != "b7ad6b7169203331" {
		t.Errorf("%+v", all)
	}
}

// A share of the traces is recorded, and what follows from an event when its request was.
func TestAShareIsRecorded(t *testing.T) {
	c := &collector{status: http.StatusOK}
	p, tracer := begin(t, c, otlp.Options{Share: 0.25})
	recorded := 0
	for range 4000 {
		id := uuid.New()
		_, request := tracer.Request(httptest.NewRequest("GET", "/x", nil), id)
		_, follows := tracer.Event(t.Context(), "reactor", id)
		if request.Recording() != follows.Recording() {
			t.Fatal("what follows is recorded without its request, or is not with it")
		}
		if request.Recording() {
			recorded++
		}
	}
	if recorded < 800 || recorded > 1200 {
		t.Errorf("%d of 4000 are recorded", recorded)
	}
	end(t, p)
}

// A collector that is away is told once, costs no request anything, and what it does not take is
// counted.
func TestACollectorThatIsAway(t *testing.T) {
	c := &collector{status: http.StatusServiceUnavailable}
	var told []error
	p, tracer := begin(t, c, otlp.Options{Share: 1, Failed: func(err error) { told = append(told, err) }})
	for range 600 {
		_, span := tracer.Request(httptest.NewRequest("GET", "/x", nil), uuid.New())
		span.End(nil)
	}
	end(t, p)
	if taken, lost := p.Sent(); taken != 0 || lost != 600 || len(told) != 1 || told[0] == nil {
		t.Errorf("%d taken, %d lost, told %v", taken, lost, told)
	}
}

// Without a trace above it nothing begins, and nothing is allocated.
func TestNothingIsRecordedWithoutATrace(t *testing.T) {
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		within, span := spans.Begin(ctx, "log.append")
		span.Number("coffre.events", 3)
		span.End(nil)
		if within != ctx {
			t.Error("the context is another")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	var none *spans.Tracer
	r := httptest.NewRequest("GET", "/x", nil)
	if got, span := none.Request(r, uuid.New()); got != r || span.Recording() {
		t.Error("a request is recorded by nobody")
	}
}

func TestEndpoints(t *testing.T) {
	for _, good := range []string{"https://collector:4318", "https://c.example/otlp/v1/traces", "http://127.0.0.1:4318", "http://localhost:4318/"} {
		if err := otlp.CheckEndpoint(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "collector:4318", "http://collector:4318", "https://user:secret@collector", "https://collector?key=secret", "grpc://collector:4317"} {
		if err := otlp.CheckEndpoint(bad); !errors.Is(err, otlp.ErrEndpoint) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

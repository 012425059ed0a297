// Package otlp sends spans to a collector of OpenTelemetry: OTLP over HTTP, in its JSON form.
//
// The client of the OpenTelemetry project is not linked, because it brings gRPC and its
// gateway along: decision 80 has the figures.
//
// Invariant: nobody waits for a collector but the one goroutine that sends. What it does not
// take is counted and lost.
package otlp

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"coffre/eventstore/spans"
)

// Bounds of sending.
const (
	batch     = 512
	queue     = 4096 // spans that wait; what comes beyond is lost
	sendEvery = 5 * time.Second
	sendIn    = 10 * time.Second
	maxAnswer = 64 << 10
)

// ErrEndpoint: the address of a collector is no URL of https, or of http on this machine.
var ErrEndpoint = errors.New("the collector's address is an https URL, or one of http on this machine")

// Options of a Provider. Endpoint and Service are required.
type Options struct {
	Endpoint string            // such as https://collector:4318; /v1/traces follows unless it has a path
	Headers  map[string]string // of each request, such as Authorization
	TLS      *tls.Config       // nil: the system's authorities
	Share    float64           // of traces, from 0 to 1
	Service  string            // service.name
	Version  string            // service.version
	Instance string            // service.instance.id; "" for none
	// Failed is told when spans begin to be lost, and with nil when they are taken again. It
	// must not block. nil: not called.
	Failed func(error)
}

// Provider makes spans and sends them. Make it with [New].
type Provider struct {
	*sdk.TracerProvider
	sender *sender
}

// New returns a provider, whose goroutine ends with Shutdown.
func New(o Options) (*Provider, error) {
	if err := CheckEndpoint(o.Endpoint); err != nil {
		return nil, err
	}
	to, err := url.Parse(o.Endpoint)
	if err != nil {
		return nil, ErrEndpoint
	}
	if strings.Trim(to.Path, "/") == "" {
		to.Path = "/v1/traces"
	}
	s := &sender{to: to.String(), headers: o.Headers, failed: o.Failed, client: &http.Client{
		Transport:     &http.Transport{TLSClientConfig: o.TLS, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	s.resource.Attributes = []attributeJSON{textOf("service.name", o.Service), textOf("service.version", o.Version)}
	if o.Instance != "" {
		s.resource.Attributes = append(s.resource.Attributes, textOf("service.instance.id", o.Instance))
	}
	return &Provider{sender: s, TracerProvider: sdk.NewTracerProvider(
		sdk.WithIDGenerator(ids{}),
		sdk.WithSampler(sdk.ParentBased(sampler(o.Share))),
		sdk.WithRawSpanLimits(sdk.SpanLimits{AttributeValueLengthLimit: 512, AttributeCountLimit: 32, EventCountLimit: 0, LinkCountLimit: 4, AttributePerEventCountLimit: 0, AttributePerLinkCountLimit: 0}),
		sdk.WithBatcher(s, sdk.WithMaxQueueSize(queue), sdk.WithMaxExportBatchSize(batch), sdk.WithBatchTimeout(sendEvery), sdk.WithExportTimeout(sendIn)),
	)}, nil
}

// CheckEndpoint returns ErrEndpoint unless spans may be sent to the address.
func CheckEndpoint(text string) error {
	to, err := url.Parse(text)
	if err != nil || to.Host == "" || to.User != nil || to.RawQuery != "" || to.Fragment != "" || to.Scheme != "https" && (to.Scheme != "http" || !loopback(to.Hostname())) {
		return ErrEndpoint
	}
	return nil
}

func loopback(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// Sent returns how many spans a collector took, and how many it did not take. Spans that found
// no place in the queue are in neither.
func (p *Provider) Sent() (taken, lost int64) { return p.sender.taken.Load(), p.sender.lost.Load() }

// ids takes the ids of a root from its context, and makes all others at random.
type ids struct{}

// NewIDs implements sdk.IDGenerator.
func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if t, s, ok := spans.IDs(ctx); ok {
		return t, s
	}
	return spans.NewTrace(), spans.NewSpan()
}

// NewSpanID implements sdk.IDGenerator.
func (ids) NewSpanID(context.Context, trace.TraceID) trace.SpanID { return spans.NewSpan() }

// sampler keeps a share of traces. What follows from an event is kept when the request before it
// is.
type sampler float64

// ShouldSample implements sdk.Sampler.
func (s sampler) ShouldSample(p sdk.SamplingParameters) sdk.SamplingResult {
	id := p.TraceID
	for _, l := range p.Links {
		if p.Kind == trace.SpanKindConsumer {
			id = l.SpanContext.TraceID()
		}
	}
	r := sdk.SamplingResult{Decision: sdk.Drop}
	if spans.Sampled(id, float64(s)) {
		r.Decision = sdk.RecordAndSample
	}
	return r
}

// Description implements sdk.Sampler.
func (s sampler) Description() string { return "share " + strconv.FormatFloat(float64(s), 'g', -1, 64) }

// sender implements sdk.SpanExporter. Its methods are called by one goroutine.
type sender struct {
	to       string
	headers  map[string]string
	client   *http.Client
	resource resourceJSON
	failed   func(error)
	failing  bool

	taken, lost atomic.Int64
}

// ExportSpans implements sdk.SpanExporter. It never returns an error, which would be told
// elsewhere as well.
func (s *sender) ExportSpans(ctx context.Context, all []sdk.ReadOnlySpan) error {
	err := s.send(ctx, all)
	if err != nil {
		s.lost.Add(int64(len(all)))
	} else {
		s.taken.Add(int64(len(all)))
	}
	if s.failed != nil && (err != nil) != s.failing {
		s.failed(err)
	}
	s.failing = err != nil
	return nil
}

// Shutdown implements sdk.SpanExporter.
func (s *sender) Shutdown(context.Context) error {
	s.client.CloseIdleConnections()
	return nil
}

func (s *sender) send(ctx context.Context, all []sdk.ReadOnlySpan) error {
	body, err := json.Marshal(requestJSON{[]resourceSpansJSON{{s.resource, []scopeSpansJSON{{scopeJSON{"coffre"}, spansOf(all)}}}}})
	if err != nil {
		return fmt.Errorf("encode spans: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.to, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("send spans: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	for name, value := range s.headers {
		r.Header.Set(name, value)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return fmt.Errorf("send spans: %w", err)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer))
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return fmt.Errorf("send spans: %w", err)
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("send spans: the collector answers %d", answer.StatusCode)
	}
	return nil
}

// The JSON form of OTLP 1: names in lowerCamelCase, ids in hexadecimal, 64-bit numbers as texts,
// enumerations as numbers.
type (
	requestJSON struct {
		ResourceSpans []resourceSpansJSON `json:"resourceSpans"`
	}
	resourceSpansJSON struct {
		Resource   resourceJSON     `json:"resource"`
		ScopeSpans []scopeSpansJSON `json:"scopeSpans"`
	}
	resourceJSON struct {
		Attributes []attributeJSON `json:"attributes"`
	}
	scopeSpansJSON struct {
		Scope scopeJSON  `json:"scope"`
		Spans []spanJSON `json:"spans"`
	}
	scopeJSON struct {
		Name string `json:"name"`
	}
	spanJSON struct {
		TraceID           string          `json:"traceId"`
		SpanID            string          `json:"spanId"`
		ParentSpanID      string          `json:"parentSpanId,omitempty"`
		Flags             uint32          `json:"flags,omitempty"`
		Name              string          `json:"name"`
		Kind              int             `json:"kind"`
		StartTimeUnixNano string          `json:"startTimeUnixNano"`
		EndTimeUnixNano   string          `json:"endTimeUnixNano"`
		Attributes        []attributeJSON `json:"attributes,omitempty"`
		Links             []linkJSON      `json:"links,omitempty"`
		Status            *statusJSON     `json:"status,omitempty"`
	}
	linkJSON struct {
		TraceID string `json:"traceId"`
		SpanID  string `json:"spanId"`
	}
	statusJSON struct {
		Code int `json:"code"`
	}
	attributeJSON struct {
		Key   string    `json:"key"`
		Value valueJSON `json:"value"`
	}
	valueJSON struct {
		StringValue *string `json:"stringValue,omitempty"`
		IntValue    *string `json:"intValue,omitempty"`
	}
)

// statusError is STATUS_CODE_ERROR.
const statusError = 2

func spansOf(all []sdk.ReadOnlySpan) []spanJSON {
	out := make([]spanJSON, len(all))
	for i, s := range all {
		c := s.SpanContext()
		one := spanJSON{
			TraceID: c.TraceID().String(), SpanID: c.SpanID().String(), Flags: uint32(c.TraceFlags()), Name: s.Name(), Kind: int(s.SpanKind()),
			StartTimeUnixNano: strconv.FormatInt(s.StartTime().UnixNano(), 10), EndTimeUnixNano: strconv.FormatInt(s.EndTime().UnixNano(), 10),
		}
		if p := s.Parent(); p.HasSpanID() {
			one.ParentSpanID = p.SpanID().String()
		}
		for _, a := range s.Attributes() {
			one.Attributes = append(one.Attributes, attributeOf(a))
		}
		for _, l := range s.Links() {
			one.Links = append(one.Links, linkJSON{l.SpanContext.TraceID().String(), l.SpanContext.SpanID().String()})
		}
		if s.Status().Code == codes.Error {
			one.Status = &statusJSON{statusError}
		}
		out[i] = one
	}
	return out
}

func attributeOf(a attribute.KeyValue) attributeJSON {
	if a.Value.Type() == attribute.INT64 {
		return attributeJSON{string(a.Key), valueJSON{IntValue: new(strconv.FormatInt(a.Value.AsInt64(), 10))}}
	}
	return textOf(string(a.Key), a.Value.AsString())
}

func textOf(key, value string) attributeJSON {
	return attributeJSON{key, valueJSON{StringValue: new(value)}}
}

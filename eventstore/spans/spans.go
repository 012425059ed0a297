// Package spans records what a request, or the handling of an event, does and how long each
// part takes: as spans of OpenTelemetry, where somebody configured a collector.
//
// A span begins below another one only, so that a program without a collector, and a request
// that is not sampled, pay for a look into their context and nothing else.
//
// Invariant: a span holds words of the program, numbers, and random ids that the vault made.
// Words are constants: whatever else is turned into a [Word] stands in a list of the root's
// tests, with why it can name nobody.
package spans

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Word is a word of the program: the name of a span, or of a thing about it, or what that is.
type Word string

// scope names the spans' maker.
const scope = "coffre"

// Span is a part of a trace under way. The zero Span records nothing. One goroutine uses it.
type Span struct{ span trace.Span }

// Begin returns a span below that of ctx, and a context for what happens within it. Whoever
// begins a span ends it.
func Begin(ctx context.Context, name Word) (context.Context, Span) {
	return begin(ctx, name, trace.SpanKindInternal)
}

// Call is Begin of a call to another program.
func Call(ctx context.Context, name Word) (context.Context, Span) {
	return begin(ctx, name, trace.SpanKindClient)
}

func begin(ctx context.Context, name Word, kind trace.SpanKind) (context.Context, Span) {
	above := trace.SpanFromContext(ctx)
	if !above.IsRecording() {
		return ctx, Span{}
	}
	ctx, span := above.TracerProvider().Tracer(scope).Start(ctx, string(name), trace.WithSpanKind(kind))
	return ctx, Span{span}
}

// Recorded reports whether what happens in ctx is recorded.
func Recorded(ctx context.Context) bool { return trace.SpanFromContext(ctx).IsRecording() }

// Recording reports whether anything that is set is kept.
func (s Span) Recording() bool { return s.span != nil && s.span.IsRecording() }

// Number sets a number.
func (s Span) Number(name Word, n int64) {
	if s.Recording() {
		s.span.SetAttributes(attribute.Int64(string(name), n))
	}
}

// Word sets a word.
func (s Span) Word(name, value Word) {
	if s.Recording() {
		s.span.SetAttributes(attribute.String(string(name), string(value)))
	}
}

// ID sets an id that the vault made at random.
func (s Span) ID(name Word, id uuid.UUID) {
	if s.Recording() {
		s.span.SetAttributes(attribute.String(string(name), id.String()))
	}
}

// Name replaces the name.
func (s Span) Name(name Word) {
	if s.Recording() {
		s.span.SetName(string(name))
	}
}

// End ends the span, as failed unless err is nil. Of an error nothing is kept: its text may
// come from anywhere.
func (s Span) End(err error) {
	if s.span == nil {
		return
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.span.SetStatus(codes.Error, "")
	}
	s.span.End()
}

// Trace returns the id of the trace that ctx belongs to, for exemplars; "" when it is not
// recorded.
func Trace(ctx context.Context) string {
	if c := trace.SpanContextFromContext(ctx); c.IsSampled() {
		return c.TraceID().String()
	}
	return ""
}

// Tracer begins traces.
type Tracer struct {
	Provider trace.TracerProvider
	// Continues has a request go on in the trace that its traceparent names (W3C Trace
	// Context); else it begins its own, with a link to that one.
	Continues bool
}

// rootKey is where a context holds which ids the next root span takes.
type rootKey struct{}

// root names a trace by the id that callers see as BelGov-Trace-Id, so that whoever reads one
// finds the other.
func root(ctx context.Context, id uuid.UUID) context.Context {
	return context.WithValue(ctx, rootKey{}, id)
}

// IDs returns the ids of the root span that ctx is for: the trace's is the given one, and the
// span's follows from it. False when ctx is for no root.
func IDs(ctx context.Context) (trace.TraceID, trace.SpanID, bool) {
	id, ok := ctx.Value(rootKey{}).(uuid.UUID)
	if !ok || id == uuid.Nil {
		return trace.TraceID{}, trace.SpanID{}, false
	}
	return trace.TraceID(id), rootSpan(id), true
}

func rootSpan(id uuid.UUID) (s trace.SpanID) {
	sum := sha256.Sum256(id[:])
	copy(s[:], sum[:])
	s[0] |= 1 // never zero
	return s
}

// NewTrace returns a random id of a trace, which is no secret.
func NewTrace() (t trace.TraceID) {
	binary.BigEndian.PutUint64(t[:], rand.Uint64())
	binary.BigEndian.PutUint64(t[8:], rand.Uint64()|1) // never zero
	return t
}

// NewSpan returns a random id of a span, which is no secret.
func NewSpan() (s trace.SpanID) {
	binary.BigEndian.PutUint64(s[:], rand.Uint64()|1) // never zero
	return s
}

// Sampled reports whether a trace is among a share of all, from 0 to 1: every process says the
// same of one id.
func Sampled(id trace.TraceID, share float64) bool {
	sum := sha256.Sum256(id[:])
	return float64(binary.BigEndian.Uint64(sum[:])>>11) < share*(1<<53)
}

// Request begins the span of a request that is answered under a trace id. A nil Tracer begins
// none.
func (t *Tracer) Request(r *http.Request, id uuid.UUID) (*http.Request, Span) {
	if t == nil {
		return r, Span{}
	}
	ctx := root(r.Context(), id)
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attribute.String("coffre.trace", id.String()))}
	if from := traceparent(r.Header); from.IsValid() {
		if t.Continues {
			ctx = trace.ContextWithRemoteSpanContext(ctx, from)
		} else {
			options = append(options, trace.WithLinks(trace.Link{SpanContext: from}))
		}
	}
	ctx, span := t.Provider.Tracer(scope).Start(ctx, "request", options...)
	if !span.IsRecording() {
		return r, Span{}
	}
	return r.WithContext(ctx), Span{span}
}

// Event begins the span of what follows from an event, in a trace of its own with a link to the
// request that the event came from: its id is the event's correlation id, nil for none. A nil
// Tracer begins none.
func (t *Tracer) Event(ctx context.Context, name Word, cause uuid.UUID) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	options := []trace.SpanStartOption{trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindConsumer)}
	if cause != uuid.Nil {
		from := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID(cause), SpanID: rootSpan(cause), TraceFlags: trace.FlagsSampled, Remote: true})
		options = append(options, trace.WithLinks(trace.Link{SpanContext: from}), trace.WithAttributes(attribute.String("coffre.trace", cause.String())))
	}
	ctx, span := t.Provider.Tracer(scope).Start(ctx, string(name), options...)
	return ctx, Span{span}
}

// traceparent reads the header of that name, version 00 (W3C Trace Context); an invalid context
// for what is none.
func traceparent(h http.Header) (none trace.SpanContext) {
	v := h["Traceparent"]
	if len(v) != 1 || len(v[0]) != 55 || v[0][:3] != "00-" || v[0][35] != '-' || v[0][52] != '-' {
		return none
	}
	id, wrongTrace := trace.TraceIDFromHex(v[0][3:35])
	span, wrongSpan := trace.SpanIDFromHex(v[0][36:52])
	if wrongTrace != nil || wrongSpan != nil {
		return none
	}
	var flags trace.TraceFlags
	if v[0][53:] == "01" {
		flags = trace.FlagsSampled
	}
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: span, TraceFlags: flags, Remote: true})
}

// Transport records the calls that go through base, by their method and status: an address may
// hold a secret of its receiver. Nothing is added to what is sent.
func Transport(name Word, base http.RoundTripper) http.RoundTripper { return transport{name, base} }

type transport struct {
	name Word
	base http.RoundTripper
}

// RoundTrip implements http.RoundTripper. The span ends with the answer's head.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, span := Call(r.Context(), t.name)
	if span.Recording() {
		r = r.WithContext(ctx)
	}
	answer, err := t.base.RoundTrip(r)
	if err == nil {
		span.Number("http.response.status_code", int64(answer.StatusCode))
	}
	span.End(err)
	return answer, err
}

// CloseIdleConnections does so on base, where it can.
func (t transport) CloseIdleConnections() {
	if c, can := t.base.(interface{ CloseIdleConnections() }); can {
		c.CloseIdleConnections()
	}
}

package vault

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/http/httpguts"

	"coffre/cmd/coffre/files"
	"coffre/eventstore/spans"
	"coffre/eventstore/spans/otlp"
	"coffre/handlers/edge"
)

// TracesConfig says which collector is sent spans.
type TracesConfig struct {
	Endpoint    string  // URL; required
	Ratio       float64 // share of traces, from 0 to 1
	HeadersFile string  // lines NAME: VALUE, for each request; "": none
	CAFile      string  // PEM certificates to trust; "": the system's
	Continues   bool    // go on in the traces of callers
}

// Traces is a TracesConfig with what its files hold.
type Traces struct {
	otlp.Options
	continues bool
}

// lastSpans bounds the wait for a collector at the end.
const lastSpans = 5 * time.Second

// Read reads the files and judges everything. Errors repeat no value.
func (c TracesConfig) Read() (*Traces, error) {
	if c.Ratio < 0 || c.Ratio > 1 {
		return nil, errors.New("--traces-ratio (COFFRE_TRACES_RATIO) is a number from 0 to 1")
	}
	t := &Traces{continues: c.Continues, Options: otlp.Options{Endpoint: c.Endpoint, Share: c.Ratio, Service: "coffre"}}
	if err := otlp.CheckEndpoint(c.Endpoint); err != nil {
		return nil, fmt.Errorf("--traces-endpoint (COFFRE_TRACES_ENDPOINT): %w", err)
	}
	if c.HeadersFile != "" {
		text, err := files.ReadSmall(c.HeadersFile)
		if err == nil {
			t.Headers, err = headersIn(string(text))
		}
		if err != nil {
			return nil, fmt.Errorf("--traces-headers-file (COFFRE_TRACES_HEADERS_FILE): %w", err)
		}
	}
	if c.CAFile != "" {
		roots, err := Trusted(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("--traces-ca-file (COFFRE_TRACES_CA_FILE): %w", err)
		}
		t.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	}
	return t, nil
}

// headersIn reads lines NAME: VALUE.
func headersIn(text string) (map[string]string, error) {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, found := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if !found || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, errors.New("it holds a line NAME: VALUE for each header")
		}
		all[name] = value
	}
	return all, nil
}

// openTracer begins to record traces, where a collector is configured.
func (a *assembly) openTracer(ctx context.Context) error {
	if a.o.Traces == nil {
		return nil
	}
	versions, err := ReadVersions(ctx)
	if err != nil {
		return err
	}
	o := a.o.Traces.Options
	o.Version = versions.name()
	o.Failed = func(err error) {
		if err != nil {
			a.o.Logger.Warn("spans are lost: the collector does not take them", slog.Any("error", err))
			return
		}
		a.o.Logger.Info("the collector takes spans again")
	}
	provider, err := otlp.New(o)
	if err != nil {
		return err
	}
	a.spans = provider
	a.tracer = &spans.Tracer{Provider: provider, Continues: a.o.Traces.continues}
	a.onClose(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), lastSpans)
		defer cancel()
		_ = provider.Shutdown(ctx) // what a collector does not take is lost, and counted
		return nil
	})
	return nil
}

// traceRequest begins the span of a request, for edge.Server; nil where nothing is recorded.
func (a *assembly) traceRequest() func(*http.Request, *edge.Call) (*http.Request, string, func(edge.Observed)) {
	if a.tracer == nil {
		return nil
	}
	return func(r *http.Request, call *edge.Call) (*http.Request, string, func(edge.Observed)) {
		r, span := a.tracer.Request(r, call.Trace)
		if !span.Recording() {
			return r, "", nil
		}
		return r, spans.Trace(r.Context()), func(o edge.Observed) {
			operation := o.Operation
			if route, known := edge.RouteOf(operation); known {
				span.Name(spans.Word(operation))
				span.Word("http.request.method", spans.Word(route.Method))
				span.Word("http.route", spans.Word(route.Path))
			}
			span.Number("http.response.status_code", int64(o.Status))
			span.Word("coffre.problem", spans.Word(o.Problem))
			span.Word("coffre.role", spans.Word(o.Role))
			var failed error
			if o.Status >= http.StatusInternalServerError {
				failed = errAnswered
			}
			span.End(failed)
		}
	}
}

// errAnswered marks the span of a request that the vault failed.
var errAnswered = errors.New("answered with a fault")

// traceUseCase begins the span of a use case, for edge.Server; nil where nothing is recorded.
func (a *assembly) traceUseCase() func(context.Context) (context.Context, func(error)) {
	if a.tracer == nil {
		return nil
	}
	return func(ctx context.Context) (context.Context, func(error)) {
		ctx, span := spans.Begin(ctx, "use case")
		return ctx, span.End
	}
}

var (
	spansSentMetric = prometheus.NewDesc("coffre_spans_sent_total", "Spans of traces that the collector took; absent without one.", nil, nil)
	spansLostMetric = prometheus.NewDesc("coffre_spans_lost_total", "Spans of traces that the collector did not take; absent without one.", nil, nil)
)

// spanMetrics tell what became of spans.
type spanMetrics struct{ v *Instance }

func (spanMetrics) Describe(out chan<- *prometheus.Desc) {
	out <- spansSentMetric
	out <- spansLostMetric
}

func (m spanMetrics) Collect(out chan<- prometheus.Metric) {
	if m.v.spans == nil {
		return
	}
	taken, lost := m.v.spans.Sent()
	out <- prometheus.MustNewConstMetric(spansSentMetric, prometheus.CounterValue, float64(taken))
	out <- prometheus.MustNewConstMetric(spansLostMetric, prometheus.CounterValue, float64(lost))
}

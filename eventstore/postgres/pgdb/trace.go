package pgdb

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"coffre/eventstore/spans"
)

// tracer records the statements of who is recorded: their first word, and never an argument. It
// implements pgx.QueryTracer.
type tracer struct{}

type spanKey struct{}

// verbs are the first words of statements.
var verbs = map[string]spans.Word{
	"SELECT": "SELECT", "INSERT": "INSERT", "UPDATE": "UPDATE", "DELETE": "DELETE", "WITH": "WITH", "BEGIN": "BEGIN", "COMMIT": "COMMIT", "ROLLBACK": "ROLLBACK",
}

// TraceQueryStart implements pgx.QueryTracer.
func (tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	ctx, span := spans.Call(ctx, "sql")
	if !span.Recording() {
		return ctx
	}
	verb, _, _ := strings.Cut(strings.TrimSpace(q.SQL), " ")
	if word, known := verbs[strings.ToUpper(verb)]; known {
		span.Word("db.operation.name", word)
	}
	span.Word("db.system.name", "postgresql")
	return context.WithValue(ctx, spanKey{}, span)
}

// TraceQueryEnd implements pgx.QueryTracer.
func (tracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryEndData) {
	if span, recorded := ctx.Value(spanKey{}).(spans.Span); recorded {
		span.End(q.Err)
	}
}

package reactors

import (
	"context"
	"log/slog"

	"github.com/ThreeDotsLabs/watermill"
)

// slogAdapter is Watermill's logger on slog. It writes the class of an error only, because
// errors of handlers may carry personal data.
type slogAdapter struct{ to *slog.Logger }

func (q slogAdapter) Error(msg string, err error, f watermill.LogFields) {
	q.to.LogAttrs(context.Background(), slog.LevelWarn, "watermill: "+msg, append(attrs(f), slog.String("reason", class(err)))...)
}

// Info is debug to us: a line for each handler that starts or stops.
func (q slogAdapter) Info(msg string, f watermill.LogFields) {
	q.to.LogAttrs(context.Background(), slog.LevelDebug, "watermill: "+msg, attrs(f)...)
}

func (slogAdapter) Debug(string, watermill.LogFields) {}
func (slogAdapter) Trace(string, watermill.LogFields) {}

func (q slogAdapter) With(f watermill.LogFields) watermill.LoggerAdapter {
	return slogAdapter{slog.New(q.to.Handler().WithAttrs(attrs(f)))}
}

func attrs(f watermill.LogFields) []slog.Attr {
	all := make([]slog.Attr, 0, len(f)+1)
	for _, name := range []string{"handler_name", "topic", "message_uuid", "timeout"} { // the ones that say something; never a message
		if v, ok := f[name]; ok {
			all = append(all, slog.Any(name, v))
		}
	}
	return all
}

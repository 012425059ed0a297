package edge

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"coffre/handlers/contract"
)

// Opening is how far a process is that was started and answers no requests yet.
type Opening struct {
	// Doing is what it is at.
	Doing contract.StartStep
	// Known reports whether the members below say something.
	Known bool
	// Percent of the step that is done, from 0 to 99.
	Percent int
	// PerSecond is how many events it takes in; 0 while that is not known.
	PerSecond int64
	// Left is the time that the step takes yet at this pace; 0 while that is not known.
	Left time.Duration
}

// Bounds of the time after which callers of a process that is being opened try again.
const (
	openingRetry    = 5 * time.Second // where the end is not in sight
	openingRetryMax = time.Minute
)

// Opening returns what answers in the place of [Server.Handler], or of [Server.Operators], while
// the vault is being opened: the process is alive, not ready, and at what now tells; every other
// call is a 503 with Retry-After. now answers at once, and for many callers at a time. How many
// events a second there are tells of the size of the log, so it is said to operators only.
func (s *Server) Opening(now func(context.Context) Opening, operators bool) http.Handler {
	rt := &routes{s: s, mux: http.NewServeMux()}
	refuse := func(w http.ResponseWriter, r *http.Request) {
		s.problem(w, r, RetryAfter(errOpening, now(r.Context()).retry()))
	}
	health := func(w http.ResponseWriter, r *http.Request) {
		o := now(r.Context())
		setRetryAfter(w.Header(), o.retry())
		answer := contract.GetHealth503JSONResponse{Status: contract.HealthStatusDOWN, Start: o.item(s.Now(), operators)}
		if err := answer.VisitGetHealthResponse(w); err != nil {
			s.problem(w, r, err)
		}
	}
	for pattern, h := range map[string]http.HandlerFunc{
		"GET /livez":                       s.serveLive,
		"GET /health":                      health,
		"GET " + contract.Base + "/health": health,
		"GET /readyz": func(w http.ResponseWriter, r *http.Request) {
			o, h := now(r.Context()), w.Header()
			h.Set("Content-Type", "text/plain; charset=utf-8")
			h.Set("Cache-Control", "no-store")
			setRetryAfter(h, o.retry())
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(o.text(s.Now(), operators))) // nothing to do about a client that left
		},
	} {
		rt.serve(pattern, h)
		rt.openPath(pattern)
	}
	rt.mux.HandleFunc("/", refuse)
	return rt
}

// retry is how long callers wait before they ask again.
func (o Opening) retry() time.Duration {
	if !o.Known || o.Left <= 0 {
		return openingRetry
	}
	return max(minRetryAfter, min(o.Left, openingRetryMax))
}

// item is the contract's form.
func (o Opening) item(now time.Time, operators bool) contract.HealthStart {
	item := contract.HealthStart{Doing: o.Doing}
	if !o.Known {
		return item
	}
	item.Percent = new(o.Percent)
	if o.Left > 0 {
		item.ExpectedAt = now.Add(o.Left).UTC().Truncate(time.Second)
	}
	if operators {
		item.EventsPerSecond = o.PerSecond
	}
	return item
}

// text is one line for whoever looks at /readyz.
func (o Opening) text(now time.Time, operators bool) string {
	line := "not ready: " + string(o.Doing)
	if o.Known {
		line += ", " + strconv.Itoa(o.Percent) + "%"
		if operators && o.PerSecond > 0 {
			line += ", " + strconv.FormatInt(o.PerSecond, 10) + " events a second"
		}
		if o.Left > 0 {
			line += ", until " + now.Add(o.Left).UTC().Format(time.RFC3339)
		}
	}
	return line + "\n"
}

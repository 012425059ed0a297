package edge

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/contract"
)

// Server is the HTTP edge. Fields are required unless they say otherwise; they are set
// once, before Handler, and only read after it.
type Server struct {
	Auth  Authenticator
	Now   func() time.Time
	NewID func() uuid.UUID // random, version 4 or 7
	Slog  *slog.Logger
	// ErrorAnswers lists the errors of use cases that are answered as refusals; every other
	// error is answered 500.
	ErrorAnswers []ErrorAnswer

	// Admit judges a caller who may call the operation, before anything of the request is
	// read. An error refuses the call. nil: nobody else is refused.
	Admit func(context.Context, *Call) error

	// Nonce returns the nonce that proofs of possession (DPoP, RFC 9449) have to hold; nil:
	// the server takes none.
	Nonce func() string

	// NeverBusy lists the operations that are answered while there are too many requests at a
	// time for others.
	NeverBusy map[string]bool

	// Beat is how long refusals wait; 0: they leave at once. See the constant of that name.
	Beat time.Duration

	// Alarm is told of each error whose answer asks for it; it must not block. nil: not
	// called.
	Alarm func(error)

	// Health returns the status that clients see. It is called at most once a second and
	// must answer from memory. nil: always up.
	Health func(context.Context) contract.HealthStatus
	// Condition returns the status with a sentence for each reason why it is not UP, for
	// operators. nil: always up.
	Condition func(context.Context) (contract.HealthStatus, []string)
	// Ready returns an error while the process should get no requests. nil: always ready.
	Ready func(context.Context) error
	// Detail is text, one sentence a line, that /readyz tells operators of a process that is
	// ready. nil: none.
	Detail func(context.Context) string
	// Metrics answers GET /metrics at the operators' address, and nowhere else. nil: there is
	// no such route.
	Metrics http.Handler
	// Tile returns a tile of the tree over the log by its path behind /log/tile/. nil: none is
	// served.
	Tile func(ctx context.Context, path string) ([]byte, error)
	// Observe is called after every request; it must not block. nil: not called.
	Observe func(Observed)
	// Trace begins the record of a request in a trace: it returns the request to go on with, the
	// trace's id, and what ends the record, nil where nothing of it is recorded. nil: not called.
	Trace func(*http.Request, *Call) (_ *http.Request, trace string, end func(Observed))
	// UseCase begins the record of a use case within a request's, and returns what ends it. nil:
	// not called.
	UseCase func(context.Context) (context.Context, func(error))
	// Refused is called with the last word of the problem's type for every problem that is
	// answered; operation is as in Observed. nil: not called.
	Refused func(operation, problem string)

	health healthCache
	ticks  ticker
	drains drains

	underWay underWay
}

// Observed is what is told of a request that was answered.
type Observed struct {
	Operation    string // of the contract; "" when it has none for the request
	Status       int
	Problem      string              // last word of the type of the problem that was answered; "": none was
	Role         domain.Role         // "": nobody was let in
	Organisation domain.Organisation // of whoever was let in; "" for a role that is of none
	Received     time.Time
	Took         time.Duration // from the request's head to the end of its answer
	Trace        string        // id of the trace in which it is recorded; "": in none
}

// uncontracted lists the routes that are served and not in the contract, with reasons.
var uncontracted = []string{
	"GET /livez",                    // for the platform: is the process alive
	"GET /readyz",                   // for the platform: send it requests
	"GET /health",                   // the contract's /health where the REST guide's readers look first
	"GET " + contract.Base + "/doc", // what there is, for people
	"GET " + contract.Base + "/doc/openapi.yaml", // the contract itself
	tilePattern, // C2SP tlog-tiles: a path of as many steps as the tree needs, under getCheckpoint's role and scope
}

const tilePattern = "GET " + contract.Base + "/log/tile/{path...}"

// Handler returns the whole API: ops behind the gate, deny by default. It panics
// when the contract and the generated routes disagree: a broken program.
func (s *Server) Handler(ops contract.StrictServerInterface) http.Handler {
	rt := &routes{s: s, mux: http.NewServeMux(), contract: operations()}
	strictOps := contract.NewStrictHandlerWithOptions(ops, s.around(), contract.StrictHTTPServerOptions{
		RequestErrorHandlerFunc: func(w http.ResponseWriter, r *http.Request, _ error) {
			s.problem(w, r, BadRequest(contract.InputValidationIssue{Type: IssueSchema, Title: "The body does not fit its schema", In: contract.IssueLocationBody, Name: wholeBody}))
		},
		ResponseErrorHandlerFunc: s.refuse,
	})
	contract.HandlerWithOptions(strictOps, contract.StdHTTPServerOptions{
		BaseURL: contract.Base, BaseRouter: rt,
		ErrorHandlerFunc: func(w http.ResponseWriter, r *http.Request, _ error) {
			s.problem(w, r, BadRequest(contract.InputValidationIssue{Type: IssueSchema, Title: "A parameter does not fit its schema", In: contract.IssueLocationQuery, Name: wholeQuery}))
		},
	})
	for pattern := range rt.contract {
		if !slices.Contains(rt.served, pattern) {
			panic("the contract names " + pattern + " and nothing serves it")
		}
	}
	rt.serve(tilePattern, s.guard(rt.contract["GET "+contract.Base+"/log/checkpoint"], s.serveTile))
	rt.serveOpen("GET /health", http.HandlerFunc(s.serveHealth))
	rt.serveOpen("GET /livez", http.HandlerFunc(s.serveLive))
	rt.serveOpen("GET /readyz", http.HandlerFunc(s.serveReady))
	rt.serveOpen("GET "+contract.Base+"/doc", http.HandlerFunc(rt.serveDoc))
	rt.serveOpen("GET "+contract.Base+"/doc/openapi.yaml", http.HandlerFunc(serveContract))
	rt.mux.HandleFunc("/", rt.serveUnknown)
	return rt
}

// around returns what stands around every use case.
func (s *Server) around() []contract.StrictMiddlewareFunc {
	if s.UseCase == nil {
		return nil
	}
	return []contract.StrictMiddlewareFunc{func(next contract.StrictHandlerFunc, _ string) contract.StrictHandlerFunc {
		return func(ctx context.Context, w http.ResponseWriter, r *http.Request, request any) (any, error) {
			ctx, end := s.UseCase(ctx)
			answer, err := next(ctx, w, r, request)
			end(err)
			return answer, err
		}
	}}
}

// routes is the table of served routes, and the handler in front of it.
type routes struct {
	s        *Server
	mux      *http.ServeMux
	contract map[string]*operation
	served   []string
	literal  map[string][]string // methods by path, of paths without parameters
	open     map[string]bool     // paths that anybody may GET, and so ask for with HEAD
}

// serve enters a pattern into the table.
func (rt *routes) serve(pattern string, h http.Handler) {
	rt.served = append(rt.served, pattern)
	rt.mux.Handle(pattern, h)
	if method, path, _ := strings.Cut(pattern, " "); !strings.Contains(path, "{") {
		if rt.literal == nil {
			rt.literal = make(map[string][]string)
		}
		rt.literal[path] = append(rt.literal[path], method)
	}
}

// HandleFunc registers a generated route behind the gate. It is how the
// generated code fills the table.
func (rt *routes) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	op := rt.contract[pattern]
	if op == nil {
		panic("the contract does not name " + pattern)
	}
	rt.serve(pattern, rt.s.guard(op, h))
	if op.public {
		rt.openPath(pattern)
	}
}

// serveOpen registers a route that needs no token; it must be in uncontracted.
func (rt *routes) serveOpen(pattern string, h http.Handler) {
	if !slices.Contains(uncontracted, pattern) {
		panic(pattern + " is not in uncontracted")
	}
	rt.serve(pattern, h)
	rt.openPath(pattern)
}

// openPath lets anybody ask for the path of a pattern with HEAD as with GET.
func (rt *routes) openPath(pattern string) {
	if path, get := strings.CutPrefix(pattern, "GET "); get {
		if rt.open == nil {
			rt.open = make(map[string]bool)
		}
		rt.open[path] = true
	}
}

// ServeHTTP implements http.Handler: the trace, the time limit, common headers, recovery
// from panics and observation, for every request.
func (rt *routes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s, began := rt.s, rt.s.Now()
	call := &Call{Trace: s.NewID(), Received: began, arrived: time.Now(), beat: s.Beat, ticks: &s.ticks}
	ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), callKey{}, call), MaxTime)
	defer cancel()
	out := &answer{ResponseWriter: w, conn: connFrom(ctx), ctx: ctx}
	call.answer = out
	if r.Method == http.MethodGet { // RFC 9110, section 13.1.2; what cannot be read is as if it were absent
		if tags, err := ParseEntityTags(strings.Join(r.Header[ifNoneMatch], ",")); err == nil {
			out.unless = &tags
		}
	}
	r = r.WithContext(ctx)
	var trace string
	var traced func(Observed)
	if s.Trace != nil {
		r, trace, traced = s.Trace(r, call)
	}
	if r.Body != nil && r.Body != http.NoBody {
		call.body = newBody(r)
		r.Body = call.body
	}
	s.headers(out, r, call)
	defer out.finish()
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			s.problem(out, r, fmt.Errorf("panic (%T): %s", p, Frames(debug.Stack())))
		}
		seen := Observed{
			Operation: call.Operation, Status: out.status, Problem: call.slug, Role: call.Role, Organisation: call.Organisation, Received: began, Took: s.Now().Sub(began), Trace: trace,
		}
		if traced != nil {
			traced(seen)
		}
		if s.Observe != nil {
			s.Observe(seen)
		}
	}()
	switch {
	case len(r.RequestURI) > MaxTarget:
		s.problem(out, r, errTargetSize)
	case !plainPath(r):
		s.problem(out, r, ErrNoResource)
	case rt.literal[r.URL.Path] != nil && !slices.Contains(rt.literal[r.URL.Path], r.Method) && !rt.mayHead(r): // not a name for {id}
		rt.serveUnknown(out, r)
	case r.Method == http.MethodHead && !rt.mayHead(r): // the mux would answer as for GET
		rt.serveUnknown(out, r)
	default:
		rt.mux.ServeHTTP(out, r)
	}
}

// mayHead reports whether a request asks by HEAD for what anybody may GET, as probes and load
// balancers do. Of all else the contract has no HEAD.
func (rt *routes) mayHead(r *http.Request) bool {
	return r.Method == http.MethodHead && rt.open[r.URL.Path]
}

// Frames returns the names of the functions in a stack trace, at most 16 and innermost
// first, without the arguments, which may be personal.
func Frames(stack []byte) string {
	var names []string
	for line := range strings.Lines(string(stack)) {
		if name, _, found := strings.Cut(line, "("); found && !strings.HasPrefix(line, "\t") {
			names = append(names, name)
		}
		if len(names) == 16 {
			break
		}
	}
	return strings.Join(names, " < ")
}

// plainPath reports whether the path is written the one way we write paths, so
// that nothing is cleaned, decoded or redirected.
func plainPath(r *http.Request) bool {
	p := r.URL.Path
	return r.URL.RawPath == "" && !strings.Contains(r.URL.EscapedPath(), "%") && path.Clean(p) == p && strings.HasPrefix(p, "/")
}

// headers sets the headers of every answer.
func (s *Server) headers(w http.ResponseWriter, r *http.Request, call *Call) {
	h := w.Header()
	h.Set("BelGov-Trace-Id", call.Trace.String())
	if related := r.Header.Get("BelGov-Trace-Id"); validTrace(related) {
		call.RelatedTrace = related
		h.Set("BelGov-Related-Trace-Id", related)
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Strict-Transport-Security", "max-age=31536000")
}

// validTrace accepts a caller's trace id that may be repeated in a header and a log.
func validTrace(id string) bool {
	if id == "" || len(id) > 36 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' {
			return false
		}
	}
	return true
}

// serveUnknown answers a request that has no route: 405 when only the method is wrong, else
// 404. A path that the contract writes out, as /documents/query, never also stands for one
// with a parameter.
func (rt *routes) serveUnknown(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		serves := slices.Contains(rt.literal[r.URL.Path], method)
		if rt.literal[r.URL.Path] == nil {
			_, pattern := rt.mux.Handler(&http.Request{Method: method, URL: r.URL, Host: r.Host})
			serves = pattern != "/"
		}
		if !serves || method == r.Method {
			continue
		}
		allowed = append(allowed, method)
		if method == http.MethodGet && rt.open[r.URL.Path] {
			allowed = append(allowed, http.MethodHead)
		}
	}
	if len(allowed) == 0 {
		rt.s.problem(w, r, ErrNoResource)
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	rt.s.problem(w, r, errMethod)
}

// guard returns h behind the checks of one operation: the caller, their role and scope,
// and the input.
func (s *Server) guard(op *operation, h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := CallFrom(r.Context())
		call.Operation = op.id
		if op.invites {
			w.Header().Add("Vary", "Authorization")
		}
		if !op.public || op.invites && r.Header["Authorization"] != nil {
			caller, err := s.authenticate(w, r)
			if err == nil && !op.public {
				err = op.allows(caller)
			}
			if err != nil {
				s.problem(w, r, err)
				return
			}
			call.Caller = caller
			if s.Admit != nil {
				if err := s.Admit(r.Context(), call); err != nil {
					s.problem(w, r, err)
					return
				}
			}
			end, err := s.underWay.begin(call, s.NeverBusy[op.id])
			if err != nil {
				s.problem(w, r, err)
				return
			}
			defer end()
		}
		body, err := op.admit(w, r)
		if err != nil {
			s.problem(w, r, err)
			return
		}
		call.Body, call.Target = body, target(r)
		if _, speaks := op.query["lang"]; speaks {
			call.Language, call.Asked = negotiate(r)
			w.Header().Set("Content-Language", string(call.Language))
			w.Header().Add("Vary", "Accept-Language")
		}
		returned := false // and did not panic
		defer func() { call.Answered(returned && !call.problem) }()
		h(w, r)
		returned = true
	})
}

// target returns what a request is about, for telling whether another repeats it: the path,
// with ids in small letters, and the version that is expected.
func target(r *http.Request) string {
	steps := strings.Split(r.URL.Path, "/")
	for i, step := range steps {
		if checkUUID(step) == nil {
			steps[i] = strings.ToLower(step)
		}
	}
	return strings.Join(steps, "/") + "\x00" + strings.Join(r.Header[ifMatch], ",")
}

// allows admits a caller whose role the contract lists and who has the scope.
func (o *operation) allows(c Caller) error {
	if !slices.Contains(o.roles, c.Role) {
		return errPermission
	}
	if !slices.Contains(c.Scopes, o.scope) {
		return missingScope(o.scope)
	}
	return nil
}

// serveTile answers with a tile, which whoever may read it may keep: it never changes.
func (s *Server) serveTile(w http.ResponseWriter, r *http.Request) {
	if s.Tile == nil {
		s.problem(w, r, ErrNoResource)
		return
	}
	data, err := s.Tile(r.Context(), r.PathValue("path"))
	if err != nil {
		s.problem(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.Itoa(len(data)))
	h.Set("Cache-Control", "private, max-age=31536000, immutable")
	_, _ = w.Write(data) // nothing to do about a client that left
}

func (s *Server) serveLive(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("alive\n")) // nothing to do about a client that left
}

func (s *Server) serveReady(w http.ResponseWriter, r *http.Request) {
	if s.Ready != nil {
		if err := s.Ready(r.Context()); err != nil {
			s.problem(w, r, errNotReady)
			return
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ready\n")) // nothing to do about a client that left
}

// servedContract returns the contract as callers get it, and its entity tag.
var servedContract = sync.OnceValues(func() (plain []byte, tag string) {
	plain = contract.Plain()
	sum := sha256.Sum256(plain)
	return plain, `"` + hex.EncodeToString(sum[:16]) + `"`
})

func serveContract(w http.ResponseWriter, _ *http.Request) {
	plain, tag := servedContract()
	h := w.Header()
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("ETag", tag)
	h.Set("Content-Type", "application/yaml")
	_, _ = w.Write(plain) // nothing to do about a client that left
}

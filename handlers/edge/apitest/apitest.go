// Package apitest holds a handler to the contract from outside: it drives every
// operation, and judges every answer with a reader of OpenAPI that is not ours.
//
// Invariant: every answer that passes a Validator fits the contract's schema for its
// operation and status, or the test fails.
package apitest

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/go-json-experiment/json"
)

// ID is the identifier in the paths and the Idempotency-Key of all Calls.
const ID = "0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44"

// PDF is the body of Calls that take a file.
const PDF = "%PDF-1.7\ntrailer<<>>\n%%EOF\n"

// registerFiles makes the validation of requests accept files without decoding them.
var registerFiles = sync.OnceFunc(func() {
	for _, media := range []string{"application/octet-stream", "application/pdf", "application/xml", "image/jpeg", "image/png"} {
		openapi3filter.RegisterBodyDecoder(media, openapi3filter.FileBodyDecoder)
	}
})

// Document parses a contract, and fails the test when it cannot.
func Document(t testing.TB, contract []byte) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(contract)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// Call is one operation of a contract with a request that fits it.
type Call struct {
	*openapi3.Operation
	Method, Path string // the path with identifiers filled in
	Query        string // required parameters
	Pattern      string // of http.ServeMux: method, blank, path
	Roles        []string
	Header       http.Header
	Body         []byte              // the schema's example, or a file; nil when the call takes none
	Schema       *openapi3.SchemaRef // of the body
}

// Calls returns a request for every operation of the contract, ordered by operationId. The
// requests carry no token.
func Calls(t testing.TB, contract []byte) []Call {
	t.Helper()
	doc := Document(t, contract)
	base, all := doc.Servers[0].URL, []Call(nil)
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			c := Call{Operation: op, Method: method, Path: base + path, Pattern: method + " " + base + path, Header: http.Header{}}
			for _, p := range slices.Concat(item.Parameters, op.Parameters) {
				switch {
				case p.Value.Name == "Idempotency-Key":
					c.Header.Set(p.Value.Name, ID)
				case p.Value.Name == "If-Match":
					c.Header.Set(p.Value.Name, `"1"`)
				case p.Value.Name == "projectionName", p.Value.Name == "reactorName":
					c.Path = strings.ReplaceAll(c.Path, "{"+p.Value.Name+"}", exampleOf(p.Value))
				case p.Value.In == "query" && p.Value.Required:
					c.Query = p.Value.Name + "=" + exampleOf(p.Value)
				case p.Value.In == "header" && p.Value.Required:
					c.Header.Set(p.Value.Name, exampleOf(p.Value))
				case p.Value.In == "path":
					c.Path = strings.ReplaceAll(c.Path, "{"+p.Value.Name+"}", ID)
				}
			}
			roles, _ := op.Extensions["x-roles"].([]any)
			for _, role := range roles {
				c.Roles = append(c.Roles, role.(string))
			}
			switch {
			case op.RequestBody == nil:
			case op.RequestBody.Value.Content["application/json"] == nil:
				c.Header.Set("Content-Type", "application/pdf")
				c.Body = []byte(PDF)
			default:
				c.Schema = op.RequestBody.Value.Content["application/json"].Schema
				c.Header.Set("Content-Type", "application/json")
				c.Body = example(t, c.Schema.Value)
			}
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b Call) int { return strings.Compare(a.OperationID, b.OperationID) })
	return all
}

// exampleOf returns the example of a parameter's schema, 1 where it has none.
func exampleOf(p *openapi3.Parameter) string {
	if text, there := p.Schema.Value.Example.(string); there {
		return text
	}
	return "1"
}

func example(t testing.TB, s *openapi3.Schema) []byte {
	t.Helper()
	if s.Example == nil {
		return []byte(`{}`)
	}
	b, err := json.Marshal(s.Example, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Request returns an HTTP request of the call with a body; nil for none.
func (c Call) Request(body []byte) *http.Request {
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body)
	}
	req := httptest.NewRequest(c.Method, c.Path, r)
	req.URL.RawQuery = c.Query
	req.Header = c.Header.Clone()
	return req
}

// Validator is a handler that checks the requests and answers of another against the
// contract. It may be used concurrently.
type Validator struct {
	t      testing.TB
	next   http.Handler
	router routers.Router

	mu     sync.Mutex
	seen   map[string]map[int]int
	traces map[string]string // operations by the trace id of their answers
}

// Validating returns a Validator around h. It checks the status, headers and body of every
// answer and, when the answer is no error, the request. Paths outside the contract pass
// unchecked.
func Validating(t testing.TB, contract []byte, h http.Handler) *Validator {
	t.Helper()
	registerFiles()
	router, err := legacy.NewRouter(Document(t, contract))
	if err != nil {
		t.Fatal(err)
	}
	return &Validator{t: t, next: h, router: router, seen: make(map[string]map[int]int), traces: make(map[string]string)}
}

// Seen returns the number of an operation's answers for each status.
func (v *Validator) Seen(operation string) map[int]int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.seen[operation]
}

// Traced returns the operations that were answered so far, by the trace ids of the answers.
func (v *Validator) Traced() map[string]string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return maps.Clone(v.traces)
}

// ServeHTTP implements http.Handler.
func (v *Validator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	route, params, err := v.router.FindRoute(r)
	if err != nil {
		v.next.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		v.t.Errorf("%s: read the request: %v", route.Operation.OperationID, err)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	kept := r.Clone(context.WithoutCancel(r.Context()))
	kept.Body = io.NopCloser(bytes.NewReader(body))
	answer := httptest.NewRecorder()
	v.next.ServeHTTP(answer, r)
	v.judge(route, params, kept, answer)
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	if answer.Body.Len() == 0 { // a status such as 204 allows not even an empty one
		return
	}
	if _, err := w.Write(answer.Body.Bytes()); err != nil {
		v.t.Errorf("%s: pass the answer on: %v", route.Operation.OperationID, err)
	}
}

func (v *Validator) judge(route *routers.Route, params map[string]string, r *http.Request, answer *httptest.ResponseRecorder) {
	id := route.Operation.OperationID
	v.mu.Lock()
	if v.seen[id] == nil {
		v.seen[id] = make(map[int]int)
	}
	v.seen[id][answer.Code]++
	v.traces[answer.Header().Get("BelGov-Trace-Id")] = id
	v.mu.Unlock()

	media, _, _ := strings.Cut(answer.Header().Get("Content-Type"), ";")
	options := &openapi3filter.Options{
		AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, SkipSettingDefaults: true,
		ExcludeResponseBody: media != "application/json" && media != "application/problem+json",
	}
	in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: options}
	if answer.Code < 400 {
		if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil {
			v.t.Errorf("%s accepted what the contract refuses: %v", id, err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: answer.Code, Header: answer.Header(), Options: options}
	out.SetBodyBytes(answer.Body.Bytes())
	if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil {
		v.t.Errorf("%s answers %d against the contract: %v", id, answer.Code, err)
	}
	said := route.Operation.Responses.Status(answer.Code)
	if said == nil {
		said = route.Operation.Responses.Default()
	}
	if len(said.Value.Content) > 0 && said.Value.Content[media] == nil {
		v.t.Errorf("%s answers %d as %q", id, answer.Code, media)
	}
	if media == "application/json" && !cursorBesideNext(answer.Body.Bytes()) {
		v.t.Errorf("%s answers with a next whose cursor is not its nextCursor", id)
	}
	if media == "application/json" && answer.Code < 300 {
		for _, wrong := range v.strayLinks(r.URL.Query().Get("lang"), answer.Body.Bytes()) {
			v.t.Errorf("%s answers with the link %s", id, wrong)
		}
	}
	if answer.Header().Get("BelGov-Trace-Id") == "" {
		v.t.Errorf("%s answers without a trace id", id)
	}
}

// linkMembers are the members of answers that hold links.
var linkMembers = []string{"href", "self", "next", "prev", "first"}

// strayLinks returns the links in an answer that lead nowhere in the contract, and those that
// do not carry the language that the request's query asked for, though their operation has
// lang, or carry another.
func (v *Validator) strayLinks(lang string, body []byte) (wrong []string) {
	var walk func(value any)
	walk = func(value any) {
		switch value := value.(type) {
		case map[string]any:
			for name, below := range value {
				link, isText := below.(string)
				if !isText || !slices.Contains(linkMembers, name) || !strings.HasPrefix(link, "/") {
					walk(below)
					continue
				}
				u, err := url.Parse(link)
				if err != nil {
					wrong = append(wrong, link+", which cannot be read")
					continue
				}
				route, _, err := v.router.FindRoute(&http.Request{Method: http.MethodGet, URL: u})
				if err != nil {
					route, _, err = v.router.FindRoute(&http.Request{Method: http.MethodPost, URL: u}) // a list that is asked for with a body
				}
				if err != nil {
					continue // a list whose one item the link names
				}
				want := ""
				if slices.ContainsFunc(slices.Concat(route.PathItem.Parameters, route.Operation.Parameters), func(p *openapi3.ParameterRef) bool {
					return p.Value.In == "query" && p.Value.Name == "lang"
				}) {
					want = lang
				}
				if got := u.Query().Get("lang"); got != want {
					wrong = append(wrong, link+" in the language "+strconv.Quote(got)+" instead of "+strconv.Quote(want))
				}
			}
		case []any:
			for _, below := range value {
				walk(below)
			}
		}
	}
	var answer any
	if json.Unmarshal(body, &answer) == nil {
		walk(answer)
	}
	return wrong
}

// cursorBesideNext reports whether the address of a next page and its cursor agree, or
// neither is there.
func cursorBesideNext(body []byte) bool {
	var page struct {
		Next       string `json:"next"`
		NextCursor string `json:"nextCursor"`
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return true // another object, or what the schema refuses
	}
	next, err := url.Parse(page.Next)
	return err == nil && next.Query().Get("after") == page.NextCursor
}

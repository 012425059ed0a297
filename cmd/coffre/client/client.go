// Package client calls a vault over its HTTP contract. gen.go has one method for
// each operation of handlers/contract/openapi.yaml; Read decodes their answers.
//
// Invariant: everything the command line asks of a vault goes through here, so
// what the contract does not offer, it cannot do. Nothing of a request or an
// answer stands in an error but what a problem says.
package client

//go:generate go tool oapi-codegen -config oapi-codegen.yaml -o gen.go ../../../handlers/contract/openapi.yaml

import (
	"bytes"
	"context"
	"encoding"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"coffre/handlers/contract"
)

// maxAnswer bounds what is read of one answer, in bytes. A page of 1,000 events
// at their largest would be more; such a vault is read in smaller pages.
const maxAnswer = 256 << 20

// Client is a caller of one vault in one role. Its fields are set once; it may
// be used concurrently.
type Client struct {
	Base string // where the contract's paths begin, without a slash at the end
	HTTP *http.Client
	// Token returns the bearer token of the next request; nil: none is sent.
	Token func() (string, error)
	// Seen makes reads wait for earlier writes; nil: they do not. Clients of one
	// vault may share it.
	Seen *Position
}

// Position remembers how far in the log the last write came.
type Position struct {
	mu   sync.Mutex
	last string
}

func (p *Position) get() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

func (p *Position) set(position string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = position
}

// IssueDocumentLine is IssueDocument with a body as it was written by somebody
// else, so that the vault judges every byte of it.
func (c *Client) IssueDocumentLine(ctx context.Context, params contract.IssueDocumentParams, line []byte) (*http.Response, error) {
	r := request{method: http.MethodPost, path: "/documents", body: jsontext.Value(line)}
	r.head("Idempotency-Key", params.IdempotencyKey, true)
	return c.do(ctx, r)
}

// GetTile asks for a tile of the tree by its path, which the contract cannot write.
func (c *Client) GetTile(ctx context.Context, path string) (*http.Response, error) {
	return c.do(ctx, request{method: http.MethodGet, path: "/log/tile/" + path})
}

// File is the body of a call that takes a file as it is.
type File struct {
	MediaType string
	Size      int64 // bytes of Content
	Content   io.Reader
}

// request is a call that is not sent yet.
type request struct {
	method, path string
	values       url.Values
	header       http.Header
	body         any // nil: none
	waits        bool
}

// query adds a parameter, each element of a slice by itself. What is absent is
// not sent unless it is required.
func (r *request) query(name string, value any, required bool) {
	v := reflect.Indirect(reflect.ValueOf(value)) // invalid for a nil pointer
	if r.values == nil {
		r.values = make(url.Values)
	}
	switch {
	case !v.IsValid():
	case reflect.ValueOf(value).Kind() == reflect.Pointer: // presence is told by the pointer alone
		r.values.Set(name, text(v.Interface()))
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			r.values.Add(name, text(v.Index(i).Interface()))
		}
	case required || !v.IsZero():
		r.values.Set(name, text(value))
	}
}

func (r *request) head(name string, value any, required bool) {
	if r.header == nil {
		r.header = make(http.Header)
	}
	if required || !reflect.ValueOf(value).IsZero() {
		r.header.Set(name, text(value))
	}
	r.waits = r.waits || name == "Coffre-Min-Position"
}

// text returns a parameter as the contract writes it. It panics for a type that it has
// no parameter of: a broken program.
func text(value any) string {
	if t, ok := value.(time.Time); ok {
		return t.Format(time.RFC3339Nano)
	}
	if t, ok := value.(encoding.TextMarshaler); ok {
		b, err := t.MarshalText()
		if err != nil {
			panic(fmt.Errorf("text of a parameter: %w", err))
		}
		return string(b)
	}
	switch v := reflect.ValueOf(value); v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Int, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	default:
		panic(fmt.Sprintf("a parameter of type %T", value))
	}
}

func (c *Client) do(ctx context.Context, r request) (*http.Response, error) {
	var body io.Reader
	file, isFile := r.body.(File)
	media := "application/json"
	if isFile {
		body, media = io.NopCloser(file.Content), file.MediaType // its owner closes it
	} else if r.body != nil {
		b, ok := r.body.(jsontext.Value)
		if !ok {
			var err error
			if b, err = json.Marshal(r.body); err != nil {
				return nil, fmt.Errorf("encode the request: %w", err)
			}
		}
		body = bytes.NewReader(b)
	}
	target := c.Base + r.path
	if len(r.values) > 0 {
		target += "?" + r.values.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	if body != nil {
		req.Header.Set("Content-Type", media)
	}
	if isFile {
		req.ContentLength = file.Size
	}
	if c.Token != nil {
		token, err := c.Token()
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if c.Seen != nil && r.waits && req.Header.Get("Coffre-Min-Position") == "" {
		if position := c.Seen.get(); position != "" {
			req.Header.Set("Coffre-Min-Position", position)
		}
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the vault: %w", err)
	}
	if position := resp.Header.Get("Coffre-Position"); c.Seen != nil && position != "" {
		c.Seen.set(position)
	}
	return resp, nil
}

// Reply is a good answer.
type Reply[T any] struct {
	Status int
	Header http.Header
	Body   T
}

// None is the body of an answer without one.
type None struct{}

var errAnswer = errors.New("the answer is not what the contract says")

// Read takes an answer as a T and closes it. Any answer but 2xx becomes a
// *Refusal.
func Read[T any](resp *http.Response, err error) (Reply[T], error) {
	if err != nil {
		return Reply[T]{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return Reply[T]{}, fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return Reply[T]{}, problem(resp, b)
	}
	reply := Reply[T]{Status: resp.StatusCode, Header: resp.Header}
	if len(b) > 0 {
		// Members we do not know are let through, as the contract wants of clients. The
		// decoder's error may quote the answer, so it ends here.
		if json.Unmarshal(b, &reply.Body) != nil {
			return Reply[T]{}, fmt.Errorf("%w (%d)", errAnswer, resp.StatusCode)
		}
	}
	return reply, nil
}

// Stream returns the body of a good answer as it comes; the caller closes it.
func Stream(resp *http.Response, err error) (io.ReadCloser, error) {
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 == 2 {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return nil, problem(resp, b)
}

// blank is the type of an answer that is no problem of the contract (RFC 9457, 4.2.1).
const blank = "about:blank"

// Refusal is the vault's no (RFC 9457).
type Refusal struct {
	contract.Problem
	RetryAfter time.Duration // 0: not said
}

func problem(resp *http.Response, body []byte) *Refusal {
	p := &Refusal{}
	if json.Unmarshal(body, &p.Problem) != nil || p.Type == "" {
		p.Problem = contract.Problem{Type: blank, Title: http.StatusText(resp.StatusCode)}
	}
	p.Status = resp.StatusCode
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s >= 0 {
		p.RetryAfter = time.Duration(s) * time.Second
	}
	return p
}

// Slug is the last part of the problem's type, "consentWithdrawn".
func (p *Refusal) Slug() string { return p.Type[strings.LastIndexByte(p.Type, ':')+1:] }

// Error says what a person needs to know: what, why and where in the request.
func (p *Refusal) Error() string {
	if p.Type == blank {
		return p.Title // not from the vault, but from what stands before it
	}
	var b strings.Builder
	b.WriteString(p.Slug())
	switch {
	case p.Detail != "":
		b.WriteString(": " + p.Detail)
	case p.Title != "":
		b.WriteString(": " + p.Title)
	}
	for i, issue := range p.Issues {
		b.WriteString(map[bool]string{true: " (", false: "; "}[i == 0])
		if issue.Name != "" {
			b.WriteString(issue.Name + ": ")
		}
		b.WriteString(firstOf(issue.Detail, issue.Title, issue.Type))
	}
	if len(p.Issues) > 0 {
		b.WriteByte(')')
	}
	return b.String()
}

func firstOf(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

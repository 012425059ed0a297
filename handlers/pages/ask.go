package pages

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"coffre/handlers/contract"
	"coffre/handlers/contract/wire"
)

// reply is an answer of the API that is kept until the page made of it is sent.
type reply struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *reply) Header() http.Header { return a.header }

func (a *reply) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *reply) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

// SetWriteDeadline implements what http.ResponseController looks for: memory takes what is
// written at once.
func (*reply) SetWriteDeadline(time.Time) error { return nil }

// refusedError says that the API refused, with the status and the problem that it answered.
type refusedError struct {
	status int
	slug   string // of the problem's type; "" when it told none
}

func (e *refusedError) Error() string { return fmt.Sprintf("the API answered %d %s", e.status, e.slug) }

// refused returns what an answer of the API refuses.
func refused(a *reply) error {
	var problem struct{ Type string }
	_ = json.Unmarshal(a.body.Bytes(), &problem) // what is no problem tells its status alone
	return &refusedError{a.status, problem.Type[strings.LastIndexByte(problem.Type, ':')+1:]}
}

// get asks the API in process, as whoever is logged in, the zero session for anybody. Answers
// other than 200 are a *refusedError.
func get[T any](ctx context.Context, p *Pages, s session, path string, query url.Values) (out T, err error) {
	r, err := request(ctx, s, http.MethodGet, path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return out, err
	}
	if s.seen != "" {
		r.Header.Set("Coffre-Min-Position", s.seen)
	}
	_, err = answer(p, r, &out)
	return out, err
}

// post has the API do something in process, as whoever is logged in, once for each key. It
// returns the answer and the position at which the act is in the log, after which the pages
// that follow ask. Answers other than of success are a *refusedError.
func post[T any](ctx context.Context, p *Pages, s session, path, key string, body any) (out T, at string, err error) {
	r, err := act(ctx, s, path, key, body)
	if err != nil {
		return out, "", err
	}
	h, err := answer(p, r, &out)
	return out, h.Get("Coffre-Position"), err
}

// act returns a request that has the API do something; no body is sent for nil.
func act(ctx context.Context, s session, path, key string, body any) (*http.Request, error) {
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("ask the API: %w", err)
		}
	}
	r, err := request(ctx, s, http.MethodPost, path, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Idempotency-Key", key)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return r, nil
}

func request(ctx context.Context, s session, method, path string, body io.Reader) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, contract.Base+path, body)
	if err != nil {
		return nil, fmt.Errorf("ask the API: %w", err)
	}
	if r.ContentLength == 0 {
		r.Body = http.NoBody
	}
	if s.token != "" {
		r.Header.Set("Authorization", "Bearer "+s.token)
	}
	return r, nil
}

// answer has the API answer a request, and reads what it says into out.
func answer(p *Pages, r *http.Request, out any) (http.Header, error) {
	a := &reply{header: http.Header{}}
	p.API.ServeHTTP(a, r)
	if a.status < 200 || a.status > 299 {
		return a.header, refused(a)
	}
	if a.body.Len() == 0 {
		return a.header, nil
	}
	if err := wire.Unmarshal(a.body.Bytes(), out); err != nil {
		return a.header, fmt.Errorf("read an answer of the API: %w", err)
	}
	return a.header, nil
}

// passing hands an answer of the API on to the browser as it is, unless it refuses: then the
// page that says so takes its place.
type passing struct {
	http.ResponseWriter
	kept *reply // a refusal; nil: it is handed on
}

func (w *passing) WriteHeader(status int) {
	if status >= 400 {
		w.kept = &reply{header: http.Header{}, status: status}
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *passing) Write(b []byte) (int, error) {
	if w.kept != nil {
		return w.kept.Write(b)
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach what is below.
func (w *passing) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// pass answers with a file of the API, with the API's own headers.
func (p *Pages) pass(w http.ResponseWriter, r *http.Request) error {
	out := &passing{ResponseWriter: w}
	p.API.ServeHTTP(out, r)
	if out.kept == nil {
		return nil
	}
	for name := range w.Header() {
		w.Header().Del(name)
	}
	p.headers(w.Header())
	return refused(out.kept)
}

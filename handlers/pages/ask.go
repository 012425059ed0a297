package pages

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
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

// refusedError says that the API refused, with the status that it answered.
type refusedError struct{ status int }

func (e *refusedError) Error() string { return fmt.Sprintf("the API answered %d", e.status) }

// get asks the API in process, as whoever an access token belongs to, "" for anybody. Answers
// other than 200 are a *refusedError.
func get[T any](ctx context.Context, p *Pages, accessToken, path string, query url.Values) (out T, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, contract.Base+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return out, fmt.Errorf("ask the API: %w", err)
	}
	r.Body = http.NoBody
	if accessToken != "" {
		r.Header.Set("Authorization", "Bearer "+accessToken)
	}
	a := &reply{header: http.Header{}}
	p.API.ServeHTTP(a, r)
	if a.status != http.StatusOK {
		return out, &refusedError{a.status}
	}
	if err := wire.Unmarshal(a.body.Bytes(), &out); err != nil {
		return out, fmt.Errorf("read an answer of the API: %w", err)
	}
	return out, nil
}

package edge

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/google/uuid"

	"coffre/handlers/contract"
)

// showing is an API of one operation that works.
type showing struct {
	contract.StrictServerInterface
	show func(context.Context) (contract.GetDocumentResponseObject, error)
}

func (s showing) GetDocument(ctx context.Context, _ contract.GetDocumentRequestObject) (contract.GetDocumentResponseObject, error) {
	return s.show(ctx)
}

// visitor is an answer that is written in a way of its own.
type visitor func(http.ResponseWriter) error

func (v visitor) VisitGetDocumentResponse(w http.ResponseWriter) error { return v(w) }

// severed is a connection that takes the first bytes and then no more.
type severed struct {
	*httptest.ResponseRecorder
	left int
}

func (s *severed) Write(b []byte) (int, error) {
	n, _ := s.ResponseRecorder.Write(b[:min(len(b), s.left)]) // a recorder takes all
	if s.left -= n; n < len(b) {
		return n, io.ErrClosedPipe
	}
	return n, nil
}

// A use case is told, once, whether its whole answer was handed to the network,
// however the answer ends.
func TestOnAnswered(t *testing.T) {
	good := contract.GetDocument200JSONResponse{Body: contract.VaultDocument{Href: "/somewhere"}, Headers: contract.GetDocument200ResponseHeaders{ETag: `"1"`}}
	for _, tc := range []struct {
		name   string
		answer contract.GetDocumentResponseObject
		err    error
		takes  int // bytes until the connection breaks
		whole  bool
	}{
		{name: "written", answer: good, takes: 1 << 20, whole: true},
		{name: "the connection breaks at once", answer: good},
		{name: "the connection breaks on the way", answer: good, takes: 10},
		{name: "it cannot be encoded", answer: contract.GetDocument200JSONResponse{Body: contract.VaultDocument{Content: contract.Content("{")}}, takes: 1 << 20},
		{name: "a refusal", err: ErrNoResource, takes: 1 << 20},
		{name: "a fault", err: errors.New("a disk is gone"), takes: 1 << 20},
		{name: "nobody is there any more", err: context.Canceled, takes: 1 << 20},
		{name: "a panic while it is written", answer: visitor(func(http.ResponseWriter) error { panic("broken") }), takes: 1 << 20},
		{name: "cut off on purpose", answer: visitor(func(w http.ResponseWriter) error { panic(http.ErrAbortHandler) }), takes: 1 << 20},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var told []string
			var call *Call
			say := func(who string) func(bool) {
				return func(whole bool) {
					if told = append(told, who); whole != tc.whole {
						t.Errorf("%s is told %t", who, whole)
					}
				}
			}
			h := newServer().Handler(showing{show: func(ctx context.Context) (contract.GetDocumentResponseObject, error) {
				call = CallFrom(ctx)
				call.OnAnswered(say("first"))
				call.OnAnswered(say("second"))
				return tc.answer, tc.err
			}})
			ctx, cancel := context.WithCancel(t.Context())
			if errors.Is(tc.err, context.Canceled) {
				cancel()
			}
			defer cancel()
			r := httptest.NewRequestWithContext(ctx, "GET", contract.Base+"/documents/"+uuid.NewString(), nil)
			r.Header.Set("Authorization", "Bearer issuer")
			func() {
				defer func() {
					if p := recover(); p != nil && p != http.ErrAbortHandler {
						panic(p)
					}
				}()
				h.ServeHTTP(&severed{httptest.NewRecorder(), tc.takes}, r)
			}()
			if !slices.Equal(told, []string{"first", "second"}) {
				t.Errorf("told %v", told)
			}
			call.Answered(!tc.whole) // nobody is told twice
			if len(told) != 2 {
				t.Errorf("told again: %v", told)
			}
		})
	}
}

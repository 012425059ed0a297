package edge

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/edge/token"
)

// Caller is the person or organisation that a request comes from, as its token says.
type Caller = token.Caller

// Authenticator is the port to the identity provider that vouches for callers.
// token.Verifier implements it.
type Authenticator interface {
	// Authenticate returns the caller to whom a bearer token belongs. An error that wraps
	// token.ErrExpired or token.ErrInvalid is the caller's fault; any other means that the
	// token cannot be judged now. Authenticate may be called concurrently, and keeps
	// nothing of the SSIN that a login may carry.
	Authenticate(ctx context.Context, bearer string) (Caller, error)
}

// Call holds the circumstances of one request: the caller, the operation, the trace and
// the raw body. Use cases get it with CallFrom.
type Call struct {
	Caller
	Trace        uuid.UUID       // chosen by the server, in the answer's BelGov-Trace-Id and in problems
	RelatedTrace string          // chosen by the caller, for correlation only
	Operation    string          // the contract's operationId; "" for a path outside the contract
	Received     time.Time       // when the request's headers had come
	Language     domain.Language // of labels in the answer, where the operation has lang; "" elsewhere
	// Body holds the bytes of the request's body, for the idempotency check. They may be
	// kept and must not be changed.
	Body []byte
	// Length is the number of bytes of a file, a body that the use case reads itself; 0
	// for every other body. The use case sets Body to the file's SHA-256.
	Length int64
	// Target is the path and the If-Match header, for the idempotency check.
	Target string

	onAnswered []func(whole bool)
	problem    bool          // the answer is a problem
	body       *body         // as it came; nil: there is none
	answer     *answer       // nil outside a server's requests
	arrived    time.Time     // by the clock that timers follow
	beat       time.Duration // see WaitForBeat; 0 outside a server
	ticks      *ticker
}

type callKey struct{}

// CallFrom returns the call that ctx belongs to; outside a request, an empty Call. An empty
// Call has no role, so that no check of roles admits it.
func CallFrom(ctx context.Context) *Call {
	if call, ok := ctx.Value(callKey{}).(*Call); ok {
		return call
	}
	return &Call{}
}

// WithCall returns a context that belongs to a call, for tests of use cases and for
// commands that run inside the process.
func WithCall(ctx context.Context, call *Call) context.Context {
	return context.WithValue(ctx, callKey{}, call)
}

// authenticate returns the caller of a request with a valid bearer token, and refuses
// every other request.
func (s *Server) authenticate(r *http.Request) (Caller, error) {
	values := r.Header["Authorization"]
	if len(values) == 0 {
		return Caller{}, unauthenticated("noAccessToken", "No Access Token", "-")
	}
	scheme, bearer, found := strings.Cut(values[0], " ")
	if len(values) > 1 || !found || !strings.EqualFold(scheme, "Bearer") || bearer == "" || len(bearer) > MaxToken {
		return Caller{}, unauthenticated("invalidAccessToken", "Invalid Access Token", "invalid_token")
	}
	caller, err := s.Auth.Authenticate(r.Context(), bearer)
	switch {
	case err == nil && caller.Role != "":
		return caller, nil
	case errors.Is(err, token.ErrExpired):
		return Caller{}, unauthenticated("expiredAccessToken", "Expired Access Token", "invalid_token")
	case err == nil, errors.Is(err, token.ErrInvalid):
		return Caller{}, unauthenticated("invalidAccessToken", "Invalid Access Token", "invalid_token")
	}
	if said := (*domain.Error)(nil); errors.As(err, &said) {
		return Caller{}, err
	}
	s.Slog.ErrorContext(r.Context(), "callers cannot be known now", slog.String("trace", CallFrom(r.Context()).Trace.String()), slog.Any("error", err))
	return Caller{}, errIdentityUnavailable
}

// errIdentityUnavailable answers while the identity provider's keys cannot be had.
var errIdentityUnavailable = domain.NewError(domain.Unavailable, "identityUnavailable", "it cannot be known now who you are; try again")

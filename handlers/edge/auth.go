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

// Caller is who a request comes from, as their token says.
type Caller = token.Caller

// Authenticator is the port to whoever vouches for callers. token.Verifier
// implements it.
type Authenticator interface {
	// Authenticate returns whose bearer token that is. An error that wraps
	// token.ErrExpired or token.ErrInvalid is the caller's fault; any other means
	// that it cannot be known now. It may be called concurrently and keeps nothing
	// of the SSIN a login may carry.
	Authenticate(ctx context.Context, bearer string) (Caller, error)
}

// Call is what is known of one request besides its input: who asks, and where it
// stands. Use cases get it with CallFrom.
type Call struct {
	Caller
	Trace        uuid.UUID // ours, in the answer's BelGov-Trace-Id and in problems
	RelatedTrace string    // the caller's, for correlation only
	Operation    string    // the contract's operationId
	Received     time.Time
	Language     domain.Language // of labels in the answer, where the call has lang; "" elsewhere
	// Body is the request's body as it came, for the idempotency check. It may be
	// kept; it must not be changed.
	Body []byte
	// Length is the bytes of a body that was left to the use case to read, a file; 0
	// for every other. The use case puts its SHA-256 in Body's place.
	Length int64
	// Target is the path and the If-Match the body is meant for.
	Target string

	onAnswered []func(whole bool)
	problem    bool // was, or would have been, the answer
}

type callKey struct{}

// CallFrom returns the call that ctx belongs to, an empty one outside a request.
// An empty Call has no role, so nothing that asks for a role admits it.
func CallFrom(ctx context.Context) *Call {
	if call, ok := ctx.Value(callKey{}).(*Call); ok {
		return call
	}
	return &Call{}
}

// WithCall returns a context of that call, for tests of use cases and for
// commands that run inside the process.
func WithCall(ctx context.Context, call *Call) context.Context {
	return context.WithValue(ctx, callKey{}, call)
}

// authenticate admits who has a good token; everything else is refused.
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

// errIdentityUnavailable answers while the keys of whoever vouches for callers cannot be had.
var errIdentityUnavailable = domain.NewError(domain.Unavailable, "identityUnavailable", "it cannot be known now who you are; try again")

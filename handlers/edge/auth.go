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
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

// Caller is the person or organisation that a request comes from, as its token says.
type Caller = token.Caller

// Authenticator is the port to the identity provider that vouches for callers.
// token.Verifier implements it.
type Authenticator interface {
	// Authenticate returns the caller to whom a token belongs. An error that wraps
	// token.ErrExpired or token.ErrInvalid is the caller's fault, and says why if it is a
	// *token.Rejection; any other means that the token cannot be judged now. Authenticate
	// may be called concurrently, and keeps nothing of the SSIN that a login may carry.
	Authenticate(ctx context.Context, p token.Presented) (Caller, error)
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
	// Asked is the language that the request's query asks for, "" when none does. Links of the
	// answer carry it (InLanguage), so that whoever follows them is answered in it as well.
	Asked domain.Language
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
	slug       string        // last word of the problem's type; "": none was answered
	body       *body         // as it came; nil: there is none
	dpop       bool          // the token came with the scheme DPoP
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

// authenticate returns the caller of a request with a valid access token, and refuses
// every other request. Each refusal is one line of the log.
func (s *Server) authenticate(w http.ResponseWriter, r *http.Request) (Caller, error) {
	ctx, call := r.Context(), CallFrom(r.Context())
	values := r.Header["Authorization"]
	if len(values) == 0 {
		return Caller{}, s.unknownCaller(ctx, "noAccessToken", &token.Rejection{Check: "authorization", Reason: "no access token came", Challenge: "-"})
	}
	p, formed := presented(r, values)
	call.dpop = p.DPoP
	if p.DPoP && s.Nonce != nil {
		w.Header().Set("DPoP-Nonce", s.Nonce())
	}
	caller, err := Caller{}, error(errAuthorization)
	if formed {
		caller, err = s.Auth.Authenticate(ctx, p)
	}
	var rejected *token.Rejection
	var away *token.UnavailableError
	var said *domain.Error
	switch {
	case err == nil && caller.Role != "":
		return caller, nil
	case errors.As(err, &rejected):
	case err == nil, errors.Is(err, token.ErrInvalid):
		rejected = &token.Rejection{Check: "token", Reason: "is not valid", Challenge: "invalid_token"}
	case errors.As(err, &away):
		return Caller{}, RetryAfter(errIdentityUnavailable, away.After)
	case errors.As(err, &said):
		return Caller{}, err
	default:
		s.Slog.ErrorContext(ctx, "callers cannot be known now", slog.String("trace", call.Trace.String()), slog.Any("error", err))
		return Caller{}, errIdentityUnavailable
	}
	if errors.Is(err, token.ErrExpired) {
		return Caller{}, s.unknownCaller(ctx, "expiredAccessToken", rejected)
	}
	return Caller{}, s.unknownCaller(ctx, "invalidAccessToken", rejected)
}

// errAuthorization refuses a request whose Authorization header cannot be read.
var errAuthorization = &token.Rejection{
	Check: "authorization", Reason: "is not one header of the scheme Bearer or DPoP with one token",
	Detail: "authorization: one header of the scheme Bearer or DPoP with one token is needed", Challenge: "invalid_token",
}

// presented returns what the Authorization header presents; false where it is none.
func presented(r *http.Request, values []string) (p token.Presented, formed bool) {
	scheme, value, found := strings.Cut(values[0], " ")
	p = token.Presented{Token: value, DPoP: strings.EqualFold(scheme, "DPoP"), Proofs: r.Header["Dpop"], Method: r.Method, Path: r.URL.EscapedPath(), Certificate: shown(r.Context())}
	return p, len(values) == 1 && found && value != "" && (p.DPoP || strings.EqualFold(scheme, "Bearer"))
}

// titles are those of the guide's problems about tokens.
var titles = map[string]string{"noAccessToken": "No Access Token", "invalidAccessToken": "Invalid Access Token", "expiredAccessToken": "Expired Access Token"}

// unknownCaller returns the refusal of a request whose caller is not known, and says in the
// log which check failed, never a value.
func (s *Server) unknownCaller(ctx context.Context, slug string, why *token.Rejection) error {
	call := CallFrom(ctx)
	s.Slog.WarnContext(ctx, "access token refused", slog.String("check", why.Check), slog.String("reason", why.Reason),
		slog.String("operation", call.Operation), slog.String("trace", call.Trace.String()))
	call.dpop = call.dpop || why.Proof
	return &Refusal{Problem: contract.Problem{Type: belgifPrefix + slug, Title: titles[slug], Status: http.StatusUnauthorized, Detail: why.Detail}, challenge: why.Challenge}
}

// errIdentityUnavailable answers while the identity provider's keys cannot be had.
var errIdentityUnavailable = domain.NewError(domain.Unavailable, "identityUnavailable", "it cannot be known now who you are; try again")

// challenges returns the values of WWW-Authenticate: how the caller may come back (RFC 6750,
// section 3; RFC 9449, section 7.1).
func (s *Server) challenges(call *Call, code string) []string {
	params := ` realm="coffre"`
	if code != "-" {
		params += `, error="` + code + `"`
	}
	proof := `algs="` + strings.Join(token.ProofAlgorithms, " ") + `"`
	switch {
	case s.Nonce == nil:
		return []string{"Bearer" + params}
	case call.dpop:
		return []string{"DPoP" + params + ", " + proof}
	}
	return []string{"Bearer" + params, "DPoP " + proof}
}

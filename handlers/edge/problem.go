package edge

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/handlers/contract"
	"coffre/handlers/contract/wire"
)

// Types of problems and of issues: those of the Belgian guide, of its extension, and of
// this program.
const (
	belgifPrefix = "urn:problem-type:belgif:"
	// ProblemPrefix begins the problem types of this program.
	ProblemPrefix = "urn:problem-type:coffre:"

	// IssueSchema is the type of an issue about a value that does not fit its schema.
	IssueSchema     = belgifPrefix + "input-validation:schemaViolation"
	issueInvalid    = belgifPrefix + "input-validation:invalidInput"
	issueUnknown    = belgifPrefix + "input-validation:unknownInput"
	issueRequired   = "urn:problem-type:belgif-ext:input-validation:requiredInput"
	issueStructure  = "urn:problem-type:belgif-ext:input-validation:invalidStructure"
	issueExactlyOne = "urn:problem-type:belgif-ext:input-validation:exactlyOneOfExpected"
	// IssuePrefix begins the issue types of this program.
	IssuePrefix = ProblemPrefix + "input-validation:"
)

// Statuses maps each code of a refusal to its HTTP status; no other place does.
var Statuses = map[domain.Code]int{
	domain.Invalid:         http.StatusBadRequest,
	domain.Unauthenticated: http.StatusUnauthorized,
	domain.Forbidden:       http.StatusForbidden,
	domain.NotFound:        http.StatusNotFound,
	domain.Conflict:        http.StatusConflict,
	domain.Gone:            http.StatusGone,
	domain.Stale:           http.StatusPreconditionFailed,
	domain.Unprocessable:   http.StatusUnprocessableEntity,
	domain.TooMany:         http.StatusTooManyRequests,
	domain.Unavailable:     http.StatusServiceUnavailable,
	domain.Full:            http.StatusInsufficientStorage,
}

// belgifSlugs lists the slugs whose problem type is the Belgian guide's.
var belgifSlugs = map[string]bool{
	"badRequest": true, "noAccessToken": true, "invalidAccessToken": true, "expiredAccessToken": true,
	"missingScope": true, "missingPermission": true, "resourceNotFound": true, "payloadTooLarge": true,
	"tooManyRequests": true, "tooManyFailedRequests": true, "internalServerError": true, "serviceUnavailable": true,
}

// ErrNoResource and the others are the refusals of the edge. ErrNoResource is the one
// answer for things that do not exist and things that the caller may not know of.
var (
	ErrNoResource = domain.NewError(domain.NotFound, "resourceNotFound", "there is no such thing, or none you may know of")
	errTooSlow    = domain.NewError(domain.Unavailable, "tooSlow", "it took too long; try again")
	errNotReady   = domain.NewError(domain.Unavailable, "notReady", "this process does not take requests now")
	errOpening    = domain.NewError(domain.Unavailable, "starting", "this process is being started; /health says how far it is")
	errMethod     = &Refusal{Problem: contract.Problem{Type: ProblemPrefix + "methodNotAllowed", Title: "Method Not Allowed", Status: http.StatusMethodNotAllowed}}
	errMediaType  = &Refusal{Problem: contract.Problem{Type: ProblemPrefix + "unsupportedMediaType", Title: "Unsupported Media Type", Status: http.StatusUnsupportedMediaType, Detail: "a body is application/json in UTF-8 without content coding"}}
	errFileType   = &Refusal{Problem: contract.Problem{Type: ProblemPrefix + "unsupportedMediaType", Title: "Unsupported Media Type", Status: http.StatusUnsupportedMediaType, Detail: "a file is application/pdf, application/xml, image/jpeg, image/png, or application/octet-stream for any of them, without content coding"}}
	errNoLength   = &Refusal{Problem: contract.Problem{Type: ProblemPrefix + "lengthRequired", Title: "Length Required", Status: http.StatusLengthRequired, Detail: "a file comes with its length"}}
	errTargetSize = &Refusal{Problem: contract.Problem{Type: ProblemPrefix + "uriTooLong", Title: "URI Too Long", Status: http.StatusRequestURITooLong}}
	errPermission = &Refusal{Problem: contract.Problem{Type: belgifPrefix + "missingPermission", Title: "Missing Permission", Status: http.StatusForbidden, Detail: "your role may not do this"}}
)

// ErrorAnswer pairs an error of a use case, which a caller can wait out or which answers
// the call, with the refusal that is sent for it.
type ErrorAnswer struct {
	Err        error         // matched with errors.Is
	Refusal    *domain.Error // the answer
	RetryAfter time.Duration // the least wait that the answer names; 0: none of its own
	Alarm      bool          // somebody who runs the server has to know
}

// minRetryAfter is the shortest Retry-After of a refusal that a caller can wait out.
const minRetryAfter = time.Second

// Refusal is a problem that the edge itself answers, complete with all its members.
type Refusal struct {
	contract.Problem
	challenge string // error of WWW-Authenticate; "-" for none
	Size      int64  // bytes of the file whose range cannot be satisfied; 0 in other refusals
}

// Error returns the type of the problem.
func (e *Refusal) Error() string { return e.Type }

// BadRequest returns the refusal of a request for one issue of its input.
func BadRequest(issue contract.InputValidationIssue) error {
	return BadInputs([]contract.InputValidationIssue{issue})
}

// BadInputs returns the refusal of a request for several issues of its input.
func BadInputs(issues []contract.InputValidationIssue) error {
	return &Refusal{Problem: contract.Problem{
		Type: belgifPrefix + "badRequest", Title: "Bad Request", Status: http.StatusBadRequest,
		Detail: "the input is not valid", Issues: issues,
	}}
}

// BadInput returns the refusal of a member of the body that only a use case can judge.
// pointer is a JSON Pointer made of the contract's names, never a value.
func BadInput(pointer, slug, detail string) error {
	return BadRequest(contract.InputValidationIssue{Type: IssuePrefix + slug, Title: "Invalid input", Detail: detail, In: contract.IssueLocationBody, Name: pointer})
}

// TooLarge returns the refusal of a body of more than limit bytes.
func TooLarge(limit int64) error {
	return &Refusal{Problem: contract.Problem{Type: belgifPrefix + "payloadTooLarge", Title: "Payload Too Large", Status: http.StatusRequestEntityTooLarge, Limit: limit}}
}

func missingScope(scope string) error {
	return &Refusal{Problem: contract.Problem{Type: belgifPrefix + "missingScope", Title: "Missing Scope", Status: http.StatusForbidden, RequiredScopes: []string{scope}}, challenge: "insufficient_scope"}
}

// delayedError is an error with the time after which to try again.
type delayedError struct {
	error
	after time.Duration
}

func (w delayedError) Unwrap() error { return w.error }

// RetryAfter wraps a refusal with the wait that its answer names, rounded up to seconds.
func RetryAfter(err error, after time.Duration) error { return delayedError{err, after} }

// explainedError is a refusal with the parts of the request that it is about.
type explainedError struct {
	error
	issues []contract.InputValidationIssue
}

func (e explainedError) Unwrap() error { return e.error }

// Explained wraps a refusal with issues, which the answer names beside what it says without
// them. They tell the caller what the refusal does not, so whoever explains has made sure that
// the caller may know.
func Explained(err error, issues []contract.InputValidationIssue) error {
	return explainedError{err, issues}
}

// setRetryAfter names a wait in seconds, rounded up, and returns how many they are.
func setRetryAfter(h http.Header, wait time.Duration) (seconds int64) {
	seconds = int64(math.Ceil(wait.Seconds()))
	h.Set("Retry-After", strconv.FormatInt(seconds, 10))
	return seconds
}

// problem answers a request with an error. No other place does, and none logs the fault of
// a request; the answer hides a fault.
func (s *Server) problem(w http.ResponseWriter, r *http.Request, err error) {
	call := CallFrom(r.Context())
	call.problem = true
	began := false
	if sent, ok := w.(*answer); ok {
		var ended error
		if ended, began = sent.discard(); ended != nil { // whatever came of it
			err = ended
		}
	}
	p, challenge, wait, known := Describe(err, s.ErrorAnswers)
	locate(&p, call.Operation)
	if answer, found := FindErrorAnswer(err, s.ErrorAnswers); found && answer.Alarm && s.Alarm != nil {
		s.Alarm(err)
	}
	if !known {
		if r.Context().Err() != nil && errors.Is(err, context.Canceled) {
			return // nobody is there to be answered
		}
		s.Slog.ErrorContext(r.Context(), "request failed", slog.String("operation", call.Operation), slog.String("trace", call.Trace.String()), slog.Any("error", err))
	}
	if began {
		if known {
			s.Slog.ErrorContext(r.Context(), "refused after the answer began", slog.String("operation", call.Operation), slog.String("trace", call.Trace.String()), slog.String("type", p.Type))
		}
		return
	}
	if len(p.Issues) > maxIssues {
		p.Issues = p.Issues[:maxIssues]
	}
	p.Instance = "urn:uuid:" + call.Trace.String()
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	for _, name := range []string{"Etag", "Location", "Coffre-Position", "Content-Length", "Content-Disposition", "Accept-Ranges", "Content-Language"} {
		h.Del(name)
	}
	var edge *Refusal
	if errors.As(err, &edge) && edge.Size > 0 {
		h.Set("Content-Range", "bytes */"+strconv.FormatInt(edge.Size, 10))
	}
	if challenge != "" {
		h["Www-Authenticate"] = s.challenges(call, challenge)
	}
	if wait > 0 {
		p.RetryAfterSec = setRetryAfter(h, wait)
	}
	call.slug = p.Type[strings.LastIndexByte(p.Type, ':')+1:]
	if s.Refused != nil {
		s.Refused(call.Operation, call.slug)
	}
	s.drain(w, call.body)
	w.WriteHeader(p.Status)
	if r.Method == http.MethodHead {
		return
	}
	if err := wire.NewEncoder(w).Encode(p); err != nil {
		s.Slog.DebugContext(r.Context(), "problem not sent", slog.String("trace", call.Trace.String()))
	}
}

// causedIssues returns an issue for each cause of a refusal, or the issue of the refusal itself
// when it names none. Their places are names of the domain until locate finds them.
func causedIssues(issue contract.InputValidationIssue, causes []domain.Cause) []contract.InputValidationIssue {
	if len(causes) == 0 {
		return []contract.InputValidationIssue{issue}
	}
	issues := make([]contract.InputValidationIssue, len(causes))
	for i, c := range causes {
		issues[i] = issue
		issues[i].Detail += ": " + c.Expected
		issues[i].In, issues[i].Name = "", "/"+c.Of
	}
	return issues
}

// FindErrorAnswer returns the first of the given answers whose Err the error wraps; after
// them, the answer to a request that exceeded the server's time limit. It reports false
// when there is none.
func FindErrorAnswer(err error, faults []ErrorAnswer) (ErrorAnswer, bool) {
	for _, f := range faults {
		if errors.Is(err, f.Err) {
			return f, true
		}
	}
	return ErrorAnswer{Refusal: errTooSlow, RetryAfter: time.Second}, errors.Is(err, context.DeadlineExceeded)
}

// Describe returns the problem that answers an error, the error code of WWW-Authenticate
// ("" for no such header, "-" for one without a code), and the wait of Retry-After. known
// is false for a fault, an error that is neither a refusal nor among the given answers.
func Describe(err error, faults []ErrorAnswer) (p contract.Problem, challenge string, wait time.Duration, known bool) {
	var edge *Refusal
	var said *domain.Error
	var later delayedError
	if errors.As(err, &later) {
		wait = later.after
	}
	switch {
	case errors.As(err, &edge):
		return edge.Problem, edge.challenge, wait, true
	case errors.As(err, &said):
	default:
		if fault, ok := FindErrorAnswer(err, faults); ok {
			said, wait = fault.Refusal, max(wait, fault.RetryAfter)
		}
	}
	if said == nil {
		return contract.Problem{Type: belgifPrefix + "internalServerError", Title: "Internal Server Error", Status: http.StatusInternalServerError}, "", 0, false
	}
	status := Statuses[said.Code]
	p = contract.Problem{Type: ProblemPrefix + said.Slug, Title: http.StatusText(status), Status: status, Detail: said.Detail}
	if belgifSlugs[said.Slug] {
		p.Type = belgifPrefix + said.Slug
	}
	var explained explainedError
	if errors.As(err, &explained) {
		p.Issues = explained.issues
	}
	switch said.Code {
	case domain.NotFound: // one answer for all that is not there or not yours
		if said != access.ErrNoBasis { // which itself is one answer, whatever is held (rule A-6)
			p.Type, p.Detail = belgifPrefix+ErrNoResource.Slug, ErrNoResource.Detail
		}
	case domain.Invalid:
		issue := contract.InputValidationIssue{Type: IssuePrefix + said.Slug, Title: "Invalid input", Detail: said.Detail}
		if at := (placedError{}); errors.As(err, &at) {
			issue.In, issue.Name = at.in, at.name
		}
		p.Issues = causedIssues(issue, domain.CausesOf(err))
		p.Type, p.Detail = belgifPrefix+"badRequest", "the input is not valid"
	case domain.Unauthenticated:
		challenge = "invalid_token"
	case domain.Unavailable, domain.Full, domain.TooMany:
		wait = max(wait, minRetryAfter)
	}
	return p, challenge, wait, true
}

package edge

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge/apitest"
	"coffre/handlers/edge/token"
)

// believing is an Authenticator that takes a role's name for a token.
type believing struct{}

func (believing) Authenticate(_ context.Context, p token.Presented) (Caller, error) {
	switch role := domain.Role(p.Token); role {
	case "expired":
		return Caller{}, token.ErrExpired
	case "keyless":
		return Caller{}, &token.UnavailableError{Reason: "the provider does not answer", After: 11 * time.Second}
	case "foreign":
		return Caller{}, &token.Rejection{Check: "aud", Reason: "does not name this vault's audience", Detail: "aud: does not name this vault's audience", Challenge: "invalid_token"}
	case "bound":
		if !p.DPoP {
			return Caller{}, &token.Rejection{Check: "cnf.jkt", Reason: "is bound", Detail: "cnf.jkt: is bound", Challenge: "invalid_token", Proof: true}
		}
		if len(p.Proofs) != 1 || p.Proofs[0] != "nonce of now" {
			return Caller{}, &token.Rejection{Check: "dpop.nonce", Reason: "is missing", Detail: "use the nonce", Challenge: "use_dpop_nonce", Proof: true}
		}
		return Caller{Role: domain.RoleIssuer, Scopes: Scopes(domain.RoleIssuer)}, nil
	case "away":
		return Caller{}, RetryAfter(domain.NewError(domain.Unavailable, "identityUnavailable", "later"), 7*time.Second)
	case domain.RoleIssuer, domain.RoleConsumer, domain.RoleCitizen, domain.RoleAuditor, domain.RolePrivacyOfficer, domain.RoleOperator:
		return Caller{Role: role, Scopes: Scopes(role)}, nil
	case "scopeless":
		return Caller{Role: domain.RoleIssuer}, nil
	}
	return Caller{}, token.ErrInvalid
}

// Errors of use cases, as the wiring names them with what they stand for.
var (
	errAway = errors.New("away")
	errGone = errors.New("gone")
	faults  = []ErrorAnswer{
		{errAway, domain.NewError(domain.Unavailable, "away", "come back later"), 5 * time.Second, false},
		{errGone, domain.NewError(domain.Gone, "gone", "it is gone"), 0, true},
	}
)

// edge is a server whose operations only note that they were reached.
type edge struct {
	http.Handler
	*Server
	log     *bytes.Buffer
	reached []string
	body    []byte
	do      func(w http.ResponseWriter, r *http.Request)
}

func newEdge(t testing.TB) *edge {
	t.Helper()
	e := &edge{log: new(bytes.Buffer)}
	e.Server = &Server{
		Auth: believing{}, Now: time.Now, NewID: uuid.New,
		Slog: slog.New(slog.NewTextHandler(e.log, nil)), ErrorAnswers: faults,
	}
	rt := &routes{s: e.Server, mux: http.NewServeMux(), contract: operations()}
	for pattern, op := range rt.contract {
		rt.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			e.reached = append(e.reached, op.id)
			e.body = CallFrom(r.Context()).Body
			if e.do != nil {
				e.do(w, r)
			}
		})
	}
	rt.mux.HandleFunc("/", rt.serveUnknown)
	e.Handler = rt
	return e
}

// send makes a request as a role that may make it and returns the answer.
func (e *edge) send(r *http.Request) *httptest.ResponseRecorder {
	e.reached, e.body = nil, nil
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w
}

const anID = apitest.ID

// call is a good request, by a role that may make it.
type call = apitest.Call

// calls returns a good request for every operation of the contract.
func calls(t testing.TB) []call {
	t.Helper()
	readContract.Do(func() { contractCalls = apitest.Calls(t, contract.YAML()) })
	var all []call
	for _, c := range contractCalls {
		c.Header = c.Header.Clone()
		if len(c.Roles) > 0 {
			c.Header.Set("Authorization", "Bearer "+c.Roles[0])
		}
		all = append(all, c)
	}
	if len(all) < 48 {
		t.Fatalf("only %d calls", len(all))
	}
	return all
}

// The calls of the contract are made once: under the race detector each reading of the
// contract takes a quarter of a second.
var (
	readContract  sync.Once
	contractCalls []apitest.Call
)

// refused fails the test unless w is a problem of that status, of a type that
// begins so, and says nothing it should not.
func refused(t testing.TB, w *httptest.ResponseRecorder, status int, problemType string) contract.Problem {
	t.Helper()
	var p contract.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("not a problem: %v: %d %s", err, w.Code, w.Body)
	}
	h := w.Result().Header
	if w.Code != status || p.Status != status || !strings.HasPrefix(p.Type, problemType) {
		t.Errorf("answered %d %s, want %d %s: %s", w.Code, p.Type, status, problemType, w.Body)
	}
	if h.Get("Content-Type") != "application/problem+json" || h.Get("Cache-Control") != "no-store" || p.Instance != "urn:uuid:"+h.Get("BelGov-Trace-Id") {
		t.Errorf("headers %v, instance %s", h, p.Instance)
	}
	for _, issue := range p.Issues {
		if issue.Type == "" || issue.Title == "" || issue.In == "" || issue.Name == "" {
			t.Errorf("an issue without its place: %+v", issue)
		}
	}
	if strings.Contains(w.Body.String(), canary) {
		t.Errorf("the answer repeats what was sent: %s", w.Body)
	}
	return p
}

// canary stands in every hostile input and in no answer.
const canary = "85073003328"

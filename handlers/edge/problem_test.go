package edge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"coffre/domain"
	"coffre/handlers/contract"
)

// Every refusal code has one status; a missing line would answer 0.
func TestEveryCodeHasAStatus(t *testing.T) {
	used := map[int]domain.Code{}
	for _, c := range domain.Codes {
		status := Statuses[c]
		if http.StatusText(status) == "" || status < 400 {
			t.Errorf("%s: %d", c, status)
		}
		if other, taken := used[status]; taken {
			t.Errorf("%s and %s share %d", c, other, status)
		}
		used[status] = c
	}
	if len(Statuses) != len(domain.Codes) {
		t.Errorf("%d statuses for %d codes", len(Statuses), len(domain.Codes))
	}
}

func (e *edge) fail(t testing.TB, err error) *httptest.ResponseRecorder {
	t.Helper()
	e.log.Reset()
	e.do = func(w http.ResponseWriter, r *http.Request) { e.problem(w, r, err) }
	r := httptest.NewRequest("GET", contract.Base+"/health", nil)
	r.Header.Set("BelGov-Trace-Id", "theirs")
	return e.send(r)
}

func TestProblems(t *testing.T) {
	e := newEdge(t)
	wrap := func(err error) error { return fmt.Errorf("somewhere: %w", err) }
	for _, tc := range []struct {
		err    error
		status int
		is     string
		wait   string
	}{
		{wrap(domain.NewError(domain.Conflict, "supersededContent", "was replaced")), 409, ProblemPrefix + "supersededContent", ""},
		{wrap(domain.NewError(domain.Gone, "citizenErased", "was erased")), 410, ProblemPrefix + "citizenErased", ""},
		{domain.NewError(domain.Stale, "stale", "changed"), 412, ProblemPrefix + "stale", ""},
		{domain.NewError(domain.Unprocessable, "keyReused", "other body"), 422, ProblemPrefix + "keyReused", ""},
		{domain.NewError(domain.Forbidden, "noBasis", "no basis"), 403, ProblemPrefix + "noBasis", ""},
		{domain.NewError(domain.Forbidden, "missingPermission", "no"), 403, belgifPrefix + "missingPermission", ""},
		{domain.NewError(domain.NotFound, "documentUnknown", "document of that id"), 404, belgifPrefix + "resourceNotFound", ""},
		{domain.NewError(domain.Invalid, "validityReversed", "from after until"), 400, belgifPrefix + "badRequest", ""},
		{domain.NewError(domain.TooMany, "dailyQuota", "enough"), 429, ProblemPrefix + "dailyQuota", "1"},
		{RetryAfter(domain.NewError(domain.TooMany, "tooManyRequests", "enough"), 90*time.Second), 429, belgifPrefix + "tooManyRequests", "90"},
		{wrap(RetryAfter(domain.NewError(domain.Unavailable, "vaultSealed", "later"), 2500*time.Millisecond)), 503, ProblemPrefix + "vaultSealed", "3"},
		{wrap(errAway), 503, ProblemPrefix + "away", "5"},
		{wrap(errGone), 410, ProblemPrefix + "gone", ""},
		{wrap(context.DeadlineExceeded), 503, ProblemPrefix + "tooSlow", "1"},
		{BadInput("/content/name", "schema", "does not fit"), 400, belgifPrefix + "badRequest", ""},
	} {
		w := e.fail(t, tc.err)
		p := refused(t, w, tc.status, tc.is)
		if p.Type != tc.is || w.Header().Get("Retry-After") != tc.wait || (tc.wait != "") != (p.RetryAfterSec > 0) {
			t.Errorf("%v: %s, Retry-After %q", tc.err, p.Type, w.Header().Get("Retry-After"))
		}
		if e.log.Len() > 0 {
			t.Errorf("a refusal was logged: %s", e.log)
		}
		if w.Header().Get("BelGov-Trace-Id") == "theirs" || w.Header().Get("BelGov-Related-Trace-Id") != "theirs" {
			t.Errorf("trace headers %v", w.Header())
		}
	}
	p := refused(t, e.fail(t, domain.NewError(domain.Invalid, "validityReversed", "from after until")), 400, belgifPrefix)
	if len(p.Issues) != 1 || p.Issues[0].Type != ProblemPrefix+"input-validation:validityReversed" || p.Issues[0].Detail != "from after until" {
		t.Errorf("issues %+v", p.Issues)
	}
}

// All that is not there or not yours answers alike, byte for byte but the trace.
func TestNotFoundTellsNothing(t *testing.T) {
	e := newEdge(t)
	a := refused(t, e.fail(t, domain.NewError(domain.NotFound, "consentUnknown", "no consent")), 404, belgifPrefix)
	b := refused(t, e.fail(t, domain.NewError(domain.NotFound, "notYours", "another citizen's")), 404, belgifPrefix)
	a.Instance, b.Instance = "", ""
	if fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("%+v and %+v", a, b)
	}
}

// A fault is logged once, with the trace to find it by, and not shown.
func TestFaultsAreHidden(t *testing.T) {
	e := newEdge(t)
	w := e.fail(t, errors.New("connect to 10.1.2.3: password=hunter2"))
	p := refused(t, w, 500, belgifPrefix+"internalServerError")
	if strings.Contains(w.Body.String(), "hunter2") || p.Detail != "" {
		t.Errorf("shown: %s", w.Body)
	}
	if strings.Count(e.log.String(), "hunter2") != 1 || !strings.Contains(e.log.String(), w.Header().Get("BelGov-Trace-Id")) {
		t.Errorf("logged: %s", e.log)
	}
}

// A panic is a fault; what was panicked with, which may be anything, is not logged.
func TestPanics(t *testing.T) {
	e := newEdge(t)
	e.do = func(http.ResponseWriter, *http.Request) { panic("citizen " + canary) }
	refused(t, e.send(httptest.NewRequest("GET", contract.Base+"/health", nil)), 500, belgifPrefix+"internalServerError")
	if strings.Contains(e.log.String(), canary) || !strings.Contains(e.log.String(), "TestPanics") {
		t.Errorf("logged: %s", e.log)
	}
	e.do = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("an aborted answer was completed")
		}
	}()
	e.send(httptest.NewRequest("GET", contract.Base+"/health", nil))
}

// An answer that has begun is not followed by a problem; headers of an answer
// that has not are not kept.
func TestProblemAfterHeaders(t *testing.T) {
	e := newEdge(t)
	e.do = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Location", "/x")
		e.problem(w, r, errors.New("late"))
	}
	w := e.send(httptest.NewRequest("GET", contract.Base+"/health", nil))
	if refused(t, w, 500, belgifPrefix); w.Header().Get("ETag")+w.Header().Get("Location") != "" {
		t.Errorf("kept %v", w.Header())
	}
	e.do = func(w http.ResponseWriter, r *http.Request) {
		if _, err := w.Write([]byte("half")); err != nil {
			t.Error(err)
		}
		e.problem(w, r, errors.New("late"))
	}
	if w := e.send(httptest.NewRequest("GET", contract.Base+"/health", nil)); w.Code != 200 || w.Body.String() != "half" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Who left is not answered and not logged as a fault.
func TestClientLeft(t *testing.T) {
	e := newEdge(t)
	e.do = func(w http.ResponseWriter, r *http.Request) {
		e.problem(w, r, fmt.Errorf("read: %w", r.Context().Err()))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e.send(httptest.NewRequestWithContext(ctx, "GET", contract.Base+"/health", nil))
	if e.log.Len() > 0 {
		t.Errorf("logged %s", e.log)
	}
}

// An error whose answer asks for it is told to who runs the server, each time and as it is;
// no other is.
func TestAlarmingErrorsAreTold(t *testing.T) {
	var told []error
	s := newServer()
	s.Alarm = func(err error) { told = append(told, err) }
	for _, err := range []error{errAway, fmt.Errorf("read: %w", errGone), ErrNoResource, errors.New("a fault")} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		s.problem(httptest.NewRecorder(), r.WithContext(WithCall(r.Context(), &Call{})), err)
	}
	if len(told) != 1 || !errors.Is(told[0], errGone) {
		t.Errorf("told %v", told)
	}
}

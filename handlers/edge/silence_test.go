package edge

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"coffre/domain"
	"coffre/handlers/contract"
)

// a refusal leaves at a moment that does not depend on what was looked at for it.
func TestRefusalsLeaveOnABeat(t *testing.T) {
	refusal := domain.NewError(domain.NotFound, "nothing", "nothing")
	for _, test := range []struct {
		what        string
		role        domain.Role
		works, want time.Duration
		err         error
	}{
		{"at once found", domain.RoleConsumer, 0, Beat, refusal},
		{"little looked at", domain.RoleConsumer, time.Millisecond, Beat, refusal},
		{"much looked at", domain.RoleConsumer, Beat - time.Millisecond, Beat, refusal},
		{"longer than a beat", domain.RoleConsumer, Beat + time.Millisecond, 2 * Beat, refusal},
		{"an issuer", domain.RoleIssuer, time.Millisecond, Beat, refusal},
		{"a citizen", domain.RoleCitizen, time.Millisecond, Beat, refusal},
		{"an error that answers the call", domain.RoleConsumer, time.Millisecond, Beat, errGone},
		{"an operator, who may know", domain.RoleOperator, time.Millisecond, time.Millisecond, refusal},
		{"what the caller can wait out", domain.RoleConsumer, time.Millisecond, time.Millisecond, errAway},
	} {
		t.Run(test.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEdge(t)
				e.Beat, e.ticks.sleep = Beat, time.Sleep
				e.ticks.begin()
				e.do = func(w http.ResponseWriter, r *http.Request) {
					time.Sleep(test.works)
					e.refuse(w, r, test.err)
				}
				if took := e.answerTime(t, test.role); took != test.want {
					t.Errorf("answered after %v, want %v", took, test.want)
				}
			})
		})
	}
	t.Run("an answer that a use case holds back", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := newEdge(t)
			e.Beat, e.ticks.sleep = Beat, time.Sleep
			e.ticks.begin()
			e.do = func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(Beat + time.Millisecond)
				CallFrom(r.Context()).WaitForBeat(r.Context(), 3)
			}
			if took := e.answerTime(t, domain.RoleConsumer); took != 3*Beat {
				t.Errorf("answered after %v", took)
			}
		})
	})
	t.Run("without a beat nobody waits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := newEdge(t)
			e.do = func(w http.ResponseWriter, r *http.Request) { e.refuse(w, r, refusal) }
			if took := e.answerTime(t, domain.RoleConsumer); took != 0 {
				t.Errorf("answered after %v", took)
			}
		})
	})
}

// answerTime returns how long the edge takes to answer the first operation that a role may
// call.
func (e *edge) answerTime(t *testing.T, role domain.Role) time.Duration {
	t.Helper()
	for _, c := range calls(t) {
		listed, _ := c.Extensions["x-roles"].([]any)
		for _, r := range listed {
			if r != any(string(role)) {
				continue
			}
			request := c.Request(c.Body)
			request.Header.Set("Authorization", "Bearer "+string(role))
			began := time.Now()
			e.send(request)
			if len(e.reached) != 1 {
				t.Fatalf("%s was not reached under %s", c.OperationID, contract.Base)
			}
			return time.Since(began)
		}
	}
	t.Fatalf("no operation for %q", role)
	return 0
}

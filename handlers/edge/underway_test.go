package edge

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"coffre/domain"
)

// F30: one caller has so many requests under way, and so have all; what is never busy has room
// beyond both, and an end gives room back.
func TestF30RequestsAtATimeAreBounded(t *testing.T) {
	var u underWay
	citizen := func() *Call {
		return &Call{Caller: Caller{Role: domain.RoleCitizen, Citizen: domain.CitizenID{UUID: uuid.New()}}}
	}
	me := citizen()
	var ends []func()
	begin := func(c *Call, spared bool, want error) {
		t.Helper()
		end, err := u.begin(c, spared)
		if !errors.Is(err, want) || (end == nil) != (want != nil) {
			t.Fatalf("%v with %d under way, want %v", err, u.all, want)
		}
		if end != nil {
			ends = append(ends, end)
		}
	}
	for range MaxUnderWayOf[domain.RoleCitizen] {
		begin(me, false, nil)
	}
	begin(me, false, errTooManyAt)
	begin(me, true, nil)
	begin(citizen(), false, nil)
	begin(&Call{Caller: Caller{Role: domain.RoleConsumer, Organisation: "0206731645", Subject: "a"}}, false, nil)
	for u.all < MaxUnderWay {
		begin(citizen(), false, nil)
	}
	begin(citizen(), false, errBusy)
	for range spareUnderWay {
		begin(citizen(), true, nil)
	}
	begin(citizen(), true, errBusy)
	if got := u.now(); got != MaxUnderWay+spareUnderWay {
		t.Errorf("%d are under way, want %d", got, MaxUnderWay+spareUnderWay)
	}
	for _, end := range ends {
		end()
	}
	if u.now() != 0 || len(u.of) != 0 {
		t.Errorf("%d, %d are left", u.now(), len(u.of))
	}
}

// Every role has a bound.
func TestEveryRoleHasABound(t *testing.T) {
	for _, op := range operations() {
		for _, role := range op.roles {
			if MaxUnderWayOf[role] == 0 {
				t.Errorf("%s has none", role)
			}
		}
	}
}

// The server asks for room, and gives it back whatever the answer is.
func TestBusy(t *testing.T) {
	e := newEdge(t)
	for range MaxUnderWay {
		if _, err := e.underWay.begin(&Call{Caller: Caller{Role: domain.RoleCitizen, Citizen: domain.CitizenID{UUID: uuid.New()}}}, false); err != nil {
			t.Fatal(err)
		}
	}
	e.NeverBusy = map[string]bool{"withdrawConsent": true}
	for _, c := range calls(t) {
		if c.Header.Get("Authorization") == "" {
			continue
		}
		w := e.send(c.Request(c.Body))
		if c.OperationID == "withdrawConsent" {
			if len(e.reached) != 1 {
				t.Errorf("C-6 %d %s", w.Code, w.Body)
			}
			continue
		}
		if refused(t, w, 503, ProblemPrefix+"busy"); len(e.reached) != 0 || w.Header().Get("Retry-After") != "1" {
			t.Errorf("%s is answered %d", c.OperationID, w.Code)
		}
	}
	if e.underWay.all != MaxUnderWay {
		t.Errorf("%d are under way", e.underWay.all)
	}
}

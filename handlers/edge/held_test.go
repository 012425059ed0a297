package edge

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"time"
)

type heldLease struct {
	why      error
	released int
}

func (l *heldLease) Left(context.Context) (time.Duration, error) { return time.Minute, l.why }

func (l *heldLease) Release() { l.released++ }

// The lease of an answer that was given in process ends when what was made of it is sent, not
// before; and where it ended, nothing of it is sent.
func TestAPageHoldsTheLeasesOfItsAnswers(t *testing.T) {
	ctx, held := WithHeld(t.Context())
	one, other := new(heldLease), new(heldLease)
	for _, l := range []*heldLease{one, other} {
		a := &answer{ResponseWriter: httptest.NewRecorder(), ctx: ctx, lease: l}
		a.finish()
	}
	if one.released+other.released != 0 {
		t.Fatal("a lease ended with the answer, and the page is not sent")
	}
	if HeldBy(ctx) != held {
		t.Fatal("the context does not know who holds its leases")
	}
	if err := held.MaySend(ctx, httptest.NewRecorder()); err != nil {
		t.Errorf("leases that go on: %v", err)
	}
	other.why = errors.New("destroyed")
	if err := held.MaySend(ctx, httptest.NewRecorder()); !errors.Is(err, other.why) {
		t.Errorf("a lease that ended: %v", err)
	}
	held.Release()
	held.Release()
	if one.released != 1 || other.released != 1 {
		t.Errorf("released %d and %d times", one.released, other.released)
	}
	alone := new(heldLease)
	(&answer{ResponseWriter: httptest.NewRecorder(), ctx: t.Context(), lease: alone}).finish()
	if alone.released != 1 {
		t.Error("the lease of an answer that goes out by itself did not end")
	}
}

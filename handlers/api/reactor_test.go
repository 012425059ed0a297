package api

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// oneReactor is a reactor that set one event aside, and notes what is asked of it.
type oneReactor struct {
	paused time.Time
	acts   []string
}

func (r *oneReactor) List(context.Context) ([]ReactorState, error) {
	return []ReactorState{{Name: "ends", Parts: 8, Behind: 3, Paused: r.paused, SetAside: 1}}, nil
}

func (r *oneReactor) Pause(_ context.Context, name string) error {
	r.paused, r.acts = time.Now(), append(r.acts, "pause "+name)
	return nil
}

func (r *oneReactor) Resume(_ context.Context, name string) error {
	r.paused, r.acts = time.Time{}, append(r.acts, "resume "+name)
	return nil
}

func (r *oneReactor) SetAside(context.Context, int) ([]Poison, error) {
	return []Poison{{Reactor: "ends", Leaf: 7, Event: uuid.UUID{1}, Type: "citizen.deceased/1", Reason: "fault", Attempts: 5}}, nil
}

func (r *oneReactor) Poison(ctx context.Context, name string, leaf int64) (Poison, error) {
	if name != "ends" || leaf != 7 {
		return Poison{}, domain.NewError(domain.NotFound, "notSetAside", "none")
	}
	all, err := r.SetAside(ctx, 1)
	return all[0], err
}

func (r *oneReactor) Retry(context.Context, string, int64) error {
	r.acts = append(r.acts, "retry")
	return nil
}

func (r *oneReactor) Drop(context.Context, string, int64) error {
	r.acts = append(r.acts, "drop")
	return nil
}

func TestOperatorsSeeToReactors(t *testing.T) {
	tv := newVault(t)
	desk := &oneReactor{}
	tv.restart(func(s *settings) { s.Reactors = desk })
	why := &contract.OperatorReason{Reason: "maintenance"}
	key := uuid.New()
	for range 2 { // a repetition is done once
		answer, err := tv.PauseReactor(tv.as(t, operator, "pauseReactor", nil), contract.PauseReactorRequestObject{ReactorName: "ends", Params: contract.PauseReactorParams{IdempotencyKey: key}, Body: why})
		if err != nil {
			t.Fatal(err)
		}
		if r := contract.Reactor(answer.(contract.PauseReactor200JSONResponse)); r.PausedAt.IsZero() || r.Behind != 3 || r.SetAside != 1 || r.Parts != 8 {
			t.Errorf("%+v", r)
		}
	}
	if _, err := tv.ResumeReactor(tv.as(t, operator, "resumeReactor", nil), contract.ResumeReactorRequestObject{ReactorName: "ends", Params: contract.ResumeReactorParams{IdempotencyKey: uuid.New()}, Body: why}); err != nil {
		t.Fatal(err)
	}
	if _, err := tv.PauseReactor(tv.as(t, operator, "pauseReactor", nil), contract.PauseReactorRequestObject{ReactorName: "nobody", Params: contract.PauseReactorParams{IdempotencyKey: uuid.New()}, Body: why}); !errors.Is(err, edge.ErrNoResource) {
		t.Errorf("of another name: %v", err)
	}
	listed, err := tv.ListPoison(tv.as(t, operator, "listPoison", nil), contract.ListPoisonRequestObject{})
	if err != nil {
		t.Fatal(err)
	}
	if items := listed.(contract.ListPoison200JSONResponse).Items; len(items) != 1 || items[0].Leaf != 7 || items[0].Attempts != 5 {
		t.Errorf("%+v", items)
	}
	for leaf, want := range map[int64]error{7: nil, 8: edge.ErrNoResource} {
		ask := &contract.PoisonAct{Reactor: "ends", Leaf: leaf, Reason: "repaired"}
		_, retried := tv.RetryPoison(tv.as(t, operator, "retryPoison", nil), contract.RetryPoisonRequestObject{Params: contract.RetryPoisonParams{IdempotencyKey: uuid.New()}, Body: ask})
		_, dropped := tv.DropPoison(tv.as(t, operator, "dropPoison", nil), contract.DropPoisonRequestObject{Params: contract.DropPoisonParams{IdempotencyKey: uuid.New()}, Body: ask})
		if !errors.Is(retried, want) || !errors.Is(dropped, want) {
			t.Errorf("leaf %d: %v and %v, want %v", leaf, retried, dropped, want)
		}
	}
	if want := []string{"pause ends", "resume ends", "retry", "drop"}; !slices.Equal(desk.acts, want) {
		t.Errorf("asked %v, want %v", desk.acts, want)
	}
}

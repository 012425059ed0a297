package api

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// Reactors is the port to what follows from events, whichever process reacts. Its methods return
// a refusal for a reactor, or an event set aside, that there is none of.
type Reactors interface {
	// List returns every reactor that ever ran.
	List(ctx context.Context) ([]ReactorState, error)
	// Pause lets a reactor handle no more events, and Resume lets it go on.
	Pause(ctx context.Context, reactor string) error
	Resume(ctx context.Context, reactor string) error
	// SetAside returns at most limit events that reactors set aside, the oldest first, and
	// Poison the one at a leaf.
	SetAside(ctx context.Context, limit int) ([]Poison, error)
	Poison(ctx context.Context, reactor string, leaf int64) (Poison, error)
	// Retry has a reactor handle an event that it set aside once more, and Drop forgets it.
	Retry(ctx context.Context, reactor string, leaf int64) error
	Drop(ctx context.Context, reactor string, leaf int64) error
}

// ReactorState is how a reactor does.
type ReactorState struct {
	Name     string
	Parts    int
	Behind   int64 // events still to come
	Moved    time.Time
	Paused   time.Time // since when; zero: it is not
	SetAside int64
}

// Poison is an event that a reactor set aside.
type Poison struct {
	Reactor  string
	Leaf     int64
	Event    uuid.UUID // Nil when the record is damaged
	Type     string    // likewise empty
	Reason   string    // a class
	Attempts int
	Tried    time.Time
}

// PauseReactor implements POST /reactors/{name}/pause.
func (v *Vault) PauseReactor(ctx context.Context, r contract.PauseReactorRequestObject) (contract.PauseReactorResponseObject, error) {
	item, err := v.operateReactor(ctx, r.Params.IdempotencyKey, audit.PauseReactor, r.ReactorName, r.Body.Reason, Reactors.Pause)
	if err != nil {
		return nil, err
	}
	return contract.PauseReactor200JSONResponse(item), nil
}

// operateReactor records an act on a reactor, does it, and returns how the reactor does then.
func (v *Vault) operateReactor(ctx context.Context, key uuid.UUID, act audit.Act, name string, reason domain.ReasonCode, do func(Reactors, context.Context, string) error) (contract.Reactor, error) {
	type done struct{}
	_, err := acting.Once(ctx, v.Recorder, key, func(ctx context.Context, in acting.Intent) (done, error) {
		if _, err := v.reactor(ctx, name); err != nil {
			return done{}, err
		}
		if err := v.recordAct(ctx, in, audit.Operate{Act: act, On: name, Reason: reason}); err != nil {
			return done{}, err
		}
		return done{}, do(v.Reactors, ctx, name)
	})
	if err != nil {
		return contract.Reactor{}, err
	}
	return v.reactor(ctx, name)
}

// reactor returns the reactor with a name.
func (v *Vault) reactor(ctx context.Context, name string) (contract.Reactor, error) {
	if v.Reactors == nil {
		return contract.Reactor{}, edge.ErrNoResource
	}
	all, err := v.Reactors.List(ctx)
	if err != nil {
		return contract.Reactor{}, err
	}
	i := slices.IndexFunc(all, func(s ReactorState) bool { return s.Name == name })
	if i < 0 {
		return contract.Reactor{}, edge.ErrNoResource
	}
	return reactorItem(all[i]), nil
}

func reactorItem(s ReactorState) contract.Reactor {
	return contract.Reactor{
		Href: contract.Base + "/reactors", Name: s.Name, Parts: s.Parts, Behind: s.Behind, MovedAt: s.Moved, PausedAt: s.Paused, SetAside: s.SetAside,
	}
}

// noPoison answers about an event that no reactor set aside.
func noPoison(err error) error {
	var refusal *domain.Error
	if errors.As(err, &refusal) && refusal.Code == domain.NotFound {
		return edge.ErrNoResource
	}
	return err
}

package work

import (
	"context"
	"errors"
	"fmt"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/edge"
	"coffre/projections/erasures"
)

// ErasureHistory is an erasure as the events of the citizen's stream tell it: who did what
// when.
type ErasureHistory struct {
	erasures.Erasure
	Requests                []domain.Actor           // everybody who asked for it, in order
	RequestedBy, approvedBy domain.Actor             // RequestedBy asked last before the approval
	Duties                  []citizen.StandingDuty   // duties to keep documents, which stopped the erasure
	destroyed               citizen.KeyDestroyed     // zero unless the whole citizen was erased
	destroyedIn             eventstore.Record        // of destroyed
	final                   citizen.ErasureFinalised // zero until the erasure is final
}

// ErasureHistory reads the history of one erasure from the citizen's stream. It returns
// citizen.ErrNoErasure when the erasure was never requested.
func (work *Worker) ErasureHistory(ctx context.Context, of domain.CitizenID, id domain.ErasureID) (ErasureHistory, error) {
	var s ErasureHistory
	for e, err := range work.Log.Read(ctx, acting.CitizenStream(of), 0) {
		if err != nil {
			return ErasureHistory{}, fmt.Errorf("read citizen: %w", err)
		}
		meta, err := e.Metadata()
		if err != nil {
			return ErasureHistory{}, err
		}
		switch f := e.Data.(type) {
		case citizen.ErasureRequested:
			if f.Erasure != id || !s.ApprovedAt.IsZero() {
				continue
			}
			if s.RequestedAt.IsZero() {
				s.Erasure = erasures.Erasure{Erasure: id, Citizen: of, Scope: f.Scope, Document: f.Document, Reason: f.Reason, RequestedAt: f.At}
			}
			s.Requests, s.RequestedBy = append(s.Requests, meta.Actor), meta.Actor
		case citizen.ErasureApproved:
			if f.Erasure == id {
				s.ApprovedAt, s.approvedBy = f.At, meta.Actor
			}
		case citizen.ErasureStarted:
			if f.Erasure == id {
				s.StartedAt = f.At
			}
		case citizen.ErasureStopped:
			if f.Erasure == id {
				s.StoppedAt, s.Duties = f.At, f.Duties
			}
		case citizen.KeyDestroyed:
			if f.Erasure == id {
				s.DoneAt, s.destroyed, s.destroyedIn = f.At, f, e.Record
			}
		case citizen.ErasureFinalised:
			if f.Erasure == id {
				s.FinalAt, s.final = f.At, f
			}
		case citizen.ErasureCompleted:
			if f.Erasure == id {
				s.DoneAt = f.At
			}
		}
	}
	if s.RequestedAt.IsZero() {
		return ErasureHistory{}, citizen.ErrNoErasure
	}
	return s, nil
}

// Erasure returns an erasure that the caller may see, and citizen.ErrNoErasure for any
// other. When the read model has no such erasure, Erasure waits until the model has caught
// up with the log and looks once more.
func (work *Worker) Erasure(ctx context.Context, id domain.ErasureID) (erasures.Erasure, error) {
	call := edge.CallFrom(ctx)
	e, known, err := work.Erasures.Erasure(ctx, id)
	if err == nil && !known {
		if err = work.WaitForHead(ctx, work.Erasures.Name()); err == nil {
			e, known, err = work.Erasures.Erasure(ctx, id)
		}
	}
	switch {
	case err != nil:
		return erasures.Erasure{}, err
	case !known:
		return erasures.Erasure{}, citizen.ErrNoErasure
	}
	if err = work.ActAlone(ctx, call, e.Citizen); errors.Is(err, edge.ErrNoResource) {
		err = citizen.ErrNoErasure
	}
	return e, err
}

package work

import (
	"context"
	"fmt"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/release"
	"coffre/eventstore"
	"coffre/eventstore/seal"
	"coffre/handlers/acting"
)

// CarryOutRelease does what an approved release of a number allows, in the key ring and for
// a new life in the log, and returns the citizen whom it registered. Repeated after a crash
// it goes on where it stopped. It returns seal.ErrNotErased when nothing is remembered of
// the number, and seal.ErrCitizenErased while the erasure is under way (rule E-4).
func (work *Worker) CarryOutRelease(ctx context.Context, in acting.Intent, step int, s release.State, basedOn eventstore.Reference, ssin domain.SSIN) (domain.CitizenID, error) {
	if s.Kind == release.End {
		return domain.CitizenID{}, work.Keys.EndSuppression(ctx, ssin, seal.Suppression{Until: s.Until, Basis: s.Basis})
	}
	id, pending, err := work.Keys.EnrollNewLife(ctx, ssin)
	if err != nil {
		return domain.CitizenID{}, err
	}
	if pending {
		if _, err := acting.Citizens.Transact(ctx, work.Log, in.Write(step, acting.CitizenStream(id), id, basedOn), citizen.Register{
			Citizen: id, Suppressed: true, NewLife: true, Basis: s.Basis, By: in.Actor, At: in.At,
		}); err != nil {
			return domain.CitizenID{}, fmt.Errorf("register a new life: %w", err)
		}
		if err := work.Keys.Activate(id); err != nil {
			return domain.CitizenID{}, err
		}
	}
	return id, nil
}

// CheckReleasable returns nil when an erasure of the number is remembered, so that a release
// of it does something.
func (work *Worker) CheckReleasable(ctx context.Context, ssin domain.SSIN) error {
	_, remembered, err := work.Keys.Suppressed(ctx, ssin)
	if err == nil && !remembered {
		return seal.ErrNotErased
	}
	return err
}

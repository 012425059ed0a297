package api

import (
	"context"
	"errors"
	"fmt"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/projections/erasures"
)

// GetErasure implements GET /erasures/{id}: how far it is, for the citizen and for
// privacy officers.
func (v *Vault) GetErasure(ctx context.Context, r GetErasureRequestObject) (GetErasureResponseObject, error) {
	if err := v.seen(ctx, r.Params.CoffreMinPosition, v.Erasures.Name()); err != nil {
		return nil, err
	}
	e, err := v.erasure(ctx, r.ErasureID)
	if err != nil {
		return nil, err
	}
	return GetErasure200JSONResponse(erasureItem(e)), nil
}

// erasure finds a request that the caller may know of. What the read model does
// not know it is asked for once more when it has caught up with the log.
func (v *Vault) erasure(ctx context.Context, id domain.ErasureID) (erasures.Erasure, error) {
	call := CallFrom(ctx)
	e, known, err := v.Erasures.Erasure(ctx, id)
	if err == nil && !known {
		if err = v.abreast(ctx, v.Erasures.Name()); err == nil {
			e, known, err = v.Erasures.Erasure(ctx, id)
		}
	}
	switch {
	case err != nil:
		return erasures.Erasure{}, err
	case !known, call.Role == domain.RoleCitizen && call.Citizen != e.Citizen:
		return erasures.Erasure{}, citizen.ErrNoErasure
	}
	return e, nil
}

// abreast waits until the read models show what the log holds now, for decisions
// that must see all of it.
func (v *Vault) abreast(ctx context.Context, names ...string) error {
	head, err := v.Log.Head(ctx)
	if err != nil {
		return fmt.Errorf("head of the log: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, name := range names {
		if err := v.Runner.WaitFor(limited, name, head); err != nil {
			if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
				return errLagging
			}
			return fmt.Errorf("wait for %s: %w", name, err)
		}
	}
	return nil
}

var errLagging = domain.NewError(domain.Unavailable, "projectionLagging", "the read models are behind the log; try again")

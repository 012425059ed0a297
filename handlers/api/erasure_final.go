package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/eventstore/seal"
	"coffre/projections/erasures"
)

// finalising names the task that looks which erasures are final.
const finalising = "finalise erasures"

// finaliseErasures records of each erasure whose keys are destroyed, once that is so,
// that no copy brings them back (rule E-3). What one erasure lacks keeps no other back.
func (v *Vault) finaliseErasures(ctx context.Context) error {
	if v.Retentions == nil {
		return nil
	}
	if err := v.abreast(ctx, v.Erasures.Name()); err != nil {
		return err
	}
	provisional, err := v.Erasures.Provisional(ctx)
	if err != nil {
		return err
	}
	if len(provisional) == 0 {
		return nil
	}
	known, err := v.Keys.Ledger().Destructions(ctx)
	if err != nil {
		return err
	}
	var failed error
	for _, e := range provisional {
		if err := v.finaliseErasure(ctx, known, e); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

func (v *Vault) finaliseErasure(ctx context.Context, known *seal.Destructions, e erasures.Erasure) error {
	at := v.moment()
	d, err := destruction(ctx, known, e)
	if err != nil {
		return err
	}
	if last, trimmed := citizen.FinalAfter(d, *v.Retentions); !trimmed || !last.Before(domain.BelgianDate(at)) {
		return nil
	}
	w := v.step(citizenStream(e.Citizen), e.Erasure, "finalised")
	done, err := citizens.Transact(ctx, v.Log, w, citizen.FinaliseErasure{
		Erasure: e.Erasure, Destruction: d, Retentions: *v.Retentions, By: w.Meta.Actor, At: at,
	})
	if err != nil {
		return fmt.Errorf("finalise an erasure: %w", err)
	}
	if len(done.Events) > 0 {
		v.Slog.InfoContext(ctx, "an erasure is final", slog.String("erasure", e.Erasure.String()))
	}
	return nil
}

// destruction is what the key ring knows of the keys that an erasure destroyed.
func destruction(ctx context.Context, known *seal.Destructions, e erasures.Erasure) (citizen.Destruction, error) {
	var d seal.Destruction
	var err error
	if e.Scope == citizen.OneDocument {
		d, err = known.Stream(ctx, documentStream(e.Document))
	} else {
		d, err = known.Subject(ctx, e.Citizen)
	}
	return citizen.Destruction{At: d.At, WrappedBy: d.WrappedBy, OldestVersion: d.Oldest, TrimmedAt: d.TrimmedAt}, err
}

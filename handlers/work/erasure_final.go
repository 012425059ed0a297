package work

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/eventstore/seal"
	"coffre/handlers/acting"
	"coffre/projections/erasures"
)

// finaliseTask names the task that records which erasures have become final.
const finaliseTask = "finalise erasures"

// FinaliseErasures records each erasure as final once its keys are destroyed and no copy
// can bring them back (rule E-3). An erasure that fails does not hold up the others; the
// errors are joined. Without stated retentions nothing becomes final.
func (work *Worker) FinaliseErasures(ctx context.Context) error {
	if work.retentions == nil {
		return nil
	}
	if err := work.WaitForHead(ctx, work.Erasures.Name()); err != nil {
		return err
	}
	provisional, err := work.Erasures.Provisional(ctx)
	if err != nil {
		return err
	}
	if len(provisional) == 0 {
		return nil
	}
	known, err := work.Keys.Ledger().Destructions(ctx)
	if err != nil {
		return err
	}
	var failed error
	for _, e := range provisional {
		if err := work.finaliseErasure(ctx, known, e); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

func (work *Worker) finaliseErasure(ctx context.Context, known *seal.Destructions, e erasures.Erasure) error {
	at := work.Timestamp()
	d, err := work.destruction(ctx, known, e)
	if err != nil {
		return err
	}
	if last, trimmed := citizen.FinalAfter(d, *work.retentions); !trimmed || !last.Before(domain.BelgianDate(at)) {
		return nil
	}
	w := work.erasureWrite(acting.CitizenStream(e.Citizen), e.Erasure, "finalised")
	done, err := acting.Citizens.Transact(ctx, work.Log, w, citizen.FinaliseErasure{
		Erasure: e.Erasure, Destruction: d, Retentions: *work.retentions, By: w.Meta.Actor, At: at,
	})
	if err != nil {
		return fmt.Errorf("finalise an erasure: %w", err)
	}
	if len(done.Events) > 0 {
		work.Slog.InfoContext(ctx, "an erasure is final", slog.String("erasure", e.Erasure.String()))
	}
	return nil
}

// destruction returns the facts that the key ring holds about the keys that an erasure
// destroyed: of all lives of a citizen the latest.
func (work *Worker) destruction(ctx context.Context, known *seal.Destructions, e erasures.Erasure) (citizen.Destruction, error) {
	var d seal.Destruction
	if e.Scope == citizen.OneDocument {
		var err error
		if d, err = known.Stream(ctx, acting.DocumentStream(e.Document)); err != nil {
			return citizen.Destruction{}, err
		}
	} else {
		person, err := work.LoadPerson(ctx, e.Citizen)
		if err != nil {
			return citizen.Destruction{}, err
		}
		for i, life := range person.Lives {
			one, err := known.Subject(ctx, life)
			switch {
			case err != nil:
				return citizen.Destruction{}, err
			case i == 0 || one.WrappedBy > d.WrappedBy:
				one.At, d = latest(one.At, d.At), one
			default:
				d.At = latest(one.At, d.At)
			}
		}
	}
	return citizen.Destruction{At: d.At, WrappedBy: d.WrappedBy, OldestVersion: d.Oldest, TrimmedAt: d.TrimmedAt}, nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

package vault

import (
	"context"
	"time"

	"coffre/domain/term"
	"coffre/handlers/reactors/clock"
	"coffre/projections/terms"
)

// openClock makes what announces the end of terms, in processes that answer.
func (a *assembly) openClock(ctx context.Context) (err error) {
	if !a.o.Duty.answers() {
		return nil
	}
	a.clock, err = clock.New(ctx, clock.Options{
		DB: a.places.reactors, Logger: a.o.Logger,
		Due: func(ctx context.Context, after clock.Term, now time.Time, limit int) ([]clock.Term, error) {
			due, err := a.models.terms.Due(ctx, terms.Term{Kind: term.Kind(after.Kind), Subject: after.Subject, Due: after.Due}, now.Add(-term.Since), now, limit)
			all := make([]clock.Term, len(due))
			for i, t := range due {
				all[i] = clock.Term{Kind: string(t.Kind), Subject: t.Subject, Due: t.Due}
			}
			return all, err
		},
		Announce: func(ctx context.Context, t clock.Term) (bool, error) {
			return a.Core.AnnounceTerm(ctx, term.Kind(t.Kind), t.Subject)
		},
	})
	return err
}

// clockStands is how long after its last look the clock counts as standing still.
const clockStands = time.Hour

// clockTrouble says why the clock announces nothing; "" while it does.
func (v *Instance) clockTrouble(ctx context.Context) string {
	if v.clock == nil {
		return ""
	}
	s, err := v.clock.Status(ctx)
	switch {
	case err != nil:
		return "what the clock remembers cannot be read"
	case s.Doubts:
		return "the time of this machine is in doubt: nothing that ends is announced for an hour; set its clock right if it is wrong"
	case !s.Looked.IsZero() && time.Since(s.Looked) > clockStands:
		return "the clock stands still: nothing that ends was announced for more than an hour"
	}
	return ""
}

package disclosure

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/handlers/acting"
	"coffre/handlers/edge"
)

const (
	// maxOutcomesQueued bounds the outcomes that wait. One that finds no room is lost,
	// and its access is shown as one that may have been disclosed.
	maxOutcomesQueued = 4096
	// outcomeWorkers is the number of goroutines that append at the same time, so that
	// they share a sync of the disk.
	outcomeWorkers = 16
	// outcomeTimeout bounds one append, and all that is left to do at the end.
	outcomeTimeout = 5 * time.Second
)

// outcomeOf returns the outcome of an authorised access, with the write to record it.
func (dis *Discloser) outcomeOf(in acting.Intent, a access.Authorized, what access.Outcome, why error) outcome {
	stream := acting.AccessStream(a.Citizen, in.At)
	if a.Citizen.IsZero() {
		stream = acting.UnknownStream(a.Access, in.At)
	}
	w := in.Write(0, stream, a.Citizen)
	w.ID, w.Settle = nil, false
	w.Meta.Represents = represented(a)
	return outcome{w, access.RecordOutcome{
		Access: a.Access, Citizen: a.Citizen, Outcome: what, Reason: recordedReason(why), Attempt: a.Attempt, At: in.At,
	}}
}

// represented returns the citizen whom the reader of an access represented; zero when the
// reader represented nobody.
func represented(a access.Authorized) domain.CitizenID {
	if a.Reader.IsZero() {
		return domain.CitizenID{}
	}
	return a.Citizen
}

// QueueOutcome queues the outcome of an access, which [Discloser.Run] records. When the
// queue is full the outcome is lost, and the access counts as one that may have disclosed.
func (dis *Discloser) QueueOutcome(in acting.Intent, a access.Authorized, what access.Outcome, why error) {
	if !dis.outcomes.add(dis.outcomeOf(in, a, what, why)) {
		dis.Slog.Warn("no room to record what became of an access", slog.String("access", a.Access.String()))
	}
}

// RecordOnceAnswered queues the outcome delivered of accesses once the whole answer was
// handed to the network. After an answer that broke off the accesses stay without an
// outcome: they may have disclosed. Zero accesses are left out.
func (dis *Discloser) RecordOnceAnswered(in acting.Intent, all ...access.Authorized) {
	in.Call.OnAnswered(func(whole bool) {
		for _, a := range all {
			if whole {
				dis.RecordDelivered(in, a)
			}
		}
	})
}

// Withhold implements the second half of rule A-1: it records that an authorised access
// disclosed nothing, because a second look no longer allowed it, and returns why. A
// withheld access is on record before Withhold returns; after a fault it is queued as
// failed.
func (dis *Discloser) Withhold(ctx context.Context, in acting.Intent, a access.Authorized, why error) error {
	return errors.Join(dis.RecordWithheld(ctx, in, a, why), why) // a fault is told: nothing left, and it is not on record
}

// RecordWithheld records that an authorised access disclosed nothing, and why: withheld
// after a refusal, failed after a fault. It returns when a withheld one is durable.
func (dis *Discloser) RecordWithheld(ctx context.Context, in acting.Intent, a access.Authorized, why error) error {
	var said *domain.Error
	if !errors.As(why, &said) {
		dis.QueueOutcome(in, a, access.Failed, why)
		return nil
	}
	o := dis.outcomeOf(in, a, access.Withheld, why)
	if _, err := acting.Accesses.Transact(ctx, dis.Log, o.write, o.fact); err != nil {
		return fmt.Errorf("record what was withheld: %w", err)
	}
	return nil
}

// recordedReason returns the reason code of an error for the record, which may tell the
// citizen what the caller is not told.
func recordedReason(why error) domain.ReasonCode {
	switch {
	case errors.Is(why, access.ErrRestricted):
		return access.Restricted
	case errors.Is(why, access.ErrErased):
		return domain.ReasonCode(access.ErrDocumentGone.Slug)
	}
	return ReasonOf(why)
}

// ReasonOf returns the reason code of an error for the caller: the slug of the refusal that
// answers it, or "internalServerError"; "" for nil.
func ReasonOf(why error) domain.ReasonCode {
	if why == nil {
		return ""
	}
	var said *domain.Error
	if errors.As(why, &said) {
		return domain.ReasonCode(said.Slug)
	}
	if fault, ok := edge.FindErrorAnswer(why, acting.ErrorAnswers); ok {
		return domain.ReasonCode(fault.Refusal.Slug)
	}
	return "internalServerError"
}

// Run records queued refusals and outcomes until ctx ends, and then those that still wait,
// within a few seconds. It runs once; without it the queues fill up.
func (dis *Discloser) Run(ctx context.Context) {
	lasting := context.WithoutCancel(ctx)
	var work sync.WaitGroup
	for range outcomeWorkers {
		work.Go(func() { dis.recordOutcomes(ctx) })
	}
	tick := time.NewTicker(refusalsInterval)
	defer tick.Stop()
	for hurry := dis.refusals.urgentSignal(); ctx.Err() == nil; {
		select {
		case <-hurry:
			dis.recordRefusals(lasting, false)
		case <-tick.C:
			dis.recordRefusals(lasting, true)
		case <-ctx.Done():
		}
	}
	rest, cancel := context.WithTimeout(lasting, outcomeTimeout)
	defer cancel()
	dis.recordRefusals(rest, true)
	work.Wait()
}

func (dis *Discloser) recordOutcomes(ctx context.Context) {
	lasting := context.WithoutCancel(ctx)
	line := dis.outcomes.channel()
	for {
		select {
		case o := <-line:
			dis.recordOutcome(lasting, o)
			continue
		case <-ctx.Done():
		}
		rest, cancel := context.WithTimeout(lasting, outcomeTimeout)
		defer cancel()
		for {
			select {
			case o := <-line:
				dis.recordOutcome(rest, o)
			default:
				return
			}
		}
	}
}

func (dis *Discloser) recordOutcome(ctx context.Context, o outcome) {
	defer dis.outcomes.finish()
	ctx, cancel := context.WithTimeout(ctx, outcomeTimeout)
	defer cancel()
	if _, err := acting.Accesses.Transact(ctx, dis.Log, o.write, o.fact); err != nil {
		dis.Slog.WarnContext(ctx, "what became of an access is not on record", slog.String("access", o.fact.Access.String()), slog.Any("error", err))
	}
}

// Settle records all queued refusals and waits until [Discloser.Run] has recorded all
// queued outcomes.
func (dis *Discloser) Settle(ctx context.Context) error {
	dis.recordRefusals(ctx, true)
	return dis.outcomes.waitIdle(ctx)
}

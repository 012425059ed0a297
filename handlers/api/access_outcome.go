package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/eventstore"
	"coffre/handlers/edge"
)

const (
	// outcomesQueued bounds the outcomes that wait. One that finds no room is lost,
	// and its access is shown as one that may have been disclosed.
	outcomesQueued = 4096
	// outcomeWorkers append at the same time, so that they share a sync of the disk.
	outcomeWorkers = 16
	// outcomePatience bounds one append, and all that is left to do at the end.
	outcomePatience = 5 * time.Second
)

// outcome is one that waits to be recorded.
type outcome struct {
	write eventstore.Write
	fact  access.RecordOutcome
}

// outcomeQueue holds outcomes for the workers. The zero value is empty; it may
// be used concurrently.
type outcomeQueue struct {
	mu      sync.Mutex
	waiting chan outcome
	open    int           // queued or being recorded
	idle    chan struct{} // closed when open is 0
}

func (q *outcomeQueue) lines() chan outcome {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting == nil {
		q.waiting = make(chan outcome, outcomesQueued)
	}
	return q.waiting
}

// put queues an outcome and reports false when there is no room.
func (q *outcomeQueue) put(o outcome) bool {
	line := q.lines()
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case line <- o:
	default:
		return false
	}
	if q.open++; q.open == 1 {
		q.idle = make(chan struct{})
	}
	return true
}

func (q *outcomeQueue) done() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.open--; q.open == 0 {
		close(q.idle)
	}
}

// rest waits until nothing is queued.
func (q *outcomeQueue) rest(ctx context.Context) error {
	q.mu.Lock()
	idle, open := q.idle, q.open
	q.mu.Unlock()
	if open == 0 {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// outcomeOf makes the fact of what became of an authorised access.
func (v *Vault) outcomeOf(in intent, a access.Authorized, what access.Outcome, why error) outcome {
	w := in.write(0, accessStream(a.Citizen, in.at), a.Citizen)
	w.ID, w.Settle = nil, false
	w.Meta.Represents = represented(a)
	return outcome{w, access.RecordOutcome{
		Access: a.Access, Citizen: a.Citizen, Outcome: what, Reason: reasonOf(why), Attempt: a.Attempt, At: in.at,
	}}
}

// represented is for whom a representative read; zero when nobody represented
// anybody.
func represented(a access.Authorized) domain.CitizenID {
	if a.Reader.IsZero() {
		return domain.CitizenID{}
	}
	return a.Citizen
}

// told records after the answer what became of an access. Nobody waits for it.
func (v *Vault) told(in intent, a access.Authorized, what access.Outcome, why error) {
	if !v.outcomes.put(v.outcomeOf(in, a, what, why)) {
		v.Slog.Warn("no room to record what became of an access", slog.String("access", a.Access.String()))
	}
}

// recordOnceAnswered has accesses recorded as delivered once the answer was handed to
// the network, those that are zero left out. After an answer that broke off they stay
// without an outcome: they may have been disclosed.
func (v *Vault) recordOnceAnswered(in intent, all ...access.Authorized) {
	in.call.OnAnswered(func(whole bool) {
		for _, a := range all {
			if whole {
				v.looked(in, a)
			}
		}
	})
}

// withhold implements the second half of rule A-1: an authorised access after
// which something no longer allowed it. That it was withheld is on record before
// the refusal is answered; after a fault, it is recorded as failed.
func (v *Vault) withhold(ctx context.Context, in intent, a access.Authorized, why error) error {
	return errors.Join(v.recordWithheld(ctx, in, a, why), why) // a fault is told: nothing left, and it is not on record
}

func (v *Vault) recordWithheld(ctx context.Context, in intent, a access.Authorized, why error) error {
	var said *domain.Error
	if !errors.As(why, &said) {
		v.told(in, a, access.Failed, why)
		return nil
	}
	o := v.outcomeOf(in, a, access.Withheld, why)
	if _, err := accesses.Transact(ctx, v.Log, o.write, o.fact); err != nil {
		return fmt.Errorf("record what was withheld: %w", err)
	}
	return nil
}

// reasonOf is the word for why nothing was disclosed: a refusal's slug.
func reasonOf(why error) domain.ReasonCode {
	if why == nil {
		return ""
	}
	var said *domain.Error
	if errors.As(why, &said) {
		return domain.ReasonCode(said.Slug)
	}
	if fault, ok := edge.FaultOf(why, Faults); ok {
		return domain.ReasonCode(fault.Says.Slug)
	}
	return "internalServerError"
}

// recordAccesses records refusals and outcomes until ctx ends, and then what still
// waits, within a few seconds. It runs once; without it refusals wait and outcomes
// are lost when there is no more room.
func (v *Vault) recordAccesses(ctx context.Context) {
	lasting := context.WithoutCancel(ctx)
	var work sync.WaitGroup
	for range outcomeWorkers {
		work.Go(func() { v.recordOutcomes(ctx) })
	}
	tick := time.NewTicker(refusalsHeld)
	defer tick.Stop()
	for hurry := v.refusals.hurry(); ctx.Err() == nil; {
		select {
		case <-hurry:
			v.recordRefusals(lasting, false)
		case <-tick.C:
			v.recordRefusals(lasting, true)
		case <-ctx.Done():
		}
	}
	rest, cancel := context.WithTimeout(lasting, outcomePatience)
	defer cancel()
	v.recordRefusals(rest, true)
	work.Wait()
}

func (v *Vault) recordOutcomes(ctx context.Context) {
	lasting := context.WithoutCancel(ctx)
	line := v.outcomes.lines()
	for {
		select {
		case o := <-line:
			v.recordOutcome(lasting, o)
			continue
		case <-ctx.Done():
		}
		rest, cancel := context.WithTimeout(lasting, outcomePatience)
		defer cancel()
		for {
			select {
			case o := <-line:
				v.recordOutcome(rest, o)
			default:
				return
			}
		}
	}
}

func (v *Vault) recordOutcome(ctx context.Context, o outcome) {
	defer v.outcomes.done()
	ctx, cancel := context.WithTimeout(ctx, outcomePatience)
	defer cancel()
	if _, err := accesses.Transact(ctx, v.Log, o.write, o.fact); err != nil {
		v.Slog.WarnContext(ctx, "what became of an access is not on record", slog.String("access", o.fact.Access.String()), slog.Any("error", err))
	}
}

// Settle waits until all that was left to the background is recorded.
func (v *Vault) Settle(ctx context.Context) error {
	v.recordRefusals(ctx, true)
	return v.outcomes.rest(ctx)
}

// system returns what is recorded with something that Coffre does by itself.
func (v *Vault) system(s eventstore.Stream) eventstore.Write {
	return eventstore.Write{Stream: s, Citizen: noCitizen, Meta: eventstore.Meta{
		Actor: domain.Actor{Role: domain.RoleSystem}, Registry: v.Words.Current().Version(),
	}}
}

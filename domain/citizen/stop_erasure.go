package citizen

import (
	"time"

	"coffre/domain"
)

// StopErasure is decided right after an erasure started, while every key is still
// usable. An issuer who was told that a document is recorded had it recorded before
// the start; whether the law obliges to keep one of those is looked at once more,
// because the judgement before the start may not have seen it. If so, the erasure
// ends here. What is recorded later is nobody's: its issuer is refused (rule E-4).
//
// The answer depends on nothing but the log up to the start, so whoever goes on with
// an erasure after a crash, or beside another process, finds the same one.
type StopErasure struct {
	Erasure   domain.ErasureID
	Documents []RetainedDocument // every document whose key the erasure would destroy, as it was at the start
	StartedAt time.Time          // when the erasure started: the day on which duties are judged
	By        domain.Actor
	At        time.Time
}

// Decide implements E-1. No events and no refusal mean that the erasure goes on, or
// was stopped before.
func (c StopErasure) Decide(s State) ([]Event, error) {
	e, due, err := s.dueForEraser(c.Erasure, c.By, eraserStep{after: Started, refusal: ErrNotStarted, reaches: Stopped})
	if err != nil || !due {
		return nil, err
	}
	var duties []StandingDuty
	for _, d := range e.duties(c.Documents, domain.BelgianDate(c.StartedAt)) {
		duties = append(duties, StandingDuty{d.Document, d.Type, d.Rule})
	}
	if len(duties) == 0 {
		return nil, nil
	}
	return []Event{ErasureStopped{Citizen: s.Citizen, Erasure: c.Erasure, Duties: duties, At: c.At}}, nil
}

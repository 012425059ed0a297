package citizen

import (
	"time"

	"coffre/domain"
)

var ErrNotApproved = domain.NewError(domain.Conflict, "erasureNotApproved", "no second person approved this erasure")

// StartErasure is the point of no return. It is appended at the revision its
// decision saw, so no hold slips in before it unseen.
type StartErasure struct {
	Erasure   domain.ErasureID
	Documents []RetainedDocument // every document whose key the erasure would destroy
	Others    []State            // the person's other lives
	By        domain.Actor
	At        time.Time
}

// Decide implements E-1 and E-2.
func (c StartErasure) Decide(s State) ([]Event, error) {
	e, due, err := s.dueForEraser(c.Erasure, c.By, eraserStep{after: Approved, refusal: ErrNotApproved, reaches: Started})
	if err != nil || !due {
		return nil, err
	}
	if err := s.mayErase(e, c.Others, c.Documents, c.At); err != nil {
		return nil, err
	}
	return []Event{ErasureStarted{Citizen: s.Citizen, Erasure: c.Erasure, At: c.At}}, nil
}

package citizen

import (
	"time"

	"coffre/domain"
)

var (
	ErrNotApproved = domain.NewError(domain.Conflict, "erasureNotApproved", "no second person approved this erasure")
	ErrNotEraser   = domain.NewError(domain.Forbidden, "notEraser", "only the vault's destroyer may do this")
)

// StartErasure is the point of no return. It is appended at the revision its
// decision saw, so no hold slips in before it unseen.
type StartErasure struct {
	Erasure domain.ErasureID
	Kept    []Kept // every document whose key the erasure would destroy
	By      domain.Actor
	At      time.Time
}

// Decide implements E-1 and E-2.
func (c StartErasure) Decide(s State) ([]Event, error) {
	if !isEraser(c.By) {
		return nil, ErrNotEraser
	}
	e, known := s.Erasure(c.Erasure)
	switch {
	case !known:
		return nil, ErrNoErasure
	case e.Step >= Started:
		return nil, nil
	case e.Step < Approved:
		return nil, ErrNotApproved
	}
	if err := s.writable(); err != nil {
		return nil, err
	}
	if err := s.obstacles(e, c.Kept, c.At); err != nil {
		return nil, err
	}
	return []Event{ErasureStarted{Citizen: s.Citizen, Erasure: c.Erasure, At: c.At}}, nil
}

// isEraser implements E-2's part in the rules: the destroyer acts as Coffre
// itself or as an operator, never as who asks or approves.
func isEraser(by domain.Actor) bool {
	return by.Role == domain.RoleSystem || by.Role == domain.RoleOperator
}

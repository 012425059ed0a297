package citizen

import (
	"slices"
	"time"

	"coffre/domain"
)

var ErrSecondPerson = domain.NewError(domain.Forbidden, "secondPersonNeeded", "who asked for an erasure cannot approve it")

// ApproveErasure is a second person's agreement to an erasure.
type ApproveErasure struct {
	Erasure domain.ErasureID
	// RequestedBy is the actor in the metadata of the request's event.
	RequestedBy domain.Actor
	// Aliases are the approver's subject under every audit key that may have been
	// current when the request was made: the key rotates.
	Aliases   []string
	Documents []RetainedDocument // every document whose key the erasure would destroy
	By        domain.Actor
	At        time.Time
}

// Decide implements E-1. What cannot be compared counts as the same person.
func (c ApproveErasure) Decide(s State) ([]Event, error) {
	if c.By.Role != domain.RolePrivacyOfficer {
		return nil, ErrNotOfficer
	}
	e, known := s.Erasure(c.Erasure)
	switch {
	case !known:
		return nil, ErrNoErasure
	case !c.secondPerson():
		return nil, ErrSecondPerson
	case e.Step >= Approved:
		return nil, nil
	}
	if err := s.mayErase(e, c.Documents, c.At); err != nil {
		return nil, err
	}
	return []Event{ErasureApproved{Citizen: s.Citizen, Erasure: c.Erasure, At: c.At}}, nil
}

func (c ApproveErasure) secondPerson() bool {
	asked := c.RequestedBy
	if c.By.Subject == "" || asked.Subject == "" && asked.Citizen.IsZero() {
		return false
	}
	if !asked.Citizen.IsZero() && asked.Citizen == c.By.Citizen {
		return false
	}
	return asked.Subject != c.By.Subject && (asked.Subject == "" || !slices.Contains(c.Aliases, asked.Subject))
}

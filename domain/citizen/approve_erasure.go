package citizen

import (
	"slices"
	"time"

	"coffre/domain"
)

var ErrSecondPerson = domain.NewError(domain.Forbidden, "secondPersonNeeded", "who asked for an erasure cannot approve it, nor can anybody where that cannot be told any more: then it is asked for anew")

// ApproveErasure is a second person's agreement to an erasure.
type ApproveErasure struct {
	Erasure domain.ErasureID
	// RequestedBy is the actor in the metadata of a request's event: of one that can be
	// compared with the approver where there is any. AlsoRequestedBy are those of all others
	// that can.
	RequestedBy     domain.Actor
	AlsoRequestedBy []domain.Actor
	// Aliases are the names that the approver may have in that metadata, under every audit
	// key that is left and, of a request by the citizen, under the citizen's own key.
	Aliases []string
	// Comparable says that RequestedBy is among Aliases if it is the approver: the key
	// that named it is left.
	Comparable bool
	Documents  []RetainedDocument // every document whose key the erasure would destroy
	Others     []State            // the person's other lives
	By         domain.Actor
	At         time.Time
}

// Decide implements E-1: the approver is another person than everybody who asked. What cannot
// be compared counts as the same person, unless somebody who can be compared asked, too.
func (c ApproveErasure) Decide(s State) ([]Event, error) {
	if c.By.Role != domain.RolePrivacyOfficer {
		return nil, ErrNotOfficer
	}
	e, known := s.Erasure(c.Erasure)
	switch {
	case !known:
		return nil, ErrNoErasure
	case !domain.SecondPerson(c.RequestedBy, c.By, c.Aliases, c.Comparable):
		return nil, ErrSecondPerson
	case slices.ContainsFunc(c.AlsoRequestedBy, func(a domain.Actor) bool { return !domain.SecondPerson(a, c.By, c.Aliases, true) }):
		return nil, ErrSecondPerson
	case e.Step >= Approved:
		return nil, nil
	}
	if err := s.mayErase(e, c.Others, c.Documents, c.At); err != nil {
		return nil, err
	}
	return []Event{ErasureApproved{Citizen: s.Citizen, Erasure: c.Erasure, At: c.At}}, nil
}

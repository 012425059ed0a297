package release

import (
	"time"

	"coffre/domain"
)

// Approve is a second officer's agreement (rule E-4.2).
type Approve struct {
	// ProposedBy is the actor in the metadata of the proposal; Aliases are the names that
	// the approver may have there, and Comparable says that the key that named the
	// proposer is left.
	ProposedBy domain.Actor
	Aliases    []string
	Comparable bool
	Tag        Tag // of the number that the approver names, for this release
	By         domain.Actor
	At         time.Time
}

// Decide implements E-4.2 to E-4.4.
func (c Approve) Decide(s State) ([]Event, error) {
	switch {
	case c.By.Role != domain.RolePrivacyOfficer:
		return nil, ErrNotOfficer
	case s.Release.IsZero():
		return nil, ErrUnknown
	case !domain.SecondPerson(c.ProposedBy, c.By, c.Aliases, c.Comparable):
		return nil, ErrSecondPerson
	case c.Tag != s.Tag:
		return nil, ErrOtherPerson
	case !s.Completed.IsZero():
		return nil, nil
	case c.At.Sub(s.ProposedAt) > Lifetime:
		return nil, ErrLapsed
	case !s.ApprovedAt.IsZero():
		return nil, nil
	}
	return []Event{Approved{Release: s.Release, At: c.At}}, nil
}

package audit

import (
	"time"

	"github.com/google/uuid"

	"coffre/domain"
)

// ApproveProvider is the second person's agreement (rule I-2).
type ApproveProvider struct {
	Change uuid.UUID
	// ProposedBy is the actor in the metadata of the proposal; Aliases are the names that
	// the approver may have there, and Comparable says that the key that named the proposer
	// is left.
	ProposedBy domain.Actor
	Aliases    []string
	Comparable bool
	By         domain.Actor
	At         time.Time
}

// Decide implements I-2 to I-4.
func (c ApproveProvider) Decide(state State) ([]Event, error) {
	change := state.Providers.Change
	byOfficer := c.By.Role == domain.RolePrivacyOfficer
	onTheMachine := c.By.Role == domain.RoleOperator && c.By.Door == domain.ControlSocket
	switch {
	case !byOfficer && c.By.Role != domain.RoleOperator:
		return nil, ErrMayNotChange
	case change.ID == uuid.Nil || change.ID != c.Change:
		return nil, ErrNoSuchChange
	case change.Reason.Recovers() && !onTheMachine:
		return nil, ErrRecoveryPlace
	case !change.Reason.Recovers() && !byOfficer:
		return nil, ErrMayNotChange
	case !domain.SecondPerson(c.ProposedBy, c.By, c.Aliases, c.Comparable):
		return nil, ErrProviderSecond
	case !change.ApprovedAt.IsZero():
		return nil, nil
	case !c.At.Before(change.Until()):
		return nil, ErrChangeLapsed
	}
	return []Event{ProviderChangeApproved{Change: c.Change, At: c.At}}, nil
}

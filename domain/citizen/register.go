package citizen

import (
	"time"

	"coffre/domain"
)

var (
	ErrMayNotRegister = domain.NewError(domain.Forbidden, "mayNotRegister", "a citizen is registered by the first document issued")
	ErrNotErased      = domain.NewError(domain.Invalid, "citizenNotErased", "a new life follows an erasure only")
	ErrNoLegalBasis   = domain.NewError(domain.Invalid, "legalBasisMissing", "the registration of an erased person needs a legal basis")
)

// Register makes a person known to the vault.
type Register struct {
	Citizen domain.CitizenID
	// Suppressed says that the key ring holds a suppression of this person's number.
	Suppressed bool
	NewLife    bool
	Basis      domain.LegalBasis // for a new life
	By         domain.Actor
	At         time.Time
}

// Decide implements P-1 and E-4.
func (c Register) Decide(s State) ([]Event, error) {
	switch c.By.Role {
	case domain.RoleIssuer, domain.RolePrivacyOfficer, domain.RoleSystem:
	default:
		return nil, ErrMayNotRegister
	}
	switch standing := s.Standing(); {
	case standing == Erasing || standing == Erased: // E-4: never again under this id
		return nil, ErrErased
	case standing != "": // P-1
		return nil, nil
	case c.Suppressed && !c.NewLife: // E-4
		return nil, ErrErased
	case c.NewLife && !c.Suppressed:
		return nil, ErrNotErased
	case c.NewLife && c.Basis == "":
		return nil, ErrNoLegalBasis
	}
	e := Registered{Citizen: c.Citizen, At: c.At}
	if c.NewLife {
		e.NewLife, e.Basis = true, c.Basis
	}
	return []Event{e}, nil
}

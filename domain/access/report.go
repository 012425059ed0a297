package access

import (
	"time"

	"coffre/domain"
	"coffre/domain/citizen"
)

// AuthorizeReport lets a file be made of what the vault holds of one citizen: a
// subject access report (GDPR art. 15), or an export that opens something.
type AuthorizeReport struct {
	Access     domain.AccessID
	Citizen    domain.CitizenID
	Kind       Opened // OpenedSubjectAccessReport or OpenedExport
	Purpose    domain.Purpose
	LegalBasis domain.LegalBasis
	Standing   citizen.Standing
	By         domain.Actor
	At         time.Time
}

// Decide implements A-6: a report is the citizen's, or a privacy officer's for
// them; an export is a privacy officer's. Both name their legal basis.
func (c AuthorizeReport) Decide(State) ([]Event, error) {
	officer := c.By.Role == domain.RolePrivacyOfficer
	switch {
	case c.LegalBasis == "", !officer && (c.Kind != OpenedSubjectAccessReport || !c.By.IsSelf(c.Citizen)):
		return nil, ErrNoBasis
	case c.Kind != OpenedSubjectAccessReport && c.Kind != OpenedExport:
		return nil, ErrQuestion
	}
	switch c.Standing {
	case citizen.Living, citizen.Dead:
	case citizen.Erasing, citizen.Erased:
		return nil, ErrDocumentGone
	default:
		return nil, ErrNoBasis
	}
	return []Event{Authorized{
		Access: c.Access, Citizen: c.Citizen, Kind: c.Kind, Role: c.By.Role, Consumer: c.By.Organisation,
		Purpose: c.Purpose, LegalBasis: c.LegalBasis, Attempt: 1, At: c.At,
	}}, nil
}

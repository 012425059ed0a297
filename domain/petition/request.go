package petition

import (
	"strings"
	"time"

	"coffre/domain"
	"coffre/domain/mandate"
)

// Request asks the issuer of a document to rectify it, or objects to what an organisation
// does.
type Request struct {
	Petition     domain.PetitionID
	Citizen      domain.CitizenID
	Kind         Kind // Rectification or Objection
	Organisation domain.Organisation
	Document     *domain.DocumentID // the citizen's, of a rectification; nil of an objection
	Version      int                // likewise, the current one
	Purpose      domain.Purpose     // of an objection
	Restrict     bool               // processing, until it is answered
	Text         string
	// Mandate is of the representative who acts; the zero one for the citizen themselves. Type is
	// of what the petition is about; "" is everything.
	Mandate mandate.InForce
	Type    domain.DocumentType
	By      domain.Actor
	At      time.Time
}

// Decide implements. A repetition records nothing.
func (c Request) Decide(s State) ([]Event, error) {
	rectifies, objects := c.Kind == Rectification && c.Document != nil && c.Version > 0 && c.Purpose == "", c.Kind == Objection && c.Document == nil && c.Purpose != ""
	under, may := agent(c.By, c.Citizen, c.Mandate, c.Type)
	switch {
	case !may:
		return nil, ErrNotYours
	case !rectifies && !objects, c.Organisation == "":
		return nil, ErrKind
	case !sayable(c.Text):
		return nil, ErrText
	case !s.Petition.IsZero():
		return nil, nil
	}
	e := Requested{
		Mandate:  under,
		Petition: c.Petition, Citizen: c.Citizen, Kind: c.Kind, Organisation: c.Organisation, Version: c.Version, Purpose: c.Purpose,
		Restricts: c.Restrict, Deadline: Deadline(c.At), At: c.At, Personal: &TextPersonal{strings.TrimSpace(c.Text)},
	}
	if c.Document != nil {
		e.Document = *c.Document
	}
	return []Event{e}, nil
}

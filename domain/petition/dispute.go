package petition

import (
	"strings"
	"time"
	"unicode/utf8"

	"coffre/domain"
	"coffre/domain/mandate"
)

// Dispute says that an entry of the citizen's access log looks wrong.
type Dispute struct {
	Petition     domain.PetitionID
	Citizen      domain.CitizenID // whose log it is in
	Entry        domain.EntryID
	Access       domain.AccessID     // zero for an attempt that was refused
	Organisation domain.Organisation // that read; "" where none did, or one was refused
	Text         string
	// Mandate is of the representative who acts; the zero one for the citizen themselves. Type is
	// of what the petition is about; "" is everything.
	Mandate mandate.InForce
	Type    domain.DocumentType
	By      domain.Actor
	At      time.Time
}

// Decide implements.
func (c Dispute) Decide(s State) ([]Event, error) {
	under, may := agent(c.By, c.Citizen, c.Mandate, c.Type)
	switch {
	case !may:
		return nil, ErrNotYours
	case !sayable(c.Text):
		return nil, ErrText
	case !s.Petition.IsZero():
		return nil, ErrDisputed
	}
	return []Event{Disputed{
		Petition: c.Petition, Citizen: c.Citizen, Entry: c.Entry, Access: c.Access, Organisation: c.Organisation, Mandate: under,
		Deadline: Deadline(c.At), At: c.At, Personal: &TextPersonal{strings.TrimSpace(c.Text)},
	}}, nil
}

// agent implements Q-8: it returns the mandate under which a representative petitions, zero when
// the citizen does.
func agent(by domain.Actor, citizen domain.CitizenID, m mandate.InForce, about domain.DocumentType) (domain.MandateID, bool) {
	if by.IsSelf(citizen) {
		return domain.MandateID{}, true
	}
	if by.Role != domain.RoleRepresentative || !m.Allows(by.Citizen, citizen, mandate.Consent) || !m.Covers(about) {
		return domain.MandateID{}, false
	}
	return m.ID, true
}

// sayable reports whether a text says something that a screen can show.
func sayable(text string) bool {
	return utf8.ValidString(text) && utf8.RuneCountInString(text) <= MaxText && !domain.Blank(text) && !domain.Unprintable(text)
}

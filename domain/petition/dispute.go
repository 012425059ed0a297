package petition

import (
	"strings"
	"time"
	"unicode/utf8"

	"coffre/domain"
)

// Dispute says that an entry of the citizen's access log looks wrong.
type Dispute struct {
	Petition     domain.PetitionID
	Citizen      domain.CitizenID // whose log it is in
	Entry        domain.EntryID
	Access       domain.AccessID     // zero for an attempt that was refused
	Organisation domain.Organisation // that read; "" where none did, or one was refused
	Text         string
	By           domain.Actor
	At           time.Time
}

// Decide implements.
func (c Dispute) Decide(s State) ([]Event, error) {
	switch {
	case !c.By.IsSelf(c.Citizen):
		return nil, ErrNotYours
	case !sayable(c.Text):
		return nil, ErrText
	case !s.Petition.IsZero():
		return nil, ErrDisputed
	}
	return []Event{Disputed{
		Petition: c.Petition, Citizen: c.Citizen, Entry: c.Entry, Access: c.Access, Organisation: c.Organisation,
		Deadline: Deadline(c.At), At: c.At, Personal: &TextPersonal{strings.TrimSpace(c.Text)},
	}}, nil
}

// sayable reports whether a text says something that a screen can show.
func sayable(text string) bool {
	return utf8.ValidString(text) && utf8.RuneCountInString(text) <= MaxText && !domain.Blank(text) && !domain.Unprintable(text)
}

package citizen

import (
	"time"

	"coffre/domain"
)

// Refusals of preferences.
var (
	ErrNotYourPreferences = domain.NewError(domain.Forbidden, "notYourPreferences", "citizens choose for themselves what they hear of, and nobody for another")
	ErrPreferences        = domain.NewError(domain.Invalid, "preferencesIncomplete", "preferences name a language of nl, fr, de and en, and for each matter one way: eboxEach, eboxDaily or none")
)

// SetPreferences chooses the language in which a citizen is written to, and what they hear of.
type SetPreferences struct {
	Preferences
	By domain.Actor
	At time.Time
}

// Decide implements P-8. What is chosen is sealed, so it is not compared with what was chosen
// before: choosing the same again is on record again.
func (c SetPreferences) Decide(s State) ([]Event, error) {
	switch err := s.writable(); {
	case err != nil:
		return nil, err
	case !c.By.IsSelf(s.Citizen):
		return nil, ErrNotYourPreferences
	case !c.complete():
		return nil, ErrPreferences
	}
	return []Event{PreferencesSet{Citizen: s.Citizen, At: c.At, Personal: &c.Preferences}}, nil
}

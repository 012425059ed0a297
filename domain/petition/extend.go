package petition

import (
	"strings"
	"time"

	"coffre/domain"
)

// Extend gives whoever answers a petition two further months.
type Extend struct {
	Text string // why, as the citizen is told
	By   domain.Actor
	At   time.Time
}

// Decide implements Q-7.
func (c Extend) Decide(s State) ([]Event, error) {
	switch {
	case s.Petition.IsZero():
		return nil, ErrUnknown
	case !s.answeredBy(c.By):
		return nil, ErrNotAnswerer
	case !sayable(c.Text):
		return nil, ErrText
	case s.Outcome != "":
		return nil, ErrAnswered
	case !s.ExtendedAt.IsZero():
		return nil, ErrExtended
	case s.Overdue(domain.BelgianDate(c.At)):
		return nil, ErrTooLate
	}
	return []Event{Extended{
		Petition: s.Petition, Citizen: s.Citizen, Organisation: s.Organisation,
		Deadline: domain.BelgianDate(s.At).AddMonths(3), At: c.At, Personal: &TextPersonal{strings.TrimSpace(c.Text)},
	}}, nil
}

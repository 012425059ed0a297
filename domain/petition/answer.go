package petition

import (
	"strings"
	"time"

	"coffre/domain"
)

// Answer answers a petition.
type Answer struct {
	Outcome Outcome
	Text    string // what the citizen is told; a rejection has to say why
	// Version is the current one of the document to rectify, Revoked that it is revoked.
	Version int
	Revoked bool
	By      domain.Actor
	At      time.Time
}

// Decide implements. The same answer again records nothing.
func (c Answer) Decide(s State) ([]Event, error) {
	switch {
	case s.Petition.IsZero():
		return nil, ErrUnknown
	case !s.answeredBy(c.By):
		return nil, ErrNotAnswerer
	case c.Outcome != Upheld && c.Outcome != Rejected:
		return nil, ErrOutcome
	case c.Text != "" && !sayable(c.Text), c.Text == "" && c.Outcome == Rejected:
		return nil, ErrText
	case s.Outcome == c.Outcome:
		return nil, nil
	case s.Outcome != "":
		return nil, ErrAnswered
	}
	var personal *TextPersonal
	if c.Text != "" {
		personal = &TextPersonal{strings.TrimSpace(c.Text)}
	}
	if s.Kind == Disputes {
		return []Event{DisputeAnswered{Petition: s.Petition, Citizen: s.Citizen, Outcome: c.Outcome, At: c.At, Personal: personal}}, nil
	}
	e := Answered{Petition: s.Petition, Citizen: s.Citizen, Outcome: c.Outcome, At: c.At, Personal: personal}
	if s.Kind == Rectification && c.Outcome == Upheld {
		if c.Version <= s.Version && !c.Revoked {
			return nil, ErrVersion
		}
		if c.Version > s.Version {
			e.Rectified = c.Version
		}
	}
	return []Event{e}, nil
}

// answeredBy reports whether an actor answers the petition (rule Q-2).
func (s State) answeredBy(by domain.Actor) bool {
	if s.Organisation == "" {
		return by.Role == domain.RolePrivacyOfficer
	}
	return (by.Role == domain.RoleConsumer || by.Role == domain.RoleIssuer) && by.Organisation == s.Organisation
}

// LiftsRestriction reports whether the answer ends the restriction that came with the petition
// (rule Q-6).
func (s State) LiftsRestriction() bool {
	return s.Restricts && s.Outcome != "" && (s.Kind == Rectification || s.Outcome == Rejected)
}

package citizen

import (
	"time"

	"coffre/domain"
)

var (
	ErrMayNotErase    = domain.NewError(domain.Forbidden, "mayNotRequestErasure", "erasure is asked for by the citizen, or by a privacy officer for the law")
	ErrScope          = domain.NewError(domain.Invalid, "erasureScope", "an erasure covers the citizen, or one document that it names")
	ErrNothingToErase = domain.NewError(domain.NotFound, "nothingToErase", "the citizen has no such document")
)

// RequestErasure asks that a citizen, or one document, be forgotten. It is
// appended whatever came between and works while no key can be had: holds and
// duties are judged again at approval and at the start.
type RequestErasure struct {
	Erasure  domain.ErasureID
	Scope    Scope
	Document *domain.DocumentID // for OneDocument, which names one
	Reason   domain.ReasonCode
	Others   []State // the person's other lives
	// Again says that By asked for the erasure that waits, and is named there so that an
	// approver can be told from them.
	Again bool
	By    domain.Actor
	At    time.Time
}

// Decide implements E-1 as far as who may ask. A request for what waits already is one more
// request of the same erasure.
func (c RequestErasure) Decide(s State) ([]Event, error) {
	if c.By.Role != domain.RolePrivacyOfficer && !c.By.IsSelf(s.Citizen) {
		return nil, ErrMayNotErase
	}
	if s.Standing() == "" {
		return nil, ErrUnknown
	}
	if _, known := s.Erasure(c.Erasure); known {
		return nil, nil
	}
	switch err := s.erasable(c.Scope); {
	case err != nil:
		return nil, err
	case c.Scope != WholeCitizen && c.Scope != OneDocument, (c.Scope == OneDocument) == (c.Document == nil):
		return nil, ErrScope
	case c.Reason == "":
		return nil, ErrReasonMissing
	}
	e := ErasureRequested{Citizen: s.Citizen, Erasure: c.Erasure, Scope: c.Scope, Reason: c.Reason, At: c.At}
	if c.Document != nil {
		e.Document = *c.Document
	}
	if err := s.noHold(e.Scope, e.Document, c.Others); err != nil {
		return nil, err
	}
	if waits, ok := s.Waiting(c.Scope, c.Document); ok {
		if c.Again {
			return nil, nil
		}
		e.Erasure = waits.ID
	}
	return []Event{e}, nil
}

package access

import (
	"slices"
	"time"

	"coffre/domain"
)

var (
	// ErrLookupReason refuses a look-up by an officer who does not say why.
	ErrLookupReason = domain.NewError(domain.Invalid, "lookupReason", "a privacy officer who looks a citizen up says for what work, with one of the contract's reasons")
	// ErrMayNotLookUp refuses a look-up by somebody who names citizens by nothing.
	ErrMayNotLookUp = domain.NewError(domain.Forbidden, "mayNotLookUp", "issuers, consumers and privacy officers look citizens up")
)

// LookupReasons lists the work for which a privacy officer looks a citizen up. The words are
// fixed, so that they may stand in clear and need no published registry.
var LookupReasons = []domain.ReasonCode{"subjectRequest", "complaint", "correction", "legalDuty", "investigation"}

// maxLookupsRemembered bounds the look-ups of a day that a state remembers. One that is
// forgotten is recorded again when it comes again.
const maxLookupsRemembered = 256

// Lookups remembers the look-ups of the newest day that named no case, for rule A-11. It is
// shared and never changed.
type Lookups struct {
	day  domain.Date
	made []lookup
}

// lookup is what two look-ups have in common that are one on record.
type lookup struct {
	role         domain.Role
	organisation domain.Organisation
	purpose      domain.Purpose
	procedure    domain.Procedure
	reason       domain.ReasonCode
}

func lookupOf(e Named) lookup {
	return lookup{e.Role, e.Organisation, e.Purpose, e.Procedure, e.Reason}
}

// add returns the memory with one look-up more.
func (l Lookups) add(e Named) Lookups {
	if e.Case {
		return l
	}
	switch day := domain.BelgianDate(e.At); {
	case day.Before(l.day):
		return l
	case l.day.Before(day):
		l = Lookups{day: day}
	}
	made := l.made
	if len(made) >= maxLookupsRemembered {
		made = made[1:]
	}
	l.made = append(slices.Clip(made), lookupOf(e))
	return l
}

// has reports whether a look-up is on record already.
func (l Lookups) has(e Named) bool {
	return !e.Case && domain.BelgianDate(e.At) == l.day && slices.Contains(l.made, lookupOf(e))
}

// RecordNamed records that somebody finds a citizen by their number, before it is told. Of a
// person whom the vault does not know no case reference is kept: no key could ever be
// destroyed to forget it.
type RecordNamed struct {
	Access        domain.AccessID
	Citizen       domain.CitizenID // absent for somebody whom the vault does not know
	Purpose       domain.Purpose
	Procedure     domain.Procedure
	Reason        domain.ReasonCode // of a privacy officer
	CaseReference string
	By            domain.Actor
	At            time.Time
}

// Decide implements A-11. A look-up that names no case is recorded once per organisation,
// purpose, procedure, reason and day in Belgium; one that names a case is always recorded.
func (c RecordNamed) Decide(s State) ([]Event, error) {
	switch c.By.Role {
	case domain.RoleIssuer, domain.RoleConsumer:
		if c.By.Organisation.IsZero() || c.Reason != "" {
			return nil, ErrMayNotLookUp
		}
	case domain.RolePrivacyOfficer:
		if !slices.Contains(LookupReasons, c.Reason) {
			return nil, ErrLookupReason
		}
	default:
		return nil, ErrMayNotLookUp
	}
	e := Named{
		Access: c.Access, Citizen: c.Citizen, Role: c.By.Role, Organisation: c.By.Organisation,
		Purpose: c.Purpose, Procedure: c.Procedure, Reason: c.Reason, At: c.At,
	}
	if c.CaseReference != "" && !c.Citizen.IsZero() {
		e.Case, e.Personal = true, &AuthorizedPersonal{CaseReference: c.CaseReference}
	}
	if s.Lookups.has(e) {
		return nil, nil
	}
	return []Event{e}, nil
}

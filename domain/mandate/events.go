package mandate

import (
	"time"

	"coffre/domain"
	"coffre/domain/registry"
)

// Event is one of the facts of a mandate's stream, mandate-{id}, which is sealed
// for the represented person and holds nothing personal of the representative.
type Event interface{ MandateEvent() }

// Ground is why one person represents another.
type Ground string

const (
	ParentOfMinor    Ground = "parentOfMinor"    // from the authentic source of parentage; ends at 18
	AppointedByCourt Ground = "appointedByCourt" // from the authentic source of courts' appointments
	Representation   Ground = "representation"   // granted by the represented citizen
)

// Action is one of those a representative may take.
type Action string

const (
	Read    Action = "read"    // see the documents in scope in their own wallet
	Consent Action = "consent" // grant, refuse and withdraw consents about them
)

// Scope limits a mandate. No Types means every type.
type Scope struct {
	Types   []domain.DocumentType `json:"types,omitempty"`
	Actions []Action              `json:"actions"`
}

// Granted records that Representative may act for Citizen within Scope once it is
// accepted.
type Granted struct {
	Mandate        domain.MandateID    `json:"mandate"`
	Citizen        domain.CitizenID    `json:"citizen"` // the represented person
	Representative domain.CitizenID    `json:"representative"`
	Kind           Ground              `json:"kind"`
	Scope          Scope               `json:"scope"`
	Source         domain.Organisation `json:"source,omitempty"` // the authentic source, when it granted
	At             time.Time           `json:"at"`

	Personal *GrantedPersonal `json:"-"`
}

// GrantedPersonal is sealed under the represented person's key: the end of a
// parent's mandate is the child's eighteenth birthday.
type GrantedPersonal struct {
	Until domain.Date `json:"until,omitempty"` // first day on which it no longer holds; absent: no end
	// Born is the earliest day on which a minor can have been born, by the source and by the
	// national number. It is absent in other mandates, and in those of parents from before it
	// was recorded, whose Until tells it.
	Born domain.Date `json:"born,omitempty"`
}

// born returns the earliest day of birth that a parent's mandate tells; "" when it tells none.
func (p GrantedPersonal) born() domain.Date {
	if !p.Born.IsZero() {
		return p.Born
	}
	born := p.Until.AddYears(-registry.Majority)
	if eve := born.AddDays(-1); !eve.IsZero() && !eve.AddYears(registry.Majority).Before(p.Until) {
		return eve // 29 February: of two days of birth with one eighteenth birthday the earlier
	}
	return born
}

// Accepted records that the representative agrees; for parents the authentic source
// vouches.
type Accepted struct {
	Mandate domain.MandateID `json:"mandate"`
	At      time.Time        `json:"at"`
}

// Ended records that the mandate holds no longer.
type Ended struct {
	Mandate domain.MandateID  `json:"mandate"`
	Reason  domain.ReasonCode `json:"reason"` // "byCitizen", "byRepresentative", "majority", "death", "decision", "notMinor"
	At      time.Time         `json:"at"`
}

func (Granted) MandateEvent()  {}
func (Accepted) MandateEvent() {}
func (Ended) MandateEvent()    {}

package consent

import (
	"time"

	"coffre/domain"
)

// Event is one of the facts of a consent's stream, consent-{id}. The access
// package's Authorized is one too: use and withdrawal are ordered by the store.
type Event interface{ ConsentEvent() }

// Terms are what a consent covers (rule C-2). Either Documents or Types is set.
type Terms struct {
	Consumer  domain.Organisation   `json:"consumer"`
	Purpose   domain.Purpose        `json:"purpose"`
	Documents []domain.DocumentID   `json:"documents,omitempty"`
	Types     []domain.DocumentType `json:"types,omitempty"`
	Fields    []domain.Field        `json:"fields,omitempty"` // empty: every field
	Until     time.Time             `json:"until"`            // exclusive
	Limits    Limits                `json:"limits,omitzero"`
}

// Limits bound the use of a consent; zero members do not limit.
type Limits struct {
	Uses      int       `json:"uses,omitempty"`     // accesses in all
	Frequency Frequency `json:"frequency,omitzero"` // accesses per period
	DataLife  int       `json:"dataLife,omitempty"` // days the consumer may keep what it read
}

// Frequency limits uses in any rolling period.
type Frequency struct {
	Uses int    `json:"uses"`
	Per  Period `json:"per"`
}

// Period of a frequency, counted back from the moment of the decision.
type Period string

const (
	Day   Period = "day"   // 24 hours
	Week  Period = "week"  // 7 × 24 hours
	Month Period = "month" // 30 × 24 hours
)

// Requested records that a consumer asks a citizen for their consent. A request to somebody
// whom the vault does not know, or who cannot answer, names nobody and is recorded alike, so
// that its consumer sees it wait as any other (rule A-6).
type Requested struct {
	Consent domain.ConsentID `json:"consent"`
	Citizen domain.CitizenID `json:"citizen,omitzero"` // absent: it reached nobody
	Terms   Terms            `json:"terms"`
	// Tracked says that the consumer may see the request wait. It is false in the form from
	// before requests that reached nobody were recorded alike.
	Tracked bool      `json:"tracked,omitempty"`
	At      time.Time `json:"at"`

	Personal *RequestedPersonal `json:"-"`
}

// RequestedPersonal is sealed under the consent's content key.
type RequestedPersonal struct {
	Message string `json:"message,omitempty"`
}

// Granted records that the citizen, or a mandated representative, agrees.
type Granted struct {
	Consent domain.ConsentID `json:"consent"`
	Citizen domain.CitizenID `json:"citizen"`
	Terms   Terms            `json:"terms"`
	Mandate domain.MandateID `json:"mandate,omitzero"` // under which a representative acted
	// DocumentTypes are the types of the documents that Terms names, each once, so that a reader
	// of this event alone can tell them. It is absent where Terms names types, and in the form
	// from before types were recorded.
	DocumentTypes []domain.DocumentType `json:"documentTypes,omitempty"`
	// Renews is the consent in whose place this one was given (rule C-8); absent of a first one.
	Renews domain.ConsentID `json:"renews,omitzero"`
	At     time.Time        `json:"at"`

	Personal *GrantedPersonal `json:"-"`
}

// GrantedPersonal keeps what the citizen was shown (rule C-5), sealed.
type GrantedPersonal struct {
	Shown Shown `json:"shown"`
}

// Shown is the text under which consent was given.
type Shown struct {
	Text     string          `json:"text"`
	Language domain.Language `json:"language"`
	Version  string          `json:"version"`
}

// Refused records that the citizen says no to a request.
type Refused struct {
	Consent domain.ConsentID `json:"consent"`
	Mandate domain.MandateID `json:"mandate,omitzero"`
	At      time.Time        `json:"at"`
}

// Withdrawn records that the citizen takes the consent back: from here no access is
// authorised (rule C-4).
type Withdrawn struct {
	Consent domain.ConsentID  `json:"consent"`
	Mandate domain.MandateID  `json:"mandate,omitzero"`
	Reason  domain.ReasonCode `json:"reason,omitempty"` // "citizen", "death" or "renewed"
	At      time.Time         `json:"at"`
}

func (Requested) ConsentEvent() {}
func (Granted) ConsentEvent()   {}
func (Refused) ConsentEvent()   {}
func (Withdrawn) ConsentEvent() {}

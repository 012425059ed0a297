package access

import (
	"time"

	"coffre/domain"
)

// Event is one of the facts of an access stream, access-{citizenId}-{yyyymm}.
// Authorized also stands in consent-{id} when a consent is its basis.
type Event interface{ AccessEvent() }

// RefusalEvent is the fact of a refusal stream, refusal-{organisation}-{yyyymmdd}.
type RefusalEvent interface{ RefusalEvent() }

// Opened says what was opened.
type Opened string

const (
	OpenedDocument            Opened = "document"            // the content a basis covers
	OpenedPredicate           Opened = "predicate"           // one question answered from the content
	OpenedWallet              Opened = "wallet"              // a representative looked at the wallet
	OpenedReadBack            Opened = "readBack"            // the issuer read what it issued
	OpenedVersions            Opened = "versions"            // earlier versions were read
	OpenedAttachment          Opened = "attachment"          // a file of the document
	OpenedSubjectAccessReport Opened = "subjectAccessReport" // GDPR art. 15
	OpenedExport              Opened = "export"              // opened into a file
	OpenedDelivery            Opened = "delivery"            // a reactor opened it to send it
	OpenedPresence            Opened = "presence"            // nothing: a consumer was told what is held (Told)
	OpenedLookup              Opened = "lookup"              // nothing: somebody found the citizen by number (Named)
)

// Authorized records that a disclosure was lawful when decided, before a byte leaves
// (rule A-1). Exactly one of Consent, LegalBasis and Mandate names the basis; an
// issuer's reading of its own document has none.
type Authorized struct {
	Access   domain.AccessID     `json:"access"`
	Citizen  domain.CitizenID    `json:"citizen"`
	Kind     Opened              `json:"kind"`
	Role     domain.Role         `json:"role"`
	Consumer domain.Organisation `json:"consumer,omitempty"`
	// Reader is the representative who reads for the citizen, when Mandate is the basis.
	Reader     domain.CitizenID    `json:"reader,omitzero"`
	Document   domain.DocumentID   `json:"document,omitzero"`
	Attachment domain.AttachmentID `json:"attachment,omitzero"` // for OpenedAttachment
	// Version is the one that is opened; for OpenedVersions without a choice, the last one.
	Version      int                 `json:"version,omitempty"`
	Type         domain.DocumentType `json:"type,omitempty"`
	Purpose      domain.Purpose      `json:"purpose,omitempty"`
	Procedure    domain.Procedure    `json:"procedure,omitempty"`
	Consent      domain.ConsentID    `json:"consent,omitzero"`
	LegalBasis   domain.LegalBasis   `json:"legalBasis,omitempty"`
	Deliberation domain.Deliberation `json:"deliberation,omitempty"`
	Mandate      domain.MandateID    `json:"mandate,omitzero"`
	Fields       []domain.Field      `json:"fields,omitempty"`
	Predicate    string              `json:"predicate,omitempty"`
	// Investigation is the one under which a consumer reads by law, hidden until it is lifted.
	Investigation domain.InvestigationID `json:"investigation,omitzero"`
	// Attempt counts disclosures under one authorisation from 1; a lawful repeat
	// within five minutes adds an attempt and no use.
	Attempt int       `json:"attempt"`
	At      time.Time `json:"at"`

	Personal *AuthorizedPersonal `json:"-"`
}

// AuthorizedPersonal is sealed under the key of the stream it stands in.
type AuthorizedPersonal struct {
	CaseReference string `json:"caseReference,omitempty"`
}

// Outcome says what became of an authorised access.
type Outcome string

const (
	Delivered Outcome = "disclosed" // the answer was handed to the network
	Withheld  Outcome = "withheld"  // something changed between the decision and the opening
	Failed    Outcome = "failed"    // it could not be opened
)

// Disclosed tells what became of an access, or of what was to be told. An Authorized, Told
// or Named without it is shown as "may have been disclosed". Citizen is absent where it is
// absent from Told.
type Disclosed struct {
	Access  domain.AccessID   `json:"access"`
	Citizen domain.CitizenID  `json:"citizen,omitzero"`
	Outcome Outcome           `json:"outcome"`
	Reason  domain.ReasonCode `json:"reason,omitempty"`
	Attempt int               `json:"attempt"`
	At      time.Time         `json:"at"`
}

// Told records that a consumer learns whether documents are held, and in which state,
// and nothing that stands in them; once per query, before it is told (rule A-10). It is
// no use of a consent. Citizen is absent when the vault knows nobody by the number or
// reference that was asked about; nothing in the fact then says whom the query meant.
type Told struct {
	Access       domain.AccessID     `json:"access"`
	Citizen      domain.CitizenID    `json:"citizen,omitzero"`
	Consumer     domain.Organisation `json:"consumer"`
	Purpose      domain.Purpose      `json:"purpose"`
	Procedure    domain.Procedure    `json:"procedure,omitempty"`
	Consent      domain.ConsentID    `json:"consent,omitzero"`
	LegalBasis   domain.LegalBasis   `json:"legalBasis,omitempty"`
	Deliberation domain.Deliberation `json:"deliberation,omitempty"`
	Answers      []Answer            `json:"answers"`
	// Investigation is as in Authorized; absent of nobody, too, from whom nothing is hidden.
	Investigation domain.InvestigationID `json:"investigation,omitzero"`
	At            time.Time              `json:"at"`

	Personal *AuthorizedPersonal `json:"-"`
}

// Named records that an organisation or a privacy officer finds a citizen by their number
// and gets the id by which to name them from now on, before it is told (rule A-11). Citizen
// is absent when the vault knows nobody by the number; nothing in the fact then says whom
// the look-up meant.
type Named struct {
	Access       domain.AccessID     `json:"access"`
	Citizen      domain.CitizenID    `json:"citizen,omitzero"`
	Role         domain.Role         `json:"role"`
	Organisation domain.Organisation `json:"organisation,omitempty"`
	Purpose      domain.Purpose      `json:"purpose,omitempty"`
	Procedure    domain.Procedure    `json:"procedure,omitempty"`
	Reason       domain.ReasonCode   `json:"reason,omitempty"` // of a privacy officer: one of LookupReasons
	Case         bool                `json:"case,omitempty"`   // a case was named, which is sealed
	At           time.Time           `json:"at"`

	Personal *AuthorizedPersonal `json:"-"`
}

// Refused records that somebody asked to read and was refused (rule A-3). Citizen is
// absent when nobody by that number is known. Count is above 1 when refusals of one
// minute were aggregated.
type Refused struct {
	Consumer  domain.Organisation `json:"consumer"`
	Citizen   domain.CitizenID    `json:"citizen,omitzero"`
	Document  domain.DocumentID   `json:"document,omitzero"`
	Type      domain.DocumentType `json:"type,omitempty"`
	Purpose   domain.Purpose      `json:"purpose,omitempty"`
	Procedure domain.Procedure    `json:"procedure,omitempty"`
	Reason    domain.ReasonCode   `json:"reason"` // the refusal's slug
	Count     int                 `json:"count"`
	// Investigation is the one under which the consumer asked, if it stands; hidden until it is lifted.
	Investigation domain.InvestigationID `json:"investigation,omitzero"`
	At            time.Time              `json:"at"`
}

func (Authorized) AccessEvent() {}
func (Disclosed) AccessEvent()  {}
func (Told) AccessEvent()       {}
func (Named) AccessEvent()      {}
func (Refused) RefusalEvent()   {}

// ConsentEvent lets an authorisation under a consent stand in the consent's own
// stream, where the store orders use against withdrawal.
func (Authorized) ConsentEvent() {}

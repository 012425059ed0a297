package api

import (
	"fmt"
	"time"

	"coffre/handlers/contract"
	"coffre/projections/consentlog"
	"coffre/projections/vocabulary"
)

// The consent record and receipt of ISO/IEC TS 27560:2023, in the standard's own
// names. Members that are optional there and say nothing here are left out.

const (
	isoRecord  = "https://w3id.org/dpv/schema/dpv-27560#record"
	isoReceipt = "https://w3id.org/dpv/schema/dpv-27560#receipt"
)

type isoConsent struct {
	Receipt    isoReceiptHead `json:"receipt"`
	Schema     string         `json:"schema_version"`
	Record     string         `json:"record_id"`
	Principal  string         `json:"pii_principal_id"`
	Processing isoProcessing  `json:"pii_processing"`
	Parties    []isoParty     `json:"party_identification"`
	Events     []isoEvent     `json:"event"`

	InLog contract.RecordInLog `json:"inLog,omitzero"` // a member of our own
}

type isoReceiptHead struct {
	ID     string `json:"receipt_id"`
	Schema string `json:"schema_version"`
}

type isoProcessing struct {
	Notice       isoNotice        `json:"privacy_notice"`
	Language     string           `json:"language"`
	Purposes     []isoPurpose     `json:"purposes"`
	Information  []isoInformation `json:"pii_information"`
	Controllers  []string         `json:"pii_controllers"`
	Collection   string           `json:"collection_method"`
	Method       string           `json:"processing_method"`
	Storage      []string         `json:"storage_locations"`
	Retention    string           `json:"retention_period"`
	Jurisdiction string           `json:"jurisdiction"`
	Recipients   []string         `json:"recipient_third_parties"`
	Withdrawal   string           `json:"withdrawal_method"`
	Rights       []string         `json:"privacy_rights"`
	Authority    string           `json:"authority_party"`
}

// isoNotice is the notice that the citizen was shown; without text when that was erased or
// cannot be opened now.
type isoNotice struct {
	URL  string             `json:"url"`
	Text contract.ShownText `json:"shown,omitzero"`
}

type isoPurpose struct {
	Purpose string   `json:"purpose"`
	Types   []string `json:"purpose_type"`
	Basis   string   `json:"lawful_basis"`
}

type isoInformation struct {
	Type       string   `json:"pii_type"`
	Attributes []string `json:"pii_attribute_id,omitempty"`
	Optional   bool     `json:"pii_optional"`
	Sensitive  bool     `json:"sensitive_pii_category"`
	Special    bool     `json:"special_pii_category"`
}

type isoParty struct {
	ID      string `json:"party_id"`
	Type    string `json:"party_type"`
	Role    string `json:"party_role"`
	Name    string `json:"party_name"`
	Address string `json:"party_address"`
	Contact string `json:"party_contact"`
	Email   string `json:"party_email,omitempty"`
	URL     string `json:"party_url,omitempty"`
}

type isoEvent struct {
	Time     time.Time `json:"event_time"`
	Validity string    `json:"validity_duration"`
	Entity   string    `json:"entity_id"`
	Type     string    `json:"event_type"`
	State    string    `json:"event_state"`
}

// isoStates are the standard's words for the states of a consent.
var isoStates = map[consentlog.State]string{
	consentlog.IsRequested: "Requested", consentlog.IsRefused: "Refused", consentlog.IsWithdrawn: "Withdrawn",
	consentlog.IsExpired: "Expired", consentlog.IsExhausted: "Terminated", consentlog.IsGranted: "ConsentGiven",
}

// authority is the supervisory authority of Belgium.
var authority = isoParty{
	ID: "be-dpa", Type: "SupervisoryAuthority", Role: "authority", Name: "Belgian Data Protection Authority",
	Address: "Drukpersstraat 35, 1000 Brussels, BE", Contact: "contact@apd-gba.be", Email: "contact@apd-gba.be",
	URL: "https://www.dataprotectionauthority.be",
}

var rights = []string{
	"access (GDPR art. 15)", "rectification (art. 16)", "erasure (art. 17)", "restriction (art. 18)", "withdrawal of consent (art. 7(3))",
	"complaint (art. 77)",
}

// iso27560 returns the record and receipt of ISO/IEC TS 27560:2023.
func (f receiptFacts) iso27560() isoConsent {
	id, subject, consumer := f.Consent.Consent.String(), f.Citizen.String(), string(f.Terms.Consumer)
	out := isoConsent{
		Receipt: isoReceiptHead{id, isoReceipt}, Schema: isoRecord, Record: id, Principal: subject,
		Processing: isoProcessing{
			Notice: isoNotice{f.consumer.Contact.URL, f.shown}, Language: string(f.lang),
			Purposes:    []isoPurpose{{f.purpose(), f.categories(), "consent (GDPR art. 6(1)(a))"}},
			Controllers: []string{consumer}, Collection: collectionMethod, Method: "read from the vault, each reading on record",
			Storage: []string{country}, Retention: f.dataLife(), Jurisdiction: country, Recipients: []string{},
			Withdrawal: "in the wallet, or POST " + contract.ConsentHref(f.Consent.Consent) + "/withdraw", Rights: rights, Authority: authority.ID,
		},
		Parties: []isoParty{
			{ID: consumer, Type: "Organisation", Role: "pii_controller", Name: f.controller(), Address: country,
				Contact: f.consumer.Contact.Email, Email: f.consumer.Contact.Email, URL: f.consumer.Contact.URL},
			authority,
		},
		Events: f.isoEvents(subject, consumer), InLog: f.inLog,
	}
	for _, t := range f.types {
		information := isoInformation{Type: f.words.Label(vocabulary.DocumentTypes, string(t.Name), f.lang)}
		for _, field := range f.Terms.Fields {
			information.Attributes = append(information.Attributes, string(field))
		}
		for _, c := range f.words.Registry().Categories {
			for _, of := range t.Categories {
				information.Special = information.Special || of == c.Code && c.Sensitive
			}
		}
		information.Sensitive = information.Special
		out.Processing.Information = append(out.Processing.Information, information)
	}
	return out
}

func (f receiptFacts) isoEvents(subject, consumer string) []isoEvent {
	until := f.Terms.Until.UTC().Format(time.RFC3339)
	var all []isoEvent
	if !f.RequestedAt.IsZero() {
		all = append(all, isoEvent{f.RequestedAt, until, consumer, "Explicit", "Requested"})
	}
	by := subject
	if !f.Mandate.IsZero() {
		by = "mandate " + f.Mandate.String()
	}
	all = append(all, isoEvent{f.GrantedAt, until, by, "Explicit", "ConsentGiven"})
	switch state := isoStates[f.State]; f.State {
	case consentlog.IsWithdrawn:
		all = append(all, isoEvent{f.EndedAt, until, subject, "Explicit", state})
	case consentlog.IsExpired:
		all = append(all, isoEvent{f.Terms.Until.UTC(), until, subject, "Implicit", state})
	case consentlog.IsExhausted:
		all = append(all, isoEvent{f.GrantedAt, until, consumer, "Implicit", state})
	}
	return all
}

// dataLife returns the time for which the consumer may keep the data that it read.
func (f receiptFacts) dataLife() string {
	if days := f.Terms.Limits.DataLife; days > 0 {
		return fmt.Sprintf("P%dD from each reading", days)
	}
	return "as long as the purpose needs"
}

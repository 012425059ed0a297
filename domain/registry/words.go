package registry

import (
	"slices"

	"coffre/domain"
)

// Labels says one thing in the languages of Belgium and in English. Each is
// present (rule R-4), at most MaxLabel bytes.
type Labels struct {
	NL string `json:"nl"`
	FR string `json:"fr"`
	DE string `json:"de"`
	EN string `json:"en"`
}

// Registry is everything that is published at once. Its lists are sorted by
// code, which is how two registries are compared.
type Registry struct {
	Organisations []Organisation `json:"organisations,omitempty"`
	DocumentTypes []DocumentType `json:"documentTypes,omitempty"`
	Procedures    []Procedure    `json:"procedures,omitempty"`
	Purposes      []Purpose      `json:"purposes,omitempty"`
	Finalities    []Finality     `json:"finalities,omitempty"`
	LegalBases    []LegalBasis   `json:"legalBases,omitempty"`
	Categories    []Category     `json:"dataCategories,omitempty"`
	Reasons       []Reason       `json:"reasons,omitempty"`
	Languages     []Language     `json:"languages,omitempty"`
	ConsentTexts  []ConsentText  `json:"consentTexts,omitempty"`
	Settings      Settings       `json:"settings,omitzero"`
}

// Organisation is an administration or another legal person that issues or reads.
type Organisation struct {
	Number        domain.Organisation `json:"number"`
	Names         Labels              `json:"names"`
	Contact       Contact             `json:"contact"`
	Registrations []Registration      `json:"registrations,omitempty"`
	// Attests are the facts about persons that it may state (rule R-13).
	Attests []Attestation `json:"attests,omitempty"`
	// DailyQuota is how many distinct citizens the organisation may read per day
	// (rule A-7). A consumer has at least 1; 0 means that it reads nobody.
	DailyQuota int `json:"dailyQuota,omitzero"`
	// Retired says that the organisation issues and reads no more; what it issued stays.
	Retired bool `json:"retired,omitzero"`
}

// Contact is where a citizen asks about what an organisation did. Both are present.
type Contact struct {
	Email string `json:"email"`
	URL   string `json:"url"`
}

// Registration lets a consumer read types of document for one purpose. A
// consumer may have several for one purpose: each deliberation covers its types.
type Registration struct {
	Purpose domain.Purpose        `json:"purpose"`
	Types   []domain.DocumentType `json:"documentTypes"`
	// Procedures in which a consumer reads by law, one of which it names; none where it reads
	// outside any and names none.
	Procedures []domain.Procedure `json:"procedures,omitempty"`
	// Bases by law (rule A-4). Empty: only with the citizen's consent.
	Bases []Basis `json:"bases,omitempty"`
	// Consent says that the citizen may be asked to consent to this purpose.
	Consent bool `json:"consent,omitzero"`
}

// CoversProcedure reports whether a reading by law in a procedure, "" for none, is covered:
// the procedure is listed, or none is named and none listed (rule A-4).
func (r Registration) CoversProcedure(p domain.Procedure) bool {
	if len(r.Procedures) == 0 {
		return p == ""
	}
	return slices.Contains(r.Procedures, p)
}

// Basis is a ground in law with the number of the deliberation that allows it.
type Basis struct {
	LegalBasis   domain.LegalBasis   `json:"legalBasis"`
	Deliberation domain.Deliberation `json:"deliberation"`
	// DespiteRestriction is the ground on which it lets the consumer read where processing is
	// restricted (rule P-5); "" means that it does not.
	DespiteRestriction RestrictionGround `json:"despiteRestriction,omitempty"`
	// HidesForDays is for how many days at most, 1 to MaxHidden, the consumer may hide what it
	// reads under an investigation, before it renews it (rule H-1); 0 means that it may not.
	HidesForDays int `json:"hidesForDays,omitzero"`
}

// RestrictionGround is one of the grounds of GDPR art. 18(2) on which data whose processing
// is restricted may be processed without the citizen's consent.
type RestrictionGround string

const (
	LegalClaims    RestrictionGround = "legalClaims"    // their establishment, exercise or defence
	RightsOfOthers RestrictionGround = "rightsOfOthers" // protection of another natural or legal person
	PublicInterest RestrictionGround = "publicInterest" // an important one, of the Union or a member state
)

// restrictionGrounds lists every ground, and that there is none.
var restrictionGrounds = []RestrictionGround{"", LegalClaims, RightsOfOthers, PublicInterest}

// DocumentType says what a kind of document is and how it is treated.
type DocumentType struct {
	Name         domain.DocumentType   `json:"name"`
	Labels       Labels                `json:"labels"`
	Descriptions Labels                `json:"descriptions"`
	Categories   []domain.DataCategory `json:"dataCategories"`
	// Issuers are the authentic sources (rule D-1): who may issue such documents.
	Issuers []domain.Organisation `json:"issuers"`
	// Schema is the JSON Schema (2020-12) of the content, closed: what it does not
	// name is refused (rule D-5). Kept in the form of RFC 8785.
	Schema    domain.JSON `json:"schema"`
	Retention Retention   `json:"retention"`
	// ValidityIsPersonal says that the dates of validity betray the citizen's age, so they
	// are sealed with the content.
	ValidityIsPersonal bool        `json:"validityIsPersonal,omitzero"`
	Holders            Holders     `json:"holders,omitzero"`
	Minimum            []Minimum   `json:"minimum,omitempty"`
	Predicates         []Predicate `json:"predicates,omitempty"`
	// Retired says that no new document is issued; existing ones live on.
	Retired bool `json:"retired,omitzero"`
}

// RetentionFrom says from which of a document's dates its retention runs.
type RetentionFrom string

const (
	FromIssue RetentionFrom = "issued" // from the day it was issued
	FromEnd   RetentionFrom = "ended"  // from the end of its validity or its revocation, whichever is first
)

// Disposal is what happens when retention ends, in words of the Belgian
// vocabulary "retention".
type Disposal string

const (
	Destroy Disposal = "DESTROY"
	Archive Disposal = "ARCHIVE"
)

// Retention says how long a document is kept, by which rule, and then.
type Retention struct {
	Years int           `json:"years"` // whole years, 1 to MaxYears
	From  RetentionFrom `json:"from"`
	// Rule is the reason of kind ReasonRetention that says where the term comes from.
	Rule domain.ReasonCode `json:"rule"`
	Then Disposal          `json:"then"`
	// Duty says that the law obliges to keep the document, so that erasure is refused
	// until then (rule E-1).
	Duty bool `json:"duty,omitzero"`
}

// Until returns the day on which a document's retention is over, or "" while it does
// not run yet: retention from the end of a document that has not ended.
func (r Retention) Until(issued, ended domain.Date) domain.Date {
	from := issued
	if r.From == FromEnd {
		from = ended
	}
	if from.IsZero() {
		return ""
	}
	return from.AddYears(r.Years)
}

// Holders says who besides the subject sees the document in their wallet.
type Holders struct {
	// ParentsUntil is the age in years until which the parents hold it too
	// (rule M-1): at most 18. 0 means the subject alone.
	ParentsUntil int `json:"parentsUntil,omitzero"`
}

// Minimum is all that a reader for a purpose, or for one procedure of it, may
// learn from a document of this type (rule A-2): fields, or answers only.
type Minimum struct {
	Purpose    domain.Purpose   `json:"purpose"`
	Procedure  domain.Procedure `json:"procedure,omitempty"` // "" means whatever the procedure
	Fields     []domain.Field   `json:"fields,omitempty"`
	Predicates []PredicateName  `json:"predicates,omitempty"`
}

// Attachments is the field that stands, in a minimum and in a consent, for the
// files of a document. No schema declares a member of that name.
const Attachments domain.Field = "attachments"

// PredicateName is the name of a yes-or-no question a type answers, "ageOver18".
type PredicateName string

// Predicate is such a question with how it is computed from the content. Exactly
// one way is present; there is only one so far.
type Predicate struct {
	Name       PredicateName `json:"name"`
	Labels     Labels        `json:"labels"`
	AgeAtLeast AgeAtLeast    `json:"ageAtLeast"`
}

// AgeAtLeast is true from the day on which the person born on the date in Field
// has lived that many years.
type AgeAtLeast struct {
	Field domain.Field `json:"field"`
	Years int          `json:"years"` // 1 to MaxYears
}

// Procedure is an administrative procedure in which a consumer reads.
type Procedure struct {
	Code    domain.Procedure `json:"code"`
	Labels  Labels           `json:"labels"`
	Retired bool             `json:"retired,omitzero"`
}

// Purpose is why data is used, with the Belgian finalities it falls under, at
// least one.
type Purpose struct {
	Code       domain.Purpose `json:"code"`
	Labels     Labels         `json:"labels"`
	Finalities []FinalityCode `json:"finalities"`
	Retired    bool           `json:"retired,omitzero"`
}

// FinalityCode is a code of the Belgian vocabulary "gdpr-finality".
type FinalityCode string

// Finality is a kind of purpose in words that all administrations share.
type Finality struct {
	Code    FinalityCode `json:"code"`
	Labels  Labels       `json:"labels"`
	Retired bool         `json:"retired,omitzero"`
}

// LegalBasis is a ground of GDPR article 6, with its code in the Belgian
// vocabulary "gdpr-juridical".
type LegalBasis struct {
	Code      domain.LegalBasis `json:"code"`
	Labels    Labels            `json:"labels"`
	Article   string            `json:"article"` // "6(1)(a)" to "6(1)(f)"
	Juridical string            `json:"juridical"`
	Retired   bool              `json:"retired,omitzero"`
}

// ConsentArticle is the ground that no deliberation can replace: the citizen's consent.
const ConsentArticle = "6(1)(a)"

// Category is a category of personal data of the Belgian vocabulary "gdpr-category".
type Category struct {
	Code   domain.DataCategory `json:"code"`
	Labels Labels              `json:"labels"`
	// Sensitive marks a special category (GDPR art. 9) or criminal data (art. 10).
	Sensitive bool `json:"sensitive,omitzero"`
	Retired   bool `json:"retired,omitzero"`
}

// ReasonKind is what a reason is a reason for.
type ReasonKind string

const (
	ReasonUpdate        ReasonKind = "update"
	ReasonRevocation    ReasonKind = "revocation"
	ReasonSuspension    ReasonKind = "suspension"
	ReasonReinstatement ReasonKind = "reinstatement"
	ReasonRefusal       ReasonKind = "refusal"
	ReasonWithdrawal    ReasonKind = "withdrawal"
	ReasonMandateEnd    ReasonKind = "mandateEnd"
	ReasonErasure       ReasonKind = "erasure"
	ReasonLegalHold     ReasonKind = "legalHold"
	ReasonRetention     ReasonKind = "retention"
	ReasonRestriction   ReasonKind = "restriction"
	ReasonInvestigation ReasonKind = "investigation"
)

// ReasonKinds lists every kind.
var ReasonKinds = []ReasonKind{
	ReasonUpdate, ReasonRevocation, ReasonSuspension, ReasonReinstatement, ReasonRefusal,
	ReasonWithdrawal, ReasonMandateEnd, ReasonErasure, ReasonLegalHold, ReasonRetention, ReasonRestriction,
	ReasonInvestigation,
}

// Reason is a reason that may be given; its code is unique within its kind.
type Reason struct {
	Kind    ReasonKind        `json:"kind"`
	Code    domain.ReasonCode `json:"code"`
	Labels  Labels            `json:"labels"`
	Retired bool              `json:"retired,omitzero"`
}

// Language is a language in which people are spoken to: nl, fr, de, en, all four.
type Language struct {
	Code   domain.Language `json:"code"`
	Labels Labels          `json:"labels"`
}

// ConsentText is a text that citizens are shown before they consent to a purpose, in one of
// its versions. A consent is recorded only with the words of such a text (rule C-5).
type ConsentText struct {
	Purpose domain.Purpose `json:"purpose"`
	Version string         `json:"version"`
	// Texts are at most MaxText bytes each. Where one says {consumer} or {purpose}, the
	// citizen is shown the name of the organisation or the label of the purpose.
	Texts   Labels `json:"texts"`
	Retired bool   `json:"retired,omitzero"`
}

// The places in a consent text that are filled in. Both get words of the registry, so that a
// text never holds anything personal.
const (
	ConsumerPlace = "{consumer}"
	PurposePlace  = "{purpose}"
)

package codec

import (
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/audit"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/domain/mandate"
	"coffre/domain/petition"
	"coffre/domain/registry"
)

// Forms that are no longer written, as they were.

// issuedV1 is document.issued before documents had attachments.
type issuedV1 struct {
	Document         domain.DocumentID     `json:"document"`
	Citizen          domain.CitizenID      `json:"citizen"`
	Type             domain.DocumentType   `json:"type"`
	Issuer           domain.Organisation   `json:"issuer"`
	ValidFrom        domain.Date           `json:"validFrom,omitempty"`
	ValidUntil       domain.Date           `json:"validUntil,omitempty"`
	PersonalValidity bool                  `json:"personalValidity,omitempty"`
	Categories       []domain.DataCategory `json:"categories,omitempty"`
	Tag              document.Tag          `json:"tag"`
	At               time.Time             `json:"at"`

	Personal *issuedPersonalV1 `json:"-"`
}

type issuedPersonalV1 struct {
	SourceReference string      `json:"sourceReference"`
	Content         domain.JSON `json:"content"`
	ValidFrom       domain.Date `json:"validFrom,omitempty"`
	ValidUntil      domain.Date `json:"validUntil,omitempty"`
}

func (o issuedV1) today() any {
	e := document.Issued{
		Document: o.Document, Citizen: o.Citizen, Type: o.Type, Issuer: o.Issuer, ValidFrom: o.ValidFrom, ValidUntil: o.ValidUntil,
		PersonalValidity: o.PersonalValidity, Categories: o.Categories, Tag: o.Tag, At: o.At,
	}
	if p := o.Personal; p != nil {
		e.Personal = &document.IssuedPersonal{SourceReference: p.SourceReference, Content: p.Content, ValidFrom: p.ValidFrom, ValidUntil: p.ValidUntil}
	}
	return e
}

// updatedV1 is document.updated before documents had attachments.
type updatedV1 struct {
	Document      domain.DocumentID `json:"document"`
	Version       int               `json:"version"`
	Replaces      int               `json:"replaces"`
	Reason        domain.ReasonCode `json:"reason,omitempty"`
	EffectiveFrom domain.Date       `json:"effectiveFrom,omitempty"`
	ValidFrom     domain.Date       `json:"validFrom,omitempty"`
	ValidUntil    domain.Date       `json:"validUntil,omitempty"`
	Tag           document.Tag      `json:"tag"`
	At            time.Time         `json:"at"`

	Personal *updatedPersonalV1 `json:"-"`
}

type updatedPersonalV1 struct {
	Content       domain.JSON `json:"content"`
	EffectiveFrom domain.Date `json:"effectiveFrom,omitempty"`
	ValidFrom     domain.Date `json:"validFrom,omitempty"`
	ValidUntil    domain.Date `json:"validUntil,omitempty"`
}

func (o updatedV1) today() any {
	e := document.Updated{
		Document: o.Document, Version: o.Version, Replaces: o.Replaces, Reason: o.Reason,
		EffectiveFrom: o.EffectiveFrom, ValidFrom: o.ValidFrom, ValidUntil: o.ValidUntil, Tag: o.Tag, At: o.At,
	}
	if p := o.Personal; p != nil {
		e.Personal = &document.UpdatedPersonal{Content: p.Content, EffectiveFrom: p.EffectiveFrom, ValidFrom: p.ValidFrom, ValidUntil: p.ValidUntil}
	}
	return e
}

// authorizedV1 is access.authorized before an access could name a file.
type authorizedV1 struct {
	Access       domain.AccessID     `json:"access"`
	Citizen      domain.CitizenID    `json:"citizen"`
	Kind         access.Opened       `json:"kind"`
	Role         domain.Role         `json:"role"`
	Consumer     domain.Organisation `json:"consumer,omitempty"`
	Reader       domain.CitizenID    `json:"reader,omitzero"`
	Document     domain.DocumentID   `json:"document,omitzero"`
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
	Attempt      int                 `json:"attempt"`
	At           time.Time           `json:"at"`

	Personal *access.AuthorizedPersonal `json:"-"`
}

func (o authorizedV1) today() any {
	return access.Authorized{
		Access: o.Access, Citizen: o.Citizen, Kind: o.Kind, Role: o.Role, Consumer: o.Consumer, Reader: o.Reader,
		Document: o.Document, Version: o.Version, Type: o.Type, Purpose: o.Purpose, Procedure: o.Procedure,
		Consent: o.Consent, LegalBasis: o.LegalBasis, Deliberation: o.Deliberation, Mandate: o.Mandate,
		Fields: o.Fields, Predicate: o.Predicate, Attempt: o.Attempt, At: o.At, Personal: o.Personal,
	}
}

// authorizedV2 is access.authorized before an access could stand under an investigation.
type authorizedV2 access.Authorized

func (o authorizedV2) today() any { return access.Authorized(o) }

// toldV1 is access.told before what is told could stand under an investigation.
type toldV1 access.Told

func (o toldV1) today() any { return access.Told(o) }

// refusedV1 is access.refused before what is refused could stand under an investigation.
type refusedV1 access.Refused

func (o refusedV1) today() any { return access.Refused(o) }

// disputedV1 is access.disputed before a representative could dispute.
type disputedV1 petition.Disputed

func (o disputedV1) today() any { return petition.Disputed(o) }

// petitionedV1 is petition.requested before a representative could ask.
type petitionedV1 petition.Requested

func (o petitionedV1) today() any { return petition.Requested(o) }

// operatedV1 is audit.operated before an act could say why in its request.
type operatedV1 audit.Operated

func (o operatedV1) today() any { return audit.Operated(o) }

// publishedV3 is registry.published before a basis could let accesses be hidden. Under it none
// is.
type publishedV3 registry.Published

func (o publishedV3) today() any { return registry.Published(o) }

// publishedV1 is registry.published before there were consent texts.
type publishedV1 struct {
	Version  domain.RegistryVersion `json:"version"`
	Registry registryV1             `json:"registry"`
}

type registryV1 struct {
	Organisations []organisationV2        `json:"organisations,omitempty"`
	DocumentTypes []registry.DocumentType `json:"documentTypes,omitempty"`
	Procedures    []registry.Procedure    `json:"procedures,omitempty"`
	Purposes      []registry.Purpose      `json:"purposes,omitempty"`
	Finalities    []registry.Finality     `json:"finalities,omitempty"`
	LegalBases    []registry.LegalBasis   `json:"legalBases,omitempty"`
	Categories    []registry.Category     `json:"dataCategories,omitempty"`
	Reasons       []registry.Reason       `json:"reasons,omitempty"`
	Languages     []registry.Language     `json:"languages,omitempty"`
}

func (o publishedV1) today() any {
	return registry.Published{Version: o.Version, Registry: o.Registry.today()}
}

func (r registryV1) today() registry.Registry {
	return registry.Registry{
		Organisations: organisationsToday(r.Organisations), DocumentTypes: r.DocumentTypes, Procedures: r.Procedures, Purposes: r.Purposes,
		Finalities: r.Finalities, LegalBases: r.LegalBases, Categories: r.Categories, Reasons: r.Reasons, Languages: r.Languages,
	}
}

// publishedV2 is registry.published before organisations had rights to attest facts about
// persons, and before there were settings. Under it nobody attests anything.
type publishedV2 struct {
	Version  domain.RegistryVersion `json:"version"`
	Registry registryV2             `json:"registry"`
}

type registryV2 struct {
	registryV1
	ConsentTexts []registry.ConsentText `json:"consentTexts,omitempty"`
}

func (o publishedV2) today() any {
	all := o.Registry.registryV1.today()
	all.ConsentTexts = o.Registry.ConsentTexts
	return registry.Published{Version: o.Version, Registry: all}
}

// organisationV2 is an organisation of both forms.
type organisationV2 struct {
	Number        domain.Organisation     `json:"number"`
	Names         registry.Labels         `json:"names"`
	Contact       registry.Contact        `json:"contact"`
	Registrations []registry.Registration `json:"registrations,omitempty"`
	DailyQuota    int                     `json:"dailyQuota,omitzero"`
	Retired       bool                    `json:"retired,omitzero"`
}

func organisationsToday(old []organisationV2) []registry.Organisation {
	if old == nil {
		return nil
	}
	all := make([]registry.Organisation, len(old))
	for i, o := range old {
		all[i] = registry.Organisation{Number: o.Number, Names: o.Names, Contact: o.Contact, Registrations: o.Registrations, DailyQuota: o.DailyQuota, Retired: o.Retired}
	}
	return all
}

// mandateV1 is mandate.granted before a parent's mandate told the child's day of birth.
type mandateV1 struct {
	Mandate        domain.MandateID    `json:"mandate"`
	Citizen        domain.CitizenID    `json:"citizen"`
	Representative domain.CitizenID    `json:"representative"`
	Kind           mandate.Ground      `json:"kind"`
	Scope          mandate.Scope       `json:"scope"`
	Source         domain.Organisation `json:"source,omitempty"`
	At             time.Time           `json:"at"`

	Personal *mandatePersonalV1 `json:"-"`
}

type mandatePersonalV1 struct {
	Until domain.Date `json:"until,omitempty"`
}

func (o mandateV1) today() any {
	e := mandate.Granted{
		Mandate: o.Mandate, Citizen: o.Citizen, Representative: o.Representative, Kind: o.Kind, Scope: o.Scope, Source: o.Source, At: o.At,
	}
	if p := o.Personal; p != nil {
		e.Personal = &mandate.GrantedPersonal{Until: p.Until}
	}
	return e
}

// requestedV1 is consent.requested before requests that reached nobody were recorded too.
type requestedV1 struct {
	Consent domain.ConsentID `json:"consent"`
	Citizen domain.CitizenID `json:"citizen"`
	Terms   consent.Terms    `json:"terms"`
	At      time.Time        `json:"at"`

	Personal *consent.RequestedPersonal `json:"-"`
}

func (o requestedV1) today() any {
	return consent.Requested{Consent: o.Consent, Citizen: o.Citizen, Terms: o.Terms, At: o.At, Personal: o.Personal}
}

// grantedV1 is consent.granted before it told the types of documents and what it renews.
type grantedV1 struct {
	Consent domain.ConsentID `json:"consent"`
	Citizen domain.CitizenID `json:"citizen"`
	Terms   consent.Terms    `json:"terms"`
	Mandate domain.MandateID `json:"mandate,omitzero"`
	At      time.Time        `json:"at"`

	Personal *consent.GrantedPersonal `json:"-"`
}

func (o grantedV1) today() any {
	return consent.Granted{Consent: o.Consent, Citizen: o.Citizen, Terms: o.Terms, Mandate: o.Mandate, At: o.At, Personal: o.Personal}
}

// logReadV1 is audit.log-read before a reading was narrowed to actors and a range of time.
type logReadV1 struct {
	Session  uuid.UUID `json:"session"`
	FromLeaf int64     `json:"fromLeaf"`
	Category string    `json:"category,omitempty"`
	Type     string    `json:"type,omitempty"`
	Stream   string    `json:"stream,omitempty"`
	At       time.Time `json:"at"`
}

func (o logReadV1) today() any {
	return audit.LogRead{Session: o.Session, FromLeaf: o.FromLeaf, Category: o.Category, Type: o.Type, Stream: o.Stream, At: o.At}
}

// exportCreatedV1 is audit.export-created before an export could be about one person, or of
// what was known at a moment.
type exportCreatedV1 struct {
	Export   uuid.UUID           `json:"export"`
	Kind     string              `json:"kind"`
	Format   string              `json:"format"`
	Consumer domain.Organisation `json:"consumer,omitempty"`
	Purpose  domain.Purpose      `json:"purpose,omitempty"`
	From     *time.Time          `json:"from,omitempty"`
	Until    *time.Time          `json:"until,omitempty"`
	Reason   domain.ReasonCode   `json:"reason,omitempty"`
	At       time.Time           `json:"at"`
}

func (o exportCreatedV1) today() any {
	return audit.ExportCreated{Export: o.Export, Kind: o.Kind, Format: o.Format, Consumer: o.Consumer, Purpose: o.Purpose, From: o.From, Until: o.Until, Reason: o.Reason, At: o.At}
}

// providerNamedV1 is audit.provider-named before the settings of a provider were on record
// and events about it had a proof.
type providerNamedV1 struct {
	Issuer string    `json:"issuer"`
	At     time.Time `json:"at"`
}

func (o providerNamedV1) today() any {
	return audit.ProviderNamed{Provider: audit.Provider{Issuer: o.Issuer}, At: o.At}
}

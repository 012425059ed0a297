package acting

import (
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/audit"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/domain/investigation"
	"coffre/domain/mandate"
	"coffre/domain/petition"
	"coffre/domain/registry"
	"coffre/domain/release"
	"coffre/domain/term"
	"coffre/eventstore"
)

// Citizens, Documents and the others are deciders, one for each category of streams: a
// decider folds the events of a stream into a state and appends what a command decides.
var (
	Citizens       = eventstore.Decider[citizen.State, citizen.Event]{Evolve: citizen.Evolve}
	Documents      = eventstore.Decider[document.State, document.Event]{Evolve: document.Evolve}
	Consents       = eventstore.Decider[consent.State, consent.Event]{Evolve: consent.Evolve}
	Accesses       = eventstore.Decider[access.State, access.Event]{Evolve: access.Evolve}
	Refusals       = eventstore.Decider[access.RefusalState, access.RefusalEvent]{Evolve: access.EvolveRefusals}
	Mandates       = eventstore.Decider[mandate.State, mandate.Event]{Evolve: mandate.Evolve}
	Registries     = eventstore.Decider[registry.State, registry.Event]{Evolve: registry.Evolve}
	Petitions      = eventstore.Decider[petition.State, petition.Event]{Evolve: petition.Evolve}
	Releases       = eventstore.Decider[release.State, release.Event]{Evolve: release.Evolve}
	Investigations = eventstore.Decider[investigation.State, investigation.Event]{Evolve: investigation.Evolve}
	Terms          = eventstore.Decider[term.State, term.Event]{Evolve: term.Evolve}
	Audits         = eventstore.Decider[audit.State, audit.Event]{Evolve: audit.Evolve}
)

// CitizenStream returns the stream of the facts about one person.
func CitizenStream(id domain.CitizenID) eventstore.Stream {
	return eventstore.Stream("citizen-" + id.String())
}

// DocumentStream returns the stream of the facts about one document.
func DocumentStream(id domain.DocumentID) eventstore.Stream {
	return eventstore.Stream("document-" + id.String())
}

// ConsentStream returns the stream of the facts about one consent, with every access
// under it. Every consent, and every request to nobody, has its own, so that requests to
// nobody wait for each other as little as requests to citizens do (rule A-9).
func ConsentStream(id domain.ConsentID) eventstore.Stream {
	return eventstore.Stream("consent-" + id.String())
}

// MandateStream returns the stream of the facts about one mandate.
func MandateStream(id domain.MandateID) eventstore.Stream {
	return eventstore.Stream("mandate-" + id.String())
}

// ReleaseStream returns the stream of the facts about one release of an erased person's
// number.
func ReleaseStream(id domain.ReleaseID) eventstore.Stream {
	return eventstore.Stream("release-" + id.String())
}

// PetitionStream returns the stream of the facts about one petition.
func PetitionStream(id domain.PetitionID) eventstore.Stream {
	return eventstore.Stream("petition-" + id.String())
}

// InvestigationStream returns the stream of the facts about one investigation.
func InvestigationStream(id domain.InvestigationID) eventstore.Stream {
	return eventstore.Stream("investigation-" + id.String())
}

// TermStream returns the stream of what was announced of the end of one document, consent or
// petition.
func TermStream(subject uuid.UUID) eventstore.Stream {
	return eventstore.Stream("term-" + subject.String())
}

// AccessStream returns the stream of one person and one month (UTC) that holds the
// accesses to their documents other than by consent, and the outcomes of all accesses. A
// stream for each month keeps every stream short.
func AccessStream(id domain.CitizenID, at time.Time) eventstore.Stream {
	return eventstore.Stream("access-" + id.String() + "-" + at.UTC().Format("200601"))
}

// UnknownStream returns the stream of one access in a month (UTC) by which nothing but
// absence was told, about somebody whom the vault does not know. It bears the access's id,
// so that nothing in the log says whom the query meant, or that two queries meant one person.
func UnknownStream(id domain.AccessID, at time.Time) eventstore.Stream {
	return eventstore.Stream("access-" + id.String() + "-" + at.UTC().Format("200601"))
}

// RefusalStream returns the stream of the refusals to one organisation on one day (UTC).
func RefusalStream(o domain.Organisation, at time.Time) eventstore.Stream {
	return eventstore.Stream("refusal-" + string(o) + "-" + at.UTC().Format("20060102"))
}

// ProviderStream is the stream that records which OpenID provider vouches for callers.
const ProviderStream eventstore.Stream = "audit-providers"

// AuditStream returns the stream of the readings of the log and the exports in one month
// (UTC).
func AuditStream(at time.Time) eventstore.Stream {
	return eventstore.Stream("audit-" + at.UTC().Format("200601"))
}

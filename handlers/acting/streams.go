package acting

import (
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/audit"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/domain/mandate"
	"coffre/domain/registry"
	"coffre/eventstore"
)

// Citizens, Documents and the others are the deciders, one for each kind of stream: each
// folds the events of its kind into a state and
// appends what a command decides.
var (
	Citizens   = eventstore.Decider[citizen.State, citizen.Event]{Evolve: citizen.Evolve}
	Documents  = eventstore.Decider[document.State, document.Event]{Evolve: document.Evolve}
	Consents   = eventstore.Decider[consent.State, consent.Event]{Evolve: consent.Evolve}
	Accesses   = eventstore.Decider[access.State, access.Event]{Evolve: access.Evolve}
	Refusals   = eventstore.Decider[access.RefusalState, access.RefusalEvent]{Evolve: access.EvolveRefusals}
	Mandates   = eventstore.Decider[mandate.State, mandate.Event]{Evolve: mandate.Evolve}
	Registries = eventstore.Decider[registry.State, registry.Event]{Evolve: registry.Evolve}
	Audits     = eventstore.Decider[audit.State, audit.Event]{Evolve: audit.Evolve}
)

// CitizenStream holds the facts about one person.
func CitizenStream(id domain.CitizenID) eventstore.Stream {
	return eventstore.Stream("citizen-" + id.String())
}

// DocumentStream holds the facts about one document.
func DocumentStream(id domain.DocumentID) eventstore.Stream {
	return eventstore.Stream("document-" + id.String())
}

// ConsentStream holds the facts about one consent, with every access under it.
func ConsentStream(id domain.ConsentID) eventstore.Stream {
	return eventstore.Stream("consent-" + id.String())
}

// MandateStream holds the facts about one mandate.
func MandateStream(id domain.MandateID) eventstore.Stream {
	return eventstore.Stream("mandate-" + id.String())
}

// AccessStream holds the accesses to one person's documents by law, and the outcomes of
// all accesses, of one month (UTC), so that no stream grows for ever.
func AccessStream(id domain.CitizenID, at time.Time) eventstore.Stream {
	return eventstore.Stream("access-" + id.String() + "-" + at.UTC().Format("200601"))
}

// RefusalStream holds what was refused to one organisation on one day (UTC).
func RefusalStream(o domain.Organisation, at time.Time) eventstore.Stream {
	return eventstore.Stream("refusal-" + string(o) + "-" + at.UTC().Format("20060102"))
}

// AuditStream holds the readings of the log and the exports of one month (UTC).
func AuditStream(at time.Time) eventstore.Stream {
	return eventstore.Stream("audit-" + at.UTC().Format("200601"))
}

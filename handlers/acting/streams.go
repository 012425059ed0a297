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

// The kinds of streams, each with how its events fold.
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

func CitizenStream(id domain.CitizenID) eventstore.Stream {
	return eventstore.Stream("citizen-" + id.String())
}

func DocumentStream(id domain.DocumentID) eventstore.Stream {
	return eventstore.Stream("document-" + id.String())
}

func ConsentStream(id domain.ConsentID) eventstore.Stream {
	return eventstore.Stream("consent-" + id.String())
}

func MandateStream(id domain.MandateID) eventstore.Stream {
	return eventstore.Stream("mandate-" + id.String())
}

// AccessStream is a new one each month (UTC), so that none grows for ever.
func AccessStream(id domain.CitizenID, at time.Time) eventstore.Stream {
	return eventstore.Stream("access-" + id.String() + "-" + at.UTC().Format("200601"))
}

func RefusalStream(o domain.Organisation, at time.Time) eventstore.Stream {
	return eventstore.Stream("refusal-" + string(o) + "-" + at.UTC().Format("20060102"))
}

func AuditStream(at time.Time) eventstore.Stream {
	return eventstore.Stream("audit-" + at.UTC().Format("200601"))
}

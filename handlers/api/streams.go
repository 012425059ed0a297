package api

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
	citizens   = eventstore.Decider[citizen.State, citizen.Event]{Evolve: citizen.Evolve}
	documents  = eventstore.Decider[document.State, document.Event]{Evolve: document.Evolve}
	consents   = eventstore.Decider[consent.State, consent.Event]{Evolve: consent.Evolve}
	accesses   = eventstore.Decider[access.State, access.Event]{Evolve: access.Evolve}
	refusals   = eventstore.Decider[access.RefusalState, access.RefusalEvent]{Evolve: access.EvolveRefusals}
	mandates   = eventstore.Decider[mandate.State, mandate.Event]{Evolve: mandate.Evolve}
	registries = eventstore.Decider[registry.State, registry.Event]{Evolve: registry.Evolve}
	audits     = eventstore.Decider[audit.State, audit.Event]{Evolve: audit.Evolve}
)

func citizenStream(id domain.CitizenID) eventstore.Stream {
	return eventstore.Stream("citizen-" + id.String())
}

func documentStream(id domain.DocumentID) eventstore.Stream {
	return eventstore.Stream("document-" + id.String())
}

func consentStream(id domain.ConsentID) eventstore.Stream {
	return eventstore.Stream("consent-" + id.String())
}

func mandateStream(id domain.MandateID) eventstore.Stream {
	return eventstore.Stream("mandate-" + id.String())
}

// accessStream is a new one each month (UTC), so that none grows for ever.
func accessStream(id domain.CitizenID, at time.Time) eventstore.Stream {
	return eventstore.Stream("access-" + id.String() + "-" + at.UTC().Format("200601"))
}

func refusalStream(o domain.Organisation, at time.Time) eventstore.Stream {
	return eventstore.Stream("refusal-" + string(o) + "-" + at.UTC().Format("20060102"))
}

func auditStream(at time.Time) eventstore.Stream {
	return eventstore.Stream("audit-" + at.UTC().Format("200601"))
}

package acting

import (
	"log/slog"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/quotas"
	"coffre/eventstore/requests"
	"coffre/eventstore/seal"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/vocabulary"
)

// Recorder records what callers do: who acts, for whom, when, under which event ids, and
// once per idempotency key. All fields are required unless they say otherwise; its methods may be called
// concurrently.
type Recorder struct {
	Log      *eventstore.Log
	Keys     *seal.Ring
	Requests *requests.Table
	Quotas   *quotas.Table
	Limits   Limits // zero: the defaults
	Words    *vocabulary.Holder
	Runner   *projections.Runner // of the read models

	Now   func() time.Time
	NewID func() uuid.UUID // random
	Slog  *slog.Logger
}

// actor returns the caller as the log names them.
func (rec *Recorder) actor(c *edge.Call) domain.Actor {
	return domain.Actor{
		Role: c.Role, Organisation: c.Organisation, Citizen: c.Citizen, Subject: rec.AuditName(c.Caller),
		Door: c.Door, Why: c.Why, Case: rec.Keys.Audit().Case(c.Case),
	}
}

// AuditName returns the name by which the log calls a caller: of a citizen it comes from
// their id alone, of others from their token's subject (seal.Audit). It is "" for a person
// whom the vault does not know.
func (rec *Recorder) AuditName(c edge.Caller) string {
	if c.Role == domain.RoleCitizen {
		return rec.Keys.Audit().Citizen(c.Citizen)
	}
	return rec.Keys.Audit().Subject(c.Subject)
}

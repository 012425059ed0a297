package acting

import (
	"encoding/base64"
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
// once per idempotency key. All fields are required; its methods may be called
// concurrently.
type Recorder struct {
	Log      *eventstore.Log
	Keys     *seal.Ring
	Requests *requests.Table
	Quotas   *quotas.Table
	Words    *vocabulary.Holder
	Runner   *projections.Runner // of the read models

	Now   func() time.Time
	NewID func() uuid.UUID // random
	Slog  *slog.Logger
}

// actor returns the caller as the log names them.
func (rec *Recorder) actor(c *edge.Call) domain.Actor {
	return domain.Actor{
		Role: c.Role, Organisation: c.Organisation, Citizen: c.Citizen, Subject: rec.AuditSubject(c.Subject),
		Door: c.Door, Why: c.Why, Case: rec.auditMAC("case/v1\x00", c.Case),
	}
}

// AuditSubject returns the subject of a token as the log names it: 128 bits of an HMAC
// under the audit key, in base64url; "" for no subject.
func (rec *Recorder) AuditSubject(subject string) string {
	return rec.auditMAC("subject/v1\x00", subject)
}

// auditMAC returns 128 bits of an HMAC of a text under the audit key, in base64url, so
// that the log can tell equal texts from others without naming any; "" for no text. kind
// keeps texts of different kinds apart.
func (rec *Recorder) auditMAC(kind, text string) string {
	if text == "" {
		return ""
	}
	sum := rec.Keys.DeploymentKey(seal.AuditKey).MAC([]byte(kind), []byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

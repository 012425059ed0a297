package acting

import (
	"encoding/base64"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/requests"
	"coffre/eventstore/seal"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/vocabulary"
)

// Recorder writes down what callers do: who acts, for whom, when, under which event ids,
// and once per idempotency key. All fields are required; its methods may be called
// concurrently.
type Recorder struct {
	Log      *eventstore.Log
	Keys     *seal.Ring
	Requests *requests.Table
	Words    *vocabulary.Holder
	Runner   *projections.Runner // of the read models

	Now   func() time.Time
	NewID func() uuid.UUID // random
	Slog  *slog.Logger
}

// actor names the caller in words that stay in the log for ever.
func (rec *Recorder) actor(c *edge.Call) domain.Actor {
	return domain.Actor{Role: c.Role, Organisation: c.Organisation, Citizen: c.Citizen, Subject: rec.AuditSubject(c.Subject)}
}

// AuditSubject is the subject of a token as the log names it: an HMAC under the
// audit key, of which 128 bits tell people apart.
func (rec *Recorder) AuditSubject(subject string) string {
	if subject == "" {
		return ""
	}
	sum := rec.Keys.DeploymentKey(seal.AuditKey).MAC([]byte("subject/v1\x00"), []byte(subject))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

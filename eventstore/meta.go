package eventstore

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	jsonv1 "github.com/go-json-experiment/json/v1"
	"github.com/google/uuid"

	"coffre/domain"
)

// Meta is what is recorded about an event besides the fact itself. No member is
// personal.
type Meta struct {
	Actor domain.Actor `json:"actor"`
	// OnBehalfOf is the organisation for which a service integrator acts; Represents
	// the citizen for whom a representative acts.
	OnBehalfOf domain.Organisation `json:"onBehalfOf,omitempty"`
	Represents domain.CitizenID    `json:"represents,omitzero"`
	// Correlation ties together what one request caused; Causation is the event
	// that made a reactor act.
	Correlation uuid.UUID `json:"correlation,omitzero"`
	Causation   uuid.UUID `json:"causation,omitzero"`
	// SchemaVersion is that of this form of metadata: 1.
	SchemaVersion int                    `json:"schemaVersion"`
	Registry      domain.RegistryVersion `json:"registry,omitempty"`
	// BasedOn names what was relied on in other streams, as stream@revision.
	BasedOn []Reference `json:"basedOn,omitempty"`
	// Call is the call that had an access recorded, of access.authorized, access.told and
	// access.named alone. Events of before it was recorded have none, and those of no call.
	Call *Call `json:"call,omitempty"`
}

// Call is what the Belgian audit trail tells of a call besides who and when.
type Call struct {
	Operation string `json:"op"` // the contract's operationId
	// Token is the SHA-256 of the access token; empty where the caller showed none.
	Token []byte `json:"token,omitempty"`
	// Client is the application to which the provider gave the token, as it calls it; "" where
	// the token does not say, or not in a word.
	Client string `json:"client,omitempty"`
}

// Reference is "stream@revision".
type Reference string

// At returns the reference to one record.
func At(s Stream, r Revision) Reference { return Reference(fmt.Sprintf("%s@%d", s, r)) }

// Split returns the two parts of a reference; ok is false for anything else.
func (r Reference) Split() (s Stream, at Revision, ok bool) {
	name, number, found := strings.Cut(string(r), "@")
	n, err := strconv.ParseInt(number, 10, 64)
	return Stream(name), Revision(n), found && name != "" && err == nil && n >= 0
}

// metaVersion is the current Meta.SchemaVersion.
const metaVersion = 1

func encodeMeta(m Meta) ([]byte, error) {
	m.SchemaVersion = metaVersion
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode metadata: %w", err)
	}
	return b, nil
}

// metaOptions read metadata as encoding/json does, which wrote it.
var metaOptions = jsonv1.DefaultOptionsV1()

// Metadata decodes r.Meta. The error does not quote the bytes.
func (r Record) Metadata() (Meta, error) {
	var m Meta
	if jsonv2.Unmarshal(r.Meta, &m, metaOptions) != nil {
		return Meta{}, fmt.Errorf("metadata of %s: not readable", r.Type)
	}
	return m, nil
}

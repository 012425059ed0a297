package webhook

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"

	"coffre/domain"
)

// Secret is a symmetric signing key of Standard Webhooks. It never prints.
type Secret struct{ key []byte }

const (
	secretPrefix = "whsec_"
	// Standard Webhooks: between 24 and 64 random bytes.
	minSecret, maxSecret = 24, 64
)

// ErrSecret refuses a text that is not a secret, without quoting it.
var ErrSecret = domain.NewError(domain.Invalid, "webhookSecretInvalid",
	"a webhook secret is whsec_ and the base64 of 24 to 64 random bytes")

// ParseSecret parses "whsec_" and base64 of 24 to 64 bytes; its error is ErrSecret.
func ParseSecret(text string) (Secret, error) {
	encoded, ok := strings.CutPrefix(text, secretPrefix)
	if !ok {
		return Secret{}, ErrSecret
	}
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || len(key) < minSecret || len(key) > maxSecret || strings.ContainsAny(encoded, "\r\n") {
		return Secret{}, ErrSecret
	}
	return Secret{key}, nil
}

const hidden = secretPrefix + "…"

// String, GoString, Format, LogValue and MarshalText all hide the key.
func (Secret) String() string               { return hidden }
func (Secret) GoString() string             { return hidden }
func (Secret) Format(f fmt.State, _ rune)   { fmt.Fprint(f, hidden) }
func (Secret) LogValue() slog.Value         { return slog.StringValue(hidden) }
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

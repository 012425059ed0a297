package webhook

import (
	"crypto/rand"
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

// maxSecrets is how many secrets sign at a time: a new one and the one it replaces.
const maxSecrets = 2

// ErrSecrets refuses a text that holds no secrets, or too many.
var ErrSecrets = domain.NewError(domain.Invalid, "webhookSecretsInvalid",
	"the file of the webhook's secrets holds one, or two while one replaces the other, each whsec_ and the base64 of 24 to 64 random bytes, on a line of its own")

// ParseSecrets parses one secret, or two that differ, with blanks or line ends between; its
// error is ErrSecrets.
func ParseSecrets(text string) ([]Secret, error) {
	words := strings.Fields(text)
	if len(words) == 0 || len(words) > maxSecrets || len(words) == 2 && words[0] == words[1] {
		return nil, ErrSecrets
	}
	all := make([]Secret, len(words))
	for i, word := range words {
		var err error
		if all[i], err = ParseSecret(word); err != nil {
			return nil, ErrSecrets
		}
	}
	return all, nil
}

// NewSecretText returns a new secret of 32 random bytes as it stands in a file.
func NewSecretText() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return secretPrefix + base64.StdEncoding.EncodeToString(key)
}

const hidden = secretPrefix + "…"

// String, GoString, Format, LogValue and MarshalText all hide the key.
func (Secret) String() string               { return hidden }
func (Secret) GoString() string             { return hidden }
func (Secret) Format(f fmt.State, _ rune)   { fmt.Fprint(f, hidden) }
func (Secret) LogValue() slog.Value         { return slog.StringValue(hidden) }
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

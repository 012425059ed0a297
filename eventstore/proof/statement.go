package proof

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"
)

// ErrStatement reports bytes that are no signed note.
var ErrStatement = errors.New("proof: this is no signed note")

// SignText returns a text as a signed note of the log that origin names, and verifies it before
// it does. The text ends with a line feed; its first line says what it is, and is never an
// origin, so that no note of one kind passes for one of another.
func SignText(ctx context.Context, text, origin string, signer Signer) ([]byte, error) {
	signature, id, err := signer.Sign(ctx, []byte(text))
	if err != nil {
		return nil, err
	}
	public, _, err := signer.PublicKey(ctx, id)
	if err != nil {
		return nil, err
	}
	signed := []byte(text + "\n" + signatureLine(origin, NamedKey{origin, SignsNotes, public}.Hash(), signature))
	if _, err := OpenText(signed, origin, public); err != nil {
		return nil, err
	}
	return signed, nil
}

// OpenText returns the text of a signed note, if one of the keys signed it for the log that
// origin names. Signatures of others are passed over. It returns ErrStatement or ErrSignature.
func OpenText(signed []byte, origin string, keys ...ed25519.PublicKey) (string, error) {
	var verifiers []note.Verifier
	for _, k := range keys {
		if len(k) != ed25519.PublicKeySize {
			continue
		}
		v, err := note.NewVerifier(NamedKey{origin, SignsNotes, k}.String())
		if err != nil {
			return "", fmt.Errorf("verifier key: %w", err)
		}
		if !slices.ContainsFunc(verifiers, func(o note.Verifier) bool { return o.KeyHash() == v.KeyHash() }) {
			verifiers = append(verifiers, v)
		}
	}
	opened, err := note.Open(signed, note.VerifierList(verifiers...))
	var unverified *note.UnverifiedNoteError
	switch {
	case errors.As(err, &unverified):
		return "", ErrSignature
	case err != nil:
		if _, bad := errors.AsType[*note.InvalidSignatureError](err); bad {
			return "", ErrSignature
		}
		return "", ErrStatement
	}
	return opened.Text, nil
}

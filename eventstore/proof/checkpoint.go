package proof

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"
)

var emptyRoot = Hash(sha256.Sum256(nil))

// MaxCheckpoint bounds the bytes of a signed checkpoint, cosignatures included.
const MaxCheckpoint = 64 << 10

// Errors of checkpoints.
var (
	// ErrCheckpoint: the text is no checkpoint of docs/log-format.md.
	ErrCheckpoint = errors.New("proof: this is no checkpoint")
	// ErrSignature: no key that counts has signed the checkpoint.
	ErrSignature = errors.New("proof: no key that counts has signed this checkpoint")
)

// Checkpoint states how many leaves a log had at a time, and the root over them.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   Hash
	Time   time.Time // UTC, whole microseconds
}

const (
	originPrefix = "coffre/"
	timePrefix   = "time "
	timeForm     = "2006-01-02T15:04:05.000000Z"
)

// Origin names a log: by the id of its first event, and after a loss that was accepted by
// how many there were.
func Origin(first uuid.UUID, losses int) string {
	name := originPrefix + first.String()
	if losses > 0 {
		name += "/" + strconv.Itoa(losses)
	}
	return name
}

// SplitOrigin returns the id of the first event of the log and the number of accepted losses.
func SplitOrigin(origin string) (first uuid.UUID, losses int, err error) {
	rest, ok := strings.CutPrefix(origin, originPrefix)
	id, number, more := strings.Cut(rest, "/")
	first, err = uuid.Parse(id)
	if more && err == nil {
		losses, err = strconv.Atoi(number)
	}
	if !ok || err != nil || losses < 0 || Origin(first, losses) != origin {
		return uuid.Nil, 0, ErrCheckpoint
	}
	return first, losses, nil
}

// Text returns what is signed: origin, size, root, and the time as an extension line.
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n%s%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]), timePrefix, c.Time.UTC().Format(timeForm))
}

// parseText reads what Text wrote, and nothing else: one checkpoint has one text.
func parseText(text string) (c Checkpoint, err error) {
	h, err := parseHead(text)
	if err != nil {
		return c, err
	}
	if _, _, err := SplitOrigin(h.Origin); err != nil {
		return c, err
	}
	moment, ok := strings.CutPrefix(strings.Split(text, "\n")[3], timePrefix)
	at, err := time.Parse(timeForm, moment)
	if c = (Checkpoint{Origin: h.Origin, Size: h.Size, Root: h.Root, Time: at}); err != nil || !ok || c.Text() != text {
		return Checkpoint{}, ErrCheckpoint
	}
	return c, nil
}

// Signer is the port to the key that signs the log; [coffre/eventstore/seal.Signer] has it.
type Signer interface {
	// Sign signs the message itself (no pre-hash) and names the key it used.
	Sign(ctx context.Context, message []byte) (signature []byte, keyID string, err error)
	// PublicKey returns the key of that name, or the one Sign uses now for "".
	PublicKey(ctx context.Context, keyID string) (ed25519.PublicKey, string, error)
}

// Sign returns the checkpoint as a signed note, and verifies it before it does.
func Sign(ctx context.Context, c Checkpoint, signer Signer) ([]byte, error) {
	text := c.Text()
	signature, id, err := signer.Sign(ctx, []byte(text))
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	public, _, err := signer.PublicKey(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	signed := []byte(text + "\n" + signatureLine(c.Origin, NamedKey{c.Origin, SignsNotes, public}.Hash(), signature))
	if _, err := Open(signed, public); err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	return signed, nil
}

// signatureLine is one line of a signed note.
func signatureLine(name string, hash uint32, signature []byte) string {
	blob := append(binary.BigEndian.AppendUint32(nil, hash), signature...)
	return "\u2014 " + name + " " + base64.StdEncoding.EncodeToString(blob) + "\n"
}

// Peek returns what a signed note says before anybody verified it.
func Peek(signed []byte) (Checkpoint, error) {
	text, _, ok := strings.Cut(string(signed), "\n\n")
	if !ok || len(signed) > MaxCheckpoint {
		return Checkpoint{}, ErrCheckpoint
	}
	return parseText(text + "\n")
}

// Open returns the checkpoint of a signed note, if one of the keys signed it. Signatures of
// others, as of witnesses, are passed over. It returns ErrCheckpoint or ErrSignature.
func Open(signed []byte, keys ...ed25519.PublicKey) (Checkpoint, error) {
	c, err := Peek(signed)
	if err != nil {
		return c, err
	}
	var verifiers []note.Verifier
	for _, k := range keys {
		if len(k) != ed25519.PublicKeySize {
			continue
		}
		v, err := note.NewVerifier(NamedKey{c.Origin, SignsNotes, k}.String())
		if err != nil {
			return c, fmt.Errorf("verifier key: %w", err)
		}
		if !slices.ContainsFunc(verifiers, func(o note.Verifier) bool { return o.KeyHash() == v.KeyHash() }) {
			verifiers = append(verifiers, v)
		}
	}
	opened, err := note.Open(signed, note.VerifierList(verifiers...))
	if err != nil {
		return c, ErrSignature
	}
	if c, err = parseText(opened.Text); err != nil {
		return c, err
	}
	return c, nil
}

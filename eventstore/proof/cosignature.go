package proof

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Errors of cosigned checkpoints.
var (
	// ErrOrigin: no key is known for the log that a checkpoint is of.
	ErrOrigin = errors.New("proof: no key of the checkpoint's log is known")
	// ErrCosignature: a line says that a known witness cosigned, and it did not.
	ErrCosignature = errors.New("proof: a cosignature does not verify")
)

// Head is what the checkpoint of any log states (C2SP tlog-checkpoint).
type Head struct {
	Origin string
	Size   int64
	Root   Hash
	Text   string // all that is signed, with lines that other logs add
}

// parseHead reads the text of a checkpoint of any log.
func parseHead(text string) (h Head, err error) {
	lines := strings.Split(text, "\n")
	last := len(lines) - 1
	if last < 3 || lines[last] != "" {
		return h, ErrCheckpoint
	}
	for _, line := range lines[:last] {
		if line == "" {
			return h, ErrCheckpoint
		}
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != len(h.Root) {
		return h, ErrCheckpoint
	}
	if h.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || h.Size < 0 || strconv.FormatInt(h.Size, 10) != lines[1] {
		return h, ErrCheckpoint
	}
	h.Origin, h.Root, h.Text = lines[0], Hash(root), text
	return h, nil
}

// PeekHead returns what a checkpoint of any log says before anybody verified it.
func PeekHead(signed []byte) (Head, error) {
	text, _, ok := strings.Cut(string(signed), "\n\n")
	if !ok || len(signed) > MaxCheckpoint {
		return Head{}, ErrCheckpoint
	}
	return parseHead(text + "\n")
}

// OpenHead returns the head of a signed checkpoint of any log, if one of the keys that bear its
// origin as name signed it. It returns ErrCheckpoint, ErrOrigin when there is no such key, or
// ErrSignature.
func OpenHead(signed []byte, keys []NamedKey) (Head, error) {
	h, err := PeekHead(signed)
	if err != nil {
		return h, err
	}
	known := false
	for _, k := range keys {
		if k.Name != h.Origin || k.Use != SignsNotes {
			continue
		}
		known = true
		v, err := note.NewVerifier(k.String())
		if err != nil {
			return h, fmt.Errorf("verifier key: %w", err)
		}
		opened, err := note.Open(signed, note.VerifierList(v))
		switch {
		case err == nil && opened.Text == h.Text:
			return h, nil
		case !isUnverified(err):
			return h, errors.Join(ErrSignature, ifMalformed(err))
		}
	}
	if !known {
		return h, ErrOrigin
	}
	return h, ErrSignature
}

// isUnverified reports whether a note is well-formed, and was not signed by the key asked for.
func isUnverified(err error) bool {
	var unverified *note.UnverifiedNoteError
	return errors.As(err, &unverified)
}

// ifMalformed returns ErrCheckpoint for what is no signed note at all.
func ifMalformed(err error) error {
	var invalid *note.InvalidSignatureError
	if errors.As(err, &invalid) {
		return nil
	}
	return ErrCheckpoint
}

// Cosignature says that a witness saw a checkpoint, as the largest of its log, at a time.
type Cosignature struct {
	Witness NamedKey
	At      time.Time // whole seconds
	Line    string    // of the signed note, with its end
}

const (
	cosignatureHeader = "cosignature/v1\ntime "
	timestampSize     = 8
)

// cosigned returns the message that a witness signs (C2SP tlog-cosignature, Ed25519).
func cosigned(text []byte, seconds uint64) []byte {
	return append([]byte(cosignatureHeader+strconv.FormatUint(seconds, 10)+"\n"), text...)
}

// Cosign returns a witness's line for the text of a checkpoint.
func Cosign(text, witness string, private ed25519.PrivateKey, at time.Time) Cosignature {
	seconds := uint64(max(at.Unix(), 0))
	key := NamedKey{Name: witness, Use: Cosigns, Public: private.Public().(ed25519.PublicKey)}
	signature := append(binary.BigEndian.AppendUint64(nil, seconds), ed25519.Sign(private, cosigned([]byte(text), seconds))...)
	return Cosignature{key, time.Unix(int64(seconds), 0).UTC(), signatureLine(witness, key.Hash(), signature)}
}

// cosigner verifies the lines of one witness, as a note.Verifier.
type cosigner struct{ NamedKey }

func (c cosigner) Name() string    { return c.NamedKey.Name }
func (c cosigner) KeyHash() uint32 { return c.Hash() }

func (c cosigner) Verify(text, signature []byte) bool {
	if len(signature) != timestampSize+ed25519.SignatureSize {
		return false
	}
	seconds := binary.BigEndian.Uint64(signature)
	return seconds <= math.MaxInt64 && ed25519.Verify(c.Public, cosigned(text, seconds), signature[timestampSize:])
}

// Cosignatures returns those of the witnesses that are on a signed checkpoint, in the order of
// the witnesses. wrong are the witnesses of whom a line is there that does not verify. Lines of
// others are passed over.
func Cosignatures(signed []byte, witnesses []NamedKey) (all []Cosignature, wrong []NamedKey, err error) {
	for _, w := range witnesses {
		if w.Use != Cosigns {
			continue
		}
		opened, err := note.Open(signed, note.VerifierList(cosigner{w}))
		var invalid *note.InvalidSignatureError
		switch {
		case isUnverified(err):
		case errors.As(err, &invalid):
			wrong = append(wrong, w)
		case err != nil:
			return nil, nil, ErrCheckpoint
		default:
			one := opened.Sigs[0]
			blob, err := base64.StdEncoding.DecodeString(one.Base64)
			if err != nil {
				return nil, nil, ErrCheckpoint
			}
			seconds := binary.BigEndian.Uint64(blob[4:])
			all = append(all, Cosignature{w, time.Unix(int64(seconds), 0).UTC(), signatureLine(w.Name, w.Hash(), blob[4:])})
		}
	}
	return all, wrong, nil
}

// Signers returns the names in the signature lines of a checkpoint, unverified, but for that of
// the log itself.
func Signers(signed []byte) (names []string) {
	text, _, _ := strings.Cut(string(signed), "\n")
	_, err := note.Open(signed, note.VerifierList())
	var unverified *note.UnverifiedNoteError
	if !errors.As(err, &unverified) {
		return nil
	}
	for _, s := range unverified.Note.UnverifiedSigs {
		if s.Name != text {
			names = append(names, s.Name)
		}
	}
	return names
}

// AddCosignatures returns a signed checkpoint with the lines added that are not on it yet.
func AddCosignatures(signed []byte, all ...Cosignature) []byte {
	signed = bytes.Clone(signed)
	for _, c := range all {
		if !bytes.Contains(signed, []byte("\n"+c.Line)) {
			signed = append(signed, c.Line...)
		}
	}
	return signed
}

package certificate

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/proof"
	"coffre/eventstore/seal"
	"coffre/handlers/contract"
	"coffre/handlers/contract/wire"
)

// Errors of this package. Bytes with the first are no certificate; a certificate with one
// of the others proves nothing.
var (
	// ErrForm reports bytes that are not a certificate.
	ErrForm = errors.New("not a certificate of erasure")
	// ErrSignature reports a certificate that another key signed, or that was changed.
	ErrSignature = errors.New("the certificate's signature does not hold")
	// ErrContent reports a signed certificate that lacks or contradicts what every
	// certificate must say.
	ErrContent = errors.New("the certificate contradicts itself, or leaves out what it must say")
	// ErrLog reports a log other than the one the certificate is about, or a changed one.
	ErrLog = errors.New("the log does not hold what the certificate says of it")
)

// Verify checks the signature of a certificate of erasure, in the bytes that were served,
// with a public key that the reader trusts: never one that came with the certificate. Its
// errors are ErrForm and ErrSignature.
func Verify(certificate []byte, key ed25519.PublicKey) error {
	message, signature, err := splitSignature(certificate)
	switch {
	case err != nil:
		return err
	case len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, message, signature):
		return ErrSignature
	}
	return nil
}

// SigningKeyOf returns the name of the signing key that a certificate states. Nothing is
// verified: the name only helps to find the key for Verify.
func SigningKeyOf(certificate []byte) (string, error) {
	var c struct {
		SigningKey string `json:"signingKey"`
	}
	if json.Unmarshal(certificate, &c) != nil || c.SigningKey == "" {
		return "", ErrForm
	}
	return c.SigningKey, nil
}

// Read verifies a certificate and returns its content. A certificate that is incomplete,
// or names fewer than two persons, is ErrContent (rules E-1, E-3).
func Read(certificate []byte, key ed25519.PublicKey) (contract.ErasureCertificate, error) {
	if err := Verify(certificate, key); err != nil {
		return contract.ErasureCertificate{}, err
	}
	var c contract.ErasureCertificate
	if json.Unmarshal(certificate, &c) != nil {
		return contract.ErasureCertificate{}, ErrForm
	}
	whole := !c.ErasureID.IsZero() && !c.CitizenID.IsZero() && (c.Scope == contract.ErasureScopeCitizen) == c.DocumentID.IsZero() && c.Scope.Valid() &&
		len(c.Digest) == sha256.Size && c.UnreadableEvents >= 0 && (len(c.Keys) > 0 || c.UnreadableEvents == 0) &&
		len(c.Record.LeafHash) == sha256.Size && c.Record.Leaf >= 0 && !c.DestroyedAt.IsZero() && len(c.Remains) > 0
	if covered, err := proof.Peek([]byte(c.Checkpoint)); c.Checkpoint != "" && (err != nil || covered.Size <= c.Record.Leaf) {
		return contract.ErasureCertificate{}, ErrContent
	}
	if !whole || !twoPersons(c.Approvers) || !copiesComplete(c) {
		return contract.ErasureCertificate{}, ErrContent
	}
	return c, nil
}

// twoPersons reports whether one person requested the erasure and another, a privacy
// officer, approved it (rule E-1).
func twoPersons(of []contract.EventActor) bool {
	return len(of) == 2 && of[1].Role == contract.ActorRolePrivacyOfficer && of[1].Subject != "" && of[0].Subject != of[1].Subject &&
		(of[0].Subject != "" || !of[0].CitizenID.IsZero())
}

// copiesComplete reports whether a certificate states about copies what its state calls
// for: nothing before it is final; then every kind of copy, the last day on which one
// could exist, and a final date after those days.
func copiesComplete(c contract.ErasureCertificate) bool {
	switch c.State {
	case contract.ErasureStateKeysDestroyed:
		return c.FinalAt.IsZero() && len(c.Copies) == 0
	case contract.ErasureStateFinal:
	default:
		return false
	}
	kinds := map[contract.CopyKind]bool{}
	from := map[contract.CopyKind]domain.Date{contract.CopyKindSnapshots: domain.BelgianDate(c.Trimmed.TrimmedAt)}
	for _, one := range c.Copies {
		kinds[one.Kind] = true
		if day, known := from[one.Kind]; known && one.Until != day.AddDays(one.Days) || one.Until.IsZero() || c.FinalAfter.Before(one.Until) {
			return false
		}
	}
	return len(c.Copies) == 3 && kinds[contract.CopyKindBackups] && kinds[contract.CopyKindArchives] && kinds[contract.CopyKindSnapshots] &&
		c.Trimmed.WrappedBy > 0 && c.Trimmed.OldestVersion > c.Trimmed.WrappedBy && !c.Trimmed.TrimmedAt.IsZero() &&
		c.FinalAfter.Before(domain.BelgianDate(c.FinalAt)) && !c.FinalAt.Before(c.DestroyedAt)
}

// Audit compares a certificate with the log, which is given to it event by event, in
// order. It needs no secret key: sealed parts name the keys that sealed them. It must not
// be used concurrently.
type Audit struct {
	certificate contract.ErasureCertificate
	keys        map[string]bool // destroyed, by id
	digest      hash.Hash       // over the leaf hashes of the unreadable events
	lastLeaf    int64           // -1 before the first event
	unreadable  int64           // events that the certificate is about, so far
	later       int64           // events that the same keys sealed, appended afterwards
	recorded    bool            // the event that records the erasure was met
}

// NewAudit returns the audit of a certificate that Read returned.
func NewAudit(c contract.ErasureCertificate) *Audit {
	a := &Audit{certificate: c, keys: make(map[string]bool, len(c.Keys)), digest: sha256.New(), lastLeaf: -1}
	for _, k := range c.Keys {
		a.keys[k] = true
	}
	return a
}

// Add compares the next event, in the form of GET /events. An event out of order, or other
// than the certificate states, is ErrLog. Result reports events that were left out, if the
// certificate is about them.
func (a *Audit) Add(e contract.LogEvent) error {
	leaf, err := contract.ParseLeafToken(e.Cursor)
	if err != nil || leaf <= a.lastLeaf {
		return fmt.Errorf("%w: its events are not in their order", ErrLog)
	}
	a.lastLeaf = leaf
	id, sealed := seal.KeyID(e.Sealed)
	ours := sealed && a.keys[id.String()]
	if !ours && leaf != a.certificate.Record.Leaf {
		return nil
	}
	leafHash, err := leafHashOf(e)
	if err != nil {
		return err
	}
	if leaf == a.certificate.Record.Leaf {
		if !bytes.Equal(leafHash[:], a.certificate.Record.LeafHash) || !slices.Contains([]string{"citizen.key-destroyed", "document.content-destroyed"}, e.Type) {
			return fmt.Errorf("%w: leaf %d is another record", ErrLog, leaf)
		}
		a.recorded = true
	}
	switch {
	case !ours:
	case a.unreadable < a.certificate.UnreadableEvents:
		a.unreadable++
		a.digest.Write(leafHash[:])
	default:
		a.later++
	}
	return nil
}

// Result ends the audit. unreadable counts the events that the certificate is about, later
// those that the same keys sealed and that were appended after the keys were destroyed;
// their issuers were refused (rule E-4). The error is ErrLog unless the log holds the
// events that the certificate states.
func (a *Audit) Result() (unreadable, later int64, err error) {
	switch {
	case !a.recorded:
		err = fmt.Errorf("%w: leaf %d, which records the erasure, is not there", ErrLog, a.certificate.Record.Leaf)
	case a.unreadable != a.certificate.UnreadableEvents:
		err = fmt.Errorf("%w: %d of %d unreadable events are there", ErrLog, a.unreadable, a.certificate.UnreadableEvents)
	case !bytes.Equal(a.digest.Sum(nil), a.certificate.Digest):
		err = fmt.Errorf("%w: the digest over the unreadable events is another", ErrLog)
	}
	return a.unreadable, a.later, err
}

// leafHashOf computes the leaf hash of an event from its served form.
func leafHashOf(e contract.LogEvent) (proof.Hash, error) {
	if len(e.MetadataHash) != sha256.Size {
		return proof.Hash{}, fmt.Errorf("%w: an event without the hash of its metadata", ErrLog)
	}
	r := eventstore.Record{
		ID: e.EventID, Stream: eventstore.Stream(e.Stream), Revision: eventstore.Revision(e.Revision),
		Type: fmt.Sprintf("%s/%d", e.Type, e.Form), Time: e.RecordedAt, Clear: e.Facts, Sealed: e.Sealed,
	}
	return proof.LeafHashOf(&r, proof.Hash(e.MetadataHash)), nil
}

// SignedForm returns the bytes that are signed: the RFC 8785 form of the certificate
// without its member signature.
func SignedForm(c contract.ErasureCertificate) ([]byte, error) {
	var encoded bytes.Buffer
	if err := wire.NewEncoder(&encoded).Encode(c); err != nil {
		return nil, fmt.Errorf("encode the certificate: %w", err)
	}
	message, _, err := splitSignature(encoded.Bytes())
	return message, err
}

// splitSignature returns the signed form of a certificate and its signature, which is nil
// when the certificate has none.
func splitSignature(certificate []byte) (message, signature []byte, err error) {
	var members map[string]jsontext.Value
	if json.Unmarshal(certificate, &members) != nil || members == nil { // it refuses a name that stands twice
		return nil, nil, ErrForm
	}
	s, signed := members["signature"]
	if _, named := members["erasureId"]; !signed && !named || signed && json.Unmarshal(s, &signature) != nil {
		return nil, nil, ErrForm
	}
	delete(members, "signature")
	rest, err := json.Marshal(members)
	canonical := jsontext.Value(rest)
	if err != nil || canonical.Canonicalize() != nil {
		return nil, nil, ErrForm
	}
	return canonical, signature, nil
}

package api

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/document"
	"coffre/handlers/api/wire"
)

var errNotErased = domain.NewError(domain.Conflict, "erasureNotDone", "the keys are not destroyed yet")

// GetErasureCertificate implements GET /erasures/{id}/certificate (rule E-3). It is
// made from the log each time: the same facts, the same bytes, the same signature.
func (v *Vault) GetErasureCertificate(ctx context.Context, r GetErasureCertificateRequestObject) (GetErasureCertificateResponseObject, error) {
	e, err := v.erasure(ctx, r.ErasureID)
	if err != nil {
		return nil, err
	}
	c, err := v.certificate(ctx, e.Citizen, r.ErasureID)
	if err != nil {
		return nil, err
	}
	return GetErasureCertificate200JSONResponse(c), nil
}

func (v *Vault) certificate(ctx context.Context, of domain.CitizenID, id domain.ErasureID) (ErasureCertificate, error) {
	s, err := v.erasureSteps(ctx, of, id)
	switch {
	case err != nil:
		return ErasureCertificate{}, err
	case s.DoneAt.IsZero():
		return ErasureCertificate{}, errNotErased
	}
	c := ErasureCertificate{
		ErasureID: id, CitizenID: of, Scope: ErasureScope(s.Scope), DocumentID: s.Document, State: ErasureStateKeysDestroyed,
		Keys: s.destroyed.Keys, UnreadableEvents: s.destroyed.Unreadable, Digest: s.destroyed.Digest, DestroyedAt: s.DoneAt,
		Approvers: []EventActor{actorItem(s.requestedBy), actorItem(s.approvedBy)},
	}
	if s.Scope == citizen.OneDocument {
		if err := v.certifyDocument(ctx, &c); err != nil {
			return ErasureCertificate{}, err
		}
	}
	c.Remains = remains[s.Scope]
	return c, v.sign(ctx, &c)
}

// certifyDocument puts into a certificate what document.content-destroyed says.
func (v *Vault) certifyDocument(ctx context.Context, c *ErasureCertificate) error {
	for e, err := range v.Log.Read(ctx, documentStream(c.DocumentID), 0) {
		if err != nil {
			return fmt.Errorf("read document: %w", err)
		}
		if f, ok := e.Data.(document.ContentDestroyed); ok && f.Erasure == c.ErasureID {
			c.Keys, c.UnreadableEvents, c.Digest = []string{f.Key}, f.Unreadable, f.Digest
			return nil
		}
	}
	return errNotErased
}

func actorItem(a domain.Actor) EventActor {
	return EventActor{Role: ActorRole(a.Role), Organization: a.Organisation, CitizenID: a.Citizen, Subject: a.Subject}
}

// remains says what an erasure leaves, why, and until when. None of it is called
// anonymous: it is pseudonymous personal data.
var remains = map[citizen.Scope][]RemainingFact{
	citizen.OneDocument: {
		{What: "the document's facts in clear in the log: ids, type, issuer, versions, reasons, times; its sealed parts, which no key opens", Why: accountability},
		inBackups,
	},
	citizen.WholeCitizen: {
		{What: "the facts in clear in the log: ids, document types, organisations, purposes, reasons, times; the sealed parts, which no key opens", Why: accountability},
		{What: "the lines of the consent log and the access log, without what was shown and without case references", Why: accountability},
		{What: "keyed digests of the person's numbers", Why: "so that erased stays erased, by legal obligation (GDPR art. 6(1)(c))"},
		inBackups,
	},
}

const accountability = "accountability, and legal claims (GDPR art. 5(2) and 17(3)(b) and (e))"

var inBackups = RemainingFact{
	What: "copies of the key database made before, as long as they are kept",
	Why:  "backups; the list of destroyed keys shreds a restored copy before it is used",
}

// sign puts the signature into a certificate.
func (v *Vault) sign(ctx context.Context, c *ErasureCertificate) error {
	_, key, err := v.Signer.PublicKey(ctx, "")
	if err != nil {
		return fmt.Errorf("sign the certificate: %w", err)
	}
	c.SigningKey = key
	message, err := signedForm(*c)
	if err != nil {
		return err
	}
	signature, signer, err := v.Signer.Sign(ctx, message)
	switch {
	case err != nil:
		return fmt.Errorf("sign the certificate: %w", err)
	case signer != key: // it changed hands between the two calls
		return fmt.Errorf("sign the certificate: %w", errSigner)
	}
	c.Signature = signature
	return nil
}

var errSigner = errors.New("the signing key was replaced meanwhile")

// signedForm is what a certificate's signature is over: the RFC 8785 form of the
// object without the member signature.
func signedForm(c ErasureCertificate) ([]byte, error) {
	var encoded bytes.Buffer
	if err := wire.NewEncoder(&encoded).Encode(c); err != nil {
		return nil, fmt.Errorf("encode the certificate: %w", err)
	}
	message, _, err := parted(encoded.Bytes())
	return message, err
}

// parted returns the signed form of a certificate, and its signature.
func parted(certificate []byte) (message, signature []byte, err error) {
	var members map[string]jsontext.Value
	if json.Unmarshal(certificate, &members) != nil || members == nil { // it refuses a name that stands twice
		return nil, nil, errCertificateForm
	}
	if s, signed := members["signature"]; signed && json.Unmarshal(s, &signature) != nil {
		return nil, nil, errCertificateForm
	}
	delete(members, "signature")
	rest, err := json.Marshal(members)
	canonical := jsontext.Value(rest)
	if err != nil || canonical.Canonicalize() != nil {
		return nil, nil, errCertificateForm
	}
	return canonical, signature, nil
}

var (
	errCertificateForm = errors.New("not the JSON object of a certificate")
	// ErrCertificate: the certificate was not signed with this key, or was changed.
	ErrCertificate = errors.New("the certificate's signature does not hold")
)

// VerifyCertificate checks a certificate of erasure, as it was served, with the
// public key that its member signingKey names. It needs no vault.
func VerifyCertificate(certificate []byte, key ed25519.PublicKey) error {
	message, signature, err := parted(certificate)
	switch {
	case err != nil:
		return err
	case len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, message, signature):
		return ErrCertificate
	}
	return nil
}

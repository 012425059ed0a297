package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/document"
	"coffre/eventstore"
	"coffre/eventstore/proof"
	"coffre/handlers/contract"
	"coffre/handlers/contract/wire"
	"coffre/projections/erasures"
)

// GetErasureCertificate implements GET /erasures/{id}/certificate (rule E-3). It is
// made from the log each time: the same facts, the same bytes, the same signature.
func (v *Vault) GetErasureCertificate(ctx context.Context, r contract.GetErasureCertificateRequestObject) (contract.GetErasureCertificateResponseObject, error) {
	e, err := v.erasure(ctx, r.ErasureID)
	if err != nil {
		return nil, err
	}
	c, err := v.certificate(ctx, e.Citizen, r.ErasureID)
	if err != nil {
		return nil, err
	}
	return contract.GetErasureCertificate200JSONResponse(c), nil
}

func (v *Vault) certificate(ctx context.Context, of domain.CitizenID, id domain.ErasureID) (contract.ErasureCertificate, error) {
	s, err := v.erasureSteps(ctx, of, id)
	switch {
	case err != nil:
		return contract.ErasureCertificate{}, err
	case s.DoneAt.IsZero():
		return contract.ErasureCertificate{}, citizen.ErrNotDestroyed
	case v.CertificateSigner == nil:
		return contract.ErasureCertificate{}, errNoDestroyer
	}
	c := contract.ErasureCertificate{
		ErasureID: id, CitizenID: of, Scope: contract.ErasureScope(s.Scope), DocumentID: s.Document, State: contract.ErasureStateKeysDestroyed,
		Keys: s.destroyed.Keys, UnreadableEvents: s.destroyed.Unreadable, Digest: s.destroyed.Digest, DestroyedAt: s.DoneAt,
		Approvers: []contract.EventActor{actorItem(s.requestedBy), actorItem(s.approvedBy)},
	}
	record := s.destroyedIn
	if s.Scope == citizen.OneDocument {
		if record, err = v.certifyDocument(ctx, &c); err != nil {
			return contract.ErasureCertificate{}, err
		}
	}
	if c.UnreadableAttachments, err = v.unreadableFiles(ctx, of, c.Keys); err != nil {
		return contract.ErasureCertificate{}, err
	}
	if c.Record, err = v.leafReference(ctx, record); err != nil {
		return contract.ErasureCertificate{}, err
	}
	c.Remains = slices.Clone(remains[s.Scope])
	if s.FinalAt.IsZero() {
		err = v.certifyCopies(ctx, &c, s.Erasure)
	} else {
		certifyFinal(&c, s.final)
	}
	if err != nil {
		return contract.ErasureCertificate{}, err
	}
	return c, v.sign(ctx, &c)
}

// unreadableFiles counts the files of the documents that these keys sealed.
func (v *Vault) unreadableFiles(ctx context.Context, of domain.CitizenID, keys []string) (n int64, err error) {
	all, err := v.Keys.StreamKeys(ctx, of)
	if err != nil {
		return 0, err
	}
	for _, k := range all {
		if k.Stream.Category() != "document" || !slices.Contains(keys, k.ID.String()) {
			continue
		}
		state, _, err := documents.Load(ctx, v.Log, k.Stream)
		if err != nil {
			return 0, err
		}
		seen := map[domain.AttachmentID]bool{}
		for _, version := range state.Versions {
			for _, id := range version.Attachments {
				seen[id] = true
			}
		}
		n += int64(len(seen))
	}
	return n, nil
}

// leafReference names where in the log a record stands. Until the log has a tree over
// its leaves this is what ties a certificate to one log.
func (v *Vault) leafReference(ctx context.Context, r eventstore.Record) (contract.LeafReference, error) {
	leaf, err := v.Log.Leaves().Leaf(ctx, r.Position)
	if err != nil {
		return contract.LeafReference{}, fmt.Errorf("leaf of a record: %w", err)
	}
	hash := proof.LeafHash(&r)
	return contract.LeafReference{Leaf: leaf, LeafHash: hash[:]}, nil
}

// certifyCopies says what is not final yet: copies of the keys, and until when, once
// it is known (rule E-3).
func (v *Vault) certifyCopies(ctx context.Context, c *contract.ErasureCertificate, e erasures.Erasure) error {
	copies := inBackups
	if v.Retentions != nil {
		known, err := v.Keys.Ledger().Destructions(ctx)
		if err != nil {
			return err
		}
		d, err := destruction(ctx, known, e)
		if err != nil {
			return err
		}
		if last, trimmed := citizen.FinalAfter(d, *v.Retentions); trimmed {
			c.FinalAfter, copies.Until = last, last
		}
	}
	c.Remains = append(c.Remains, copies)
	return nil
}

// certifyFinal makes a certificate the second and last one.
func certifyFinal(c *contract.ErasureCertificate, f citizen.ErasureFinalised) {
	c.State, c.FinalAt = contract.ErasureStateFinal, f.At
	c.FinalAfter = max(f.Backups.Until, f.Archives.Until, f.Snapshots.Until)
	c.Trimmed = contract.TrimmedKeys{WrappedBy: f.WrappedBy, OldestVersion: f.OldestVersion, TrimmedAt: f.TrimmedAt}
	c.Copies = []contract.CopiesGone{
		{Kind: contract.CopyKindBackups, Days: f.Backups.Days, Until: f.Backups.Until},
		{Kind: contract.CopyKindArchives, Days: f.Archives.Days, Until: f.Archives.Until},
		{Kind: contract.CopyKindSnapshots, Days: f.Snapshots.Days, Until: f.Snapshots.Until},
	}
}

// certifyDocument puts into a certificate what document.content-destroyed says, and
// returns that record.
func (v *Vault) certifyDocument(ctx context.Context, c *contract.ErasureCertificate) (eventstore.Record, error) {
	for e, err := range v.Log.Read(ctx, documentStream(c.DocumentID), 0) {
		if err != nil {
			return eventstore.Record{}, fmt.Errorf("read document: %w", err)
		}
		if f, ok := e.Data.(document.ContentDestroyed); ok && f.Erasure == c.ErasureID {
			c.Keys, c.UnreadableEvents, c.Digest = []string{f.Key}, f.Unreadable, f.Digest
			return e.Record, nil
		}
	}
	return eventstore.Record{}, citizen.ErrNotDestroyed
}

func actorItem(a domain.Actor) contract.EventActor {
	return contract.EventActor{Role: contract.ActorRole(a.Role), Organization: a.Organisation, CitizenID: a.Citizen, Subject: a.Subject}
}

// remains says what an erasure leaves, why, and until when. None of it is called
// anonymous: it is pseudonymous personal data.
var remains = map[citizen.Scope][]contract.RemainingFact{
	citizen.OneDocument: {
		{What: "the document's facts in clear in the log: ids, type, issuer, versions, reasons, times; its sealed parts, which no key opens", Why: accountability},
	},
	citizen.WholeCitizen: {
		{What: "the facts in clear in the log: ids, document types, organisations, purposes, reasons, times; the sealed parts, which no key opens", Why: accountability},
		{What: "the lines of the consent log and the access log, without what was shown and without case references", Why: accountability},
		{What: "keyed digests of the person's numbers", Why: "so that erased stays erased, by legal obligation (GDPR art. 6(1)(c))"},
	},
}

const accountability = "accountability, and legal claims (GDPR art. 5(2) and 17(3)(b) and (e))"

var inBackups = contract.RemainingFact{
	What: "copies of the key database made before, as long as they are kept",
	Why:  "backups; the list of destroyed keys shreds a restored copy before it is used",
}

// sign puts the signature into a certificate.
func (v *Vault) sign(ctx context.Context, c *contract.ErasureCertificate) error {
	key, err := v.signingKey(ctx, contract.SigningPurposeErasure, v.CertificateSigner)
	if err != nil {
		return fmt.Errorf("sign the certificate: %w", err)
	}
	c.SigningKey = key.ID
	message, err := signedForm(*c)
	if err != nil {
		return err
	}
	signature, signer, err := v.CertificateSigner.Sign(ctx, message)
	switch {
	case err != nil:
		return fmt.Errorf("sign the certificate: %w", err)
	case signer != key.ID: // it changed hands between the two calls
		return fmt.Errorf("sign the certificate: %w", errSigner)
	}
	c.Signature = signature
	return nil
}

var errSigner = errors.New("the signing key was replaced meanwhile")

// signedForm is what a certificate's signature is over: the RFC 8785 form of the
// object without the member signature.
func signedForm(c contract.ErasureCertificate) ([]byte, error) {
	var encoded bytes.Buffer
	if err := wire.NewEncoder(&encoded).Encode(c); err != nil {
		return nil, fmt.Errorf("encode the certificate: %w", err)
	}
	message, _, err := parted(encoded.Bytes())
	return message, err
}

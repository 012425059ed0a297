package work

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/document"
	"coffre/eventstore"
	"coffre/eventstore/proof"
	"coffre/eventstore/seal"
	"coffre/handlers/acting"
	"coffre/handlers/certificate"
	"coffre/handlers/contract"
	"coffre/projections/erasures"
)

// ErasureCertificate returns the signed certificate of an erasure (rule E-3), made from the
// log and the key ring, or, where another process destroys keys, the latest one that it
// signed. It returns citizen.ErrNotDestroyed before the keys are destroyed, ErrNoDestroyer
// where nothing signs, and errNotSigned where the destroyer has not signed it yet.
func (work *Worker) ErasureCertificate(ctx context.Context, of domain.CitizenID, id domain.ErasureID) (contract.ErasureCertificate, error) {
	s, err := work.ErasureHistory(ctx, of, id)
	switch {
	case err != nil:
		return contract.ErasureCertificate{}, err
	case s.DoneAt.IsZero():
		return contract.ErasureCertificate{}, citizen.ErrNotDestroyed
	case work.certifier == nil && work.others:
		return work.keptCertificate(ctx, id)
	case work.certifier == nil:
		return contract.ErasureCertificate{}, ErrNoDestroyer
	}
	c, err := work.certify(ctx, of, s)
	if err != nil {
		return contract.ErasureCertificate{}, err
	}
	if err := work.cover(ctx, &c); err != nil {
		return contract.ErasureCertificate{}, err
	}
	return c, work.sign(ctx, &c)
}

// cover adds to a certificate the last checkpoint of the log if it covers the record.
func (work *Worker) cover(ctx context.Context, c *contract.ErasureCertificate) error {
	if work.Proof == nil {
		return nil
	}
	note, err := work.Proof.Covered(ctx, c.Record.Leaf)
	c.Checkpoint = string(note)
	return err
}

// certify returns the certificate of an erasure that was carried out, unsigned.
func (work *Worker) certify(ctx context.Context, of domain.CitizenID, s ErasureHistory) (contract.ErasureCertificate, error) {
	id := s.Erasure.Erasure
	c := contract.ErasureCertificate{
		ErasureID: id, CitizenID: of, Scope: contract.ErasureScope(s.Scope), DocumentID: s.Document, State: contract.ErasureStateKeysDestroyed,
		Keys: s.destroyed.Keys, UnreadableEvents: s.destroyed.Unreadable, Digest: s.destroyed.Digest, DestroyedAt: s.DoneAt,
		Approvers: []contract.EventActor{actorItem(s.RequestedBy), actorItem(s.approvedBy)},
	}
	var err error
	record := s.destroyedIn
	if s.Scope == citizen.OneDocument {
		if record, err = work.certifyDocument(ctx, &c); err != nil {
			return contract.ErasureCertificate{}, err
		}
	}
	files, err := work.unreadableFiles(ctx, of, c.Keys)
	if err != nil {
		return contract.ErasureCertificate{}, err
	}
	c.UnreadableAttachments = &files
	if c.Record, err = work.leafReference(ctx, record); err != nil {
		return contract.ErasureCertificate{}, err
	}
	c.Remains = slices.Clone(remains[s.Scope])
	if s.FinalAt.IsZero() {
		err = work.certifyCopies(ctx, &c, s.Erasure)
	} else {
		certifyFinal(&c, s.final)
	}
	return c, err
}

// unreadableFiles counts the files of the documents that these keys sealed.
func (work *Worker) unreadableFiles(ctx context.Context, of domain.CitizenID, keys []string) (n int64, err error) {
	person, err := work.LoadPerson(ctx, of)
	if err != nil {
		return 0, err
	}
	var all []seal.StreamKey
	for _, life := range person.Lives {
		of, err := work.Keys.StreamKeys(ctx, life)
		if err != nil {
			return 0, err
		}
		all = append(all, of...)
	}
	for _, k := range all {
		if k.Stream.Category() != "document" || !slices.Contains(keys, k.ID.String()) {
			continue
		}
		state, _, err := acting.Documents.Load(ctx, work.Log, k.Stream)
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

// leafReference returns the place of a record in the log.
func (work *Worker) leafReference(ctx context.Context, r eventstore.Record) (contract.LeafReference, error) {
	leaf, err := work.Log.Leaves().Leaf(ctx, r.Position)
	if err != nil {
		return contract.LeafReference{}, fmt.Errorf("leaf of a record: %w", err)
	}
	hash := proof.SumOf(&r)
	return contract.LeafReference{Leaf: leaf, LeafHash: hash[:]}, nil
}

// certifyCopies adds to a certificate that copies of the keys remain, and until which day,
// once that is known (rule E-3).
func (work *Worker) certifyCopies(ctx context.Context, c *contract.ErasureCertificate, e erasures.Erasure) error {
	copies := inCopies[e.Scope]
	if work.retentions != nil {
		known, err := work.Keys.Ledger().Destructions(ctx)
		if err != nil {
			return err
		}
		d, err := work.destruction(ctx, known, e)
		if err != nil {
			return err
		}
		if last, trimmed := citizen.FinalAfter(d, *work.retentions); trimmed {
			c.FinalAfter, copies.Until = last, last
		}
	}
	c.Remains = append(c.Remains, copies)
	return nil
}

// certifyFinal turns a certificate into the second and last one of its erasure.
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

// certifyDocument copies the facts of document.content-destroyed into a certificate, and
// returns the record of that event.
func (work *Worker) certifyDocument(ctx context.Context, c *contract.ErasureCertificate) (eventstore.Record, error) {
	for e, err := range work.Log.Read(ctx, acting.DocumentStream(c.DocumentID), 0) {
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

// remains lists the facts that an erasure of each scope leaves, and why. None of them is
// called anonymous: they are pseudonymous personal data.
var remains = map[citizen.Scope][]contract.RemainingFact{
	citizen.OneDocument: {
		{What: "the document's facts in clear in the log: ids, type, issuer, versions, reasons, times; its sealed parts, which no key opens", Why: accountability},
	},
	citizen.WholeCitizen: {
		{What: "the facts in clear in the log: ids, document types, organisations, purposes, reasons, times; the sealed parts, which no key opens", Why: accountability},
		{What: "mandates, where there were any: the ids of both persons and the kind, which tells of a family where a parent acted for a child; the end is sealed", Why: "so that what was read or consented to under a mandate can be laid at somebody's door; " + accountability},
		{What: "where two lives of the person were merged, the ids of both and when", Why: "so that what was done under either id can be laid at one person's door; " + accountability},
		{What: "the lines of the consent log and the access log, without what was shown and without case references", Why: accountability},
		{What: "keyed digests of the person's numbers, until two officers release them", Why: "so that erased stays erased, by legal obligation (GDPR art. 6(1)(c))"},
	},
}

const accountability = "accountability, and legal claims (GDPR art. 5(2) and 17(3)(b) and (e))"

// inCopies says what old copies of the key database still have, and what that opens with.
// Their retention ends it, and for keys the trim too (rule E-3).
var inCopies = map[citizen.Scope]contract.RemainingFact{
	citizen.OneDocument: {
		What: "copies of the key database made before, its write-ahead log (pg_wal), archives and replicas included: in them the document's key lies under a former data key of the person, and keys of its files may lie under a former key of the deployment, which a version of the key-encryption key opens until that is trimmed and gone from snapshots",
		Why:  whyCopies,
	},
	citizen.WholeCitizen: {
		What: "copies of the key database made before, its write-ahead log (pg_wal), archives and replicas included: in them the keys lie under a version of the key-encryption key, which opens them until it is trimmed and gone from snapshots; and keyed digests of the person's numbers and references of organisations beside their id, which tell whom it belonged to, with keys that live on, until the last copy is gone",
		Why:  whyCopies,
	},
}

const whyCopies = "backups and recovery; the list of destroyed keys shreds a restored copy before it is used"

// sign puts the signature into a certificate.
func (work *Worker) sign(ctx context.Context, c *contract.ErasureCertificate) error {
	key, err := work.signingKey(ctx, contract.SigningPurposeErasure, work.certifier)
	if err != nil {
		return fmt.Errorf("sign the certificate: %w", err)
	}
	c.SigningKey = key.ID
	message, err := certificate.SignedForm(*c)
	if err != nil {
		return err
	}
	signature, signer, err := work.certifier.Sign(ctx, message)
	switch {
	case err != nil:
		return fmt.Errorf("sign the certificate: %w", err)
	case signer != key.ID: // it changed hands between the two calls
		return fmt.Errorf("sign the certificate: %w", errSignerChanged)
	}
	c.Signature = signature
	return nil
}

var errSignerChanged = errors.New("the signing key was replaced meanwhile")

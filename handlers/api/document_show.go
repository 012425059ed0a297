package api

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
	"coffre/projections/vocabulary"
)

// GetDocument implements GET /documents/{id} for its issuer and its holders.
func (v *Vault) GetDocument(ctx context.Context, r contract.GetDocumentRequestObject) (contract.GetDocumentResponseObject, error) {
	in := v.NewIntent(ctx)
	d, known, err := v.viewKnown(ctx, in, r.DocumentID, disclosure.Viewing{AsIssuer: access.OpenedReadBack, AsRepresentative: access.OpenedDocument}, r.Params.AsOf, r.Params.ValidAt)
	if err != nil {
		return nil, err
	}
	if on := d.State.VersionAt(known.day); r.Params.ValidAt != "" && on > 0 {
		d.Version = min(d.Version, on)
	}
	item, err := v.versionItem(ctx, d.LoadedDocument, d.Version)
	if err != nil {
		v.QueueOutcome(in, d.Authorized, access.Failed, err)
		return nil, err
	}
	s, lang := d.State, in.Call.Language
	answer := contract.VaultDocument{
		Href: in.Call.InLanguage(contract.DocumentHref(s.Document)), DocumentID: s.Document, DocumentType: s.Type, Version: d.Version,
		Label:  in.Words.Label(vocabulary.DocumentTypes, string(s.Type), lang),
		Issuer: s.Issuer, IssuerName: in.Words.Label(vocabulary.Organisations, string(s.Issuer), lang),
		State: contract.DocumentState(s.StatusAt(known.day)), IssuedAt: s.IssuedAt, ChangedAt: d.ChangedAt,
		ValidFrom: item.ValidFrom, ValidUntil: item.ValidUntil, EffectiveFrom: item.EffectiveFrom,
		Reason: s.Revocation.Reason, Content: item.Content, Attachments: item.Attachments,
	}
	if in.Call.Role == domain.RoleIssuer {
		first, err := v.OpenIssued(ctx, d.LoadedDocument)
		if err != nil {
			v.QueueOutcome(in, d.Authorized, access.Failed, err)
			return nil, err
		}
		if answer.CitizenRef, err = v.Keys.Ref(ctx, in.Call.Organisation, s.Citizen); err != nil {
			return nil, err
		}
		answer.SourceReference = first.SourceReference
	} else {
		answer.CitizenID = s.Citizen
	}
	v.RecordOnceAnswered(in, d.Authorized)
	return contract.GetDocument200JSONResponse{Body: answer, Headers: contract.GetDocument200ResponseHeaders{ETag: documentTag(in, d, known.day)}}, nil
}

// viewKnown takes the steps of rule A-1 for a document as it is now, and returns it as it was
// known: what is recorded names no version behind that. Whoever may read it now may read what
// it was, and what was destroyed since is destroyed.
func (v *Vault) viewKnown(ctx context.Context, in acting.Intent, id domain.DocumentID, what disclosure.Viewing, asOf *time.Time, validAt domain.Date) (disclosure.Viewed, clocks, error) {
	known, err := v.setClocks(ctx, in.At, asOf, validAt, "")
	if err != nil || asOf == nil {
		if err != nil {
			return disclosure.Viewed{}, known, err
		}
		d, err := v.View(ctx, in, id, what)
		return d, known, err
	}
	was, err := v.LoadDocumentAsOf(ctx, id, known.leaf)
	if err != nil {
		return disclosure.Viewed{}, known, err
	}
	switch newest := was.State.Current(); {
	case newest == 0 || what.Version > newest:
		what.Version = math.MaxInt // a version that it does not have
	case what.Version == 0:
		what.Version = newest
	}
	d, err := v.View(ctx, in, id, what)
	if err != nil {
		return d, known, err
	}
	if was, err = v.OpenDates(ctx, was); err != nil {
		v.QueueOutcome(in, d.Authorized, access.Failed, err)
		return d, known, err
	}
	was.State.Erased = was.State.Erased || d.State.Erased
	d.LoadedDocument = was
	return d, known, nil
}

// documentTag returns the tag of a document as a reader is shown it: by the version, and by
// what else the answer depends on. Nothing personal is in it but what the ids tell.
func documentTag(in acting.Intent, d disclosure.Viewed, day domain.Date) contract.EntityTag {
	rest := fmt.Sprint(d.State.Document, d.Version, d.ChangedAt.UnixMicro(), d.State.StatusAt(day), in.Call.Role, in.Call.Organisation, in.Call.Language, in.Words.Version())
	return edge.StateTag(d.Version, sha256.Sum256([]byte(rest)))
}

// versionItem opens one version of a document. A version whose key was destroyed comes
// without content.
func (v *Vault) versionItem(ctx context.Context, a disclosure.LoadedDocument, version int) (contract.DocumentVersionItem, error) {
	if version < 1 || version > len(a.ContentEvents) {
		return contract.DocumentVersionItem{}, edge.ErrNoResource
	}
	opened, err := v.OpenVersion(ctx, a, version)
	if err != nil {
		return contract.DocumentVersionItem{}, err
	}
	item := contract.DocumentVersionItem{
		Href: contract.VersionHref(a.State.Document, version), Version: version, RecordedAt: a.ContentEvents[version-1].Time,
		Content: contract.Content(opened.Content), Attachments: attachmentItems(a.State.Document, opened.Files), Reason: opened.Reason,
	}
	item.EffectiveFrom = a.State.Versions[version-1].EffectiveFrom
	item.ValidFrom, item.ValidUntil, _ = a.State.Validity(version)
	return item, nil
}

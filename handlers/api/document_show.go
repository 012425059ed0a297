package api

import (
	"context"
	"errors"
	"fmt"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/document"
	"coffre/domain/mandate"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections/vocabulary"
)

// viewed is a document that its issuer or one of its holders reads. Authorized is
// zero for the subject, whose own reading is not recorded.
type viewed struct {
	attested
	authorized access.Authorized
}

// GetDocument implements GET /documents/{id} for its issuer and its holders.
func (v *Vault) GetDocument(ctx context.Context, r contract.GetDocumentRequestObject) (contract.GetDocumentResponseObject, error) {
	in := v.intend(ctx)
	d, err := v.view(ctx, in, r.DocumentID, viewing{asIssuer: access.OpenedReadBack, asRepresentative: access.OpenedDocument})
	if err != nil {
		return nil, err
	}
	version := d.state.Current()
	item, err := v.versionItem(ctx, d.attested, version)
	if err != nil {
		v.told(in, d.authorized, access.Failed, err)
		return nil, err
	}
	s, lang := d.state, in.call.Language
	answer := contract.Document{
		Href: documentHref(s.Document), DocumentID: s.Document, DocumentType: s.Type, Version: version,
		Label:  in.words.Label(vocabulary.DocumentTypes, string(s.Type), lang),
		Issuer: s.Issuer, IssuerName: in.words.Label(vocabulary.Organisations, string(s.Issuer), lang),
		State: contract.DocumentState(s.StatusAt(domain.BelgianDate(in.at))), IssuedAt: s.IssuedAt, ChangedAt: d.changed,
		ValidFrom: item.ValidFrom, ValidUntil: item.ValidUntil, EffectiveFrom: item.EffectiveFrom,
		Reason: s.Revocation.Reason, Content: item.Content, Attachments: item.Attachments,
	}
	if in.call.Role == domain.RoleIssuer {
		first, err := v.firstPart(ctx, d.attested)
		if err != nil {
			v.told(in, d.authorized, access.Failed, err)
			return nil, err
		}
		if answer.CitizenRef, err = v.Keys.Ref(ctx, in.call.Organisation, s.Citizen); err != nil {
			return nil, err
		}
		answer.SourceReference = first.SourceReference
	} else {
		answer.CitizenID = s.Citizen
	}
	v.recordOnceAnswered(in, d.authorized)
	return contract.GetDocument200JSONResponse{Body: answer, Headers: contract.GetDocument200ResponseHeaders{ETag: edge.Etag(version)}}, nil
}

// viewing says what an issuer or a representative reads, as it is recorded. With an
// attachment it is that file, of whichever version.
type viewing struct {
	asIssuer, asRepresentative access.Opened
	attachment                 domain.AttachmentID
}

// view takes the steps of rule A-1 for somebody who reads without a consumer's
// basis: the issuer what it issued, a holder what they hold, a representative
// under a mandate. To everybody else there is no such document.
func (v *Vault) view(ctx context.Context, in intent, id domain.DocumentID, what viewing) (viewed, error) {
	a, err := v.attested(ctx, id)
	if err != nil {
		return viewed{}, err
	}
	if !a.state.Exists() || in.call.Role == domain.RoleIssuer && a.state.Issuer != in.call.Organisation { // before anything is opened
		return viewed{}, edge.ErrNoResource
	}
	if !what.attachment.IsZero() && !a.state.Names(what.attachment) {
		return viewed{}, edge.ErrNoResource
	}
	if in.call.Role == domain.RoleCitizen && a.state.Citizen == in.call.Citizen {
		return v.own(ctx, a)
	}
	var judge func(attested, domain.AccessID) (accessCommand, eventstore.Write, error)
	if in.call.Role == domain.RoleIssuer {
		judge = v.readBack(ctx, in, what)
	} else if judge, err = v.readFor(ctx, in, a, what); err != nil {
		return viewed{}, err
	}
	if a, err = v.withDates(ctx, a); err != nil {
		return viewed{}, err
	}
	cmd, w, err := judge(a, domain.AccessID{UUID: v.NewID()})
	if err != nil {
		return viewed{}, hidden(err)
	}
	result, err := accesses.Transact(ctx, v.Log, w, cmd)
	if err != nil {
		return viewed{}, hidden(err)
	}
	authorized, err := authorizedIn(result.Events)
	if err != nil {
		return viewed{}, err
	}
	again, err := v.attested(ctx, id)
	if err == nil {
		again, err = v.withDates(ctx, again)
	}
	if err == nil {
		cmd, _, err = judge(again, authorized.Access)
	}
	if err == nil {
		_, err = cmd.Decide(access.State{})
	}
	if err != nil {
		return viewed{}, hidden(v.withhold(ctx, in, authorized, err))
	}
	return viewed{again, authorized}, nil
}

type accessCommand = eventstore.Command[access.State, access.Event]

// hidden makes "no basis" the same as "no such thing" for those who name no basis.
func hidden(err error) error {
	if errors.Is(err, access.ErrNoBasis) {
		return edge.ErrNoResource
	}
	return err
}

func (v *Vault) own(ctx context.Context, a attested) (viewed, error) {
	if a.state.Erased {
		return viewed{}, document.ErrContentDestroyed
	}
	a, err := v.withDates(ctx, a)
	return viewed{attested: a}, err
}

func (v *Vault) readBack(ctx context.Context, in intent, what viewing) func(attested, domain.AccessID) (accessCommand, eventstore.Write, error) {
	return func(a attested, id domain.AccessID) (accessCommand, eventstore.Write, error) {
		person, err := v.meet(ctx, a.state.Citizen)
		if err != nil {
			return nil, eventstore.Write{}, err
		}
		w := v.accessWrite(in, accessStream(a.state.Citizen, in.at), a.state.Citizen, []eventstore.Reference{a.at, person.at})
		return access.AuthorizeReadBack{Access: id, Kind: what.asIssuer, Document: a.state.On(domain.BelgianDate(in.at)), Attachment: what.attachment, By: in.actor, At: in.at}, w, nil
	}
}

// readFor finds the mandate under which the citizen may read the document.
func (v *Vault) readFor(ctx context.Context, in intent, a attested, what viewing) (func(attested, domain.AccessID) (accessCommand, eventstore.Write, error), error) {
	acting, err := v.actFor(ctx, in, a.state.Citizen, mandate.Read)
	if err != nil {
		return nil, err
	}
	under := acting.under([]domain.DocumentType{a.state.Type})
	var t registry.DocumentType
	if known, ok := in.words.DocumentType(a.state.Type); ok {
		t = *known
	}
	return func(a attested, id domain.AccessID) (accessCommand, eventstore.Write, error) {
		person, err := v.meet(ctx, a.state.Citizen)
		if err != nil {
			return nil, eventstore.Write{}, err
		}
		holds, at, err := v.stillInForce(ctx, in, under.ID, &mandate.GrantedPersonal{Until: under.Until})
		if errors.Is(err, mandate.ErrNotInForce) {
			err = edge.ErrNoResource
		}
		if err != nil {
			return nil, eventstore.Write{}, err
		}
		w := v.accessWrite(in, accessStream(a.state.Citizen, in.at), a.state.Citizen, []eventstore.Reference{a.at, person.at, at})
		w.Meta.Actor = acting.by
		return access.AuthorizeByMandate{
			Access: id, Citizen: a.state.Citizen, Kind: what.asRepresentative, Type: t, Document: a.state.On(domain.BelgianDate(in.at)), Attachment: what.attachment,
			Mandate: holds, Standing: person.standing, By: acting.by, At: in.at,
		}, forCitizen(w, a.state.Citizen), nil
	}, nil
}

// versionItem opens one version. The content of one whose key is gone is absent.
func (v *Vault) versionItem(ctx context.Context, a attested, version int) (contract.DocumentVersionItem, error) {
	if version < 1 || version > len(a.contents) {
		return contract.DocumentVersionItem{}, edge.ErrNoResource
	}
	e := a.contents[version-1]
	item := contract.DocumentVersionItem{Href: versionHref(a.state.Document, version), Version: version, RecordedAt: e.Time}
	opened, err := eventstore.OpenEvent(ctx, v.Opener, v.Codec, e)
	if err != nil {
		return contract.DocumentVersionItem{}, err
	}
	switch f := opened.(type) {
	case document.Issued:
		item.Content, item.Attachments = contract.Content(f.Personal.Content), attachmentsShown(a.state.Document, f.Personal.Attachments)
	case document.Updated:
		item.Content, item.Attachments, item.Reason = contract.Content(f.Personal.Content), attachmentsShown(a.state.Document, f.Personal.Attachments), f.Reason
	}
	item.EffectiveFrom = a.state.Versions[version-1].EffectiveFrom
	item.ValidFrom, item.ValidUntil, _ = a.state.Validity(version)
	return item, nil
}

// firstPart opens what was issued first.
func (v *Vault) firstPart(ctx context.Context, a attested) (document.IssuedPersonal, error) {
	opened, err := eventstore.OpenEvent(ctx, v.Opener, v.Codec, a.contents[0])
	if err != nil {
		return document.IssuedPersonal{}, err
	}
	first, ok := opened.(document.Issued)
	if !ok || first.Personal == nil {
		return document.IssuedPersonal{}, fmt.Errorf("%s is no issue of a document", a.contents[0].Type)
	}
	return *first.Personal, nil
}

func versionHref(id domain.DocumentID, version int) contract.Href {
	return fmt.Sprintf("%s/versions?version=%d", documentHref(id), version)
}

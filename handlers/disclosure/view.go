package disclosure

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
	"coffre/handlers/acting"
	"coffre/handlers/edge"
)

// Viewed is a document that its issuer or one of its holders reads. Authorized is zero for
// the subject, whose own reading is not recorded.
type Viewed struct {
	LoadedDocument
	Authorized access.Authorized
	// Version is the one to open, which the record names: the newest when the access was
	// authorised, whatever was recorded since and from whichever day it applies. All
	// versions are those up to it. It is 0 when there is none.
	Version int
	// Recheck judges the reading once more, as it is now: nil while it is allowed. It may be
	// called concurrently with everything else.
	Recheck func(context.Context) error
}

// Viewing holds the part of a document that an issuer or a representative reads. With an
// attachment it is that file, of the first version that has it.
type Viewing struct {
	AsIssuer, AsRepresentative access.Opened
	Attachment                 *domain.AttachmentID // nil: the document
	Version                    int                  // only this one; 0 when none is asked for
}

// versionOf returns the number of the version that is opened, 0 when the document has
// no such version.
func (what Viewing) versionOf(s document.State) int {
	switch {
	case what.Attachment != nil:
		return s.VersionNaming(*what.Attachment)
	case what.Version > s.Current():
		return 0
	case what.Version != 0:
		return what.Version
	}
	return s.Current()
}

// snapshot returns the document on a day, with the version that is opened in place of the
// one that applies on that day.
func (what Viewing) snapshot(a LoadedDocument, day domain.Date) document.Snapshot {
	s := a.State.On(day)
	s.Version = what.Version
	return s
}

// View takes the steps of rule A-1 for a reader without a consumer's basis: the issuer of a
// document, its holder, or a representative under a mandate. To every other caller the
// document does not exist, which is edge.ErrNoResource.
func (dis *Discloser) View(ctx context.Context, in acting.Intent, id domain.DocumentID, what Viewing) (Viewed, error) {
	a, err := dis.LoadDocument(ctx, id)
	if err != nil {
		return Viewed{}, err
	}
	if !a.State.Exists() && in.Call.Role == domain.RoleCitizen { // as much is read as for somebody's document (rule A-9)
		if _, err := dis.ActFor(ctx, in, &domain.CitizenID{UUID: dis.NewID()}, mandate.Read); err != nil {
			return Viewed{}, err
		}
		return Viewed{}, edge.ErrNoResource
	}
	if !a.State.Exists() || in.Call.Role == domain.RoleIssuer && a.State.Issuer != in.Call.Organisation { // before anything is opened
		return Viewed{}, edge.ErrNoResource
	}
	if what.Attachment != nil && !a.State.Names(*what.Attachment) {
		return Viewed{}, edge.ErrNoResource
	}
	what.Version = what.versionOf(a.State)
	var judge judgement
	if in.Call.Role == domain.RoleIssuer {
		judge = dis.judgeReadBack(what)
	} else {
		represents, err := dis.ActFor(ctx, in, &a.State.Citizen, mandate.Read)
		if err != nil {
			return Viewed{}, err
		}
		if represents.Self() {
			return dis.viewOwn(ctx, a, what.Version)
		}
		judge = dis.judgeRepresentative(in, a, what, represents)
	}
	if a, err = dis.OpenDates(ctx, a); err != nil {
		return Viewed{}, err
	}
	cmd, w, err := judge(ctx, in, a, domain.AccessID{UUID: dis.NewID()})
	if err != nil {
		return Viewed{}, HideNoBasis(err)
	}
	result, err := acting.Accesses.Transact(ctx, dis.Log, w, cmd)
	if err != nil {
		return Viewed{}, HideNoBasis(err)
	}
	authorized, err := AuthorizedIn(result.Events)
	if err != nil {
		return Viewed{}, err
	}
	judgeAgain := func(ctx context.Context) (LoadedDocument, error) {
		again, err := dis.LoadDocument(ctx, id)
		if err == nil {
			again, err = dis.OpenDates(ctx, again)
		}
		if err == nil {
			var cmd accessCommand
			if cmd, _, err = judge(ctx, dis.Renew(in), again, authorized.Access); err == nil {
				_, err = cmd.Decide(access.State{})
			}
		}
		return again, err
	}
	again, err := judgeAgain(ctx)
	if err != nil {
		return Viewed{}, HideNoBasis(dis.Withhold(ctx, in, authorized, err))
	}
	recheck := func(ctx context.Context) error {
		_, err := judgeAgain(ctx)
		return err
	}
	return Viewed{again, authorized, authorized.Version, recheck}, nil
}

// judgement returns the command that judges the reading of a document as it was loaded, at
// the time of the intent, and the write that records it.
type judgement func(context.Context, acting.Intent, LoadedDocument, domain.AccessID) (accessCommand, eventstore.Write, error)

type accessCommand = eventstore.Command[access.State, access.Event]

// HideNoBasis turns access.ErrNoBasis into edge.ErrNoResource, for readers who name no
// basis; it returns any other error unchanged.
func HideNoBasis(err error) error {
	if errors.Is(err, access.ErrNoBasis) {
		return edge.ErrNoResource
	}
	return err
}

func (dis *Discloser) viewOwn(ctx context.Context, a LoadedDocument, version int) (Viewed, error) {
	if a.State.Erased {
		return Viewed{}, document.ErrContentDestroyed
	}
	a, err := dis.OpenDates(ctx, a)
	recheck := func(ctx context.Context) error {
		again, err := dis.LoadDocument(ctx, a.State.Document)
		if err == nil && again.State.Erased {
			err = document.ErrContentDestroyed
		}
		return err
	}
	return Viewed{LoadedDocument: a, Version: version, Recheck: recheck}, err
}

func (dis *Discloser) judgeReadBack(what Viewing) judgement {
	return func(ctx context.Context, in acting.Intent, a LoadedDocument, id domain.AccessID) (accessCommand, eventstore.Write, error) {
		person, err := dis.LoadPerson(ctx, a.State.Citizen)
		if err != nil {
			return nil, eventstore.Write{}, err
		}
		w := dis.accessWrite(in, acting.AccessStream(a.State.Citizen, in.At), a.State.Citizen, []eventstore.Reference{a.ref, person.At})
		return access.AuthorizeReadBack{Access: id, Kind: what.AsIssuer, Document: what.snapshot(a, domain.BelgianDate(in.At)), Attachment: what.Attachment, Restrictions: person.Restrictions, By: in.Actor, At: in.At}, w, nil
	}
}

// judgeRepresentative returns the judgement of a document's reading under the caller's
// mandate.
func (dis *Discloser) judgeRepresentative(in acting.Intent, a LoadedDocument, what Viewing, represents Representation) judgement {
	under := represents.MandateFor([]domain.DocumentType{a.State.Type})
	var t registry.DocumentType
	if known, ok := in.Words.DocumentType(a.State.Type); ok {
		t = *known
	}
	return func(ctx context.Context, in acting.Intent, a LoadedDocument, id domain.AccessID) (accessCommand, eventstore.Write, error) {
		person, err := dis.LoadPerson(ctx, a.State.Citizen)
		if err != nil {
			return nil, eventstore.Write{}, err
		}
		holds, at, err := dis.mandateStillInForce(ctx, under.ID, &mandate.GrantedPersonal{Until: under.Until, Born: under.Born})
		if errors.Is(err, mandate.ErrNotInForce) {
			err = edge.ErrNoResource
		}
		if err != nil {
			return nil, eventstore.Write{}, err
		}
		w := dis.accessWrite(in, acting.AccessStream(a.State.Citizen, in.At), a.State.Citizen, []eventstore.Reference{a.ref, person.At, at})
		w.Meta.Actor = represents.By
		return access.AuthorizeByMandate{
			Access: id, Citizen: a.State.Citizen, Kind: what.AsRepresentative, Type: t, Document: what.snapshot(a, domain.BelgianDate(in.At)), Attachment: what.Attachment,
			Mandate: represents.between(holds), Standing: person.Standing, By: represents.By, At: in.At,
		}, acting.WithRepresented(w, a.State.Citizen), nil
	}
}

// OpenIssued opens the personal part of the event that issued a document.
func (dis *Discloser) OpenIssued(ctx context.Context, a LoadedDocument) (document.IssuedPersonal, error) {
	opened, err := eventstore.OpenEvent(ctx, dis.openerFor(ctx), dis.codec, a.ContentEvents[0])
	if err != nil {
		return document.IssuedPersonal{}, err
	}
	first, ok := opened.(document.Issued)
	if !ok || first.Personal == nil {
		return document.IssuedPersonal{}, fmt.Errorf("%s is no issue of a document", a.ContentEvents[0].Type)
	}
	return *first.Personal, nil
}

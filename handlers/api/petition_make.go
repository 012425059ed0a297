package api

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/document"
	"coffre/domain/mandate"
	"coffre/domain/petition"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/accesslog"
	"coffre/projections/erasures"
)

// Steps of a petition, for the ids of its events.
const (
	petitionMade = iota
	petitionRestricts
)

// petitionCommand is a command that begins a petition.
type petitionCommand interface {
	Decide(petition.State) ([]petition.Event, error)
}

// MakePetition implements POST /citizens/{id}/petitions (rules ). The restriction
// that comes with it is recorded first: a petition that then fails leaves more protected, which
// the citizen can lift.
func (v *Vault) MakePetition(ctx context.Context, r contract.MakePetitionRequestObject) (contract.MakePetitionResponseObject, error) {
	if r.CitizenID.IsZero() {
		return nil, edge.ErrNoResource
	}
	if _, err := v.ActFor(ctx, v.NewIntent(ctx), &r.CitizenID, mandate.Consent); err != nil { // a repetition is judged too
		return nil, err
	}
	type made struct {
		Petition contract.Petition
		At       contract.PositionToken
	}
	key := r.Params.IdempotencyKey
	done, err := acting.Once(ctx, v.Recorder, key, func(ctx context.Context, in acting.Intent) (_ made, err error) {
		person, err := v.LoadPerson(ctx, r.CitizenID)
		if err == nil {
			err = person.Standing.Writable()
		}
		if err != nil {
			return made{}, err
		}
		a, err := v.ActFor(ctx, in, &person.ID, mandate.Consent)
		if err != nil {
			return made{}, err
		}
		in.Actor = v.AsLife(in.Actor, person.ID)
		id, cmd, err := v.petitionOf(ctx, in, a, person, key, *r.Body)
		if err != nil {
			return made{}, err
		}
		state, _, err := acting.Petitions.Load(ctx, v.Log, acting.PetitionStream(id))
		if err != nil {
			return made{}, err
		}
		if _, err := cmd.Decide(state); err != nil && !in.Settle {
			return made{}, err
		}
		if err := v.Take(ctx, in.Call, &acting.OpenPetitions, acting.Room{ID: id.UUID, Person: person.ID.UUID[:]}); err != nil {
			return made{}, err
		}
		defer func() { v.FreeIfRefused(&acting.OpenPetitions, id.UUID, err) }()
		if asked, ok := cmd.(petition.Request); ok && asked.Restrict {
			if err := v.restrictUntilAnswered(ctx, in, a, person.ID, asked); err != nil {
				return made{}, err
			}
		}
		result, err := acting.Petitions.Transact(ctx, v.Log, a.AddTo(in.Write(petitionMade, acting.PetitionStream(id), person.ID)), cmd)
		if err != nil {
			return made{}, err
		}
		at, err := v.PositionToken(ctx, result.Position)
		return made{v.petitionItem(in, erasures.Petition{State: result.State}), at}, err
	})
	if err != nil {
		return nil, err
	}
	return contract.MakePetition201JSONResponse{Body: done.Petition, Headers: contract.MakePetition201ResponseHeaders{CoffrePosition: done.At, Location: done.Petition.Href}}, nil
}

// restrictUntilAnswered restricts processing of what a petition is about.
func (v *Vault) restrictUntilAnswered(ctx context.Context, in acting.Intent, a disclosure.Representation, whose domain.CitizenID, asked petition.Request) error {
	one := citizen.RestrictProcessing{Restriction: asked.Petition.Restriction(), Reason: citizen.Objection, By: a.By, At: in.At}
	if asked.Kind == petition.Rectification {
		one.Document, one.Reason = asked.Document, citizen.AccuracyContested
	}
	_, err := acting.Citizens.TransactReserved(ctx, v.Log, a.AddTo(in.Write(petitionRestricts, acting.CitizenStream(whose), whose)), one)
	return err
}

// Refusals of petitions about what is not there.
var (
	errNoEntry     = domain.NewError(domain.NotFound, "entryNotFound", "the access log has no such entry")
	errNothingRead = domain.NewError(domain.Conflict, "nothingRead", "the access log has nothing that this organisation read for this purpose")
	errRestricts   = domain.NewError(domain.Invalid, "petitionRestricts", "a dispute restricts nothing; a request to rectify and an objection may")
)

// petitionOf returns the command for what a citizen or their representative asks, with the id of
// the petition.
func (v *Vault) petitionOf(ctx context.Context, in acting.Intent, a disclosure.Representation, person acting.Person, key uuid.UUID, b contract.PetitionMake) (domain.PetitionID, petitionCommand, error) {
	id := domain.PetitionID{UUID: uuid.NewSHA1(key, []byte(acting.RequestOwner(in.Call)))}
	restrict := b.Restrict != nil && *b.Restrict
	switch {
	case b.EntryID != nil:
		e, err := v.accessEntry(ctx, in, person.Lives, *b.EntryID)
		switch {
		case err != nil:
			return id, nil, err
		case !visibleEntry(a, e.Type):
			return id, nil, errNoEntry
		case restrict:
			return id, nil, errRestricts
		}
		id = e.ID().Dispute()
		return id, petition.Dispute{Petition: id, Citizen: person.ID, Entry: e.ID(), Access: e.Access, Organisation: answersFor(&e), Text: b.Text, Mandate: underFor(a, e.Type), Type: e.Type, By: a.By, At: in.At}, nil
	case b.DocumentID != nil:
		state, _, err := acting.Documents.Load(ctx, v.Log, acting.DocumentStream(*b.DocumentID))
		if err == nil && (!state.Exists() || !person.Is(state.Citizen) || !holdsType(in, a, state.Type)) {
			err = document.ErrNotFound
		}
		return id, petition.Request{
			Petition: id, Citizen: person.ID, Kind: petition.Rectification, Organisation: state.Issuer, Document: b.DocumentID, Version: state.Current(), Restrict: restrict, Text: b.Text,
			Mandate: underFor(a, state.Type), Type: state.Type, By: a.By, At: in.At,
		}, err
	}
	if err := acting.CheckWords(in.OrganisationAt("organization", b.Organization), in.PurposeAt("purpose", b.Purpose)); err != nil {
		return id, nil, err
	}
	if !visibleEntry(a, "") {
		return id, nil, errNothingRead
	}
	err := v.checkRead(ctx, in, person.Lives, b.Organization, b.Purpose)
	return id, petition.Request{
		Petition: id, Citizen: person.ID, Kind: petition.Objection, Organisation: b.Organization, Purpose: b.Purpose, Restrict: restrict, Text: b.Text,
		Mandate: underFor(a, ""), By: a.By, At: in.At,
	}, err
}

// underFor returns the mandate under which a representative petitions about a type; the zero one for
// a citizen who acts for themselves.
func underFor(a disclosure.Representation, t domain.DocumentType) mandate.InForce {
	return a.MandateFor([]domain.DocumentType{t})
}

// holdsType reports whether the caller has documents of a type of the person for whom they act in
// their wallet.
func holdsType(in acting.Intent, a disclosure.Representation, t domain.DocumentType) bool {
	if a.Self() {
		return true
	}
	known, ok := in.Words.DocumentType(t)
	return ok && slices.ContainsFunc(a.Mandates, func(m mandate.InForce) bool { return m.Holds(*known, domain.BelgianDate(in.At)) })
}

// accessEntry returns an entry of the access log of a person.
func (v *Vault) accessEntry(ctx context.Context, in acting.Intent, lives []domain.CitizenID, id domain.EntryID) (accesslog.Entry, error) {
	found, err := v.AccessLog.OfAll(ctx, lives, projections.Latest, accesslog.Filter{Now: in.At, Entry: &id}, projections.Latest, 1)
	if err == nil && len(found) == 0 {
		err = errNoEntry
	}
	if err != nil {
		return accesslog.Entry{}, err
	}
	return found[0], nil
}

// answersFor returns the organisation that answers for an entry of an access log; "" where no
// organisation read, and where one was refused, which must not learn that the vault knows the
// citizen (rule Q-2).
func answersFor(e *accesslog.Entry) domain.Organisation {
	if e.List() == accesslog.Refusals {
		return ""
	}
	return e.Consumer
}

// checkRead refuses an objection to an organisation that read nothing of a person for a
// purpose: it must not learn that the vault knows them.
func (v *Vault) checkRead(ctx context.Context, in acting.Intent, lives []domain.CitizenID, o domain.Organisation, p domain.Purpose) error {
	for _, list := range []accesslog.List{accesslog.Accesses, accesslog.Told} {
		found, err := v.AccessLog.OfAll(ctx, lives, projections.Latest, accesslog.Filter{Now: in.At, List: list, Consumer: o, Purpose: p}, projections.Latest, 1)
		if err != nil || len(found) > 0 {
			return err
		}
	}
	return errNothingRead
}

// petitionItem returns a petition as the contract shows it to everybody who sees it.
func (v *Vault) petitionItem(in acting.Intent, p erasures.Petition) contract.Petition {
	say := accessWords{in.Words, in.Call.Language}
	item := contract.Petition{
		Href: in.Call.InLanguage(contract.PetitionHref(p.Petition)), PetitionID: p.Petition, Kind: contract.PetitionKind(p.Kind), State: contract.PetitionState(p.StateOn(domain.BelgianDate(in.At))),
		Organization: p.Organisation, OrganizationName: say.organisation(p.Organisation), EntryID: p.Entry, AccessID: p.Access, DocumentID: p.Document, Version: p.Version,
		Purpose: p.Purpose, PurposeLabel: say.purpose(p.Purpose), Restricts: p.Restricts, Deadline: p.Deadline, AskedAt: p.At,
		Outcome: contract.PetitionOutcome(p.Outcome), RectifiedVersion: p.Rectified, AnsweredAt: p.AnsweredAt, ExtendedAt: p.ExtendedAt,
	}
	switch in.Actor.Role {
	case domain.RoleConsumer: // which does not learn of restrictions (rule P-5)
		item.Restricts = false
	case domain.RoleCitizen, domain.RolePrivacyOfficer:
		item.CitizenID, item.MandateID = p.Citizen, p.Mandate
		if p.Restricts {
			item.RestrictionID = p.Petition.Restriction()
		}
	}
	return item
}

// petitionFor returns a petition as the caller sees it: an organisation by the reference that it
// has of the citizen, until they are erased.
func (v *Vault) petitionFor(ctx context.Context, in acting.Intent, p erasures.Petition) (contract.Petition, error) {
	item := v.petitionItem(in, p)
	if in.Actor.Role != domain.RoleConsumer && in.Actor.Role != domain.RoleIssuer {
		return item, nil
	}
	ref, err := v.Keys.Ref(ctx, in.Actor.Organisation, p.Citizen)
	if errors.Is(err, eventstore.ErrErased) {
		return item, nil
	}
	item.CitizenRef = ref
	return item, err
}

package disclosure

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/consent"
	"coffre/domain/mandate"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/wallet"
)

// Representation is the capacity in which a citizen acts for one person: for themselves, or
// for somebody under mandates.
type Representation struct {
	By       domain.Actor
	Citizen  domain.CitizenID
	Mandates []mandate.InForce      // none for themselves
	refs     []eventstore.Reference // what the mandates rest on
}

// Self reports whether the citizen acts for themselves.
func (a Representation) Self() bool { return a.By.Role == domain.RoleCitizen }

// Covers reports whether the citizen may act on documents of a type.
func (a Representation) Covers(t domain.DocumentType) bool {
	return a.Self() || slices.ContainsFunc(a.Mandates, func(m mandate.InForce) bool { return m.Covers(t) })
}

// MandateFor returns the mandate that covers all the types, else any mandate; the rules
// decide whether that is enough. It is zero for a citizen who acts for themselves.
func (a Representation) MandateFor(types []domain.DocumentType) mandate.InForce {
	for _, m := range a.Mandates {
		if !slices.ContainsFunc(types, func(t domain.DocumentType) bool { return !m.Covers(t) }) {
			return m
		}
	}
	if len(a.Mandates) > 0 {
		return a.Mandates[0]
	}
	return mandate.InForce{}
}

// between returns a mandate as one between the lives that act here.
func (a Representation) between(m mandate.InForce) mandate.InForce {
	if !m.ID.IsZero() {
		m.Citizen, m.Representative = a.Citizen, a.By.Citizen
	}
	return m
}

// AddTo returns the write with the citizen, the person they act for, and the mandates'
// revisions in its metadata.
func (a Representation) AddTo(w eventstore.Write) eventstore.Write {
	w.Meta.Actor = a.By
	w.Meta.BasedOn = append(w.Meta.BasedOn, a.refs...)
	if a.Self() {
		return w
	}
	return acting.WithRepresented(w, a.Citizen)
}

// ActFor returns the capacity in which the calling citizen takes an action for a person;
// nil stands for the citizen themselves, who then named nobody. A representative needs a mandate in force
// for the action; to every other caller the person does not exist, which is
// edge.ErrNoResource (rules M-1.1 to M-1.12).
func (dis *Discloser) ActFor(ctx context.Context, in acting.Intent, whose *domain.CitizenID, action mandate.Action) (Representation, error) {
	a := Representation{By: in.Actor, Citizen: in.Actor.Citizen}
	if in.Actor.Role != domain.RoleCitizen || a.Citizen.IsZero() {
		return Representation{}, edge.ErrNoResource
	}
	if whose == nil || *whose == a.Citizen {
		return a, nil
	}
	me, err := dis.LoadPerson(ctx, a.Citizen)
	if err != nil {
		return Representation{}, err
	}
	if me.Is(*whose) { // in what stands under another of their lives, the citizen acts under its id
		return Representation{By: dis.AsLife(in.Actor, *whose), Citizen: *whose}, nil
	}
	them, err := dis.LoadPerson(ctx, *whose)
	if err != nil {
		return Representation{}, err
	}
	all, err := dis.mandatesHeld(ctx, me)
	if err != nil {
		return Representation{}, err
	}
	return dis.selectMandates(ctx, in, *whose, action, all, me, them)
}

// RepresentedBy returns whom a citizen represents, or did, by their national number; ErrNoResource
// for every other number, which is looked up nowhere. Whether a mandate lets the citizen act
// is for ActFor to say.
func (dis *Discloser) RepresentedBy(ctx context.Context, representative domain.CitizenID, number domain.SSIN) (domain.CitizenID, error) {
	person, err := dis.LoadPerson(ctx, representative)
	if err != nil {
		return domain.CitizenID{}, err
	}
	mandates, err := dis.mandatesHeld(ctx, person)
	if err != nil {
		return domain.CitizenID{}, err
	}
	for _, m := range mandates {
		theirs, err := dis.OpenSSINs(ctx, m.Citizen)
		switch {
		case errors.Is(err, eventstore.ErrErased):
		case err != nil:
			return domain.CitizenID{}, err
		case slices.Contains(theirs, number):
			return m.Citizen, nil
		}
	}
	return domain.CitizenID{}, edge.ErrNoResource
}

// mandatesHeld returns the mandates under which a person acts or acted for others, in any life.
func (dis *Discloser) mandatesHeld(ctx context.Context, person acting.Person) ([]wallet.Mandate, error) {
	var all []wallet.Mandate
	for _, life := range person.Lives {
		more, err := dis.Wallets.Represents(ctx, life, projections.Latest)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// AsLife returns the calling citizen as the log names them in what stands under another of
// their lives.
// It leaves everybody else as they are.
func (dis *Discloser) AsLife(by domain.Actor, life domain.CitizenID) domain.Actor {
	if by.Role != domain.RoleCitizen || by.Citizen == life {
		return by
	}
	by.Citizen, by.Subject = life, dis.AuditName(edge.Caller{Role: domain.RoleCitizen, Citizen: life})
	return by
}

// selectMandates returns the representation under those of a citizen's mandates that allow
// an action for a person now. A mandate counts for all lives of both.
func (dis *Discloser) selectMandates(ctx context.Context, in acting.Intent, whose domain.CitizenID, action mandate.Action, all []wallet.Mandate, me, them acting.Person) (Representation, error) {
	a := Representation{By: in.Actor, Citizen: whose}
	a.By.Role = domain.RoleRepresentative
	var unreadable error
	for _, m := range all {
		if !them.Is(m.Citizen) || !me.Is(m.Representative) {
			continue
		}
		holds, ref, err := dis.mandateInForce(ctx, m)
		holds = a.between(holds)
		switch {
		case errors.Is(err, mandate.ErrUnreadable):
			unreadable = err
		case errors.Is(err, mandate.ErrNotInForce):
		case err != nil:
			return Representation{}, err
		case holds.Allows(in.Actor.Citizen, whose, action):
			a.Mandates, a.refs = append(a.Mandates, holds), append(a.refs, ref)
		}
	}
	if len(a.Mandates) == 0 {
		if unreadable != nil {
			return Representation{}, unreadable
		}
		return Representation{}, edge.ErrNoResource
	}
	return a, nil
}

// mandateInForce opens the personal part of a mandate and returns the mandate when it is in
// force today; else an error that wraps mandate.ErrNotInForce, or mandate.ErrUnreadable.
func (dis *Discloser) mandateInForce(ctx context.Context, m wallet.Mandate) (mandate.InForce, eventstore.Reference, error) {
	var end *mandate.GrantedPersonal
	opened, err := dis.OpenMandateEnd(ctx, m)
	switch {
	case err == nil:
		end = &opened
	case !KeyMissing(err):
		return mandate.InForce{}, "", err
	}
	return dis.mandateStillInForce(ctx, m.Mandate, end)
}

// mandateStillInForce judges a mandate, whose personal part was opened before, by everything
// as it is now: its stream, both persons, the represented person's national number and the
// registry. A parent's mandate that contradicts the number is ended on record (rule M-1.11).
func (dis *Discloser) mandateStillInForce(ctx context.Context, id domain.MandateID, opened *mandate.GrantedPersonal) (mandate.InForce, eventstore.Reference, error) {
	stream := acting.MandateStream(id)
	state, revision, err := acting.Mandates.Load(ctx, dis.Log, stream)
	if err != nil {
		return mandate.InForce{}, "", err
	}
	if !state.Open() {
		return mandate.InForce{}, "", mandate.ErrNotInForce
	}
	switch err := dis.proveMandate(ctx, state); {
	case KeyMissing(err):
		return mandate.InForce{}, "", mandate.ErrUnreadable
	case err != nil:
		return mandate.InForce{}, "", err
	}
	c, err := dis.circumstances(ctx, state, opened)
	if err != nil {
		return mandate.InForce{}, "", err
	}
	holds, err := state.InForce(c)
	if lapsed := (mandate.Lapsed{}); errors.As(err, &lapsed) && lapsed.Why == mandate.NotMinor {
		dis.endNotMinor(ctx, stream)
	}
	return holds, eventstore.At(stream, revision), err
}

// circumstances gathers what the use of a mandate is judged by, with the day last.
func (dis *Discloser) circumstances(ctx context.Context, s mandate.State, opened *mandate.GrantedPersonal) (mandate.Circumstances, error) {
	c := mandate.Circumstances{Opened: opened}
	represented, err := dis.LoadPerson(ctx, s.Citizen)
	if err != nil {
		return mandate.Circumstances{}, err
	}
	representative, err := dis.LoadPerson(ctx, s.Representative)
	if err != nil {
		return mandate.Circumstances{}, err
	}
	c.CitizenIs, c.RepresentativeIs = represented.Standing, representative.Standing // M-1.8
	c.Revived = represented.Revived
	if representative.Revived.After(c.Revived) {
		c.Revived = representative.Revived
	}
	if c.Numbered, err = dis.BirthByNumber(ctx, represented); err != nil {
		return mandate.Circumstances{}, err
	}
	if c.RepresentativeNumbered, err = dis.BirthByNumber(ctx, representative); err != nil {
		return mandate.Circumstances{}, err
	}
	c.Registry, c.Today = dis.Words.Current().Registry(), domain.BelgianDate(dis.Now())
	return c, nil
}

// CheckGiver implements C-1 at the use of a consent that a representative gave: it refuses
// with consent.ErrNotByThem one that was given under a mandate that did not speak for the
// citizen then, as the registry and the national number tell today.
func (dis *Discloser) CheckGiver(ctx context.Context, s consent.State) error {
	if s.Mandate.IsZero() {
		return nil
	}
	under, known, err := dis.Wallets.Mandate(ctx, s.Mandate)
	if err != nil {
		return err
	}
	state, _, err := acting.Mandates.Load(ctx, dis.Log, acting.MandateStream(s.Mandate))
	if err != nil {
		return err
	}
	person, err := dis.LoadPerson(ctx, s.Citizen)
	if err != nil {
		return err
	}
	if !known || !person.Is(state.Citizen) {
		return consent.ErrNotByThem
	}
	opened, err := dis.OpenMandateEnd(ctx, under)
	if err != nil {
		return err
	}
	c, err := dis.circumstances(ctx, state, &opened)
	if err != nil {
		return err
	}
	switch err := state.Spoke(domain.BelgianDate(s.GrantedAt), c); {
	case errors.Is(err, mandate.ErrNotInForce):
		return consent.ErrNotByThem
	case err != nil:
		return err
	}
	return dis.proveMandate(ctx, state)
}

// endNotMinor records the end of a parent's mandate over somebody who is no minor. The
// mandate is refused whether that succeeds or not; the next use tries again.
func (dis *Discloser) endNotMinor(ctx context.Context, stream eventstore.Stream) {
	w := dis.SystemWrite(stream)
	if _, err := acting.Mandates.TransactReserved(ctx, dis.Log, w, mandate.End{Reason: mandate.NotMinor, By: w.Meta.Actor, At: dis.Timestamp()}); err != nil {
		dis.Slog.WarnContext(ctx, "a mandate that contradicts a national number is refused, and its end cannot be recorded now", "error", err)
	}
}

// MandateLapse returns why a mandate that is accepted and not ended allows nothing now; ""
// for one that is in force.
func (dis *Discloser) MandateLapse(ctx context.Context, m wallet.Mandate) (domain.ReasonCode, error) {
	_, _, err := dis.mandateInForce(ctx, m)
	var lapsed mandate.Lapsed
	switch {
	case errors.As(err, &lapsed):
		return lapsed.Why, nil
	case errors.Is(err, mandate.ErrUnreadable), errors.Is(err, mandate.ErrNotInForce): // what is not known, and what ended just now
		return "", nil
	}
	return "", err
}

// CheckDecides implements M-1.12: it refuses with mandate.ErrMinor a citizen who is to decide
// for themselves and is a minor below the age that the registry says. Whoever acts for
// another, and somebody whom the vault does not know, pass. The number of today counts,
// whichever of their lives they act under.
func (dis *Discloser) CheckDecides(ctx context.Context, in acting.Intent, a Representation) error {
	if !a.Self() || a.Citizen.IsZero() {
		return nil
	}
	person, err := dis.LoadPerson(ctx, a.Citizen)
	if err != nil {
		return err
	}
	number, err := dis.openSSIN(ctx, person.ID)
	switch {
	case errors.Is(err, eventstore.ErrErased): // of whom nothing new is recorded, whatever they decide
		return nil
	case err != nil:
		return err
	}
	return mandate.MinorDecides(number.EarliestBirth(), domain.BelgianDate(in.At), in.Words.Registry().Settings.DecidingAge())
}

// ActAlone judges a caller in an act that nobody takes for another: to ask for an erasure, a
// restriction of processing or a report. To a citizen who names somebody else than one of
// their own lives that person does not exist, which is edge.ErrNoResource; callers in another
// role have what right their role gives.
func (dis *Discloser) ActAlone(ctx context.Context, call *edge.Call, whose domain.CitizenID) error {
	switch {
	case call.Role != domain.RoleCitizen:
		return nil
	case call.Citizen.IsZero() || whose.IsZero():
		return edge.ErrNoResource
	case call.Citizen == whose:
		return nil
	}
	me, err := dis.LoadPerson(ctx, call.Citizen)
	if err == nil && !me.Is(whose) {
		err = edge.ErrNoResource
	}
	return err
}

// AuthorizeRepresentative records that a representative sees data of the person they
// represent, and reads the mandate again; a mandate that is no longer in force withholds
// the access (rule A-1). Call it once per request and person, before anything is shown. It
// returns the zero access for a citizen who acts for themselves.
func (dis *Discloser) AuthorizeRepresentative(ctx context.Context, in acting.Intent, a Representation, m mandate.InForce) (access.Authorized, error) {
	if a.Self() {
		return access.Authorized{}, nil
	}
	person, err := dis.LoadPerson(ctx, a.Citizen)
	if err != nil {
		return access.Authorized{}, err
	}
	w := acting.WithCall(a.AddTo(in.Write(0, acting.AccessStream(a.Citizen, in.At), a.Citizen, person.At)), in.Call)
	w.ID, w.Settle = nil, false
	looked := access.AuthorizeByMandate{
		Access: domain.AccessID{UUID: dis.NewID()}, Citizen: a.Citizen, Kind: access.OpenedWallet,
		Mandate: m, Standing: person.Standing, By: a.By, At: in.At,
	}
	result, err := acting.Accesses.Transact(ctx, dis.Log, w, looked)
	if err != nil {
		return access.Authorized{}, err
	}
	authorized, err := AuthorizedIn(result.Events)
	if err != nil {
		return access.Authorized{}, err
	}
	if _, _, err := dis.mandateStillInForce(ctx, m.ID, &mandate.GrantedPersonal{Until: m.Until, Born: m.Born}); err != nil {
		return access.Authorized{}, dis.Withhold(ctx, in, authorized, err)
	}
	return authorized, nil
}

// RecordDelivered queues the outcome delivered of an access. The zero access has no
// outcome.
func (dis *Discloser) RecordDelivered(in acting.Intent, a access.Authorized) {
	if !a.Access.IsZero() {
		dis.QueueOutcome(in, a, access.Delivered, nil)
	}
}

// OpenMandateEnd opens the sealed end of a mandate.
func (dis *Discloser) OpenMandateEnd(ctx context.Context, m wallet.Mandate) (mandate.GrantedPersonal, error) {
	granted, err := OpenSealedPart[mandate.Granted](ctx, dis, m.Place, m.Sealed)
	switch {
	case err != nil:
		return mandate.GrantedPersonal{}, err
	case granted.Personal == nil:
		return mandate.GrantedPersonal{}, fmt.Errorf("%s holds no end of a mandate", m.Place.Type)
	}
	return *granted.Personal, nil
}

package disclosure

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/edge"
)

// Delivery is a message of Coffre to a citizen, which an organisation carries.
type Delivery struct {
	Message     uuid.UUID // its id, and the access's
	Made        time.Time // when the message was made: every try is about the record of that month
	Correlation uuid.UUID // of the request that caused it; Nil: none, or several
	Citizen     domain.CitizenID
	Document    *domain.DocumentID // the one that it is about; nil: none, or several
	Type        domain.DocumentType
	// Carrier delivers it, for a purpose, under a legal basis and a deliberation.
	Carrier      domain.Organisation
	Purpose      domain.Purpose
	LegalBasis   domain.LegalBasis
	Deliberation domain.Deliberation
	// Tried says that the message may have left before.
	Tried bool
}

// Deliver records that a message is about to be sent, once whatever is tried again, reads the
// citizen again, and calls send with their national number (rules ). The context of
// send ends when the citizen's key is withdrawn. It returns what refuses the message, which is
// on record as withheld unless it may have left before, and else the error of send.
func (dis *Discloser) Deliver(ctx context.Context, d Delivery, send func(context.Context, domain.SSIN) error) error {
	person, cmd, err := dis.delivery(ctx, d)
	if err != nil {
		return err
	}
	w := dis.deliveryWrite(d, person.ID, "authorized")
	w.Meta.BasedOn = append(w.Meta.BasedOn, person.At)
	result, err := acting.Accesses.Transact(ctx, dis.Log, w, cmd)
	if err != nil {
		return err
	}
	if _, err := AuthorizedIn(result.Events); err != nil {
		return err
	}
	again, cmd, err := dis.delivery(ctx, d)
	if err == nil {
		_, err = cmd.Decide(access.State{})
	}
	var refusal *domain.Error
	switch {
	case errors.As(err, &refusal) && !d.Tried:
		return errors.Join(dis.RecordDelivery(ctx, d, access.Withheld, err), err)
	case err != nil:
		return err
	}

	sending, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	lease := dis.Keys.NewKeyLease(func(why error) { stop(why) })
	defer lease.Release()
	lease.CoverCitizen(again.ID)
	number, err := dis.Keys.SSINOf(sending, again.ID)
	if err != nil {
		return err
	}
	if _, err := lease.Left(sending); err != nil {
		return err
	}
	if err := send(sending, number); err != nil {
		if ended := context.Cause(sending); ended != nil && ctx.Err() == nil {
			return ended
		}
		return err
	}
	return nil
}

// delivery loads whom a message goes to, and returns the command that lets it be sent.
func (dis *Discloser) delivery(ctx context.Context, d Delivery) (acting.Person, access.AuthorizeDelivery, error) {
	person, err := dis.LoadPerson(ctx, d.Citizen)
	return person, access.AuthorizeDelivery{
		Access: domain.AccessID{UUID: d.Message}, Citizen: person.ID, Carrier: d.Carrier, Document: d.Document, Type: d.Type,
		Purpose: d.Purpose, LegalBasis: d.LegalBasis, Deliberation: d.Deliberation,
		Standing: person.Standing, Restrictions: person.Restrictions, By: domain.Actor{Role: domain.RoleSystem}, At: dis.Timestamp(),
	}, err
}

// RecordDelivery records what became of a message, once whatever is tried again.
func (dis *Discloser) RecordDelivery(ctx context.Context, d Delivery, what access.Outcome, why error) error {
	whose, err := dis.Survivor(ctx, d.Citizen)
	if err != nil {
		return err
	}
	_, err = acting.Accesses.Transact(ctx, dis.Log, dis.deliveryWrite(d, whose, "outcome"), access.RecordOutcome{
		Access: domain.AccessID{UUID: d.Message}, Citizen: whose, Outcome: what, Reason: recordedReason(why), Attempt: 1, At: dis.Timestamp(),
	})
	return err
}

// deliveryWrite returns the write of a fact about a message.
func (dis *Discloser) deliveryWrite(d Delivery, whose domain.CitizenID, fact string) eventstore.Write {
	return eventstore.Write{
		Stream: acting.AccessStream(whose, d.Made), Citizen: whose, Settle: true,
		Meta: eventstore.Meta{Actor: domain.Actor{Role: domain.RoleSystem}, Correlation: d.Correlation, Registry: dis.Words.Current().Version()},
		ID:   func(int) uuid.UUID { return uuid.NewSHA1(d.Message, []byte(fact)) },
	}
}

// WrittenTo returns a citizen, and what they hear of: what they chose last, or what holds
// without a choice. Of somebody who is not living nothing is opened.
func (dis *Discloser) WrittenTo(ctx context.Context, id domain.CitizenID) (acting.Person, citizen.Preferences, error) {
	chosen := citizen.DefaultPreferences(edge.Languages[0])
	person, err := dis.LoadPerson(ctx, id)
	if err != nil || person.Standing != citizen.Living {
		return person, chosen, err
	}
	all, err := dis.OpenPreferences(ctx, id, nil)
	if err == nil && len(all) > 0 {
		chosen = all[len(all)-1].Preferences
	}
	return person, chosen, err
}

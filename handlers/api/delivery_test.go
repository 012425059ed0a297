package api

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/eventstore"
	"coffre/eventstore/faulty"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
)

// a message is on record before it leaves, once however often it is tried; without a record,
// and where a restriction covers what it says, nothing leaves.
func TestA13AMessageIsOnRecordBeforeItLeaves(t *testing.T) {
	tv := newVault(t)
	home, ana := tv.household(t, 1), tv.person(t, 1)
	tv.waitForReadModels(t)
	letter := disclosure.Delivery{
		Message: uuid.New(), Made: tv.Clock.Now(), Citizen: ana, Document: &home, Type: "householdComposition",
		Carrier: flanders, Purpose: "notification", LegalBasis: "publicTask", Deliberation: "EX-26/060",
	}
	onRecord := func(message uuid.UUID) (n int) {
		for _, a := range recorded[access.Authorized](t, tv) {
			if a.Access.UUID == message && a.Kind == access.OpenedDelivery && a.Consumer == flanders && a.Citizen == ana {
				n++
			}
		}
		return n
	}
	sent := 0
	send := func(_ context.Context, number domain.SSIN) error {
		sent++
		if number.Reveal() != ssin(1).Reveal() || onRecord(letter.Message) != 1 {
			t.Errorf("it left to another, or without a record")
		}
		return nil
	}
	tv.Store.SetRule(func(c faulty.Call) faulty.Fault {
		if c.Method == faulty.Append {
			return faulty.Fault{Before: eventstore.ErrUnavailable}
		}
		return faulty.Fault{}
	})
	if err := tv.Deliver(t.Context(), letter, send); !errors.Is(err, eventstore.ErrUnavailable) || sent != 0 {
		t.Errorf("without a record: %v, sent %d times", err, sent)
	}
	tv.Store.SetRule(nil)
	for range 2 { // the second is a repetition
		if err := tv.Deliver(t.Context(), letter, send); err != nil {
			t.Fatal(err)
		}
		if err := tv.RecordDelivery(t.Context(), letter, access.Delivered, nil); err != nil {
			t.Fatal(err)
		}
		letter.Tried = true
	}
	if sent != 2 || onRecord(letter.Message) != 1 {
		t.Errorf("sent %d times, on record %d times", sent, onRecord(letter.Message))
	}
	outcomes := 0
	for _, o := range recorded[access.Disclosed](t, tv) {
		if o.Access.UUID == letter.Message && o.Outcome == access.Delivered {
			outcomes++
		}
	}
	if outcomes != 1 {
		t.Errorf("that it left is on record %d times", outcomes)
	}

	if _, err := tv.restrict(t, citizenCaller(ana), ana, contract.RestrictionAsk{Reason: "accuracyContested", DocumentID: &home}); err != nil {
		t.Fatal(err)
	}
	other := letter
	other.Message, other.Tried = uuid.New(), false
	err := tv.Deliver(t.Context(), other, func(context.Context, domain.SSIN) error { sent++; return nil })
	if !errors.Is(err, access.ErrRestricted) || sent != 2 || onRecord(other.Message) != 0 {
		t.Errorf("what is restricted: %v, sent %d times, on record %d times", err, sent, onRecord(other.Message))
	}
}

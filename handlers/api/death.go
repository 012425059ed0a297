package api

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/consent"
	"coffre/domain/mandate"
	"coffre/eventstore"
)

// Consequence is what an event that follows from another says of its origin.
type Consequence struct {
	ID          uuid.UUID // of the event to append: the same at every repetition
	Causation   uuid.UUID
	Correlation uuid.UUID
}

// write is what is recorded when Coffre itself draws the consequence.
func (c Consequence) write(v *Vault, s eventstore.Stream) (eventstore.Write, domain.Actor, time.Time) {
	by := domain.Actor{Role: domain.RoleSystem}
	return eventstore.Write{
		Stream: s, Settle: true,
		Meta: eventstore.Meta{Actor: by, Causation: c.Causation, Correlation: c.Correlation, Registry: v.Words.Current().Version()},
		ID:   func(i int) uuid.UUID { return uuid.NewSHA1(c.ID, []byte{byte(i)}) },
	}, by, v.Now().UTC().Truncate(time.Microsecond)
}

// WithdrawForDeath withdraws a consent because the citizen died (rule C-4). One
// that does not stand any more, or was never given, is left as it is.
func (v *Vault) WithdrawForDeath(ctx context.Context, id domain.ConsentID, c Consequence) error {
	w, by, at := c.write(v, consentStream(id))
	_, err := consents.TransactReserved(ctx, v.Log, w, consent.Withdraw{By: by, At: at})
	if errors.Is(err, consent.ErrNotGranted) {
		return nil
	}
	return err
}

// EndForDeath ends a mandate because one of its sides died (rule M-1.8).
func (v *Vault) EndForDeath(ctx context.Context, id domain.MandateID, c Consequence) error {
	w, by, at := c.write(v, mandateStream(id))
	_, err := mandates.TransactReserved(ctx, v.Log, w, mandate.End{Reason: mandate.Death, By: by, At: at})
	return err
}

// OpenConsents returns the consents of a citizen that may still have effect.
func (v *Vault) OpenConsents(ctx context.Context, id domain.CitizenID) ([]domain.ConsentID, error) {
	open, err := v.ConsentLog.OpenOf(ctx, id, v.Now())
	ids := make([]domain.ConsentID, len(open))
	for i := range open {
		ids[i] = open[i].Consent
	}
	return ids, err
}

// MandatesOf returns the mandates on either side of which a citizen stands.
func (v *Vault) MandatesOf(ctx context.Context, id domain.CitizenID) ([]domain.MandateID, error) {
	all, err := v.mandatesOf(ctx, id)
	ids := make([]domain.MandateID, len(all))
	for i := range all {
		ids[i] = all[i].Mandate
	}
	return ids, err
}

package work

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/domain/mandate"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/projections"
	"coffre/projections/wallet"
)

// Consequence names an event that Coffre appends because of another one, and its origin.
type Consequence struct {
	ID          uuid.UUID // of the appended event; a repetition has the same
	Causation   uuid.UUID // id of the event that it follows from
	Correlation uuid.UUID // id that all events of the same request share
}

// write returns the write, the actor and the time of an event that Coffre itself appends
// to a stream.
func (c Consequence) write(work *Worker, s eventstore.Stream) (eventstore.Write, domain.Actor, time.Time) {
	by := domain.Actor{Role: domain.RoleSystem}
	return eventstore.Write{
		Stream: s, Settle: true,
		Meta: eventstore.Meta{Actor: by, Causation: c.Causation, Correlation: c.Correlation, Registry: work.Words.Current().Version()},
		ID:   func(i int) uuid.UUID { return uuid.NewSHA1(c.ID, []byte{byte(i)}) },
	}, by, work.Now().UTC().Truncate(time.Microsecond)
}

// WithdrawForDeath withdraws a consent because the citizen died (rule C-4). A consent that
// is not in force stays as it is, without an error, and so does one that was given anew since
// the death was found to be reported in error (rule P-6).
func (work *Worker) WithdrawForDeath(ctx context.Context, id domain.ConsentID, c Consequence) error {
	state, _, err := acting.Consents.Load(ctx, work.Log, acting.ConsentStream(id))
	if err != nil {
		return err
	}
	if anew, err := work.givenAnew(ctx, state.GrantedAt, state.Citizen); err != nil || anew {
		return err
	}
	w, by, at := c.write(work, acting.ConsentStream(id))
	_, err = acting.Consents.TransactReserved(ctx, work.Log, w, consent.Withdraw{By: by, At: at})
	if errors.Is(err, consent.ErrNotGranted) {
		return nil
	}
	return err
}

// EndForDeath ends a mandate because one of its sides died (rule M-1.8); not one that was
// given anew since the death was found to be reported in error (rule P-6).
func (work *Worker) EndForDeath(ctx context.Context, id domain.MandateID, c Consequence) error {
	state, _, err := acting.Mandates.Load(ctx, work.Log, acting.MandateStream(id))
	if err != nil {
		return err
	}
	if anew, err := work.givenAnew(ctx, state.GrantedAt, state.Citizen, state.Representative); err != nil || anew {
		return err
	}
	w, by, at := c.write(work, acting.MandateStream(id))
	_, err = acting.Mandates.TransactReserved(ctx, work.Log, w, mandate.End{Reason: mandate.Death, By: by, At: at})
	return err
}

// givenAnew reports whether all sides of a grant live, and it was given after the last
// correction of a death of theirs, which it says nothing of when there was none.
func (work *Worker) givenAnew(ctx context.Context, granted time.Time, sides ...domain.CitizenID) (bool, error) {
	revived := false
	for _, id := range sides {
		p, err := work.LoadPerson(ctx, id)
		if err != nil || p.Standing != citizen.Living || !granted.After(p.Revived) {
			return false, err
		}
		revived = revived || !p.Revived.IsZero()
	}
	return revived, nil
}

// OpenConsents returns the consents of a citizen that may still have effect.
func (work *Worker) OpenConsents(ctx context.Context, id domain.CitizenID) ([]domain.ConsentID, error) {
	person, err := work.LoadPerson(ctx, id)
	if err != nil {
		return nil, err
	}
	var ids []domain.ConsentID
	for _, life := range person.Lives {
		open, err := work.ConsentLog.OpenOf(ctx, life, work.Now())
		if err != nil {
			return nil, err
		}
		for i := range open {
			ids = append(ids, open[i].Consent)
		}
	}
	return ids, nil
}

// MandatesOf returns the ids of the mandates in which a citizen represents or is
// represented, in the order in which they were granted.
func (work *Worker) MandatesOf(ctx context.Context, id domain.CitizenID) ([]domain.MandateID, error) {
	all, err := work.MandatesOnEitherSide(ctx, id)
	ids := make([]domain.MandateID, len(all))
	for i := range all {
		ids[i] = all[i].Mandate
	}
	return ids, err
}

// MandatesOnEitherSide returns the mandates in which a citizen represents or is
// represented, in the order in which they were granted.
func (work *Worker) MandatesOnEitherSide(ctx context.Context, id domain.CitizenID) ([]wallet.Mandate, error) {
	person, err := work.LoadPerson(ctx, id)
	if err != nil {
		return nil, err
	}
	var all []wallet.Mandate
	for _, life := range person.Lives {
		acting, err := work.Wallets.Represents(ctx, life, projections.Latest)
		if err != nil {
			return nil, err
		}
		represented, err := work.Wallets.MandatesOf(ctx, life, projections.Latest)
		if err != nil {
			return nil, err
		}
		all = append(all, slices.Concat(acting, represented)...)
	}
	slices.SortFunc(all, func(a, b wallet.Mandate) int { return int(a.GrantedLeaf - b.GrantedLeaf) })
	return all, nil
}

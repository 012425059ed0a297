package disclosure

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/eventstore"
	"coffre/eventstore/seal"
	"coffre/handlers/acting"
)

// OpenSSINs opens all national numbers by which a person was ever known, the latest last.
// Only the person's own report calls it, after its access is on record.
func (dis *Discloser) OpenSSINs(ctx context.Context, id domain.CitizenID) ([]domain.SSIN, error) {
	person, err := dis.LoadPerson(ctx, id)
	if err != nil {
		return nil, err
	}
	var all []domain.SSIN
	for _, life := range slices.Backward(person.Lives) { // the surviving one's latest is the latest
		numbers, err := dis.openSSINsOf(ctx, life)
		if err != nil {
			return nil, err
		}
		all = append(all, numbers...)
	}
	return all, nil
}

// BirthByNumber returns the earliest day on which a person can have been born by the national
// number that they have today, whichever a request names; "" where the number cannot be opened.
func (dis *Discloser) BirthByNumber(ctx context.Context, p acting.Person) (domain.Date, error) {
	number, err := dis.openSSIN(ctx, p.ID)
	if KeyMissing(err) || errors.Is(err, seal.ErrUnknown) {
		return "", nil
	}
	return number.EarliestBirth(), err
}

// openSSINsOf opens the numbers of one life, the latest last.
func (dis *Discloser) openSSINsOf(ctx context.Context, id domain.CitizenID) ([]domain.SSIN, error) {
	var all []domain.SSIN
	for e, err := range dis.Log.Read(ctx, acting.CitizenStream(id), 0) {
		if err != nil {
			return nil, fmt.Errorf("read citizen: %w", err)
		}
		if _, replaced := e.Data.(citizen.SSINReplaced); !replaced {
			continue
		}
		opened, err := eventstore.OpenEvent(ctx, dis.openerFor(ctx), dis.codec, e)
		if err != nil {
			return nil, err
		}
		f, ok := opened.(citizen.SSINReplaced)
		if !ok || f.Personal == nil {
			return nil, fmt.Errorf("%s holds no number", e.Type)
		}
		former, err := domain.ParseSSIN(f.Personal.Former)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(all, former) {
			all = append(all, former)
		}
	}
	latest, err := dis.openSSIN(ctx, id)
	if err != nil {
		return nil, err
	}
	return append(slices.DeleteFunc(all, func(n domain.SSIN) bool { return n == latest }), latest), nil
}

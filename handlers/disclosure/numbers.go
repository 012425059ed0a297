package disclosure

import (
	"context"
	"fmt"
	"slices"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/eventstore"
	"coffre/handlers/acting"
)

// OpenSSINs opens every number that a person is found by, the latest last. It is for the
// person's own report, whose access is on record.
func (dis *Discloser) OpenSSINs(ctx context.Context, id domain.CitizenID) ([]domain.SSIN, error) {
	var all []domain.SSIN
	for e, err := range dis.Log.Read(ctx, acting.CitizenStream(id), 0) {
		if err != nil {
			return nil, fmt.Errorf("read citizen: %w", err)
		}
		if _, replaced := e.Data.(citizen.SSINReplaced); !replaced {
			continue
		}
		opened, err := eventstore.OpenEvent(ctx, dis.opener, dis.codec, e)
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
	latest, err := dis.Keys.SSINOf(ctx, id)
	if err != nil {
		return nil, err
	}
	return append(slices.DeleteFunc(all, func(n domain.SSIN) bool { return n == latest }), latest), nil
}

package disclosure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/eventstore"
	"coffre/handlers/acting"
)

// Chosen is what a citizen chose to hear of, with the time of the choice.
type Chosen struct {
	citizen.Preferences
	At time.Time
}

// OpenPreferences opens every choice that a citizen made in any of their lives, the oldest
// first, for the citizen and for what is sent to them. A limit that is not nil ends the log
// there. Where keys cannot be had it fails; the choices of an erased citizen are absent.
func (dis *Discloser) OpenPreferences(ctx context.Context, id domain.CitizenID, limit *eventstore.Position) ([]Chosen, error) {
	person, err := dis.LoadPerson(ctx, id)
	if err != nil {
		return nil, err
	}
	var all []Chosen
	for _, life := range person.Lives {
		for e, err := range dis.Log.Read(ctx, acting.CitizenStream(life), 0) {
			if err != nil {
				return nil, fmt.Errorf("read what a citizen chose: %w", err)
			}
			set, ok := e.Data.(citizen.PreferencesSet)
			if !ok || limit != nil && e.Position.Compare(*limit) > 0 {
				continue
			}
			opened, err := eventstore.OpenEvent(ctx, dis.openerFor(ctx), dis.codec, e)
			switch {
			case errors.Is(err, eventstore.ErrErased):
				continue
			case err != nil:
				return nil, err
			}
			f, ok := opened.(citizen.PreferencesSet)
			if !ok || f.Personal == nil {
				return nil, fmt.Errorf("%s holds no choice", e.Type)
			}
			all = append(all, Chosen{*f.Personal, set.At})
		}
	}
	slices.SortStableFunc(all, func(a, b Chosen) int { return a.At.Compare(b.At) })
	return all, nil
}

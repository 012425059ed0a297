package disclosure

import (
	"context"
	"fmt"
	"slices"
	"time"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/eventstore"
	"coffre/handlers/acting"
)

// Hold is a legal hold on a citizen with its sealed case reference opened.
type Hold struct {
	ID            domain.HoldID
	Reason        domain.ReasonCode
	CaseReference string // "" when none was given
	PlacedAt      time.Time
	LiftedAt      time.Time // zero while it stands
}

// OpenHolds opens every legal hold that was ever placed on a citizen, oldest first, for a
// report about them.
func (dis *Discloser) OpenHolds(ctx context.Context, id domain.CitizenID) ([]Hold, error) {
	person, err := dis.LoadPerson(ctx, id)
	if err != nil {
		return nil, err
	}
	var all []Hold
	for _, life := range person.Lives {
		holds, err := dis.openHoldsOf(ctx, life)
		if err != nil {
			return nil, err
		}
		all = append(all, holds...)
	}
	slices.SortStableFunc(all, func(a, b Hold) int { return a.PlacedAt.Compare(b.PlacedAt) })
	return all, nil
}

// openHoldsOf opens the holds that were placed on one life of a citizen.
func (dis *Discloser) openHoldsOf(ctx context.Context, id domain.CitizenID) ([]Hold, error) {
	var all []Hold
	for e, err := range dis.Log.Read(ctx, acting.CitizenStream(id), 0) {
		if err != nil {
			return nil, fmt.Errorf("read the citizen's holds: %w", err)
		}
		switch f := e.Data.(type) {
		case citizen.LegalHoldPlaced:
			hold := Hold{ID: f.Hold, Reason: f.Reason, PlacedAt: f.At}
			opened, err := eventstore.OpenEvent(ctx, dis.opener, dis.codec, e)
			if err != nil {
				return nil, err
			}
			if placed, ok := opened.(citizen.LegalHoldPlaced); ok && placed.Personal != nil {
				hold.CaseReference = placed.Personal.CaseReference
			}
			all = append(all, hold)
		case citizen.LegalHoldLifted:
			for i := range all {
				if all[i].ID == f.Hold && all[i].LiftedAt.IsZero() {
					all[i].LiftedAt = f.At
				}
			}
		}
	}
	return all, nil
}

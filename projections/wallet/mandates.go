package wallet

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/projections"
)

const (
	mandateColumns = `SELECT m.mandate, m.citizen, m.representative, m.kind, m.scope, m.source,
		m.granted_at, m.accepted_at, m.ended_at, m.from_leaf, m.accepted_leaf, m.to_leaf, m.reason,
		(SELECT min(leaf) FROM deaths WHERE citizen IN (m.citizen, m.representative) AND to_leaf > m.from_leaf),
		m.stream, m.event, m.event_type, m.sealed FROM mandates m `
	selectRepresents = mandateColumns + `WHERE m.representative = ? AND m.from_leaf <= ? ORDER BY m.from_leaf`
	selectMandatesOf = mandateColumns + `WHERE m.citizen = ? AND m.from_leaf <= ? ORDER BY m.from_leaf`
	selectMandate    = mandateColumns + `WHERE m.mandate = ? AND m.from_leaf <= ?`
)

// Represents returns the mandates under which a citizen acts or acted for others,
// as known now of those granted up to a leaf: [Mandate.StandsAt] tells which stood.
func (w *Wallets) Represents(ctx context.Context, representative domain.CitizenID, asOf int64) ([]Mandate, error) {
	return w.mandates(ctx, selectRepresents, representative.UUID, asOf)
}

// MandatesOf returns the mandates that others have or had for a citizen, as Represents does.
func (w *Wallets) MandatesOf(ctx context.Context, citizen domain.CitizenID, asOf int64) ([]Mandate, error) {
	return w.mandates(ctx, selectMandatesOf, citizen.UUID, asOf)
}

// Mandate returns one mandate; ok is false when it is not known.
func (w *Wallets) Mandate(ctx context.Context, id domain.MandateID) (m Mandate, ok bool, err error) {
	all, err := w.mandates(ctx, selectMandate, id.UUID, projections.Latest)
	if err != nil || len(all) == 0 {
		return Mandate{}, false, err
	}
	return all[0], true, nil
}

func (w *Wallets) mandates(ctx context.Context, query string, id uuid.UUID, asOf int64) ([]Mandate, error) {
	at := projections.At(asOf)
	all := []Mandate{}
	err := w.view.Select(ctx, query, []any{id[:], at}, func(scan func(...any) error) error {
		var m Mandate
		var mandateID, citizen, representative, event []byte
		var scope, stream string
		var granted, accepted, ended int64
		var death sql.NullInt64
		err := scan(&mandateID, &citizen, &representative, &m.Kind, &scope, &m.Source,
			&granted, &accepted, &ended, &m.GrantedLeaf, &m.AcceptedLeaf, &m.EndedLeaf, &m.Reason, &death,
			&stream, &event, &m.Place.Type, (*[]byte)(&m.Sealed))
		if err != nil {
			return err
		}
		if json.Unmarshal([]byte(scope), &m.Scope) != nil {
			return errScope
		}
		copy(m.Mandate.UUID[:], mandateID)
		copy(m.Citizen.UUID[:], citizen)
		copy(m.Representative.UUID[:], representative)
		copy(m.Place.ID[:], event)
		m.Place.Stream = eventstore.Stream(stream)
		m.GrantedAt, m.AcceptedAt, m.EndedAt = projections.Instant(granted), projections.Instant(accepted), projections.Instant(ended)
		// What came after the leaf asked for was not known then.
		m.DeathLeaf = projections.Latest
		if death.Valid && death.Int64 <= at {
			m.DeathLeaf = death.Int64
		}
		if m.AcceptedLeaf > at {
			m.AcceptedLeaf, m.AcceptedAt = projections.Latest, projections.Instant(0)
		}
		if m.EndedLeaf > at {
			m.EndedLeaf, m.EndedAt, m.Reason = projections.Latest, projections.Instant(0), ""
		}
		all = append(all, m)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	return all, nil
}

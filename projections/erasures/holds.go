package erasures

import (
	"context"
	"fmt"
	"time"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/projections"
)

const (
	holdTables = `
CREATE TABLE holds (
	from_leaf BIGINT PRIMARY KEY,
	hold BYTEA NOT NULL,
	citizen BYTEA NOT NULL,
	reason TEXT NOT NULL,
	placed_at BIGINT NOT NULL,
	lifted_at BIGINT NOT NULL
);
CREATE INDEX holds_hold ON holds (hold);
CREATE TABLE restrictions (
	from_leaf BIGINT PRIMARY KEY,
	restriction BYTEA NOT NULL,
	citizen BYTEA NOT NULL,
	document BYTEA,
	reason TEXT NOT NULL,
	asked_by TEXT NOT NULL,
	restricted_at BIGINT NOT NULL,
	lifted_at BIGINT NOT NULL
);
CREATE INDEX restrictions_restriction ON restrictions (restriction);
`
	holdIndexes = `
CREATE INDEX holds_standing ON holds (from_leaf) WHERE lifted_at = 0;
CREATE INDEX restrictions_standing ON restrictions (from_leaf) WHERE lifted_at = 0;
`

	insertHold          = `INSERT INTO holds (from_leaf, hold, citizen, reason, placed_at, lifted_at) VALUES (?, ?, ?, ?, ?, 0)`
	setHoldLifted       = `UPDATE holds SET lifted_at = ? WHERE hold = ? AND lifted_at = 0`
	insertRestriction   = `INSERT INTO restrictions (from_leaf, restriction, citizen, document, reason, asked_by, restricted_at, lifted_at) VALUES (?, ?, ?, ?, ?, ?, ?, 0)`
	setRestrictionsLift = `UPDATE restrictions SET lifted_at = ? WHERE restriction = ? AND lifted_at = 0`
)

func applyHold(ctx context.Context, tx *projections.Tx, event citizen.Event, leaf int64) (err error) {
	switch f := event.(type) {
	case citizen.LegalHoldPlaced:
		_, err = tx.Exec(ctx, insertHold, leaf, f.Hold.UUID[:], f.Citizen.UUID[:], string(f.Reason), f.At.UnixMicro())
	case citizen.LegalHoldLifted:
		_, err = tx.Exec(ctx, setHoldLifted, f.At.UnixMicro(), f.Hold.UUID[:])
	case citizen.ProcessingRestricted:
		var document []byte
		if !f.Document.IsZero() {
			document = f.Document.UUID[:]
		}
		_, err = tx.Exec(ctx, insertRestriction, leaf, f.Restriction.UUID[:], f.Citizen.UUID[:], document, string(f.Reason), string(f.AskedBy), f.At.UnixMicro())
	case citizen.RestrictionLifted:
		_, err = tx.Exec(ctx, setRestrictionsLift, f.At.UnixMicro(), f.Restriction.UUID[:])
	}
	return err
}

// Hold is a legal hold: nothing of its citizen is erased while it stands.
type Hold struct {
	FirstLeaf int64 // of its placing: its place in lists
	Hold      domain.HoldID
	Citizen   domain.CitizenID
	Reason    domain.ReasonCode
	PlacedAt  time.Time
	LiftedAt  time.Time // zero: it stands
}

// Restriction is a restriction of processing (GDPR art. 18).
type Restriction struct {
	FirstLeaf int64 // of the restriction: its place in lists
	Citizen   domain.CitizenID
	citizen.Restriction
}

// Standing says which holds and restrictions are meant: those that stand, those that were
// lifted, or both.
type Standing struct{ Stand, Lifted bool }

// where narrows a list to what is meant; of neither it is every one.
func (s Standing) where() string {
	switch {
	case s.Stand == s.Lifted:
		return ` WHERE from_leaf > ?`
	case s.Stand:
		return ` WHERE from_leaf > ? AND lifted_at = 0`
	}
	return ` WHERE from_leaf > ? AND lifted_at > 0`
}

const inOrder = ` ORDER BY from_leaf LIMIT ?`

// Holds returns at most limit legal holds, oldest first, from behind the FirstLeaf given as
// cursor; -1 to begin. With an id it returns that hold alone, if it is one of them.
func (e *Erasures) Holds(ctx context.Context, only *domain.HoldID, which Standing, cursor int64, limit int) ([]Hold, error) {
	query, args := `SELECT from_leaf, hold, citizen, reason, placed_at, lifted_at FROM holds`+which.where(), []any{cursor}
	if only != nil {
		query, args = query+` AND hold = ?`, append(args, only.UUID[:])
	}
	all := []Hold{}
	err := e.view.Select(ctx, query+inOrder, append(args, limit), func(scan func(...any) error) error {
		var one Hold
		var id, of []byte
		var placed, lifted int64
		if err := scan(&one.FirstLeaf, &id, &of, &one.Reason, &placed, &lifted); err != nil {
			return err
		}
		copy(one.Hold.UUID[:], id)
		copy(one.Citizen.UUID[:], of)
		one.PlacedAt, one.LiftedAt = projections.Instant(placed), projections.Instant(lifted)
		all = append(all, one)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("holds: %w", err)
	}
	return all, nil
}

// Restrictions returns at most limit restrictions of processing, as Holds does.
func (e *Erasures) Restrictions(ctx context.Context, which Standing, cursor int64, limit int) ([]Restriction, error) {
	all := []Restriction{}
	err := e.view.Select(ctx, `SELECT from_leaf, restriction, citizen, document, reason, asked_by, restricted_at, lifted_at FROM restrictions`+which.where()+inOrder, []any{cursor, limit}, func(scan func(...any) error) error {
		var one Restriction
		var id, of, document []byte
		var restricted, lifted int64
		if err := scan(&one.FirstLeaf, &id, &of, &document, &one.Reason, &one.AskedBy, &restricted, &lifted); err != nil {
			return err
		}
		copy(one.ID.UUID[:], id)
		copy(one.Citizen.UUID[:], of)
		copy(one.Document.UUID[:], document)
		one.At, one.LiftedAt = projections.Instant(restricted), projections.Instant(lifted)
		all = append(all, one)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("restrictions: %w", err)
	}
	return all, nil
}

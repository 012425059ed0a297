package seal

import (
	"context"
	"database/sql"
	"errors"

	"coffre/domain"
	"coffre/eventstore/seal/keysdb"
)

// state of a subject: pending until citizen.registered is in the log, then active;
// erasing from the decision to destroy on, when nothing is sealed or opened any
// more; destroyed when the keys are gone. It never goes back.
type state int

const (
	pending   state = 1
	active    state = 2
	erasing   state = 3
	destroyed state = 4
)

// usable reports whether keys of a subject in this state may seal and open.
func (s state) usable() bool { return s == pending || s == active }

// stateOf is 0 for a citizen who is not in the ring.
func stateOf(tx *keysdb.Tx, citizen domain.CitizenID) (st state, err error) {
	err = tx.Row(`SELECT state FROM subjects WHERE citizen = ?`, []any{citizen.UUID[:]}, &st)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return st, err
}

func (r *Ring) inState(ctx context.Context, st state) ([]domain.CitizenID, error) {
	var out []domain.CitizenID
	// The first condition is that of the partial index.
	err := r.rows(ctx, `SELECT citizen FROM subjects WHERE state IN (1, 3) AND state = ? ORDER BY id`, []any{st}, func(scan func(...any) error) error {
		var id []byte
		if err := scan(&id); err != nil {
			return err
		}
		citizen, err := citizenID(id)
		out = append(out, citizen)
		return err
	})
	return out, unavailable(ctx, "read subjects", err)
}

// Erasing returns the citizens whose erasure has begun and has not ended.
func (r *Ring) Erasing(ctx context.Context) ([]domain.CitizenID, error) {
	return r.inState(ctx, erasing)
}

// Fate is the state of a citizen's keys as the work that erases needs it.
type Fate int

const (
	InUse     Fate = iota + 1
	Withdrawn      // their erasure has begun: nobody uses them, and they are still there
	Gone           // destroyed
)

// FateOf asks the database what became of the citizen's keys. It returns ErrUnknown.
func (r *Ring) FateOf(ctx context.Context, citizen domain.CitizenID) (Fate, error) {
	var st state
	found, err := r.row(ctx, `SELECT state FROM subjects WHERE citizen = ?`, []any{citizen.UUID[:]}, &st)
	switch {
	case err != nil:
		return 0, unavailable(ctx, "read subject", err)
	case !found:
		return 0, ErrUnknown
	case st == erasing:
		return Withdrawn, nil
	case st == destroyed:
		return Gone, nil
	}
	return InUse, nil
}

// Missing returns those of the citizens, which the log names, that the ring does not
// know: it is older than the log, and the program must not start.
func (r *Ring) Missing(ctx context.Context, citizens []domain.CitizenID) ([]domain.CitizenID, error) {
	var missing []domain.CitizenID
	for _, citizen := range citizens {
		var one int
		found, err := r.row(ctx, `SELECT 1 FROM subjects WHERE citizen = ?`, []any{citizen.UUID[:]}, &one)
		if err != nil {
			return nil, unavailable(ctx, "read subjects", err)
		}
		if !found {
			missing = append(missing, citizen)
		}
	}
	return missing, nil
}

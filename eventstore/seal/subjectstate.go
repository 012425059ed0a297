package seal

import (
	"context"
	"slices"

	"coffre/domain"
	"coffre/eventstore"
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
func stateOf(tx *keysdb.Tx, citizen domain.CitizenID) (state, error) {
	e, err := tx.Entry(subjects, `citizen = ?`, citizen.UUID[:])
	if err != nil || e == nil {
		return 0, err
	}
	return stateOfEntry(e), nil
}

// inState lists the citizens in a state. A damaged row is passed over: it is named, and
// must not keep the others waiting.
func (r *Ring) inState(ctx context.Context, st state) ([]domain.CitizenID, error) {
	var out []domain.CitizenID
	// The first condition is that of the partial index.
	err := r.db.Each(ctx, subjects, `state IN (1, 3) AND state = ? ORDER BY id`, []any{st}, func(e *keysdb.Entry, damage error) error {
		if damage != nil {
			return nil
		}
		citizen, err := citizenOf(e)
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
	e, err := r.db.Entry(ctx, subjects, `citizen = ?`, citizen.UUID[:])
	switch {
	case err != nil:
		return 0, unavailable(ctx, "read subject", err)
	case e == nil:
		return 0, ErrUnknown
	case stateOfEntry(e) == erasing:
		return Withdrawn, nil
	case stateOfEntry(e) == destroyed:
		return Gone, nil
	}
	return InUse, nil
}

// Missing returns those of the citizens, which the log names, that the ring does not
// know: it is older than the log, and the program must not start. A citizen whose own row
// alone is gone is not among them: that is damage, and stops nobody else.
func (r *Ring) Missing(ctx context.Context, citizens []domain.CitizenID) ([]domain.CitizenID, error) {
	missing, err := r.withoutRow(ctx, citizens)
	var unknown []domain.CitizenID
	for _, citizen := range missing {
		known, err := r.mentioned(ctx, citizen)
		if err != nil {
			return nil, unavailable(ctx, "read subjects", err)
		}
		if !known {
			unknown = append(unknown, citizen)
		}
	}
	return unknown, err
}

// UnknownStreams counts the streams, which hold something sealed, whose key the ring does
// not know, not even as destroyed: it is older than the log, and the program must not start.
// Where rows of the table are damaged or gone it returns 0: that stops nobody else.
func (r *Ring) UnknownStreams(ctx context.Context, streams []eventstore.Stream) (int, error) {
	known := make(map[eventstore.Stream]bool, len(streams))
	for some := range slices.Chunk(streams, MaxBatch) {
		args := make([]any, len(some))
		for i, stream := range some {
			args[i] = string(stream)
		}
		err := r.joinedIn(ctx, `SELECT `+streamKeys.Of("k")+` FROM stream_keys k WHERE k.stream IN `, nil, args, []*keysdb.Table{streamKeys}, func(rows []*keysdb.Entry, _ error) error {
			known[eventstore.Stream(rows[0].Text("stream"))] = true
			return nil
		})
		if err != nil {
			return 0, unavailable(ctx, "read stream keys", err)
		}
	}
	unknown := 0
	for _, stream := range streams {
		if !known[stream] {
			unknown++
		}
	}
	if unknown == 0 {
		return 0, nil
	}
	damaged, err := r.db.Check(ctx, streamKeys) // an older ring is whole
	if err != nil || len(damaged) > 0 {
		return 0, unavailable(ctx, "verify stream keys", err)
	}
	return unknown, nil
}

// withoutRow returns those of the citizens that have no row of their own.
func (r *Ring) withoutRow(ctx context.Context, citizens []domain.CitizenID) ([]domain.CitizenID, error) {
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

// mentioned reports whether other rows name a citizen who has no row of their own, which
// then is damaged or gone.
func (r *Ring) mentioned(ctx context.Context, citizen domain.CitizenID) (bool, error) {
	var one int
	found, err := r.row(ctx, `SELECT 1 FROM subject_ssins WHERE citizen = ? UNION ALL SELECT 1 FROM stream_keys WHERE citizen = ? LIMIT 1`,
		[]any{citizen.UUID[:], citizen.UUID[:]}, &one)
	if found {
		_ = r.db.Missing(subjects)
	}
	return found, err
}

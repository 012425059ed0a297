package seal

import (
	"context"
	"errors"
	"fmt"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// Refusals of a rotation of the pepper that is out of order.
var (
	ErrPepperUnderWay = domain.NewError(domain.Conflict, "pepperRotationUnderWay", "the pepper is being replaced already: that has to end first")
	ErrPepperPhase    = domain.NewError(domain.Conflict, "pepperRotationNotThere", "the rotation of the pepper has not come to this step")
)

// ErrPepperIncomplete: numbers are not found under the new pepper yet.
var ErrPepperIncomplete = errors.New("seal: numbers are not indexed under the new pepper yet")

// step changes the phase of the rotation in one transaction. change tells whether
// there is anything to do: it is false when it was done before.
func (r *Rotator) step(ctx context.Context, doing string, change func(tx *keysdb.Tx, s ringState) (bool, error)) error {
	_, err := keysdb.Do(ctx, r.ring.db, func(tx *keysdb.Tx) (bool, error) {
		s, err := stateIn(tx)
		if err != nil {
			return false, err
		}
		changed, err := change(tx, s)
		if err == nil && changed {
			err = changeState(tx, func(e *keysdb.Entry) { e.Set("pepper_epoch", e.Int("pepper_epoch")+1) })
		}
		return changed, err
	})
	var refusal *domain.Error
	if errors.As(err, &refusal) || errors.Is(err, errStale) {
		return err
	}
	if err != nil {
		return unavailable(ctx, doing, err)
	}
	return r.ring.readPeppers(ctx)
}

// BeginPepper makes a new pepper, and a new version of the suppression key with it, durably,
// and has every number that is added from here on found under both. It returns ErrPepperUnderWay while another is replaced.
func (r *Rotator) BeginPepper(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		s, err := r.ring.pepperState(ctx)
		if err != nil {
			return err
		}
		if s.phase != PepperSettled {
			return ErrPepperUnderWay
		}
		next := s.pepper + 1
		made := map[string]Wrapped{}
		for _, name := range []string{pepperKey, suppressionKey} {
			k := newKey()
			if made[name], err = r.ring.wraps.one(ctx, &WrapItem{Plain: k[:], AAD: deploymentAAD(name, next)}); err != nil {
				return fmt.Errorf("wrap %s: %w", name, err)
			}
		}
		err = r.step(ctx, "begin rotation of the pepper", func(tx *keysdb.Tx, now ringState) (bool, error) {
			switch {
			case now.phase != PepperSettled:
				return false, ErrPepperUnderWay
			case now.epoch != s.epoch || made[pepperKey].Version < now.floor || made[suppressionKey].Version < now.floor:
				return false, errStale
			}
			for name, wrapped := range made {
				if err := tx.Insert(deploymentKeys, name, next, wrapped.Bytes, wrapped.Version, r.ring.micros()); err != nil {
					return false, err
				}
			}
			return true, changeState(tx, func(e *keysdb.Entry) {
				e.Set("pepper_phase", PepperDoubled)
				e.Set("next_pepper", next)
			})
		})
		if !errors.Is(err, errStale) {
			return err
		}
		if err := r.ring.catchUp(ctx, attempt); err != nil {
			return err
		}
	}
}

// unindexed counts the numbers that are not found under the next pepper, and those
// of them whose citizen's erasure has begun and not ended: these are opened no more.
const unindexed = `SELECT count(*), coalesce(sum(CASE WHEN s.state = 3 THEN 1 ELSE 0 END), 0)

	FROM ring_state e JOIN subject_ssins n ON n.pepper_version = e.pepper JOIN subjects s ON s.citizen = n.citizen
	WHERE e.id = 1 AND e.pepper_phase = 2 AND NOT EXISTS (
		SELECT 1 FROM subject_ssins m WHERE m.citizen = n.citizen AND m.ordinal = n.ordinal AND m.pepper_version = e.next_pepper)`

// BackfillPepper makes every number found under the new pepper too, a thousand at
// a time, while the ring is in use. It may be stopped and called again: it goes on
// with what is missing. progress, if not nil, is told after each batch how many of
// how many numbers are done. It returns nil in the later phases, ErrPepperPhase when
// no pepper is replaced, and an error, to be met by calling again, while numbers are
// left: those of citizens whose erasure has not ended yet, or that do not open.
func (r *Rotator) BackfillPepper(ctx context.Context, progress func(done, total int)) error {
	if err := r.ring.readPeppers(ctx); err != nil {
		return err
	}
	p := r.ring.peppers.Load()
	switch p.phase {
	case PepperSettled:
		return ErrPepperPhase
	case PepperSwitched, PepperDropping:
		return nil
	}
	var total, waiting, done int
	if _, err := r.ring.row(ctx, unindexed, nil, &total, &waiting); err != nil {
		return unavailable(ctx, "index numbers again", err)
	}
	for after := int64(0); ; {
		batch, err := r.numbersWithout(ctx, p, after)
		if err != nil {
			return unavailable(ctx, "index numbers again", err)
		}
		if len(batch) == 0 {
			break
		}
		after = batch[len(batch)-1].id
		if err := r.index(ctx, p, batch); err != nil {
			return err
		}
		done += len(batch)
		if progress != nil {
			progress(done, total)
		}
	}
	return r.indexed(ctx)
}

// indexed returns an error while a number is missing under the new pepper. That
// none is missing stays true for this rotation: from BeginPepper on all are added
// under both.
func (r *Rotator) indexed(ctx context.Context) error {
	var missing, waiting int
	if _, err := r.ring.row(ctx, unindexed, nil, &missing, &waiting); err != nil {
		return unavailable(ctx, "count numbers", err)
	}
	if missing > 0 {
		return fmt.Errorf("%d numbers, %d of them of citizens who are being erased: %w", missing, waiting, ErrPepperIncomplete)
	}
	return nil
}

// numberRow is a number that the new pepper does not find yet.
type numberRow struct {
	id      int64
	citizen domain.CitizenID
	sealed  []byte
	next    *blindIndex // nil: it does not open
	damaged bool
}

func (r *Rotator) numbersWithout(ctx context.Context, p *peppers, after int64) ([]numberRow, error) {
	var batch []numberRow
	err := r.ring.db.Each(ctx, numbers, `id > ? AND pepper_version = ? AND NOT EXISTS (
			SELECT 1 FROM subject_ssins m WHERE m.citizen = subject_ssins.citizen AND m.ordinal = subject_ssins.ordinal AND m.pepper_version = ?)
		ORDER BY id LIMIT ?`, []any{after, p.look().Version, p.next, MaxBatch}, func(e *keysdb.Entry, damage error) error {
		row := numberRow{id: e.Number(), sealed: e.Bytes("sealed"), damaged: damage != nil}
		if damage == nil {
			var err error
			if row.citizen, err = citizenOf(e); err != nil {
				return err
			}
		}
		batch = append(batch, row)
		return nil
	})
	return batch, err
}

// index adds a batch of numbers under the new pepper. Who is being erased is passed
// over.
func (r *Rotator) index(ctx context.Context, p *peppers, batch []numberRow) error {
	var citizens []domain.CitizenID
	for _, row := range batch {
		if !row.damaged {
			citizens = append(citizens, row.citizen)
		}
	}
	if err := r.ring.Prefetch(ctx, citizens); err != nil {
		return err
	}
	next := p.use[len(p.use)-1]
	for i := range batch {
		row := &batch[i]
		if row.damaged {
			continue
		}
		err := r.ring.using(ctx, row.citizen, func(s *subject) error {
			ssin, err := s.openSSIN(row.sealed)
			if err == nil {
				row.next = &blindIndex{blindOf(next, ssin), next.Version, memoryUnder(p.memoryOf(next.Version), ssin)}
			}
			return err
		})
		if err != nil && !errors.Is(err, eventstore.ErrErased) && !errors.Is(err, eventstore.ErrTampered) && !errors.Is(err, ErrUnknown) {
			return err
		}
	}
	_, err := keysdb.Do(ctx, r.ring.db, func(tx *keysdb.Tx) (struct{}, error) {
		s, err := stateIn(tx)
		if err == nil && s.epoch != p.epoch {
			err = errStale // another process went on: it had found nothing missing
		}
		if err != nil {
			return struct{}{}, err
		}
		for _, row := range batch {
			if row.next == nil {
				continue
			}
			// Only beside the row that was read: a number destroyed or replaced since comes
			// back under no pepper.
			e, err := tx.Entry(numbers, `id = ?`, row.id)
			if err != nil || e == nil {
				if errors.Is(err, keysdb.ErrDamaged) || err == nil {
					continue
				}
				return struct{}{}, err
			}
			if _, err := tx.InsertNew(numbers, row.next.hash[:], next.Version, e.Bytes("citizen"), e.Bytes("sealed"), row.next.memory[:], e.Int("ordinal")); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, nil
	})
	if err != nil && !errors.Is(err, errStale) {
		return unavailable(ctx, "index numbers again", err)
	}
	return nil
}

// SwitchPepper has numbers looked for under the new pepper. It returns nil when
// that was done before, ErrPepperPhase when no pepper is replaced, and the error of
// BackfillPepper while a number is missing.
func (r *Rotator) SwitchPepper(ctx context.Context) error {
	before, err := r.ring.pepperState(ctx)
	if err == nil {
		err = r.indexed(ctx)
	}
	if err != nil {
		return err
	}
	return r.step(ctx, "switch pepper", func(tx *keysdb.Tx, s ringState) (bool, error) {
		switch s.phase {
		case PepperSettled:
			return false, ErrPepperPhase
		case PepperSwitched, PepperDropping:
			return false, nil
		}
		if s.epoch != before.epoch { // what was counted was another rotation
			return false, fmt.Errorf("%w: %w", eventstore.ErrKeysUnavailable, errStale)
		}
		return true, changeState(tx, func(e *keysdb.Entry) { e.Set("pepper_phase", PepperSwitched) })
	})
}

// DropPepper removes what the old pepper found, a thousand rows at a time, then
// the old pepper, and what is left of both in the write-ahead log. It may be stopped
// and called again. It returns nil when no pepper is replaced, and ErrPepperPhase before
// SwitchPepper. progress, if not nil, is told after each batch how many of how many
// rows are gone.
func (r *Rotator) DropPepper(ctx context.Context, progress func(done, total int)) error {
	err := r.step(ctx, "drop pepper", func(tx *keysdb.Tx, s ringState) (bool, error) {
		switch s.phase {
		case PepperDoubled:
			return false, ErrPepperPhase
		case PepperSettled, PepperDropping:
			return false, nil
		}
		return true, changeState(tx, func(e *keysdb.Entry) { e.Set("pepper_phase", PepperDropping) })
	})
	p := r.ring.peppers.Load()
	if err != nil || p.phase == PepperSettled {
		return err
	}
	var total, done int
	if _, err := r.ring.row(ctx, `SELECT count(*) FROM subject_ssins WHERE pepper_version = ?`, []any{p.old}, &total); err != nil {
		return unavailable(ctx, "drop pepper", err)
	}
	for after := int64(0); ; {
		var ids []int64
		err := r.ring.rows(ctx, `SELECT id FROM subject_ssins WHERE id > ? AND pepper_version = ? ORDER BY id LIMIT ?`, []any{after, p.old, MaxBatch}, func(scan func(...any) error) error {
			ids = append(ids, 0)
			return scan(&ids[len(ids)-1])
		})
		if err == nil && len(ids) > 0 {
			after = ids[len(ids)-1]
			_, err = keysdb.Do(ctx, r.ring.db, func(tx *keysdb.Tx) (struct{}, error) {
				for _, id := range ids {
					if _, err := tx.Delete(numbers, `id = ? AND pepper_version = ?`, id, p.old); err != nil {
						return struct{}{}, err
					}
				}
				return struct{}{}, nil
			})
		}
		if err != nil {
			return unavailable(ctx, "drop pepper", err)
		}
		if len(ids) == 0 {
			break
		}
		done += len(ids)
		if progress != nil {
			progress(done, total)
		}
	}
	err = r.step(ctx, "drop pepper", func(tx *keysdb.Tx, s ringState) (bool, error) {
		if s.phase != PepperDropping || s.pepper != p.old {
			return false, nil // another process ended it
		}
		former, err := tx.Entry(deploymentKeys, `name = ? AND version = ?`, pepperKey, s.pepper)
		if err == nil && former == nil {
			err = tx.Missing(deploymentKeys)
		}
		if err != nil {
			return false, err
		}
		former.Set("wrapped", make([]byte, len(former.Bytes("wrapped"))))
		if err := errors.Join(tx.Put(former), tx.Remove(former)); err != nil {
			return false, err
		}
		// Every number has its digest under the latest version now; the others are there for
		// whom they remember.
		if err := removeDeploymentKeys(tx, `name = ? AND version < ? AND version NOT IN (SELECT key_version FROM suppressions)`, suppressionKey, s.next); err != nil {
			return false, err
		}
		if err := changeState(tx, func(e *keysdb.Entry) {
			e.Set("pepper_phase", PepperSettled)
			e.Set("pepper", s.next)
			e.Set("next_pepper", 0)
		}); err != nil {
			return false, err
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	return r.ring.scrub(ctx)
}

// PepperStatus is how far the rotation of the pepper is.
type PepperStatus struct {
	Phase   PepperPhase
	Version int // of the pepper that numbers are looked for under
	Missing int // numbers that are not found under the new pepper yet
	Waiting int // of them, those of citizens whose erasure has not ended
	Left    int // rows of the old pepper that are still there, once it is used no more
}

// PepperStatus returns how far the rotation of the pepper is. It reads all numbers while
// one is under way: seconds for millions.
func (l Ledger) PepperStatus(ctx context.Context) (PepperStatus, error) {
	s, err := l.ring.pepperState(ctx)
	if err != nil {
		return PepperStatus{}, err
	}
	out := PepperStatus{Phase: s.phase, Version: s.pepper}
	switch s.phase {
	case PepperDoubled:
		_, err = l.ring.row(ctx, unindexed, nil, &out.Missing, &out.Waiting)
	case PepperSwitched:
		out.Version = s.next
	case PepperDropping:
		out.Version = s.next
		_, err = l.ring.row(ctx, `SELECT count(*) FROM subject_ssins WHERE pepper_version = ?`, []any{s.pepper}, &out.Left)
	}
	return out, unavailable(ctx, "read pepper", err)
}

func (r *Ring) pepperState(ctx context.Context) (ringState, error) {
	e, err := r.db.Entry(ctx, ringStates, `id = 1`)
	if err == nil && e == nil {
		err = r.db.Missing(ringStates)
	}
	if err != nil {
		return ringState{}, unavailable(ctx, "read pepper", err)
	}
	return ringStateOf(e), nil
}

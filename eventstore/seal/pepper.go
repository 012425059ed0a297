package seal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// People are found by a blind index of their number: an HMAC under the pepper. A
// new pepper means a new index for everyone, made while everyone goes on:
//
//	settled ─BeginPepper→ doubled ─SwitchPepper→ switched ─DropPepper→ dropping → settled
//
//	doubled   numbers are added under both peppers and looked for under the old one;
//	          BackfillPepper adds what is missing under the new one
//	switched  numbers are still added under both and looked for under the new one
//	dropping  the old pepper is used no more; its rows go, then it goes itself
//
// Invariant: the pepper that is looked under has every number, and two processes
// always add under one pepper in common, whose index is unique: nobody is missed and
// nobody is enrolled twice. A process that is a step behind learns it in the same
// transaction, or the same statement, in which it would have used the former peppers, and
// then uses the new ones.

// PepperPhase is a step of the rotation of the pepper.
type PepperPhase int

// The phases of a rotation, in order.
const (
	PepperSettled  PepperPhase = 1
	PepperDoubled  PepperPhase = 2
	PepperSwitched PepperPhase = 3
	PepperDropping PepperPhase = 4
)

// Refusals of a rotation of the pepper that is out of order.
var (
	ErrPepperUnderWay = domain.NewError(domain.Conflict, "pepperRotationUnderWay", "the pepper is being replaced already: that has to end first")
	ErrPepperPhase    = domain.NewError(domain.Conflict, "pepperRotationNotThere", "the rotation of the pepper has not come to this step")
)

// errStale: a change was refused because another process went on with a rotation.
var errStale = errors.New("seal: the keys were rotated meanwhile")

// ErrPepperIncomplete: numbers are not found under the new pepper yet.
var ErrPepperIncomplete = errors.New("seal: numbers are not indexed under the new pepper yet")

// maxStale bounds how often in a row one call may find itself behind.
const maxStale = 10

// peppers is what numbers are found by, as of one epoch. It is never changed.
type peppers struct {
	epoch int64
	phase PepperPhase
	// use has the pepper to look under first; numbers are added under all of them.
	use []DeploymentKey
	// next is the new pepper while it is not looked under yet, old the former one until
	// it is gone; 0 for none.
	next, old int
}

func (p *peppers) look() DeploymentKey { return p.use[0] }

// blindIndex is how one number is found under one pepper.
type blindIndex struct {
	hash   [32]byte
	pepper int // version
}

// blindOf is the index a number is found by: nobody can compute it, or try all
// numbers, without the pepper.
func blindOf(pepper DeploymentKey, ssin domain.SSIN) [32]byte {
	return pepper.MAC([]byte("ssin/v1\x00"), []byte(ssin.Reveal()))
}

// blinds is a number under all peppers it is to be added under.
type blinds struct {
	epoch int64
	of    []blindIndex
}

func (r *Ring) blinds(ssin domain.SSIN) blinds {
	p := r.peppers.Load()
	b := blinds{epoch: p.epoch}
	for _, pepper := range p.use {
		b.of = append(b.of, blindIndex{blindOf(pepper, ssin), pepper.Version})
	}
	return b
}

// ringState is the row of ring_state.
type ringState struct {
	floor        int
	epoch        int64
	phase        PepperPhase
	pepper, next int
}

func stateIn(tx *keysdb.Tx) (s ringState, err error) {
	err = tx.Row(`SELECT kek_floor, pepper_epoch, pepper_phase, pepper, next_pepper FROM ring_state WHERE id = 1`, nil,
		&s.floor, &s.epoch, &s.phase, &s.pepper, &s.next)
	return s, err
}

// arrange says which peppers a phase uses; have holds all there are by version.
func (s ringState) arrange(have map[int]DeploymentKey) (*peppers, error) {
	p := &peppers{epoch: s.epoch, phase: s.phase}
	var use []int
	switch s.phase {
	case PepperSettled:
		use = []int{s.pepper}
	case PepperDoubled:
		use, p.next = []int{s.pepper, s.next}, s.next
	case PepperSwitched:
		use, p.old = []int{s.next, s.pepper}, s.pepper
	case PepperDropping:
		use, p.old = []int{s.next}, s.pepper
	}
	for _, version := range use {
		k, ok := have[version]
		if !ok {
			return nil, fmt.Errorf("version %d of the pepper: %w", version, ErrUnknown)
		}
		p.use = append(p.use, k)
	}
	if len(p.use) == 0 {
		return nil, fmt.Errorf("phase %d of the pepper: %w", s.phase, ErrUnknown)
	}
	return p, nil
}

// readPeppers brings this process to the step the rotation is at, with a call to the
// key-encryption key for a pepper it has not seen.
func (r *Ring) readPeppers(ctx context.Context) error {
	r.peppering.Lock()
	defer r.peppering.Unlock()
	var s ringState
	var rows []deploymentRow
	// One statement: the peppers are those of the step.
	err := r.rows(ctx, `SELECT e.pepper_epoch, e.pepper_phase, e.pepper, e.next_pepper, d.version, d.wrapped FROM ring_state e
		JOIN deployment_keys d ON d.name = ? WHERE e.id = 1`, []any{pepperKey}, func(scan func(...any) error) error {
		row := deploymentRow{Name: pepperKey}
		rows = append(rows, row)
		return scan(&s.epoch, &s.phase, &s.pepper, &s.next, &rows[len(rows)-1].Version, &rows[len(rows)-1].Wrapped)
	})
	if err != nil {
		return unavailable(ctx, "read peppers", err)
	}
	have := map[int]DeploymentKey{}
	if known := r.peppers.Load(); known != nil {
		if known.epoch == s.epoch {
			return nil
		}
		for _, k := range known.use {
			have[k.Version] = k
		}
	}
	var unseen []deploymentRow
	for _, row := range rows {
		if _, ok := have[row.Version]; !ok {
			unseen = append(unseen, row)
		}
	}
	if len(unseen) > 0 {
		keys, err := r.unwrapDeployment(ctx, unseen)
		if err != nil {
			return err
		}
		for _, k := range keys {
			have[k.Version] = k
		}
	}
	p, err := s.arrange(have)
	if err != nil {
		return unavailable(ctx, "read peppers", err)
	}
	r.peppers.Store(p)
	return nil
}

// catchUp is called when a change found itself behind, for the attempt-th time.
func (r *Ring) catchUp(ctx context.Context, attempt int) error {
	if attempt+1 >= maxStale {
		return fmt.Errorf("%w: %w", eventstore.ErrKeysUnavailable, errStale)
	}
	return r.readPeppers(ctx)
}

// step changes the phase of the rotation in one transaction. change tells whether
// there is anything to do: it is false when it was done before.
func (r *Ring) step(ctx context.Context, doing string, change func(tx *keysdb.Tx, s ringState) (bool, error)) error {
	_, err := keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (bool, error) {
		s, err := stateIn(tx)
		if err != nil {
			return false, err
		}
		changed, err := change(tx, s)
		if err == nil && changed {
			_, err = tx.Exec(`UPDATE ring_state SET pepper_epoch = pepper_epoch + 1 WHERE id = 1`)
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
	return r.readPeppers(ctx)
}

// BeginPepper makes a new pepper, durably, and has every number that is added from
// here on found under both. It returns ErrPepperUnderWay while another is replaced.
func (r *Ring) BeginPepper(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		s, err := r.pepperState(ctx)
		if err != nil {
			return err
		}
		if s.phase != PepperSettled {
			return ErrPepperUnderWay
		}
		next := s.pepper + 1
		k := newKey()
		wrapped, err := r.wraps.one(ctx, &WrapItem{Plain: k[:], AAD: deploymentAAD(pepperKey, next)})
		if err != nil {
			return fmt.Errorf("wrap pepper: %w", err)
		}
		err = r.step(ctx, "begin rotation of the pepper", func(tx *keysdb.Tx, now ringState) (bool, error) {
			switch {
			case now.phase != PepperSettled:
				return false, ErrPepperUnderWay
			case now.epoch != s.epoch || wrapped.Version < now.floor:
				return false, errStale
			}
			if _, err := tx.Exec(`INSERT INTO deployment_keys (name, version, wrapped, kek_version, created) VALUES (?, ?, ?, ?, ?)`,
				pepperKey, next, wrapped.Bytes, wrapped.Version, r.micros()); err != nil {
				return false, err
			}
			_, err := tx.Exec(`UPDATE ring_state SET pepper_phase = ?, next_pepper = ? WHERE id = 1`, PepperDoubled, next)
			return true, err
		})
		if !errors.Is(err, errStale) {
			return err
		}
		if err := r.catchUp(ctx, attempt); err != nil {
			return err
		}
	}
}

func (r *Ring) pepperState(ctx context.Context) (s ringState, err error) {
	found, err := r.row(ctx, `SELECT kek_floor, pepper_epoch, pepper_phase, pepper, next_pepper FROM ring_state WHERE id = 1`, nil,
		&s.floor, &s.epoch, &s.phase, &s.pepper, &s.next)
	if err == nil && !found {
		err = sql.ErrNoRows
	}
	return s, unavailable(ctx, "read pepper", err)
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
func (r *Ring) BackfillPepper(ctx context.Context, progress func(done, total int)) error {
	if err := r.readPeppers(ctx); err != nil {
		return err
	}
	p := r.peppers.Load()
	switch p.phase {
	case PepperSettled:
		return ErrPepperPhase
	case PepperSwitched, PepperDropping:
		return nil
	}
	var total, waiting, done int
	if _, err := r.row(ctx, unindexed, nil, &total, &waiting); err != nil {
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
func (r *Ring) indexed(ctx context.Context) error {
	var missing, waiting int
	if _, err := r.row(ctx, unindexed, nil, &missing, &waiting); err != nil {
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
	next    *[32]byte // nil: it does not open
}

func (r *Ring) numbersWithout(ctx context.Context, p *peppers, after int64) ([]numberRow, error) {
	var batch []numberRow
	err := r.rows(ctx, `SELECT n.id, n.citizen, n.sealed FROM subject_ssins n WHERE n.id > ? AND n.pepper_version = ? AND NOT EXISTS (
			SELECT 1 FROM subject_ssins m WHERE m.citizen = n.citizen AND m.ordinal = n.ordinal AND m.pepper_version = ?)
		ORDER BY n.id LIMIT ?`, []any{after, p.look().Version, p.next, MaxBatch}, func(scan func(...any) error) error {
		var row numberRow
		var id []byte
		err := scan(&row.id, &id, &row.sealed)
		if err == nil {
			row.citizen, err = citizenID(id)
		}
		batch = append(batch, row)
		return err
	})
	return batch, err
}

// index adds a batch of numbers under the new pepper. Who is being erased is passed
// over.
func (r *Ring) index(ctx context.Context, p *peppers, batch []numberRow) error {
	citizens := make([]domain.CitizenID, len(batch))
	for i, row := range batch {
		citizens[i] = row.citizen
	}
	if err := r.Prefetch(ctx, citizens); err != nil {
		return err
	}
	next := p.use[len(p.use)-1]
	for i := range batch {
		row := &batch[i]
		err := r.using(ctx, row.citizen, func(s *subject) error {
			ssin, err := s.openSSIN(row.sealed)
			if err == nil {
				hash := blindOf(next, ssin)
				row.next = &hash
			}
			return err
		})
		if err != nil && !errors.Is(err, eventstore.ErrErased) && !errors.Is(err, eventstore.ErrTampered) && !errors.Is(err, ErrUnknown) {
			return err
		}
	}
	_, err := keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (struct{}, error) {
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
			if _, err := tx.Exec(`INSERT INTO subject_ssins (blind, pepper_version, citizen, sealed, suppression, ordinal)
				SELECT ?, ?, citizen, sealed, suppression, ordinal FROM subject_ssins WHERE id = ? ON CONFLICT (blind) DO NOTHING`,
				row.next[:], next.Version, row.id); err != nil {
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
func (r *Ring) SwitchPepper(ctx context.Context) error {
	before, err := r.pepperState(ctx)
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
		_, err := tx.Exec(`UPDATE ring_state SET pepper_phase = ? WHERE id = 1`, PepperSwitched)
		return true, err
	})
}

// DropPepper removes what the old pepper found, a thousand rows at a time, then
// the old pepper, and what is left of both in the write-ahead log. It may be stopped
// and called again. It returns nil when no pepper is replaced, and ErrPepperPhase before
// SwitchPepper. progress, if not nil, is told after each batch how many of how many
// rows are gone.
func (r *Ring) DropPepper(ctx context.Context, progress func(done, total int)) error {
	err := r.step(ctx, "drop pepper", func(tx *keysdb.Tx, s ringState) (bool, error) {
		switch s.phase {
		case PepperDoubled:
			return false, ErrPepperPhase
		case PepperSettled, PepperDropping:
			return false, nil
		}
		_, err := tx.Exec(`UPDATE ring_state SET pepper_phase = ? WHERE id = 1`, PepperDropping)
		return true, err
	})
	p := r.peppers.Load()
	if err != nil || p.phase == PepperSettled {
		return err
	}
	var total, done int
	if _, err := r.row(ctx, `SELECT count(*) FROM subject_ssins WHERE pepper_version = ?`, []any{p.old}, &total); err != nil {
		return unavailable(ctx, "drop pepper", err)
	}
	for after := int64(0); ; {
		var ids []int64
		err := r.rows(ctx, `SELECT id FROM subject_ssins WHERE id > ? AND pepper_version = ? ORDER BY id LIMIT ?`, []any{after, p.old, MaxBatch}, func(scan func(...any) error) error {
			ids = append(ids, 0)
			return scan(&ids[len(ids)-1])
		})
		if err == nil && len(ids) > 0 {
			after = ids[len(ids)-1]
			_, err = keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (struct{}, error) {
				for _, id := range ids {
					if _, err := tx.Exec(`DELETE FROM subject_ssins WHERE id = ? AND pepper_version = ?`, id, p.old); err != nil {
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
		var wrapped []byte
		if err := tx.Row(`SELECT wrapped FROM deployment_keys WHERE name = ? AND version = ?`, []any{pepperKey, s.pepper}, &wrapped); err != nil {
			return false, err
		}
		for _, do := range []struct {
			query string
			args  []any
		}{
			{`UPDATE deployment_keys SET wrapped = ? WHERE name = ? AND version = ?`, []any{make([]byte, len(wrapped)), pepperKey, s.pepper}},
			{`DELETE FROM deployment_keys WHERE name = ? AND version = ?`, []any{pepperKey, s.pepper}},
			{`UPDATE ring_state SET pepper_phase = ?, pepper = next_pepper, next_pepper = 0 WHERE id = 1`, []any{PepperSettled}},
		} {
			if _, err := tx.Exec(do.query, do.args...); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	return r.scrub(ctx)
}

// PepperStatus is how far the rotation of the pepper is.
type PepperStatus struct {
	Phase   PepperPhase
	Version int // of the pepper that numbers are looked for under
	Missing int // numbers that are not found under the new pepper yet
	Waiting int // of them, those of citizens whose erasure has not ended
	Left    int // rows of the old pepper that are still there, once it is used no more
}

// PepperStatus reads all numbers while a pepper is replaced: seconds for millions.
func (r *Ring) PepperStatus(ctx context.Context) (PepperStatus, error) {
	s, err := r.pepperState(ctx)
	if err != nil {
		return PepperStatus{}, err
	}
	out := PepperStatus{Phase: s.phase, Version: s.pepper}
	switch s.phase {
	case PepperDoubled:
		_, err = r.row(ctx, unindexed, nil, &out.Missing, &out.Waiting)
	case PepperSwitched:
		out.Version = s.next
	case PepperDropping:
		out.Version = s.next
		_, err = r.row(ctx, `SELECT count(*) FROM subject_ssins WHERE pepper_version = ?`, []any{s.pepper}, &out.Left)
	}
	return out, unavailable(ctx, "read pepper", err)
}

package seal

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// keyRow is one wrapped key on its way to the latest version.
type keyRow struct {
	row  *keysdb.Entry
	aad  []byte
	next Wrapped // its Err is ErrRefused for a damaged row
}

// move puts the key as it is wrapped now into its row.
func (k keyRow) move(row *keysdb.Entry) {
	row.Set("wrapped", k.next.Bytes)
	row.Set("kek_version", k.next.Version)
}

// RewrapAll moves every wrapped key to the latest version of the key-encryption
// key, a thousand at a time, while the ring is in use, and then records that nothing
// is wrapped by an older one any more. It may be stopped and called again: it moves
// what is left. progress, if not nil, is told after each batch how many of how many
// keys are done. The deployment key of files is not moved but replaced. Keys that do not
// open are left and counted in an error that wraps ErrRefused; all others are moved.
func (r *Rotator) RewrapAll(ctx context.Context, progress func(done, total int)) error {
	versions, err := r.ring.kek.Versions(ctx)
	if err != nil {
		return unavailable(ctx, "rewrap", err)
	}
	latest := versions.Latest
	// From here on nothing is stored that an older version wrapped, so that one pass is
	// enough, and what it leaves cannot grow again.
	if err := r.raiseFloor(ctx, latest); err != nil {
		return err
	}
	total, err := r.ring.olderThan(ctx, latest)
	if err != nil {
		return err
	}
	done := 0
	report := func(moved int) {
		done += moved
		if progress != nil {
			progress(done, total)
		}
	}
	files := r.replaceFileKey(ctx, latest)
	if files != nil && !errors.Is(files, ErrRefused) {
		return files
	}
	if files == nil {
		report(1)
	}
	if err := r.rewrapDeploymentKeys(ctx, latest, report); err != nil {
		return err
	}
	if err := r.rewrapSubjects(ctx, latest, report); err != nil {
		return unavailable(ctx, "rewrap", err)
	}
	if files != nil {
		return files
	}
	left, err := r.ring.olderThan(ctx, latest)
	switch {
	case err != nil:
		return err
	case left > 0:
		return fmt.Errorf("%d keys were not rewrapped: %w", left, ErrRefused)
	}
	if err := r.ring.scrub(ctx); err != nil {
		return err
	}
	return r.noteRewrapped(ctx, latest)
}

func (r *Rotator) raiseFloor(ctx context.Context, version int) error {
	_, err := keysdb.Do(ctx, r.ring.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Update(ringStates, `id = 1 AND kek_floor < ?`, []any{version}, func(e *keysdb.Entry) { e.Set("kek_floor", version) })
	})
	return unavailable(ctx, "raise floor", err)
}

// rewrapSubjects is a pipeline: the database reads a batch and stores another while
// the keeper rewraps a third.
func (r *Rotator) rewrapSubjects(ctx context.Context, latest int, report func(moved int)) error {
	ctx, stop := context.WithCancelCause(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer stop(nil)
	read, rewrapped := make(chan []keyRow, 1), make(chan []keyRow, 1)
	all.Go(func() {
		defer close(read)
		for after := int64(0); ; {
			batch, err := r.subjectsBehind(ctx, latest, after)
			if err != nil {
				stop(err)
			}
			if err != nil || len(batch) == 0 {
				return
			}
			after = batch[len(batch)-1].row.Number()
			select {
			case read <- batch:
			case <-ctx.Done():
				return
			}
		}
	})
	all.Go(func() {
		defer close(rewrapped)
		for batch := range read {
			if err := r.rewrap(ctx, batch); err != nil {
				stop(err)
				return
			}
			select {
			case rewrapped <- batch:
			case <-ctx.Done():
				return
			}
		}
	})
	for batch := range rewrapped {
		if err := r.storeRewrapped(ctx, batch); err != nil {
			return err
		}
		report(len(batch))
	}
	return context.Cause(ctx)
}

func (r *Rotator) subjectsBehind(ctx context.Context, latest int, after int64) ([]keyRow, error) {
	var batch []keyRow
	err := r.ring.db.Each(ctx, subjects, `id > ? AND kek_version < ? AND wrapped IS NOT NULL ORDER BY id LIMIT ?`,
		[]any{after, latest, MaxBatch}, func(e *keysdb.Entry, damage error) error {
			if damage != nil {
				batch = append(batch, keyRow{row: e, next: Wrapped{Err: ErrRefused}})
				return nil
			}
			citizen, err := citizenOf(e)
			batch = append(batch, keyRow{row: e, aad: dekAAD(citizen)})
			return err
		})
	return batch, err
}

func (r *Rotator) rewrap(ctx context.Context, batch []keyRow) error {
	var items []UnwrapItem
	var of []int // the row of each item
	for i, row := range batch {
		if row.next.Err == nil {
			items, of = append(items, UnwrapItem{Wrapped: row.row.Bytes("wrapped"), AAD: row.aad}), append(of, i)
		}
	}
	if len(items) == 0 {
		return nil
	}
	wrapped, err := r.ring.kek.Rewrap(ctx, items)
	if err != nil {
		return err
	}
	for n, i := range of {
		batch[i].next = wrapped[n]
	}
	return nil
}

// storeRewrapped replaces only what is still the key that was rewrapped: one that
// was destroyed meanwhile stays destroyed.
func (r *Rotator) storeRewrapped(ctx context.Context, batch []keyRow) error {
	_, err := keysdb.Do(ctx, r.ring.db, func(tx *keysdb.Tx) (struct{}, error) {
		for _, row := range batch {
			if row.next.Err != nil {
				continue
			}
			next := row.row.Clone()
			row.move(next)
			if moved, err := tx.Swap(next); err != nil {
				return struct{}{}, err
			} else if moved {
				continue
			}
			// Another column changed meanwhile, or the key is not there any more.
			if _, err := tx.Update(subjects, `id = ? AND wrapped = ?`, []any{row.row.Number(), row.row.Bytes("wrapped")}, row.move); err != nil && !errors.Is(err, keysdb.ErrDamaged) {
				return struct{}{}, err
			}
		}
		return struct{}{}, nil
	})
	return err
}

func (r *Rotator) rewrapDeploymentKeys(ctx context.Context, latest int, report func(moved int)) error {
	var batch []keyRow
	err := r.ring.db.Each(ctx, deploymentKeys, `kek_version < ? AND name <> ? ORDER BY name, version LIMIT ?`, []any{latest, attachmentKey, MaxBatch},
		func(e *keysdb.Entry, damage error) error {
			batch = append(batch, keyRow{row: e, aad: deploymentAAD(e.Text("name"), int(e.Int("version")))})
			return damage
		})
	if err == nil && len(batch) > 0 {
		err = r.rewrap(ctx, batch)
	}
	if err != nil {
		return unavailable(ctx, "rewrap deployment keys", err)
	}
	for _, row := range batch {
		if row.next.Err != nil {
			return fmt.Errorf("deployment key %s: %w: %w", row.row.Text("name"), eventstore.ErrKeysUnavailable, row.next.Err)
		}
	}
	_, err = keysdb.Do(ctx, r.ring.db, func(tx *keysdb.Tx) (struct{}, error) {
		for _, row := range batch {
			if _, err := tx.Update(deploymentKeys, `name = ? AND version = ? AND wrapped = ?`,
				[]any{row.row.Text("name"), row.row.Int("version"), row.row.Bytes("wrapped")}, row.move); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, nil
	})
	if err != nil {
		return unavailable(ctx, "rewrap deployment keys", err)
	}
	report(len(batch))
	return nil
}

func (r *Rotator) noteRewrapped(ctx context.Context, version int) error {
	now := r.ring.micros()
	return r.note(ctx, func(tx *keysdb.Tx) error { return noteRotation(tx, version, "rewrapped", now) })
}

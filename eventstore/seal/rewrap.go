package seal

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// keyRow is one wrapped key on its way to the latest version.
type keyRow struct {
	id      int64
	wrapped []byte
	aad     []byte
	next    Wrapped
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
		return tx.Exec(`UPDATE ring_state SET kek_floor = ? WHERE id = 1 AND kek_floor < ?`, version, version)
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
			after = batch[len(batch)-1].id
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
	err := r.ring.rows(ctx, `SELECT id, citizen, wrapped FROM subjects WHERE id > ? AND kek_version < ? AND wrapped IS NOT NULL ORDER BY id LIMIT ?`,
		[]any{after, latest, MaxBatch}, func(scan func(...any) error) error {
			var row keyRow
			if err := scan(&row.id, &row.aad, &row.wrapped); err != nil {
				return err
			}
			citizen, err := citizenID(row.aad)
			row.aad = dekAAD(domain.CitizenID{UUID: citizen.UUID})
			batch = append(batch, row)
			return err
		})
	return batch, err
}

func (r *Rotator) rewrap(ctx context.Context, batch []keyRow) error {
	items := make([]UnwrapItem, len(batch))
	for i, row := range batch {
		items[i] = UnwrapItem{Wrapped: row.wrapped, AAD: row.aad}
	}
	wrapped, err := r.ring.kek.Rewrap(ctx, items)
	if err != nil {
		return err
	}
	for i := range batch {
		batch[i].next = wrapped[i]
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
			if _, err := tx.Exec(`UPDATE subjects SET wrapped = ?, kek_version = ? WHERE id = ? AND wrapped = ?`,
				row.next.Bytes, row.next.Version, row.id, row.wrapped); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, nil
	})
	return err
}

func (r *Rotator) rewrapDeploymentKeys(ctx context.Context, latest int, report func(moved int)) error {
	var batch []keyRow
	var names []string
	var versions []int
	err := r.ring.rows(ctx, `SELECT name, version, wrapped FROM deployment_keys WHERE kek_version < ? AND name <> ? ORDER BY name, version LIMIT ?`, []any{latest, attachmentKey, MaxBatch},
		func(scan func(...any) error) error {
			var row keyRow
			var name string
			var version int
			err := scan(&name, &version, &row.wrapped)
			row.aad = deploymentAAD(name, version)
			batch, names, versions = append(batch, row), append(names, name), append(versions, version)
			return err
		})
	if err == nil && len(batch) > 0 {
		err = r.rewrap(ctx, batch)
	}
	if err != nil {
		return unavailable(ctx, "rewrap deployment keys", err)
	}
	for i, row := range batch {
		if row.next.Err != nil {
			return fmt.Errorf("deployment key %s: %w: %w", names[i], eventstore.ErrKeysUnavailable, row.next.Err)
		}
	}
	_, err = keysdb.Do(ctx, r.ring.db, func(tx *keysdb.Tx) (struct{}, error) {
		for i, row := range batch {
			if _, err := tx.Exec(`UPDATE deployment_keys SET wrapped = ?, kek_version = ? WHERE name = ? AND version = ? AND wrapped = ?`,
				row.next.Bytes, row.next.Version, names[i], versions[i], row.wrapped); err != nil {
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
	return r.note(ctx, func(tx *keysdb.Tx) error {
		_, err := tx.Exec(`INSERT INTO rotations (version, rotated, rewrapped, retired, trimmed) VALUES (?, 0, ?, 0, 0)
			ON CONFLICT (version) DO UPDATE SET rewrapped = excluded.rewrapped WHERE rotations.rewrapped = 0`, version, now)
		return err
	})
}

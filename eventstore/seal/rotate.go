package seal

import (
	"context"
	"fmt"
	"sync"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// Status counts what the ring holds.
type Status struct {
	Versions   Versions    // of the key-encryption key
	ByVersion  map[int]int // DEKs and deployment keys by the version they are wrapped by
	Pending    int         // citizens, by state
	Active     int
	Erasing    int
	Destroyed  int
	Streams    int // live content keys
	Suppressed int // numbers
}

// Behind counts the keys that RewrapAll would move.
func (s Status) Behind() (n int) {
	for version, count := range s.ByVersion {
		if version < s.Versions.Latest {
			n += count
		}
	}
	return n
}

// Oldest is the oldest version of the key-encryption key that something is wrapped
// by.
func (s Status) Oldest() int {
	oldest := s.Versions.Latest
	for version, count := range s.ByVersion {
		if count > 0 {
			oldest = min(oldest, version)
		}
	}
	return oldest
}

// Status reads the whole ring: seconds for millions of citizens.
func (r *Ring) Status(ctx context.Context) (Status, error) {
	s := Status{ByVersion: map[int]int{}}
	var err error
	if s.Versions, err = r.kek.Versions(ctx); err != nil {
		return Status{}, unavailable(ctx, "read versions", err)
	}
	err = r.rows(ctx, `SELECT state, kek_version, count(*) FROM subjects GROUP BY state, kek_version
		UNION ALL SELECT 0, kek_version, count(*) FROM deployment_keys GROUP BY kek_version`, nil, func(scan func(...any) error) error {
		var st state
		var version, n int
		if err := scan(&st, &version, &n); err != nil {
			return err
		}
		switch st {
		case pending:
			s.Pending += n
		case active:
			s.Active += n
		case erasing:
			s.Erasing += n
		case destroyed:
			s.Destroyed += n
			return nil // has no key
		}
		s.ByVersion[version] += n
		return nil
	})
	if err == nil {
		_, err = r.row(ctx, `SELECT (SELECT count(*) FROM stream_keys WHERE state = ?), (SELECT count(*) FROM suppressions WHERE until = 0 OR until > ?)`,
			[]any{keyLive, r.micros()}, &s.Streams, &s.Suppressed)
	}
	if err != nil {
		return Status{}, unavailable(ctx, "read status", err)
	}
	return s, nil
}

// older counts what is wrapped by a version below one: a statement per table, of
// which each takes the version as its parameter.
var older = []string{
	`SELECT count(*) FROM subjects WHERE kek_version < ? AND wrapped IS NOT NULL`,
	`SELECT count(*) FROM deployment_keys WHERE kek_version < ?`,
}

// olderThan counts everything that is wrapped by a version below oldest.
func (r *Ring) olderThan(ctx context.Context, oldest int) (n int, err error) {
	for _, query := range older {
		var some int
		if _, err := r.row(ctx, query, []any{oldest}, &some); err != nil {
			return 0, unavailable(ctx, "count wrapped keys", err)
		}
		n += some
	}
	return n, nil
}

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
// keys are done. Keys that do not open are left and counted in an error that wraps
// ErrRefused; all others are moved.
func (r *Ring) RewrapAll(ctx context.Context, progress func(done, total int)) error {
	versions, err := r.kek.Versions(ctx)
	if err != nil {
		return unavailable(ctx, "rewrap", err)
	}
	latest := versions.Latest
	// From here on nothing is stored that an older version wrapped, so that one pass is
	// enough, and what it leaves cannot grow again.
	if err := r.raiseFloor(ctx, latest); err != nil {
		return err
	}
	total, err := r.olderThan(ctx, latest)
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
	if err := r.rewrapDeploymentKeys(ctx, latest, report); err != nil {
		return err
	}
	if err := r.rewrapSubjects(ctx, latest, report); err != nil {
		return unavailable(ctx, "rewrap", err)
	}
	left, err := r.olderThan(ctx, latest)
	switch {
	case err != nil:
		return err
	case left > 0:
		return fmt.Errorf("%d keys were not rewrapped: %w", left, ErrRefused)
	}
	if err := r.scrub(ctx); err != nil {
		return err
	}
	return r.noteRewrapped(ctx, latest)
}

func (r *Ring) raiseFloor(ctx context.Context, version int) error {
	_, err := keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`UPDATE ring_state SET kek_floor = ? WHERE id = 1 AND kek_floor < ?`, version, version)
	})
	return unavailable(ctx, "raise floor", err)
}

// rewrapSubjects is a pipeline: the database reads a batch and stores another while
// the keeper rewraps a third.
func (r *Ring) rewrapSubjects(ctx context.Context, latest int, report func(moved int)) error {
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

func (r *Ring) subjectsBehind(ctx context.Context, latest int, after int64) ([]keyRow, error) {
	var batch []keyRow
	err := r.rows(ctx, `SELECT id, citizen, wrapped FROM subjects WHERE id > ? AND kek_version < ? AND wrapped IS NOT NULL ORDER BY id LIMIT ?`,
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

func (r *Ring) rewrap(ctx context.Context, batch []keyRow) error {
	items := make([]UnwrapItem, len(batch))
	for i, row := range batch {
		items[i] = UnwrapItem{Wrapped: row.wrapped, AAD: row.aad}
	}
	wrapped, err := r.kek.Rewrap(ctx, items)
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
func (r *Ring) storeRewrapped(ctx context.Context, batch []keyRow) error {
	_, err := keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (struct{}, error) {
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

func (r *Ring) rewrapDeploymentKeys(ctx context.Context, latest int, report func(moved int)) error {
	var batch []keyRow
	var names []string
	var versions []int
	err := r.rows(ctx, `SELECT name, version, wrapped FROM deployment_keys WHERE kek_version < ? ORDER BY name, version LIMIT ?`, []any{latest, MaxBatch},
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
	_, err = keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (struct{}, error) {
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

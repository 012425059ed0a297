package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coffre/eventstore"
)

// maxDamaged bounds what Verify collects; beyond it the file is lost, not damaged.
const maxDamaged = 1000

// Verify reads every record after from and returns those that are missing, out of
// sequence or not what their checksum says. From the zero position it checks
// revisions, and the structure of the file, as well. Progress, when not nil, is
// told how many of how many records were read, about every 256. The error tells
// that the check could not be finished, not that it found something.
//
// Records cut off at the end leave no trace here: only a checkpoint of the
// transparency log kept elsewhere tells.
func (s *Store) Verify(ctx context.Context, from eventstore.Position, progress func(done, total int64)) ([]*eventstore.Corrupt, error) {
	var damaged []*eventstore.Corrupt
	revisions := map[eventstore.Stream]eventstore.Revision{}
	at, end := next(from), s.head.Load()
	start := at
	for at <= end {
		page, err := s.page(ctx, at, min(end, at+pageRecords-1))
		for _, r := range page {
			expected := revisions[r.Stream]
			if from.IsZero() && r.Revision != expected {
				damaged = append(damaged, &eventstore.Corrupt{Stream: r.Stream, Revision: expected, Position: r.Position})
			}
			if from.IsZero() {
				revisions[r.Stream] = r.Revision + 1
			}
		}
		at += int64(len(page))
		if corrupt, ok := errors.AsType[*eventstore.Corrupt](err); ok {
			damaged = append(damaged, corrupt)
			at = next(corrupt.Position) // go on behind it
		} else if err != nil {
			return damaged, fmt.Errorf("verify: %w", err)
		}
		if len(damaged) > maxDamaged {
			return damaged, fmt.Errorf("verify: more than %d records are damaged", maxDamaged)
		}
		if progress != nil {
			progress(min(at, end+1)-start, end+1-start)
		}
	}
	if from.IsZero() {
		return damaged, s.checkStructure(ctx)
	}
	return damaged, nil
}

// checkStructure lets SQLite compare its indexes with its tables and both with the
// form of the file.
func (s *Store) checkStructure(ctx context.Context) error {
	return s.borrow(ctx, func(r *reader) error {
		check, _, err := r.conn.Prepare(`PRAGMA integrity_check(1)`)
		if err != nil {
			return err
		}
		defer check.Close()
		if check.Step() {
			if said := check.ColumnText(0); said != "ok" {
				return fmt.Errorf("verify: the file's structure is damaged: %s", said)
			}
		}
		return check.Err()
	})
}

// Scrub verifies the whole log once, slowly: it rests between pages so long that it
// reads about perSecond records a second (at least 1), and reports what is damaged
// as it finds it. It returns ctx's error when ctx ends first.
func (s *Store) Scrub(ctx context.Context, perSecond int, report func(*eventstore.Corrupt)) error {
	rest := time.NewTicker(max(time.Second*pageRecords/time.Duration(max(perSecond, 1)), time.Millisecond))
	defer rest.Stop()
	for at := int64(1); at <= s.head.Load(); {
		page, err := s.page(ctx, at, min(s.head.Load(), at+pageRecords-1))
		at += int64(len(page))
		if corrupt, ok := errors.AsType[*eventstore.Corrupt](err); ok {
			report(corrupt)
			at = next(corrupt.Position)
		} else if err != nil {
			return fmt.Errorf("scrub: %w", err)
		}
		select {
		case <-rest.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

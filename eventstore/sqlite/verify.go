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
// that the check could not be finished, or that the structure is damaged.
//
// Records cut off at the end leave no trace here: only a checkpoint of the
// transparency log kept elsewhere tells.
func (s *Store) Verify(ctx context.Context, from eventstore.Position, progress func(done, total int64)) ([]*eventstore.Corrupt, error) {
	damaged, err := s.verifyRecords(ctx, from, progress)
	if err == nil && from.IsZero() {
		err = s.verifyStructure(ctx)
	}
	return damaged, err
}

func (s *Store) verifyRecords(ctx context.Context, from eventstore.Position, progress func(done, total int64)) ([]*eventstore.Corrupt, error) {
	var damaged []*eventstore.Corrupt
	start, end := next(from), s.head.Load()
	err := s.walk(ctx, from, func(c *eventstore.Corrupt) {
		if len(damaged) <= maxDamaged {
			damaged = append(damaged, c)
		}
	}, func(at int64) error {
		if progress != nil {
			progress(min(at, end+1)-start, end+1-start)
		}
		if len(damaged) > maxDamaged {
			return fmt.Errorf("more than %d records are damaged", maxDamaged)
		}
		return nil
	})
	if err != nil {
		return damaged, fmt.Errorf("verify: %w", err)
	}
	return damaged, nil
}

// verifyTail is what a start does: it reads again what lies after the settled
// position. What lies before was synced long ago and is the scrubber's to check.
func (s *Store) verifyTail(ctx context.Context, serveDamaged bool) error {
	damaged, err := s.verifyRecords(ctx, position(s.sequencer.settled), nil)
	if err != nil || serveDamaged || len(damaged) == 0 {
		return err
	}
	return fmt.Errorf("%d damaged records, the first: %w", len(damaged), damaged[0])
}

// Scrub verifies the whole log once, slowly: it rests between pages so long that it
// reads about perSecond records a second (at least 1), and reports what is damaged
// as it finds it. It returns ctx's error when ctx ends first.
func (s *Store) Scrub(ctx context.Context, perSecond int, report func(*eventstore.Corrupt)) error {
	rest := time.NewTicker(max(time.Second*pageRecords/time.Duration(max(perSecond, 1)), time.Millisecond))
	defer rest.Stop()
	err := s.walk(ctx, eventstore.Position{}, report, func(int64) error {
		select {
		case <-rest.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err != nil {
		return fmt.Errorf("scrub: %w", err)
	}
	return nil
}

// walk reads page after page to the end, reports what is damaged, and calls pause
// with the number of the next record after each page.
func (s *Store) walk(ctx context.Context, from eventstore.Position, report func(*eventstore.Corrupt), pause func(at int64) error) error {
	expected := map[eventstore.Stream]eventstore.Revision{}
	unreadable := 0 // damaged records whose absence from their streams is yet to be met
	at, end := next(from), s.head.Load()
	for at <= end {
		page, err := s.page(ctx, at, min(end, at+pageRecords-1))
		for _, r := range page {
			if !from.IsZero() {
				break // the revisions before are not known
			}
			want := expected[r.Stream]
			expected[r.Stream] = r.Revision + 1
			if missing := int(r.Revision - want); missing > 0 && missing <= unreadable {
				unreadable -= missing
			} else if missing != 0 {
				report(&eventstore.Corrupt{Stream: r.Stream, Revision: want, Position: r.Position})
			}
		}
		at += int64(len(page))
		if corrupt, ok := errors.AsType[*eventstore.Corrupt](err); ok {
			report(corrupt)
			unreadable++
			at = next(corrupt.Position) // go on behind it
		} else if err != nil {
			return err
		}
		if err := pause(at); err != nil {
			return err
		}
	}
	return nil
}

// verifyStructure lets SQLite compare its indexes with its tables and both with the
// form of the file.
func (s *Store) verifyStructure(ctx context.Context) error {
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

package postgres

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
// revisions as well. Progress, when not nil, is told how many of how many records
// were read, about every 512. The error tells that the check could not be finished.
//
// Records cut off at the end leave no trace here: only a checkpoint of the
// transparency log kept elsewhere tells.
func (s *Store) Verify(ctx context.Context, from eventstore.Position, progress func(done, total int64)) ([]*eventstore.Corrupt, error) {
	return s.verifyRecords(ctx, from, progress)
}

func (s *Store) verifyRecords(ctx context.Context, from eventstore.Position, progress func(done, total int64)) ([]*eventstore.Corrupt, error) {
	var damaged []*eventstore.Corrupt
	head, err := s.Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	start, end := next(from), int64(head.Commit)
	err = s.walk(ctx, from, end, func(c *eventstore.Corrupt) {
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

// verifyTail is what a start does: it reads the last records again. What lies before
// is the scrubber's to check.
func (s *Store) verifyTail(ctx context.Context, serveDamaged bool) error {
	damaged, err := s.verifyRecords(ctx, position(max(s.head.Load()-tailRecords, 0)), nil)
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
	head, err := s.Head(ctx)
	if err != nil {
		return fmt.Errorf("scrub: %w", err)
	}
	err = s.walk(ctx, eventstore.Position{}, int64(head.Commit), report, func(int64) error {
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
func (s *Store) walk(ctx context.Context, from eventstore.Position, end int64, report func(*eventstore.Corrupt), pause func(at int64) error) error {
	expected := map[eventstore.Stream]eventstore.Revision{}
	unreadable := 0 // damaged records whose absence from their streams is yet to be met
	at := next(from)
	for at <= end {
		page, _, err := s.page(ctx, at, int(min(end-at+1, pageRecords)))
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
		} else if len(page) == 0 {
			report(&eventstore.Corrupt{Revision: -1, Position: position(at)})
			return nil // it was there when the end was read
		}
		if err := pause(at); err != nil {
			return err
		}
	}
	return nil
}

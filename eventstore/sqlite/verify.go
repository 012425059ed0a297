package sqlite

import (
	"context"
	"fmt"

	"coffre/eventstore"
	"coffre/eventstore/dense"
)

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
		err = s.verifyStructure(ctx, len(damaged) == 0)
	}
	return damaged, err
}

func (s *Store) verifyRecords(ctx context.Context, from eventstore.Position, progress func(done, total int64)) ([]*eventstore.Corrupt, error) {
	end := s.head.Load()
	return s.pages(end).Verify(ctx, from, end, pageRecords, progress)
}

// verifyTail is what a start does: it reads again what lies after the settled
// position. What lies before was synced long ago and is the scrubber's to check.
func (s *Store) verifyTail(ctx context.Context) error {
	damaged, err := s.verifyRecords(ctx, dense.Position(s.sequencer.settled), nil)
	if err != nil || len(damaged) == 0 {
		return err
	}
	return fmt.Errorf("%d damaged records, the first: %w", len(damaged), damaged[0])
}

// Scrub verifies the whole log once, slowly: it rests between pages so long that it
// reads about perSecond records a second (at least 1), and reports what is damaged
// as it finds it. It returns ctx's error when ctx ends first.
func (s *Store) Scrub(ctx context.Context, perSecond int, report func(*eventstore.Corrupt)) error {
	end := s.head.Load()
	return s.pages(end).Scrub(ctx, end, pageRecords, perSecond, report)
}

// verifyStructure lets SQLite compare its indexes with its tables and both with the
// form of the file. Where no record is damaged their places are compared with them.
func (s *Store) verifyStructure(ctx context.Context, whole bool) error {
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
		if err := check.Err(); err != nil || !whole || s.sequencer.form == indexedForm {
			return err
		}
		return r.verifyPlaces(s.tail.upTo(s.head.Load()))
	})
}

// verifyPlaces compares the table of places, and the recent ones that are remembered, with
// the records.
func (r *reader) verifyPlaces(recent []place) error {
	var wrong int64
	err := row(r.conn, `SELECT (SELECT count(*) FROM events e, settled s WHERE e.position <= s.position AND NOT EXISTS
			(SELECT 1 FROM places p WHERE p.stream = e.stream AND p.revision = e.revision AND p.position = e.position))
		+ (SELECT count(*) FROM places p WHERE NOT EXISTS
			(SELECT 1 FROM events e WHERE e.position = p.position AND e.stream = p.stream AND e.revision = p.revision))`, &wrong)
	if err != nil {
		return err
	}
	for _, p := range recent {
		if err := r.one.BindInt64(1, p.position); err != nil {
			return err
		}
		if !r.one.Step() || r.one.ColumnInt64(1) != int64(p.revision) || r.one.ColumnInt64(9) != p.stream {
			wrong++
		}
		if err := ended(r.one); err != nil {
			return err
		}
	}
	if wrong > 0 {
		return fmt.Errorf("verify: %d places of records are missing or wrong: %w", wrong, eventstore.ErrIntegrity)
	}
	return nil
}

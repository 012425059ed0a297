package postgres

import (
	"context"
	"fmt"

	"coffre/eventstore"
	"coffre/eventstore/dense"
)

// Verify reads every record after from and returns those that are missing, out of
// sequence or not what their checksum says. From the zero position it checks
// revisions as well. Progress, when not nil, is told how many of how many records
// were read, about every 512. The error tells that the check could not be finished.
//
// Records cut off at the end leave no trace here: only a checkpoint of the
// transparency log kept elsewhere tells.
func (s *Store) Verify(ctx context.Context, from eventstore.Position, progress func(done, total int64)) ([]*eventstore.Corrupt, error) {
	head, err := s.Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	return dense.Page(s.page).Verify(ctx, from, int64(head.Commit), pageRecords, progress)
}

// verifyTail is what a start does: it reads the last records again. What lies before
// is the scrubber's to check.
func (s *Store) verifyTail(ctx context.Context) error {
	damaged, err := s.Verify(ctx, dense.Position(max(s.head.Load()-tailRecords, 0)), nil)
	if err != nil || len(damaged) == 0 {
		return err
	}
	return fmt.Errorf("%d damaged records, the first: %w", len(damaged), damaged[0])
}

// Scrub verifies the whole log once, slowly: it rests between pages so long that it
// reads about perSecond records a second (at least 1), and reports what is damaged
// as it finds it. It returns ctx's error when ctx ends first.
func (s *Store) Scrub(ctx context.Context, perSecond int, report func(*eventstore.Corrupt)) error {
	head, err := s.Head(ctx)
	if err != nil {
		return fmt.Errorf("scrub: %w", err)
	}
	return dense.Page(s.page).Scrub(ctx, int64(head.Commit), pageRecords, perSecond, report)
}

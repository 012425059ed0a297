package erasures

import (
	"context"
	"fmt"
	"time"

	"coffre/domain"
	"coffre/domain/release"
	"coffre/projections"
)

const (
	releaseTables = `
CREATE TABLE releases (
	from_leaf BIGINT PRIMARY KEY,
	release_id BYTEA NOT NULL,
	kind TEXT NOT NULL,
	basis TEXT NOT NULL,
	until BIGINT NOT NULL,
	proposed_at BIGINT NOT NULL,
	approved_at BIGINT NOT NULL,
	completed_at BIGINT NOT NULL,
	citizen BYTEA
);
CREATE INDEX releases_release ON releases (release_id);
`

	insertRelease       = `INSERT INTO releases (from_leaf, release_id, kind, basis, until, proposed_at, approved_at, completed_at) VALUES (?, ?, ?, ?, ?, ?, 0, 0)`
	setReleaseApproved  = `UPDATE releases SET approved_at = ? WHERE release_id = ? AND approved_at = 0`
	setReleaseCompleted = `UPDATE releases SET completed_at = ?, citizen = ? WHERE release_id = ? AND completed_at = 0`

	selectReleasesInState = `SELECT from_leaf, release_id, kind, basis, until, proposed_at, approved_at, completed_at, citizen FROM releases
		WHERE from_leaf > ? AND CASE WHEN completed_at > 0 THEN 'completed' WHEN approved_at > 0 THEN 'approved' ELSE 'proposed' END
		IN (?, ?, ?) ORDER BY from_leaf LIMIT ?`
)

func applyRelease(ctx context.Context, tx *projections.Tx, event release.Event, leaf int64) (err error) {
	switch f := event.(type) {
	case release.Proposed:
		until := int64(0)
		if !f.Until.IsZero() {
			until = f.Until.UnixMicro()
		}
		_, err = tx.Exec(ctx, insertRelease, leaf, f.Release.UUID[:], string(f.Kind), string(f.Basis), until, f.At.UnixMicro())
	case release.Approved:
		_, err = tx.Exec(ctx, setReleaseApproved, f.At.UnixMicro(), f.Release.UUID[:])
	case release.Completed:
		var begun []byte
		if !f.Citizen.IsZero() {
			begun = f.Citizen.UUID[:]
		}
		_, err = tx.Exec(ctx, setReleaseCompleted, f.At.UnixMicro(), begun, f.Release.UUID[:])
	}
	return err
}

// Release is the release of an erased person's number. Times are zero for what has not
// happened.
type Release struct {
	FirstLeaf   int64 // of the proposal: its place in lists
	Release     domain.ReleaseID
	Kind        release.Kind
	Basis       domain.LegalBasis
	Until       time.Time // of an End
	ProposedAt  time.Time
	ApprovedAt  time.Time
	CompletedAt time.Time
	Citizen     domain.CitizenID // whom a completed NewLife registered
}

// ReleaseState is how far a release is.
type ReleaseState string

const (
	Proposed  ReleaseState = "proposed" // waits for another officer
	Agreed    ReleaseState = "approved"
	Completed ReleaseState = "completed"
)

var releaseStates = []ReleaseState{Proposed, Agreed, Completed}

// State returns how far the release is; selectReleasesInState says the same in SQL.
func (r Release) State() ReleaseState {
	switch {
	case !r.CompletedAt.IsZero():
		return Completed
	case !r.ApprovedAt.IsZero():
		return Agreed
	}
	return Proposed
}

// Releases returns at most limit releases in these states, or in any when none is given, oldest
// first, from behind the FirstLeaf given as cursor; -1 to begin.
func (e *Erasures) Releases(ctx context.Context, in []ReleaseState, cursor int64, limit int) ([]Release, error) {
	if len(in) == 0 {
		in = releaseStates
	}
	args := []any{cursor}
	for i := range releaseStates { // the same text for one to three of them
		args = append(args, string(in[min(i, len(in)-1)]))
	}
	all := []Release{}
	err := e.view.Select(ctx, selectReleasesInState, append(args, limit), func(scan func(...any) error) error {
		var one Release
		var id, begun []byte
		var until, proposed, approved, completed int64
		if err := scan(&one.FirstLeaf, &id, &one.Kind, &one.Basis, &until, &proposed, &approved, &completed, &begun); err != nil {
			return err
		}
		copy(one.Release.UUID[:], id)
		copy(one.Citizen.UUID[:], begun)
		one.Until, one.ProposedAt, one.ApprovedAt, one.CompletedAt = projections.Instant(until), projections.Instant(proposed), projections.Instant(approved), projections.Instant(completed)
		all = append(all, one)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("releases: %w", err)
	}
	return all, nil
}

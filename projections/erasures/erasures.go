// Package erasures answers a privacy officer's questions: how far is this request to
// be forgotten, which legal holds and restrictions of processing stand in the way of one,
// which releases let an erased person be known again, and which petitions of citizens wait for
// an answer? It also tells the destroyer which
// erasures are not done.
//
// Invariant: it holds ids, codes and times only, so an erasure leaves it as it is,
// as the proof that there was one.
package erasures

import (
	"context"
	"fmt"
	"time"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/petition"
	"coffre/domain/release"
	"coffre/eventstore"
	"coffre/projections"
)

// Erasures is the projection and its queries, which may be called concurrently.
type Erasures struct{ view projections.View }

var _ projections.Projection = (*Erasures)(nil)

// New returns erasures that answer projections.ErrNotReady until a runner has
// built them.
func New() *Erasures { return &Erasures{} }

// Name implements projections.Projection.
func (e *Erasures) Name() string { return "erasures" }

// Version implements projections.Projection.
func (e *Erasures) Version() int { return 6 }

// Categories implements projections.Projection.
func (e *Erasures) Categories() []string { return []string{"citizen", "release", "petition"} }

// View implements projections.Projection.
func (e *Erasures) View() *projections.View { return &e.view }

// Schema implements projections.Projection. Times are microseconds since 1970, 0
// for what has not happened.
func (e *Erasures) Schema() projections.Schema {
	return projections.Schema{
		Tables: `
CREATE TABLE erasures (
	from_leaf BIGINT PRIMARY KEY,
	erasure BYTEA NOT NULL,
	citizen BYTEA NOT NULL,
	scope TEXT NOT NULL,
	document BYTEA,
	reason TEXT NOT NULL,
	requested_at BIGINT NOT NULL,
	approved_at BIGINT NOT NULL,
	started_at BIGINT NOT NULL,
	stopped_at BIGINT NOT NULL,
	done_at BIGINT NOT NULL,
	final_at BIGINT NOT NULL
);
CREATE INDEX erasures_erasure ON erasures (erasure);
` + holdTables + releaseTables + petitionTables,
		Indexes: `
CREATE INDEX erasures_citizen ON erasures (citizen, from_leaf);
CREATE INDEX erasures_unfinished ON erasures (approved_at) WHERE done_at = 0 AND stopped_at = 0;
CREATE INDEX erasures_provisional ON erasures (done_at) WHERE final_at = 0;
` + holdIndexes + petitionIndexes,
	}
}

const (
	insertRequested = `INSERT INTO erasures (from_leaf, erasure, citizen, scope, document, reason, requested_at, approved_at, started_at, stopped_at, done_at, final_at)
		SELECT ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0 WHERE NOT EXISTS (SELECT 1 FROM erasures WHERE erasure = ?)` // what is asked for again stands there
	setApproved = `UPDATE erasures SET approved_at = ? WHERE erasure = ? AND approved_at = 0`
	setStarted  = `UPDATE erasures SET started_at = ? WHERE erasure = ? AND started_at = 0`
	setStopped  = `UPDATE erasures SET stopped_at = ? WHERE erasure = ? AND stopped_at = 0`
	setFinal    = `UPDATE erasures SET final_at = ? WHERE erasure = ? AND final_at = 0`
	setDone     = `UPDATE erasures SET done_at = ? WHERE erasure = ? AND done_at = 0`
	// Of a person with several lives each life's keys are destroyed by an event of its own, the
	// survivor's last: only that one ends the erasure.
	setDestroyed = `UPDATE erasures SET done_at = ? WHERE erasure = ? AND citizen = ? AND done_at = 0`

	selectErasures = `SELECT from_leaf, erasure, citizen, scope, document, reason, requested_at, approved_at, started_at, stopped_at, done_at, final_at FROM erasures`
)

// Apply implements projections.Projection.
func (e *Erasures) Apply(ctx context.Context, tx *projections.Tx, event eventstore.Event, leaf int64) error {
	var err error
	switch f := event.Data.(type) {
	case citizen.ErasureRequested:
		var document []byte
		if !f.Document.IsZero() {
			document = f.Document.UUID[:]
		}
		_, err = tx.Exec(ctx, insertRequested, leaf, f.Erasure.UUID[:], f.Citizen.UUID[:], string(f.Scope), document, string(f.Reason), f.At.UnixMicro(), f.Erasure.UUID[:])
	case citizen.ErasureApproved:
		_, err = tx.Exec(ctx, setApproved, f.At.UnixMicro(), f.Erasure.UUID[:])
	case citizen.ErasureStarted:
		_, err = tx.Exec(ctx, setStarted, f.At.UnixMicro(), f.Erasure.UUID[:])
	case citizen.KeyDestroyed:
		_, err = tx.Exec(ctx, setDestroyed, f.At.UnixMicro(), f.Erasure.UUID[:], f.Citizen.UUID[:])
	case citizen.ErasureCompleted:
		_, err = tx.Exec(ctx, setDone, f.At.UnixMicro(), f.Erasure.UUID[:])
	case citizen.ErasureStopped:
		_, err = tx.Exec(ctx, setStopped, f.At.UnixMicro(), f.Erasure.UUID[:])
	case citizen.ErasureFinalised:
		_, err = tx.Exec(ctx, setFinal, f.At.UnixMicro(), f.Erasure.UUID[:])
	case citizen.Event:
		return applyHold(ctx, tx, f, leaf)
	case release.Event:
		return applyRelease(ctx, tx, f, leaf)
	case petition.Event:
		return applyPetition(ctx, tx, f, leaf)
	}
	return err
}

// Erasure is one request to be forgotten. Times are zero for what has not happened.
type Erasure struct {
	FirstLeaf   int64 // of the request: its place in lists
	Erasure     domain.ErasureID
	Citizen     domain.CitizenID
	Scope       citizen.Scope
	Document    domain.DocumentID // when Scope is OneDocument
	Reason      domain.ReasonCode
	RequestedAt time.Time
	ApprovedAt  time.Time
	StartedAt   time.Time
	StoppedAt   time.Time // a duty to keep stood after all, and nothing was destroyed
	DoneAt      time.Time // keys are destroyed
	FinalAt     time.Time // no copy brings them back
}

// State is how far an erasure is.
type State string

const (
	Requested     State = "requested" // waits for a second person
	Approved      State = "approved"
	Started       State = "started"
	Stopped       State = "stopped"
	KeysDestroyed State = "keysDestroyed"
	Final         State = "final"
)

// states lists every state.
var states = []State{Requested, Approved, Started, Stopped, KeysDestroyed, Final}

// State returns how far the erasure is; selectInState says the same in SQL.
func (e Erasure) State() State {
	switch {
	case !e.FinalAt.IsZero():
		return Final
	case !e.DoneAt.IsZero():
		return KeysDestroyed
	case !e.StoppedAt.IsZero():
		return Stopped
	case !e.StartedAt.IsZero():
		return Started
	case !e.ApprovedAt.IsZero():
		return Approved
	}
	return Requested
}

const selectInState = selectErasures + ` WHERE from_leaf > ? AND CASE WHEN final_at > 0 THEN 'final' WHEN done_at > 0 THEN 'keysDestroyed'
	WHEN stopped_at > 0 THEN 'stopped' WHEN started_at > 0 THEN 'started' WHEN approved_at > 0 THEN 'approved' ELSE 'requested' END
	IN (?, ?, ?, ?, ?, ?) ORDER BY from_leaf LIMIT ?`

// Page returns at most limit requests in these states, or in any when none is given, oldest
// first, from behind the FirstLeaf given as cursor; -1 to begin.
func (e *Erasures) Page(ctx context.Context, in []State, cursor int64, limit int) ([]Erasure, error) {
	if len(in) == 0 {
		in = states
	}
	args := []any{cursor}
	for i := range states { // the same text for one to six of them
		args = append(args, string(in[min(i, len(in)-1)]))
	}
	return e.list(ctx, selectInState, append(args, limit)...)
}

// Erasure returns one request; ok is false when it is not known.
func (e *Erasures) Erasure(ctx context.Context, id domain.ErasureID) (one Erasure, ok bool, err error) {
	all, err := e.list(ctx, selectErasures+` WHERE erasure = ? ORDER BY from_leaf LIMIT 1`, id.UUID[:])
	if err != nil || len(all) == 0 {
		return Erasure{}, false, err
	}
	return all[0], true, nil
}

// Of returns a citizen's requests, oldest first.
func (e *Erasures) Of(ctx context.Context, id domain.CitizenID) ([]Erasure, error) {
	return e.list(ctx, selectErasures+` WHERE citizen = ? ORDER BY from_leaf`, id.UUID[:])
}

// Unfinished returns the requests that were approved and are neither done nor
// stopped, oldest first.
func (e *Erasures) Unfinished(ctx context.Context) ([]Erasure, error) {
	return e.list(ctx, selectErasures+` WHERE approved_at > 0 AND done_at = 0 AND stopped_at = 0 ORDER BY from_leaf`)
}

// Provisional returns the requests that are done and not final, the longest done
// first.
func (e *Erasures) Provisional(ctx context.Context) ([]Erasure, error) {
	return e.list(ctx, selectErasures+` WHERE done_at > 0 AND final_at = 0 ORDER BY done_at, from_leaf`)
}

func (e *Erasures) list(ctx context.Context, query string, args ...any) ([]Erasure, error) {
	all := []Erasure{}
	err := e.view.Select(ctx, query, args, func(scan func(...any) error) error {
		var one Erasure
		var id, of, document []byte
		var requested, approved, started, stopped, done, final int64
		if err := scan(&one.FirstLeaf, &id, &of, &one.Scope, &document, &one.Reason, &requested, &approved, &started, &stopped, &done, &final); err != nil {
			return err
		}
		copy(one.Erasure.UUID[:], id)
		copy(one.Citizen.UUID[:], of)
		copy(one.Document.UUID[:], document)
		one.RequestedAt, one.ApprovedAt, one.StartedAt = projections.Instant(requested), projections.Instant(approved), projections.Instant(started)
		one.StoppedAt, one.DoneAt, one.FinalAt = projections.Instant(stopped), projections.Instant(done), projections.Instant(final)
		all = append(all, one)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("erasures: %w", err)
	}
	return all, nil
}

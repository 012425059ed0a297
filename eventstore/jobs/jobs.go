// Package jobs keeps, for all processes on one key database, how each piece of work went that
// somebody asked for and that goes on after the answer, such as a rebuild of a read model:
// whoever asked can learn from any process whether that very work waits, runs, is done or
// failed.
//
// A row holds the kind of work, the name of what it is about and times; it names nobody. It is
// deleted a month after its last change, and with it what the job found ([Table.Note]).
//
// Invariant: a job that is done or failed stays so, and one whose process ended without a word
// is told as interrupted when that process has not vouched for it for [Silence].
package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore/seal/keysdb"
)

const (
	// Silence is the time without a word of its process after which a job counts as interrupted.
	Silence = time.Minute
	// Kept is the time for which a job is remembered after its last change.
	Kept = 30 * 24 * time.Hour

	vouchEvery = Silence / 4
)

// State is how far a job is.
type State string

const (
	Waiting State = "waiting" // for its turn
	Running State = "running"
	Done    State = "done"
	Failed  State = "failed" // nothing goes on; whoever needs it asks again
)

// Interrupted is the reason of a job whose process ended before the job did.
const Interrupted = "jobInterrupted"

// Job is a piece of work and how it goes. Times are in UTC, and zero while they have not come.
type Job struct {
	ID        uuid.UUID
	Kind      string // what is done, such as "rebuild"
	On        string // what it is done to, such as the name of a read model
	State     State
	Reason    string // a slug that says why it failed; "" unless it did
	Requested time.Time
	Begun     time.Time
	Ended     time.Time
}

// Over reports whether the job is done or failed.
func (t Job) Over() bool { return t.State == Done || t.State == Failed }

var migrations = []string{`
CREATE TABLE jobs (
	id        BLOB    NOT NULL PRIMARY KEY,
	kind      TEXT    NOT NULL,
	subject   TEXT    NOT NULL, -- what it is done to
	state     TEXT    NOT NULL, -- waiting, running, done, failed
	reason    TEXT    NOT NULL, -- why it failed: a slug; else empty
	requested INTEGER NOT NULL, -- microseconds since 1970, as all times here; 0: not yet
	begun     INTEGER NOT NULL,
	ended     INTEGER NOT NULL,
	vouched   INTEGER NOT NULL  -- when its process last said that it is at it
) STRICT;
CREATE INDEX jobs_vouched ON jobs (vouched);
`}

// findings came later, as a component of its own: a process of the release before may still be
// started beside it.
var findings = []string{`
CREATE TABLE job_findings (
	job   BLOB    NOT NULL,
	part  INTEGER NOT NULL,
	found BLOB    NOT NULL, -- in the words of who does the job
	PRIMARY KEY (job, part)
) STRICT;
`}

// Migrate makes the tables in db, or brings them up to date, and puts nothing into them.
func Migrate(ctx context.Context, db *keysdb.DB) error {
	if err := db.Migrate(ctx, "jobs", migrations); err != nil {
		return err
	}
	return db.Migrate(ctx, "job_findings", findings)
}

// Table is the jobs in the key database, and those of them that this process does. Make it
// with [Open]; its methods may be called concurrently.
type Table struct {
	db  *keysdb.DB
	now func() time.Time

	mu  sync.Mutex
	own map[uuid.UUID]bool // that this process vouches for
}

// Open returns the table in db; now is the clock, nil for time.Now.
func Open(ctx context.Context, db *keysdb.DB, now func() time.Time) (*Table, error) {
	if now == nil {
		now = time.Now
	}
	if err := Migrate(ctx, db); err != nil {
		return nil, fmt.Errorf("open jobs: %w", err)
	}
	return &Table{db: db, now: now, own: make(map[uuid.UUID]bool)}, nil
}

// Request adds a job that waits, for this process to do, and returns it with ours true, once
// that is durable. Where a job with this id is there already, or one of the same kind on the
// same thing is not over, in whatever process, that one is returned with ours false.
func (t *Table) Request(ctx context.Context, id uuid.UUID, kind, on string) (_ Job, ours bool, err error) {
	type answer struct {
		job  Job
		ours bool
	}
	got, err := keysdb.Do(ctx, t.db, func(tx *keysdb.Tx) (answer, error) {
		now := t.now()
		if _, err := tx.Exec(`DELETE FROM jobs WHERE vouched < ?`, now.Add(-Kept).UnixMicro()); err != nil {
			return answer{}, err
		}
		if _, err := tx.Exec(`DELETE FROM job_findings WHERE job NOT IN (SELECT id FROM jobs)`); err != nil {
			return answer{}, err
		}
		var rows []row
		if err := tx.Select(&rows, `SELECT `+columns+` FROM jobs WHERE id = ? OR kind = ? AND subject = ? AND state IN ('waiting', 'running') ORDER BY requested`, id[:], kind, on); err != nil {
			return answer{}, err
		}
		var under *Job
		for _, r := range rows {
			job, err := r.job(now)
			switch {
			case err != nil:
				return answer{}, err
			case job.ID == id:
				return answer{job: job}, nil
			case !job.Over() && under == nil:
				under = &job
			}
		}
		if under != nil {
			return answer{job: *under}, nil
		}
		_, err := tx.Exec(`INSERT INTO jobs (id, kind, subject, state, reason, requested, begun, ended, vouched) VALUES (?, ?, ?, 'waiting', '', ?, 0, 0, ?)`,
			id[:], kind, on, now.UnixMicro(), now.UnixMicro())
		return answer{Job{ID: id, Kind: kind, On: on, State: Waiting, Requested: micros(now.UnixMicro())}, true}, err
	})
	if err != nil {
		return Job{}, false, fmt.Errorf("request a job: %w", err)
	}
	if got.ours {
		t.mu.Lock()
		t.own[id] = true
		t.mu.Unlock()
	}
	return got.job, got.ours, nil
}

// Begin notes durably that a job of this process runs.
func (t *Table) Begin(ctx context.Context, id uuid.UUID) error {
	_, err := keysdb.Do(ctx, t.db, func(tx *keysdb.Tx) (int64, error) {
		now := t.now().UnixMicro()
		return tx.Exec(`UPDATE jobs SET state = 'running', begun = ?, vouched = ? WHERE id = ? AND state = 'waiting'`, now, now, id[:])
	})
	if err != nil {
		return fmt.Errorf("begin a job: %w", err)
	}
	return nil
}

// End notes durably that a job of this process is done, or failed for a reason, a slug. A job
// that is over stays as it is.
func (t *Table) End(ctx context.Context, id uuid.UUID, reason string) error {
	state := Done
	if reason != "" {
		state = Failed
	}
	_, err := keysdb.Do(ctx, t.db, func(tx *keysdb.Tx) (int64, error) {
		now := t.now().UnixMicro()
		return tx.Exec(`UPDATE jobs SET state = ?, reason = ?, ended = ?, vouched = ? WHERE id = ? AND state IN ('waiting', 'running')`, string(state), reason, now, now, id[:])
	})
	if err != nil {
		return fmt.Errorf("end a job: %w", err)
	}
	t.mu.Lock()
	delete(t.own, id)
	t.mu.Unlock()
	return nil
}

// Find returns a job; found is false when none has the id, or is no longer remembered.
func (t *Table) Find(ctx context.Context, id uuid.UUID) (_ Job, found bool, err error) {
	read, err := t.db.Read(`SELECT ` + columns + ` FROM jobs WHERE id = ?`)
	if err != nil {
		return Job{}, false, fmt.Errorf("find a job: %w", err)
	}
	var r row
	switch err := read.GetContext(ctx, &r, id[:]); {
	case errors.Is(err, sql.ErrNoRows):
		return Job{}, false, nil
	case err != nil:
		return Job{}, false, fmt.Errorf("find a job: %w", err)
	}
	job, err := r.job(t.now())
	return job, err == nil, err
}

// Last returns the n jobs of a kind that were asked for last, the newest first.
func (t *Table) Last(ctx context.Context, kind string, n int) ([]Job, error) {
	read, err := t.db.Read(`SELECT ` + columns + ` FROM jobs WHERE kind = ? ORDER BY requested DESC, id LIMIT ?`)
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	var rows []row
	if err := read.SelectContext(ctx, &rows, kind, n); err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	all := make([]Job, len(rows))
	for i, r := range rows {
		if all[i], err = r.job(t.now()); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Note keeps durably what a job of this process found of one part of its work, in place of what
// was noted of that part before. It names nobody, as a job does, and goes with the job. Parts
// are numbered by the caller.
func (t *Table) Note(ctx context.Context, id uuid.UUID, part int, found []byte) error {
	_, err := keysdb.Do(ctx, t.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`INSERT INTO job_findings (job, part, found) VALUES (?, ?, ?) ON CONFLICT (job, part) DO UPDATE SET found = excluded.found`, id[:], part, found)
	})
	if err != nil {
		return fmt.Errorf("note what a job found: %w", err)
	}
	return nil
}

// Findings returns what was noted of a job, in the order of its parts.
func (t *Table) Findings(ctx context.Context, id uuid.UUID) ([][]byte, error) {
	read, err := t.db.Read(`SELECT found FROM job_findings WHERE job = ? ORDER BY part`)
	if err != nil {
		return nil, fmt.Errorf("read what a job found: %w", err)
	}
	var all [][]byte
	if err := read.SelectContext(ctx, &all, id[:]); err != nil {
		return nil, fmt.Errorf("read what a job found: %w", err)
	}
	return all, nil
}

// Run vouches for the jobs of this process until ctx ends. What cannot be vouched for is told
// to the logger and tried again.
func (t *Table) Run(ctx context.Context, logger *slog.Logger) {
	again := time.NewTicker(vouchEvery)
	defer again.Stop()
	for {
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
		if err := t.vouch(ctx); err != nil && ctx.Err() == nil {
			logger.WarnContext(ctx, "jobs that go on may be told as interrupted", slog.Any("error", err))
		}
	}
}

// vouch says that this process is at its jobs.
func (t *Table) vouch(ctx context.Context) error {
	t.mu.Lock()
	own := make([]uuid.UUID, 0, len(t.own))
	for id := range t.own {
		own = append(own, id)
	}
	t.mu.Unlock()
	if len(own) == 0 {
		return nil
	}
	_, err := keysdb.Do(ctx, t.db, func(tx *keysdb.Tx) (n int64, err error) {
		now := t.now().UnixMicro()
		for _, id := range own {
			if _, err := tx.Exec(`UPDATE jobs SET vouched = ? WHERE id = ? AND state IN ('waiting', 'running')`, now, id[:]); err != nil {
				return 0, err
			}
		}
		return 0, nil
	})
	return err
}

const columns = `id, kind, subject, state, reason, requested, begun, ended, vouched`

// row is a job as stored.
type row struct {
	ID                               []byte
	Kind, Subject, Reason            string
	State                            State
	Requested, Begun, Ended, Vouched int64
}

// job returns the job as it is now: what nobody vouches for is interrupted.
func (r row) job(now time.Time) (Job, error) {
	id, err := uuid.FromBytes(r.ID)
	if err != nil {
		return Job{}, errors.New("jobs: a row without an id")
	}
	job := Job{id, r.Kind, r.Subject, r.State, r.Reason, micros(r.Requested), micros(r.Begun), micros(r.Ended)}
	if until := micros(r.Vouched).Add(Silence); !job.Over() && now.After(until) {
		job.State, job.Reason, job.Ended = Failed, Interrupted, micros(r.Vouched)
	}
	return job, nil
}

// micros converts a time of the table; 0 is the zero time.
func micros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

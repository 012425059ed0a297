// Package leaves numbers the records of a store whose positions leave gaps, as
// KurrentDB's do, and keeps the numbers. What leaves the vault names leaves, so a
// number once given is never given to another record.
//
// The numbers are those in which the store yields its records, so every process
// that keeps an index of its own has the same ones. With each it keeps the record's
// leaf hash: [Index.Scrub] tells whether the store still holds what was numbered.
//
// Invariant: leaf n is the record that the store yields after n others, its row is
// durable before anybody is told, and no row is changed or removed.
package leaves

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"coffre/eventstore"
	"coffre/eventstore/proof"
	"coffre/eventstore/sqlite/sqlitedb"
)

const (
	page = 1024 // records numbered in one transaction
	tail = 256  // rows compared with the store when an index is opened
)

// retryAfter is how long following rests after the store was away.
const retryAfter = time.Second

// Errors of an index.
var (
	// ErrOtherLog: the store does not hold, where it was numbered, what was numbered.
	ErrOtherLog = fmt.Errorf("leaves: the numbers belong to another log than the store's, or the log was changed: %w", eventstore.ErrIntegrity)
	// ErrNewer: the file was written by a later version of Coffre.
	ErrNewer = errors.New("leaves: the index was written by a newer version of Coffre")
)

// steps bring the file's tables up to date; they are added, never edited.
var steps = []string{`
CREATE TABLE leaves (
	leaf             INTEGER NOT NULL PRIMARY KEY,
	commit_position  INTEGER NOT NULL,
	prepare_position INTEGER NOT NULL,
	hash             BLOB    NOT NULL CHECK (length(hash) = 32),
	UNIQUE (commit_position, prepare_position)
) STRICT;
CREATE TRIGGER leaves_stay BEFORE UPDATE ON leaves BEGIN SELECT RAISE(ABORT, 'a leaf is never reassigned'); END;
CREATE TRIGGER leaves_last BEFORE DELETE ON leaves BEGIN SELECT RAISE(ABORT, 'a leaf is never reassigned'); END;`,
}

// Index is an eventstore.LeafIndex in a SQLite file. Its methods may be called
// concurrently.
type Index struct {
	db    *sqlitedb.DB
	store eventstore.Store
	turn  chan struct{} // a token when nobody numbers

	report func(*eventstore.Corrupt)

	last    row                 // the last one; whoever has the turn may look and change
	reached atomic.Pointer[row] // the last one, for those who do not wait
}

// row is one leaf.
type row struct {
	Leaf    int64  `db:"leaf"`
	Commit  int64  `db:"commit_position"`
	Prepare int64  `db:"prepare_position"`
	Hash    []byte `db:"hash"`
}

func (r row) position() eventstore.Position {
	return eventstore.Position{Commit: uint64(r.Commit), Prepare: uint64(r.Prepare)}
}

// none stands for the leaf before the first.
var none = row{Leaf: -1}

var _ eventstore.LeafIndex = (*Index)(nil)

// Open opens or makes the index at path for a store, and compares its last rows with
// the store. It reports records that are gone while the log goes on behind them, and
// returns ErrOtherLog when the two differ otherwise, as an *Ahead where the store ends
// before the last row. The caller sees to it that no other process has the file open.
func Open(ctx context.Context, path string, store eventstore.Store, report func(*eventstore.Corrupt)) (*Index, error) {
	db, err := sqlitedb.Open(ctx, path, sqlitedb.Options{Checksums: true})
	if err != nil {
		return nil, fmt.Errorf("leaves: %w", err)
	}
	x := &Index{db: db, store: store, turn: make(chan struct{}, 1), report: report, last: none}
	x.turn <- struct{}{}
	defer func() { first := x.last; x.reached.CompareAndSwap(nil, &first) }()
	if err = x.migrate(ctx); err == nil {
		err = db.Reader.GetContext(ctx, &x.last, `SELECT * FROM leaves ORDER BY leaf DESC LIMIT 1`)
		if errors.Is(err, sql.ErrNoRows) {
			x.last, err = none, nil
		}
	}
	if err == nil {
		err = x.compareTail(ctx, report)
	}
	if err != nil {
		return nil, fmt.Errorf("leaves: %w", errors.Join(err, db.Close()))
	}
	return x, nil
}

// Ahead says that the store ends before the last record that was numbered: it holds an
// older log. It is an ErrOtherLog.
type Ahead struct{ Last, Head eventstore.Position }

func (a *Ahead) Error() string {
	return fmt.Sprintf("leaves: the log ends at position %d/%d, and %d/%d was numbered", a.Head.Commit, a.Head.Prepare, a.Last.Commit, a.Last.Prepare)
}

// Unwrap implements errors.Unwrap.
func (a *Ahead) Unwrap() error { return ErrOtherLog }

// compareTail compares the last rows with the store.
func (x *Index) compareTail(ctx context.Context, report func(*eventstore.Corrupt)) error {
	if x.last.Leaf < 0 {
		return nil
	}
	head, err := x.store.Head(ctx)
	if err != nil {
		return fmt.Errorf("head of the log: %w", err)
	}
	if last := x.last.position(); last.Compare(head) > 0 {
		return &Ahead{Last: last, Head: head}
	}
	var changed *eventstore.Corrupt
	found := func(c *eventstore.Corrupt) {
		if c.Stream != "" { // it is there, and another
			changed = c
			return
		}
		report(c)
	}
	err = x.compare(ctx, max(x.last.Leaf-tail, -1)+1, x.last.Leaf, found, func() error { return nil })
	if err == nil && changed != nil {
		return fmt.Errorf("%w: %w", ErrOtherLog, changed)
	}
	return err
}

func (x *Index) migrate(ctx context.Context) (err error) {
	tx, err := x.db.Writer.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	var version int
	if err := tx.GetContext(ctx, &version, `PRAGMA user_version`); err != nil {
		return err
	}
	if version > len(steps) {
		return ErrNewer
	}
	for _, step := range steps[version:] {
		if _, err := tx.ExecContext(ctx, step); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf(`PRAGMA user_version = %d`, len(steps))); err != nil {
		return err
	}
	return tx.Commit()
}

// Close closes the file, not the store.
func (x *Index) Close() error { return x.db.Close() }

// Leaf implements eventstore.LeafIndex. It numbers what the store holds up to p
// first, where that was not done yet.
func (x *Index) Leaf(ctx context.Context, p eventstore.Position) (int64, error) {
	if p.IsZero() {
		return -1, nil
	}
	if err := x.upTo(ctx, func(last row) bool { return last.position().Compare(p) >= 0 }); err != nil {
		return 0, err
	}
	commit, prepare := int64(min(p.Commit, math.MaxInt64)), int64(min(p.Prepare, math.MaxInt64))
	var leaf int64
	err := x.db.Reader.GetContext(ctx, &leaf, `SELECT leaf FROM leaves WHERE (commit_position, prepare_position) <= (?, ?)
		ORDER BY commit_position DESC, prepare_position DESC LIMIT 1`, commit, prepare)
	if errors.Is(err, sql.ErrNoRows) {
		return -1, nil
	}
	if err != nil {
		return 0, fmt.Errorf("leaf of a position: %w", err)
	}
	return leaf, nil
}

// Position implements eventstore.LeafIndex. Beyond the log it returns a position
// that is never reached.
func (x *Index) Position(ctx context.Context, leaf int64) (eventstore.Position, error) {
	if leaf < 0 {
		return eventstore.Position{}, nil
	}
	if err := x.upTo(ctx, func(last row) bool { return last.Leaf >= leaf }); err != nil {
		return eventstore.Position{}, err
	}
	var r row
	err := x.db.Reader.GetContext(ctx, &r, `SELECT * FROM leaves WHERE leaf = ?`, leaf)
	if errors.Is(err, sql.ErrNoRows) {
		return eventstore.Position{Commit: math.MaxInt64, Prepare: math.MaxInt64}, nil
	}
	if err != nil {
		return eventstore.Position{}, fmt.Errorf("position of a leaf: %w", err)
	}
	return r.position(), nil
}

// Reached returns the position up to which records are numbered now; the zero one before the
// first. It waits for nothing.
func (x *Index) Reached() eventstore.Position { return x.reached.Load().position() }

// upTo numbers records until enough are, or the store has no more.
func (x *Index) upTo(ctx context.Context, enough func(last row) bool) error {
	select {
	case <-x.turn:
		defer func() { x.turn <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for !enough(x.last) {
		n, err := x.number(ctx)
		if err != nil {
			return fmt.Errorf("number leaves: %w", err)
		}
		if n == 0 {
			return nil
		}
	}
	return nil
}

// number gives numbers to the next page of records and returns how many they were.
// The caller has the turn.
func (x *Index) number(ctx context.Context) (n int, err error) {
	var rows []row
	last := x.last
	for r, err := range x.store.ReadAll(ctx, last.position(), page) {
		if err != nil {
			return 0, err
		}
		if r.Position.Commit > math.MaxInt64 || r.Position.Prepare > math.MaxInt64 || r.Position.Compare(last.position()) <= 0 {
			return 0, fmt.Errorf("the store yields position %d/%d after %d/%d", r.Position.Commit, r.Position.Prepare, last.Commit, last.Prepare)
		}
		hash := proof.SumOf(&r)
		last = row{Leaf: last.Leaf + 1, Commit: int64(r.Position.Commit), Prepare: int64(r.Position.Prepare), Hash: hash[:]}
		rows = append(rows, last)
	}
	if len(rows) == 0 {
		return 0, nil
	}
	tx, err := x.db.Writer.BeginTxx(ctx, nil)
	if err != nil {
		return 0, err
	}
	insert, err := tx.PreparexContext(ctx, `INSERT INTO leaves (leaf, commit_position, prepare_position, hash) VALUES (?, ?, ?, ?)`)
	for i := 0; i < len(rows) && err == nil; i++ {
		_, err = insert.ExecContext(ctx, rows[i].Leaf, rows[i].Commit, rows[i].Prepare, rows[i].Hash)
	}
	if err != nil {
		return 0, errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return 0, err
	}
	x.last = last
	x.reached.Store(&last)
	return len(rows), nil
}

// Run numbers records as they come, so that whoever asks need not wait for it, until
// ctx ends. It rests while the store is away, and while a record is damaged, which it
// reports and behind which nothing is numbered; it returns other errors.
func (x *Index) Run(ctx context.Context) error {
	for {
		var last eventstore.Position
		err := x.upTo(ctx, func(r row) bool { last = r.position(); return false })
		if err == nil {
			err = x.store.Wait(ctx, last)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, eventstore.ErrUnavailable), errors.Is(err, eventstore.ErrIntegrity):
			if damaged, ok := errors.AsType[*eventstore.Corrupt](err); ok {
				x.report(damaged)
			}
			rest := time.NewTimer(retryAfter)
			select {
			case <-rest.C:
			case <-ctx.Done():
			}
			rest.Stop()
		case err != nil:
			return err
		}
	}
}

// Scrub compares every row that there is when it begins with the store, slowly: it
// rests between pages so long that it reads about perSecond records a second (at least
// 1). It reports each record that is not what was numbered or is gone, and the first row
// from which on the log is another, behind which nothing can be compared. It
// returns ctx's error when ctx ends first. Others are numbered meanwhile.
func (x *Index) Scrub(ctx context.Context, perSecond int, report func(*eventstore.Corrupt)) error {
	select {
	case <-x.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	last := x.last.Leaf
	x.turn <- struct{}{}
	rest := time.NewTicker(max(time.Second*page/time.Duration(max(perSecond, 1)), time.Millisecond))
	defer rest.Stop()
	err := x.compare(ctx, 0, last, report, func() error {
		select {
		case <-rest.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err != nil && !errors.Is(err, ErrOtherLog) { // which was reported
		return fmt.Errorf("scrub leaves: %w", err)
	}
	return nil
}

// compare compares the rows from first to last with the store. It reports what is not
// what was numbered, and each row whose record is gone while the log goes on behind it, as
// when somebody deleted a stream. It returns ErrOtherLog where the end of what was numbered
// is gone, or something lies between. pause is called after each page.
func (x *Index) compare(ctx context.Context, first, last int64, report func(*eventstore.Corrupt), pause func() error) error {
	before := none
	if first > 0 {
		if err := x.db.Reader.GetContext(ctx, &before, `SELECT * FROM leaves WHERE leaf = ?`, first-1); err != nil {
			return fmt.Errorf("read leaf %d: %w", first-1, err)
		}
	}
	var missing []row // behind which nothing that is there has been met yet
	met := false      // a record that was numbered is where it was
	for before.Leaf < last {
		var rows []row
		if err := x.db.Reader.SelectContext(ctx, &rows, `SELECT * FROM leaves WHERE leaf BETWEEN ? AND ? ORDER BY leaf`, before.Leaf+1, min(before.Leaf+page, last)); err != nil {
			return fmt.Errorf("read leaves: %w", err)
		}
		n, goesOn := 0, false
		for r, err := range x.store.ReadAll(ctx, before.position(), len(rows)) {
			if err != nil {
				return fmt.Errorf("read the log: %w", err)
			}
			for n < len(rows) && rows[n].position().Compare(r.Position) < 0 {
				missing = append(missing, rows[n])
				n++
			}
			if goesOn = n == len(rows); goesOn {
				break // it lies behind this page
			}
			if rows[n].Leaf != before.Leaf+1+int64(n) || r.Position != rows[n].position() {
				missing = append(missing, rows[n])
				break
			}
			for _, hole := range missing {
				report(&eventstore.Corrupt{Revision: -1, Position: hole.position()})
			}
			missing, met = nil, true
			if hash := proof.SumOf(&r); string(rows[n].Hash) != string(hash[:]) {
				report(&eventstore.Corrupt{Stream: r.Stream, Revision: r.Revision, Position: r.Position})
			}
			n++
		}
		if !goesOn && n < len(rows) {
			if missing = append(missing, rows[n:]...); len(missing) > 0 {
				report(&eventstore.Corrupt{Revision: -1, Position: missing[0].position()})
			}
			return fmt.Errorf("%w (leaf %d is not there)", ErrOtherLog, missing[0].Leaf)
		}
		if len(rows) == 0 {
			return fmt.Errorf("%w (leaf %d is not there)", ErrOtherLog, before.Leaf+1)
		}
		before = rows[len(rows)-1]
		if err := pause(); err != nil {
			return err
		}
	}
	for _, hole := range missing { // the log goes on behind what was compared
		report(&eventstore.Corrupt{Revision: -1, Position: hole.position()})
	}
	if !met && last >= first {
		return fmt.Errorf("%w (leaf %d is not there)", ErrOtherLog, first)
	}
	return nil
}

// Package requests makes a repeated request answer as the first did: a caller who
// saw no answer sends the same Idempotency-Key again, and nothing happens twice.
//
// A row is durable before the request appends anything. It holds keyed digests and
// the ids of what was made, never the body, nor who sent it in clear.
//
// Invariant: of all requests with one owner, operation and key at most one at a
// time is told to go ahead, and a row never says more than the log: when an answer
// is lost between the log and the row, the next caller is told to look in the log
// for the events' ids ([EventID]), which are the same every time.
package requests

import (
	"context"
	"crypto/hmac"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// Limits.
const (
	// Life is how long a key is remembered; after it the key is a new one.
	Life = 7 * 24 * time.Hour
	// MaxResult bounds the bytes of a result: ids, not contents.
	MaxResult = 1 << 10
	// MaxLease bounds how long a request may be in flight.
	MaxLease = 5 * time.Minute
)

// Refusals.
var (
	ErrInFlight = domain.NewError(domain.Conflict, "requestInFlight", "a request with this Idempotency-Key is being handled; ask again later")
	ErrKeyReuse = domain.NewError(domain.Unprocessable, "idempotencyKeyReused", "this Idempotency-Key was used for another request body")
)

// ErrResultTooLarge: a result is ids, not contents.
var ErrResultTooLarge = errors.New("requests: the result is larger than 1 KiB")

// Request identifies one request and its body.
type Request struct {
	Owner     string    // organisation or citizen id, whose keys these are
	Operation string    // of the contract, "issueDocument"
	Key       uuid.UUID // the Idempotency-Key
	Body      []byte    // as received; only its HMAC is kept
	Lease     time.Duration
	Class     eventstore.Class // Reserved for what must pass under overload (rule C-6)
}

// Standing says how a request stands when it comes, and so what the caller of Begin
// must do.
type Standing int

const (
	// Fresh: the request comes for the first time. Go ahead, then Finish or Abandon.
	Fresh Standing = iota + 1
	// Unfinished: an earlier attempt ended without a word. Look for the events' ids in
	// the log before deciding anything, then Finish or Abandon.
	Unfinished
	// Repeat: the request was answered before. Answer what Result says.
	Repeat
)

// Outcome is the answer of Begin.
type Outcome struct {
	Standing Standing
	Claim    Claim     // for Finish and Abandon; zero for a Repeat
	Status   int       // of the first answer, for a Repeat
	Result   []byte    // what Finish was given, for a Repeat
	Since    time.Time // when the key was first used
}

// Claim is the right to finish one attempt of a request. A later attempt ends it.
type Claim struct {
	id      [idSize]byte
	attempt int64
	row     *keysdb.Entry // as it stands since the claim
}

const idSize = 16 // bytes of a digest that names a request

// Table remembers requests in the key database. Its methods may be called
// concurrently.
type Table struct {
	db     *keysdb.DB
	mac    func(parts ...[]byte) [32]byte
	others func() []func(parts ...[]byte) [32]byte
	now    func() time.Time
	holder uuid.UUID // of the leases given here; Nil for a process that is alone
	short  func() bool
}

// Rows are appended in the order of time, so that those in flight share a few
// pages and the old ones lie together.
var migrations = []string{`
CREATE TABLE requests (
	n       INTEGER PRIMARY KEY,
	id      BLOB    NOT NULL UNIQUE, -- HMAC of owner, operation and key
	body    BLOB    NOT NULL,             -- HMAC of the body
	created INTEGER NOT NULL,             -- microseconds since 1970
	lease   INTEGER NOT NULL,             -- until when it is in flight; 0 once finished
	attempt INTEGER NOT NULL,
	status  INTEGER,                      -- of the answer; NULL until finished
	result  BLOB
) STRICT;
`, `
ALTER TABLE requests ADD COLUMN holder BLOB; -- the process that handles it; NULL for one that is alone
`, `
ALTER TABLE requests ADD COLUMN mac BLOB;
`}

// rows carry a MAC: a damaged one answers for its own key that keys are unavailable. They
// are not counted: whose row is gone is told Fresh, and meets what the first attempt made, in
// a stream that the key names.
var rows = &keysdb.Table{Name: "requests", Number: "n", Key: []string{"id"}, Uncounted: true,
	Columns: []string{"id", "body", "created", "lease", "attempt", "status", "result", "holder"}}

// Migrate makes the table in db, or brings it up to date, and puts nothing into it:
// for the target of a copy. [Open] does the same first.
func Migrate(ctx context.Context, db *keysdb.DB) error {
	return db.Migrate(ctx, "requests", migrations)
}

// Open returns the table in db. mac is an HMAC-SHA256 under the deployment's
// request key (seal.RequestKey); now is the clock, nil for time.Now. The database has its
// guard already (keysdb.DB.Guard), as a ring that is open on it has seen to.
func Open(ctx context.Context, db *keysdb.DB, mac func(parts ...[]byte) [32]byte, now func() time.Time) (*Table, error) {
	if now == nil {
		now = time.Now
	}
	if err := Protect(ctx, db); err != nil {
		return nil, fmt.Errorf("open requests: %w", err)
	}
	none := func() []func(parts ...[]byte) [32]byte { return nil }
	return &Table{db: db, mac: mac, others: none, now: now, short: func() bool { return false }}, nil
}

// AlsoUnder returns the table as it finds what was digested under other versions of the request
// key than the one in force, too (seal.Ring.OtherRequestMACs).
func (t *Table) AlsoUnder(others func() []func(parts ...[]byte) [32]byte) *Table {
	found := *t
	found.others = others
	return &found
}

// RefusingWhen returns the table as it is used where room for it may run short: while short
// says so, only requests of eventstore.Reserved begin, and others are answered
// eventstore.ErrDiskFull.
func (t *Table) RefusingWhen(short func() bool) *Table {
	refusing := *t
	refusing.short = short
	return &refusing
}

// Protect makes the table in db, which has its guard, or brings it up to date, and has its
// rows verified. [Open] does the same first.
func Protect(ctx context.Context, db *keysdb.DB) error {
	if err := Migrate(ctx, db); err != nil {
		return err
	}
	return db.Protect(ctx, []*keysdb.Table{rows}, nil)
}

// HeldBy returns the table as one of several processes on the database uses it:
// under an id that is its own, and the same after it was started again.
func (t *Table) HeldBy(process uuid.UUID) *Table {
	held := *t
	held.holder = process
	return &held
}

// held is the holder as it is stored.
func (t *Table) held() any {
	if t.holder == uuid.Nil {
		return nil
	}
	return t.holder[:]
}

// row is a request as stored.
type row struct {
	body    []byte
	created int64
	lease   int64
	attempt int64
	status  sql.NullInt64
	result  []byte
}

// Begin claims the request, durably, or tells what became of it. It returns
// ErrInFlight while an earlier attempt's lease runs, ErrKeyReuse when the key was
// used for another body, and an error of keysdb.Do. After one that wraps
// eventstore.ErrOutcomeUnknown the key is free when the lease ends, at the latest.
func (t *Table) Begin(ctx context.Context, r Request) (Outcome, error) {
	if r.Key == uuid.Nil || r.Owner == "" || r.Operation == "" || r.Lease <= 0 || r.Lease > MaxLease {
		return Outcome{}, fmt.Errorf("begin request: %w", eventstore.ErrInvalid)
	}
	if r.Class != eventstore.Reserved && t.short() {
		return Outcome{}, fmt.Errorf("begin request: %w", eventstore.ErrDiskFull)
	}
	mine := digestsOf(r, t.mac)
	var others []digests
	for _, mac := range t.others() {
		others = append(others, digestsOf(r, mac))
	}
	type answer struct {
		outcome Outcome
		refusal error
	}
	got, err := keysdb.DoAs(ctx, t.db, r.Class, func(tx *keysdb.Tx) (answer, error) {
		// The clock is asked when the change's turn has come: a lease must not be shorter
		// for having waited.
		now := t.now()
		until := now.Add(r.Lease).UnixMicro()
		claim := func(attempt int64) *keysdb.Entry {
			return t.db.Known(rows, mine.id[:], mine.body[:], now.UnixMicro(), until, attempt, nil, nil, t.held())
		}
		at, err := underOthers(tx, others, now)
		if err == nil && at.row == nil {
			fresh := claim(1)
			if added, err := tx.Add(fresh); err != nil || added {
				return answer{outcome: Outcome{Standing: Fresh, Claim: Claim{mine.id, 1, fresh}, Since: micros(now.UnixMicro())}}, err
			}
			at = mine
			if at.row, err = tx.Entry(rows, `id = ?`, mine.id[:]); err == nil && at.row == nil {
				err = tx.Missing(rows)
			}
		}
		if err != nil {
			return answer{}, err
		}
		e := at.row
		outcome, refusal := rowOf(e).judge(at.id, at.body, now)
		switch {
		case refusal != nil || outcome.Standing == Repeat:
			return answer{outcome, refusal}, nil
		case outcome.Standing == Unfinished:
			e.Set("lease", until)
			e.Set("attempt", outcome.Claim.attempt)
			e.Set("holder", t.held())
			outcome.Claim.row = e
			return answer{outcome: outcome}, tx.Put(e)
		}
		// Its time is over: a new row, in its place in time. The attempts count on, so that
		// no claim of old fits it.
		if err := tx.Remove(e); err != nil {
			return answer{}, err
		}
		again := claim(outcome.Claim.attempt)
		outcome.Claim.row = again
		_, err = tx.Add(again)
		return answer{outcome: outcome}, err
	})
	if err != nil {
		return Outcome{}, fmt.Errorf("begin request: %w", err)
	}
	if got.refusal != nil {
		return Outcome{}, got.refusal
	}
	return got.outcome, nil
}

// DoubtSince makes every request unfinished that was begun at a moment or later, and says
// how many were finished: what they made may not be in the log any more, so whoever
// repeats one looks there first. Nobody may be handling requests.
func (t *Table) DoubtSince(ctx context.Context, since time.Time) (finished int64, err error) {
	finished, err = keysdb.Do(ctx, t.db, func(tx *keysdb.Tx) (n int64, err error) {
		err = tx.Each(rows, `created >= ?`, []any{since.UnixMicro()}, func(e *keysdb.Entry, damage error) error {
			if damage != nil { // it is told nothing of
				return nil
			}
			if !e.Null("status") {
				n++
			}
			e.Set("lease", 0)
			e.Set("status", nil)
			e.Set("result", nil)
			return tx.Put(e)
		})
		return n, err
	})
	if err != nil {
		return 0, fmt.Errorf("doubt requests: %w", err)
	}
	return finished, nil
}

func rowOf(e *keysdb.Entry) row {
	return row{
		body: e.Bytes("body"), created: e.Int("created"), lease: e.Int("lease"), attempt: e.Int("attempt"),
		status: sql.NullInt64{Int64: e.Int("status"), Valid: !e.Null("status")}, result: e.Bytes("result"),
	}
}

// judge decides what a known key means for a new attempt.
func (f row) judge(id [idSize]byte, body [32]byte, now time.Time) (Outcome, error) {
	since := micros(f.created)
	switch {
	case now.Sub(since) >= Life:
		return Outcome{Standing: Fresh, Claim: Claim{id, f.attempt + 1, nil}, Since: micros(now.UnixMicro())}, nil
	case !hmac.Equal(f.body, body[:]):
		return Outcome{}, ErrKeyReuse
	case f.status.Valid:
		return Outcome{Standing: Repeat, Status: int(f.status.Int64), Result: f.result, Since: since}, nil
	case now.UnixMicro() < f.lease:
		return Outcome{}, ErrInFlight
	}
	return Outcome{Standing: Unfinished, Claim: Claim{id, f.attempt + 1, nil}, Since: since}, nil
}

func micros(t int64) time.Time { return time.UnixMicro(t).UTC() }

// digests name a request and its body under one key: the table does not say who asked for what.
type digests struct {
	id   [idSize]byte
	body [32]byte
	row  *keysdb.Entry
}

func digestsOf(r Request, mac func(parts ...[]byte) [32]byte) (d digests) {
	sum := mac([]byte("id/v1\x00"), parts(r.Owner, r.Operation), r.Key[:])
	copy(d.id[:], sum[:])
	d.body = mac([]byte("body/v1\x00"), d.id[:], r.Body)
	return d
}

// underOthers returns what is known of a request under another key than the one in force, if it
// still counts.
func underOthers(tx *keysdb.Tx, others []digests, now time.Time) (digests, error) {
	for _, d := range others {
		e, err := tx.Entry(rows, `id = ?`, d.id[:])
		if err != nil {
			return digests{}, err
		}
		if e != nil && now.Sub(micros(e.Int("created"))) < Life {
			d.row = e
			return d, nil
		}
	}
	return digests{}, nil
}

// parts joins strings, each after its length.
func parts(all ...string) []byte {
	var b []byte
	for _, s := range all {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	return b
}

// Finish keeps the answer of a claimed request for its repetitions. It does not
// wait until it is durable, and need not: it is written before any later Begin is
// answered, so nobody is told a Repeat that could be lost; and if a crash loses it,
// the next caller is told Unfinished and finds the events, which are durable, by
// their ids. After a later attempt's claim it does nothing. The error is of a
// result too large or a database that takes no more changes.
func (t *Table) Finish(c Claim, status int, result []byte) error {
	if len(result) > MaxResult {
		return ErrResultTooLarge
	}
	if c.row == nil {
		return fmt.Errorf("finish request: %w", eventstore.ErrInvalid)
	}
	answered := c.row.Clone()
	answered.Set("status", status)
	answered.Set("result", append([]byte{}, result...))
	answered.Set("lease", 0)
	err := t.db.Post(func(tx *keysdb.Tx) error {
		_, err := tx.Swap(answered)
		return err
	})
	if err != nil {
		return fmt.Errorf("finish request: %w", err)
	}
	return nil
}

// Abandon frees the key of a claimed request that has appended nothing and
// certainly will not (it was refused): whoever sends it again starts afresh. It is
// as lazy as Finish: lost, the key is free when the lease ends. Never call it when the
// outcome of an append is unknown; let the lease end.
func (t *Table) Abandon(c Claim) error {
	err := t.db.Post(func(tx *keysdb.Tx) error {
		_, err := tx.Delete(rows, `id = ? AND attempt = ? AND status IS NULL`, c.id[:], c.attempt)
		return err
	})
	if err != nil {
		return fmt.Errorf("abandon request: %w", err)
	}
	return nil
}

// EndLeases ends the leases of requests in flight whose holder is dead. A process
// calls it at start: when it is the only one on its database those were everybody's,
// else its own from before ([Table.HeldBy]). Those of others end with their time.
func (t *Table) EndLeases(ctx context.Context) error {
	where, args := `status IS NULL AND lease > 0`, []any(nil)
	if t.holder != uuid.Nil {
		where, args = where+` AND holder = ?`, []any{t.held()}
	}
	_, err := keysdb.Do(ctx, t.db, func(tx *keysdb.Tx) (struct{}, error) {
		return struct{}{}, tx.Each(rows, where, args, func(e *keysdb.Entry, damage error) error {
			if damage != nil { // it ends for nobody else
				return nil
			}
			e.Set("lease", 0)
			return tx.Put(e)
		})
	})
	if err != nil {
		return fmt.Errorf("end leases: %w", err)
	}
	return nil
}

// purgeBatch rows go in one transaction, so that nobody waits long behind it.
const purgeBatch = 1000

// Purge removes what is older than Life and returns how many rows that were.
func (t *Table) Purge(ctx context.Context) (removed int64, err error) {
	before := t.now().Add(-Life).UnixMicro()
	for {
		n, err := keysdb.Do(ctx, t.db, func(tx *keysdb.Tx) (int64, error) {
			return tx.Exec(`DELETE FROM requests WHERE created <= ? AND n IN (SELECT n FROM requests ORDER BY n LIMIT ?)`, before, purgeBatch)
		})
		removed += n
		if err != nil {
			return removed, fmt.Errorf("purge requests: %w", err)
		}
		if n < purgeBatch {
			return removed, nil
		}
	}
}

// namespace of EventID: UUIDv5 of the URL namespace and this name. For ever.
var namespace = uuid.NewSHA1(uuid.NameSpaceURL, []byte("urn:coffre:event-id:v1"))

// EventID is the id of the index-th event (from 0) that a request appends: a UUID
// version 5 in a namespace of Coffre's own, over owner and operation (each after its
// length as a big-endian uint32), key (16 bytes) and index (big-endian uint32). A
// retry makes the same ids, so an append whose outcome was unknown is found, or
// repeated without effect, on every store.
func EventID(owner, operation string, key uuid.UUID, index int) uuid.UUID {
	name := append(parts(owner, operation), key[:]...)
	return uuid.NewSHA1(namespace, binary.BigEndian.AppendUint32(name, uint32(index)))
}

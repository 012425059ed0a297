// Package traffic counts the requests that processes answer, for all processes on one key
// database: by month, role, organisation, operation, status and problem, and by day.
//
// A row names an organisation and words of the contract. It names no citizen, holds nothing of
// a request's path, body or answer, and tells a duration by one of seven bounds alone.
//
// Invariant: a request costs no write. A process counts in memory and adds its sums to the
// table once a minute and when it ends, each sum once even where nobody knows whether a write
// before came to pass. A process that is killed loses what it counted since: a minute at most.
package traffic

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore/seal/keysdb"
)

const (
	// FlushEvery is how long counts stay in the memory of a process alone.
	FlushEvery = time.Minute
	// Months is how many months are kept before the one under way.
	Months = 13
	// maxKeys bounds what a process tells apart between two writes; what is beyond counts as
	// one row without an operation.
	maxKeys = 1 << 14
	// together is how many rows share a transaction, so that nobody waits long behind it.
	together = 64
	// lastFlush is how long a process that ends waits for the database.
	lastFlush = 2 * time.Second
	// forgotten is how long the table remembers which write of a process was its last.
	forgotten = 2 * 24 * time.Hour
	aDay      = 24 * time.Hour
)

// Bounds are the durations by which answers are told apart; the last group has none.
var Bounds = [6]time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 250 * time.Millisecond, time.Second, 5 * time.Second, 30 * time.Second}

var migrations = []string{`
CREATE TABLE traffic_months (
	month        INTEGER NOT NULL, -- year * 100 + month, in Belgium
	role         TEXT    NOT NULL, -- '' where nobody was let in
	organisation TEXT    NOT NULL, -- '' for roles that are of none
	operation    TEXT    NOT NULL, -- of the contract; '' for a path outside it
	status       INTEGER NOT NULL,
	problem      TEXT    NOT NULL, -- last word of its type; '' for none
	n0 INTEGER NOT NULL, n1 INTEGER NOT NULL, n2 INTEGER NOT NULL, n3 INTEGER NOT NULL, -- by how long the answer took
	n4 INTEGER NOT NULL, n5 INTEGER NOT NULL, n6 INTEGER NOT NULL,
	PRIMARY KEY (month, role, organisation, operation, status, problem)
) STRICT;
CREATE TABLE traffic_days (
	day      INTEGER NOT NULL PRIMARY KEY, -- in Belgium, since 1970
	requests INTEGER NOT NULL,
	refused  INTEGER NOT NULL, -- with a status of 400 to 499
	failed   INTEGER NOT NULL  -- with one of 500 or more
) STRICT;
CREATE TABLE traffic_writes (
	process BLOB    NOT NULL PRIMARY KEY, -- random, of one life of a process
	last    INTEGER NOT NULL,             -- number of its last write
	at      INTEGER NOT NULL              -- seconds since 1970
) STRICT;
`}

// Migrate makes the tables in db, or brings them up to date, and puts nothing into them.
func Migrate(ctx context.Context, db *keysdb.DB) error { return db.Migrate(ctx, "traffic", migrations) }

// Month is a month of the Belgian calendar: year * 100 + month.
type Month int

// MonthOf returns the month of a moment in Belgium.
func MonthOf(at time.Time) Month {
	d := domain.InBelgium(at)
	return Month(d.Year()*100 + int(d.Month()))
}

// First returns the first day of the month.
func (m Month) First() domain.Date {
	return domain.Date(fmt.Sprintf("%04d-%02d-01", int(m)/100, int(m)%100))
}

// Before returns the month that many months earlier.
func (m Month) Before(months int) Month {
	n := int(m)/100*12 + int(m)%100 - 1 - months
	return Month(n/12*100 + n%12 + 1)
}

// Request is one that was answered.
type Request struct {
	At           time.Time // when it came
	Took         time.Duration
	Role         domain.Role         // "": nobody was let in
	Organisation domain.Organisation // of an issuer or a consumer; "" for all others
	Operation    string              // of the contract; "": of none
	Status       int
	Problem      string // last word of the problem's type; "": none was answered
}

// Count is how many requests of a month were the same but for their time.
type Count struct {
	Role         domain.Role         `db:"role"`
	Organisation domain.Organisation `db:"organisation"`
	Operation    string              `db:"operation"`
	Status       int                 `db:"status"`
	Problem      string              `db:"problem"`
	// Took counts them by how long they took: those within each of Bounds and beyond the one
	// before it, and at last those beyond all.
	Took [len(Bounds) + 1]int64
}

// Requests returns how many there were.
func (c Count) Requests() (n int64) {
	for _, of := range c.Took {
		n += of
	}
	return n
}

// Day is the traffic of one day in Belgium.
type Day struct {
	Date     domain.Date
	Requests int64
	Refused  int64 // answered with a status of 400 to 499
	Failed   int64 // answered with one of 500 or more
}

// key is what a process tells requests apart by.
type key struct {
	day          int64
	role         domain.Role
	organisation domain.Organisation
	operation    string
	status       int
	problem      string
}

// row is a count on its way into the table.
type row struct {
	key
	n [len(Bounds) + 1]int64
}

// Options of a Table. All fields may be zero.
type Options struct {
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // told when counts cannot be stored; default: nobody
}

// Table counts in memory and in the key database. Make it with [Open]; its methods may be
// called concurrently.
type Table struct {
	db      *keysdb.DB
	now     func() time.Time
	slog    *slog.Logger
	process uuid.UUID

	mu       sync.Mutex
	counts   map[key]*[len(Bounds) + 1]int64
	counting time.Time // when the first of counts was counted; zero: there is none
	holding  time.Time // the same of waiting

	writing sync.Mutex
	waiting [][]row // writes that are not known to have come to pass, in their order
	written int64   // number of the last write that is
}

// Open returns the table in db.
func Open(ctx context.Context, db *keysdb.DB, o Options) (*Table, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := Migrate(ctx, db); err != nil {
		return nil, err
	}
	return &Table{db: db, now: o.Now, slog: o.Logger, process: uuid.New(), counts: map[key]*[len(Bounds) + 1]int64{}}, nil
}

// Count counts one request. It waits for nothing but other counts.
func (t *Table) Count(r Request) {
	k := key{domain.BelgianDay(r.At), r.Role, r.Organisation, r.Operation, r.Status, r.Problem}
	if k.role != domain.RoleIssuer && k.role != domain.RoleConsumer {
		k.organisation = ""
	}
	within := len(Bounds)
	for i, b := range Bounds {
		if r.Took <= b {
			within = i
			break
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.counts[k]
	if n == nil && len(t.counts) >= maxKeys {
		k = key{day: k.day, status: k.status}
		n = t.counts[k]
	}
	if n == nil {
		if len(t.counts) == 0 {
			t.counting = t.now()
		}
		n = new([len(Bounds) + 1]int64)
		t.counts[k] = n
	}
	n[within]++
}

// Unwritten returns for how long the oldest count waits that is not known to be in the table; 0
// when none does. It waits for no write.
func (t *Table) Unwritten() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	since := t.holding
	if since.IsZero() {
		since = t.counting
	}
	if since.IsZero() {
		return 0
	}
	return max(0, t.now().Sub(since))
}

// Run adds what is counted to the table once a minute and when ctx ends, and deletes what is
// older than the months that are kept.
func (t *Table) Run(ctx context.Context) error {
	every := time.NewTicker(FlushEvery)
	defer every.Stop()
	var purged time.Time
	told := false
	for {
		select {
		case <-every.C:
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlush)
			defer cancel()
			if err := t.Flush(last); err != nil {
				t.slog.WarnContext(last, "requests that were counted since the last minute are not in the figures of traffic", slog.Any("error", err))
			}
			return nil
		}
		err := t.Flush(ctx)
		if now := t.now(); err == nil && now.Sub(purged).Abs() >= aDay {
			if err = t.Purge(ctx); err == nil {
				purged = now
			}
		}
		if err != nil && ctx.Err() == nil && !told {
			t.slog.WarnContext(ctx, "counted requests wait in memory: the key database does not take them", slog.Any("error", err))
		}
		told = err != nil
	}
}

// Flush adds what was counted to the table, durably. What it cannot add is added by the next
// call. Errors are those of keysdb.Do.
func (t *Table) Flush(ctx context.Context) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	if len(t.waiting) == 0 {
		t.collect()
	}
	for len(t.waiting) > 0 {
		number := t.written + 1
		_, err := keysdb.Do(ctx, t.db, func(tx *keysdb.Tx) (struct{}, error) { return struct{}{}, t.write(tx, number, t.waiting[0]) })
		if err != nil {
			return fmt.Errorf("store counts of requests: %w", err)
		}
		t.written, t.waiting = number, t.waiting[1:]
	}
	t.mu.Lock()
	t.holding = time.Time{}
	t.mu.Unlock()
	return nil
}

// collect makes writes of what was counted.
func (t *Table) collect() {
	t.mu.Lock()
	counts := t.counts
	t.counts = map[key]*[len(Bounds) + 1]int64{}
	t.holding, t.counting = t.counting, time.Time{}
	t.mu.Unlock()
	rows := make([]row, 0, len(counts))
	for k, n := range counts {
		rows = append(rows, row{k, *n})
	}
	// Every process writes in one order, so that none waits for another that waits for it.
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.day, b.day), cmp.Compare(a.role, b.role), cmp.Compare(a.organisation, b.organisation),
			cmp.Compare(a.operation, b.operation), cmp.Compare(a.status, b.status), cmp.Compare(a.problem, b.problem))
	})
	t.waiting = slices.Collect(slices.Chunk(rows, together))
}

// write adds rows to the table, unless this write came to pass before.
func (t *Table) write(tx *keysdb.Tx, number int64, rows []row) error {
	first, err := tx.Exec(`INSERT INTO traffic_writes (process, last, at) VALUES (?, ?, ?)
		ON CONFLICT (process) DO UPDATE SET last = excluded.last, at = excluded.at WHERE traffic_writes.last < excluded.last`, t.process[:], number, t.now().Unix())
	if err != nil || first == 0 {
		return err
	}
	for _, r := range rows {
		if err := r.add(tx); err != nil {
			return err
		}
	}
	return nil
}

// add adds a row to its month and its day.
func (r row) add(tx *keysdb.Tx) error {
	var all, refused, failed int64
	for _, n := range r.n {
		all += n
	}
	switch {
	case r.status >= 500:
		failed = all
	case r.status >= 400:
		refused = all
	}
	month := MonthOf(time.Unix(r.day*int64(aDay/time.Second)+int64(aDay/time.Second)/2, 0))
	if _, err := tx.Exec(`INSERT INTO traffic_months (month, role, organisation, operation, status, problem, n0, n1, n2, n3, n4, n5, n6)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (month, role, organisation, operation, status, problem) DO UPDATE SET
			n0 = traffic_months.n0 + excluded.n0, n1 = traffic_months.n1 + excluded.n1, n2 = traffic_months.n2 + excluded.n2, n3 = traffic_months.n3 + excluded.n3,
			n4 = traffic_months.n4 + excluded.n4, n5 = traffic_months.n5 + excluded.n5, n6 = traffic_months.n6 + excluded.n6`,
		int64(month), string(r.role), string(r.organisation), r.operation, r.status, r.problem, r.n[0], r.n[1], r.n[2], r.n[3], r.n[4], r.n[5], r.n[6]); err != nil {
		return err
	}
	_, err := tx.Exec(`INSERT INTO traffic_days (day, requests, refused, failed) VALUES (?, ?, ?, ?)
		ON CONFLICT (day) DO UPDATE SET requests = traffic_days.requests + excluded.requests,
			refused = traffic_days.refused + excluded.refused, failed = traffic_days.failed + excluded.failed`, r.day, all, refused, failed)
	return err
}

// Purge deletes the months and days that are kept no longer. Errors are those of keysdb.Do.
func (t *Table) Purge(ctx context.Context) error {
	now := t.now()
	oldest := MonthOf(now).Before(Months)
	day := domain.BelgianDay(domain.BelgianMidnight(oldest.First()))
	_, err := keysdb.Do(ctx, t.db, func(tx *keysdb.Tx) (struct{}, error) {
		_, months := tx.Exec(`DELETE FROM traffic_months WHERE month < ?`, int64(oldest))
		_, days := tx.Exec(`DELETE FROM traffic_days WHERE day < ?`, day)
		_, writes := tx.Exec(`DELETE FROM traffic_writes WHERE at < ?`, now.Add(-forgotten).Unix())
		return struct{}{}, errors.Join(months, days, writes)
	})
	if err != nil {
		return fmt.Errorf("purge counts of requests: %w", err)
	}
	return nil
}

// Of returns what all processes stored of a month, and of an organisation unless it is "", in
// the order of roles, organisations, operations, statuses and problems.
func (t *Table) Of(ctx context.Context, month Month, of domain.Organisation) ([]Count, error) {
	query, args := `SELECT role, organisation, operation, status, problem, n0, n1, n2, n3, n4, n5, n6 FROM traffic_months WHERE month = ? `, []any{int64(month)}
	if of != "" {
		query, args = query+`AND organisation = ? `, append(args, string(of))
	}
	s, err := t.db.Read(query + `ORDER BY role, organisation, operation, status, problem`)
	if err != nil {
		return nil, fmt.Errorf("traffic of a month: %w", err)
	}
	var rows []struct {
		Count
		N0 int64 `db:"n0"`
		N1 int64 `db:"n1"`
		N2 int64 `db:"n2"`
		N3 int64 `db:"n3"`
		N4 int64 `db:"n4"`
		N5 int64 `db:"n5"`
		N6 int64 `db:"n6"`
	}
	if err := s.SelectContext(ctx, &rows, args...); err != nil {
		return nil, fmt.Errorf("traffic of a month: %w", err)
	}
	all := make([]Count, len(rows))
	for i, r := range rows {
		all[i] = r.Count
		all[i].Took = [len(Bounds) + 1]int64{r.N0, r.N1, r.N2, r.N3, r.N4, r.N5, r.N6}
	}
	return all, nil
}

// Days returns what all processes stored of each day of a month that had any request, in order.
func (t *Table) Days(ctx context.Context, month Month) ([]Day, error) {
	first, next := month.First(), month.Before(-1).First()
	s, err := t.db.Read(`SELECT day, requests, refused, failed FROM traffic_days WHERE day >= ? AND day < ? ORDER BY day`)
	if err != nil {
		return nil, fmt.Errorf("traffic of days: %w", err)
	}
	var rows []struct {
		Day      int64 `db:"day"`
		Requests int64 `db:"requests"`
		Refused  int64 `db:"refused"`
		Failed   int64 `db:"failed"`
	}
	if err := s.SelectContext(ctx, &rows, domain.BelgianDay(domain.BelgianMidnight(first)), domain.BelgianDay(domain.BelgianMidnight(next))); err != nil {
		return nil, fmt.Errorf("traffic of days: %w", err)
	}
	all := make([]Day, len(rows))
	for i, r := range rows {
		all[i] = Day{domain.DateOf(time.Unix(r.Day*int64(aDay/time.Second), 0).UTC()), r.Requests, r.Refused, r.Failed}
	}
	return all, nil
}

// Package quotas counts, for all processes on one key database, how many people each
// organisation names in a day and how often it is refused in a minute, so that nobody can
// try every number there is (rule A-7); how often each caller calls in a minute; and how
// much each caller leaves in the vault, so that nobody fills it ([Table.Take], [Table.Add]).
//
// A row holds keyed digests of the caller, the day and the person: it names nobody,
// joins nothing, and is deleted once the day is over or what was left is gone. Whoever the
// vault does not know counts like everybody else.
//
// Invariant: what was admitted is in the table within some milliseconds, and outlives the
// process; of two processes that ask for the last place one gets it.
package quotas

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"coffre/domain"
	"coffre/eventstore/seal/keysdb"
)

const (
	maxSeen = 1 << 16 // people of today who are remembered in memory, of all organisations
	// ahead is the smallest quota in whose first half somebody may be admitted before that is
	// durable: at most one of aheadShare of it at a time, by a count that is recent. A process
	// does not see whom others have just admitted so: to exceed the quota by those, half of it
	// would have to be named within that time.
	ahead      = 1000
	aheadShare = 64
	recent     = 100 * time.Millisecond
	// keptMinutes is how long the refusals of a minute are kept.
	keptMinutes = 10
	purgeBatch  = 1000 // rows deleted in one transaction, so that nobody waits long behind it
)

var migrations = []string{`
CREATE TABLE quota_days (
	day          INTEGER NOT NULL, -- in Belgium, since 1970
	organisation TEXT    NOT NULL,
	people       INTEGER NOT NULL,
	PRIMARY KEY (day, organisation)
) STRICT;
CREATE TABLE quota_people (
	day    INTEGER NOT NULL,
	person BLOB    NOT NULL, -- HMAC of organisation, day and person
	PRIMARY KEY (day, person)
) STRICT;
CREATE TABLE quota_minutes (
	minute       INTEGER NOT NULL, -- since 1970
	organisation TEXT    NOT NULL,
	refusals     INTEGER NOT NULL,
	PRIMARY KEY (minute, organisation)
) STRICT;
`, `
CREATE TABLE quota_places (
	budget TEXT    NOT NULL,
	id     BLOB    NOT NULL,
	scopes BLOB    NOT NULL, -- the digests under which the place counts in quota_sums, one after the other
	bytes  INTEGER NOT NULL,
	until  INTEGER NOT NULL, -- microseconds since 1970
	PRIMARY KEY (budget, id)
) STRICT;
CREATE INDEX quota_places_until ON quota_places (until);
CREATE TABLE quota_sums (
	scope  BLOB    NOT NULL PRIMARY KEY, -- HMAC of the budget and of whose places these are
	places INTEGER NOT NULL,
	bytes  INTEGER NOT NULL
) STRICT;
`, `
CREATE TABLE quota_amounts (
	day INTEGER NOT NULL, -- in Belgium, since 1970
	who BLOB    NOT NULL, -- HMAC of the budget, the caller, and the person or nobody
	n   INTEGER NOT NULL,
	PRIMARY KEY (day, who)
) STRICT;
`}

// Migrate makes the tables in db, or brings them up to date, and puts nothing into them.
func Migrate(ctx context.Context, db *keysdb.DB) error { return db.Migrate(ctx, "quotas", migrations) }

// Options of a Table. All fields may be zero.
type Options struct {
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // told once when an organisation exhausts something; default: nobody
	// Others are the MACs under other versions of the request key than the one in force, by
	// which places were taken that still count; default: none.
	Others func() []func(parts ...[]byte) [32]byte
}

// Table counts in the key database. Make it with [Open]; its methods may be called
// concurrently.
type Table struct {
	db   *keysdb.DB
	mac  func(parts ...[]byte) [32]byte
	also func() []func(parts ...[]byte) [32]byte
	now  func() time.Time
	slog *slog.Logger
	seen *lru.Cache[digest, struct{}] // people who were counted

	mu            sync.Mutex
	day           int64
	organisations map[domain.Organisation]*organisation
	totals        map[string]*Totals
	minute        int64 // of the calls
	calls         map[string]*calls
	budgets       map[budgetKey]*BudgetTotals

	amounts amounts
}

type digest [16]byte

// organisation holds what this process knows of the counts of one organisation.
type organisation struct {
	floored bool      // the floor was asked for
	floor   int       // people of today by the log, whatever the table says
	people  int       // of today by the table
	asked   time.Time // when the table was last read; zero: not yet
	posted  int       // people who are on their way into the table
	alarmed bool      // today

	minute   int64
	read     bool // the table was read in this minute
	refusals int  // of the minute by the table
	own      int  // that are not in it
	flushing bool // some of them are on their way
}

// Open returns the table in db. mac is an HMAC-SHA256 under the deployment's request key.
func Open(ctx context.Context, db *keysdb.DB, mac func(parts ...[]byte) [32]byte, o Options) (*Table, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Others == nil {
		o.Others = func() []func(parts ...[]byte) [32]byte { return nil }
	}
	if err := Migrate(ctx, db); err != nil {
		return nil, err
	}
	seen, err := lru.New[digest, struct{}](maxSeen)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	remembered, err := lru.New[digest, *amount](maxAmounts)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return &Table{
		db: db, mac: mac, also: o.Others, now: o.Now, slog: o.Logger, seen: seen,
		organisations: make(map[domain.Organisation]*organisation), totals: make(map[string]*Totals),
		calls: make(map[string]*calls), budgets: make(map[budgetKey]*BudgetTotals),
		amounts: amounts{of: remembered},
	}, nil
}

// Naming is one naming of a person by an organisation.
type Naming struct {
	Organisation domain.Organisation
	Person       []byte // what tells the person from others; it is not stored
	// Also is by what else the person may have been counted that day, as somebody whom the
	// vault did not know yet; nil: by nothing else.
	Also  []byte
	Quota int // how many people the organisation may name in a day
	// Judge refuses one person more than the organisation may name in a day. today counts
	// those it named so far; already says whether the person is one of them.
	Judge     func(today int, already bool) error
	Operation string // of the contract, for the totals
	At        time.Time
	// Floor returns how many people the organisation has reached that day by the log, which
	// counts where the table has lost them. It is asked once a day; nil: not for this naming.
	Floor func(context.Context) (int, error)
}

// Count counts the person among those whom the organisation names that day in Belgium, or returns
// the refusal of Judge. Somebody who counts already is free. Far from the end of a large
// quota, and by a recent count, it does not wait for the database; else the person is counted
// durably when it returns. Other errors are those of keysdb.Do and of Floor.
func (t *Table) Count(ctx context.Context, n Naming) error {
	day := domain.BelgianDay(n.At)
	who := t.digest(day, n, n.Person)
	if t.seen.Contains(who) {
		return nil
	}
	also := who
	if n.Also != nil {
		also = t.digest(day, n, n.Also)
	}
	o, floor, err := t.organisationOn(ctx, day, n)
	if err != nil {
		return err
	}
	if t.admitAhead(o, n.Quota) {
		return t.post(day, who, also, n, o)
	}
	type answer struct {
		people  int
		refusal error
	}
	got, err := keysdb.Do(ctx, t.db, func(tx *keysdb.Tx) (a answer, err error) {
		a.people, a.refusal, err = count(tx, day, who, also, n, floor)
		return a, err
	})
	if err != nil {
		return fmt.Errorf("count who is named: %w", err)
	}
	t.learn(o, got.people)
	if got.refusal != nil {
		t.exhausted(n, o)
		return got.refusal
	}
	t.counted(who, n)
	return nil
}

// organisationOn returns what is known of an organisation on a day, and its floor, which it
// asks for the first time.
func (t *Table) organisationOn(ctx context.Context, day int64, n Naming) (*organisation, int, error) {
	t.mu.Lock()
	if day > t.day {
		t.day, t.organisations = day, make(map[domain.Organisation]*organisation)
	}
	o := t.known(n.Organisation)
	floor, floored := o.floor, o.floored
	t.mu.Unlock()
	if floored || n.Floor == nil {
		return o, floor, nil
	}
	floor, err := n.Floor(ctx)
	if err != nil {
		return nil, 0, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	o.floor, o.floored = max(o.floor, floor), true
	return o, o.floor, nil
}

// known returns the counts of an organisation, under the lock.
func (t *Table) known(name domain.Organisation) *organisation {
	o := t.organisations[name]
	if o == nil {
		o = new(organisation)
		t.organisations[name] = o
	}
	return o
}

// admitAhead takes a place for somebody who need not be waited for, and reports whether
// there is one: in the first half of the quota, by a recent count.
func (t *Table) admitAhead(o *organisation, quota int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if quota < ahead || o.posted >= quota/aheadShare || o.asked.IsZero() || t.now().Sub(o.asked) > recent || max(o.people, o.floor)+o.posted >= quota/2 {
		return false
	}
	o.posted++
	return true
}

// post counts somebody without waiting until it is durable.
func (t *Table) post(day int64, who, also digest, n Naming, o *organisation) error {
	var arrived sync.Once
	free := func() {
		arrived.Do(func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			o.posted--
		})
	}
	n.Judge = func(int, bool) error { return nil } // the place was taken
	err := t.db.Post(func(tx *keysdb.Tx) error {
		people, _, err := count(tx, day, who, also, n, 0)
		if err == nil {
			t.learn(o, people)
			free()
		}
		return err
	})
	if err != nil {
		free()
		return fmt.Errorf("count who is named: %w", err)
	}
	t.counted(who, n)
	return nil
}

// count counts somebody in a transaction, unless they are counted already or there is no
// place, and returns how many people the day has then.
func count(tx *keysdb.Tx, day int64, who, also digest, n Naming, floor int) (people int, refusal, err error) {
	var already int
	if err := tx.Row(`SELECT (SELECT count(*) FROM quota_people WHERE day = ? AND person IN (?, ?)),
			coalesce((SELECT people FROM quota_days WHERE day = ? AND organisation = ?), 0)`,
		[]any{day, who[:], also[:], day, string(n.Organisation)}, &already, &people); err != nil {
		return 0, nil, err
	}
	if refusal = n.Judge(max(people, floor), already > 0); refusal != nil || already > 0 {
		return people, refusal, nil
	}
	if _, err := tx.Exec(`INSERT INTO quota_people (day, person) VALUES (?, ?)`, day, who[:]); err != nil {
		return 0, nil, err
	}
	_, err = tx.Exec(`INSERT INTO quota_days (day, organisation, people) VALUES (?, ?, 1)
		ON CONFLICT (day, organisation) DO UPDATE SET people = quota_days.people + 1`, day, string(n.Organisation))
	return people + 1, nil, err
}

func (t *Table) learn(o *organisation, people int) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	o.people, o.asked = max(o.people, people), now
}

func (t *Table) counted(who digest, n Naming) {
	t.seen.Add(who, struct{}{})
	t.total(n.Operation, func(s *Totals) { s.People++ })
}

func (t *Table) digest(day int64, n Naming, person []byte) digest {
	sum := t.mac([]byte("quota/v1\x00"), binary.BigEndian.AppendUint64(nil, uint64(day)), []byte(n.Organisation), []byte{0}, person)
	return digest(sum[:16])
}

// exhausted counts a refusal for the quota, and tells the operator of the first of a day.
func (t *Table) exhausted(n Naming, o *organisation) {
	t.total(n.Operation, func(s *Totals) { s.Exhausted++ })
	t.mu.Lock()
	told := o.alarmed
	o.alarmed = true
	t.mu.Unlock()
	if !told {
		t.slog.Warn("an organisation has named as many people as it may today", slog.String("organisation", string(n.Organisation)), slog.Int("quota", n.Quota))
	}
}

// Refused counts a refusal of an organisation in its minute. It does not wait: a crash loses
// the refusals of some milliseconds.
func (t *Table) Refused(name domain.Organisation, at time.Time) {
	t.mu.Lock()
	o := t.minuteOf(name, at)
	o.own++
	post := !o.flushing
	o.flushing = true
	t.mu.Unlock()
	if post {
		t.flush(name, o)
	}
}

// minuteOf returns the counts of an organisation in the minute of a time, under the lock. A
// time before the newest minute counts in that one.
func (t *Table) minuteOf(name domain.Organisation, at time.Time) *organisation {
	o := t.known(name)
	if minute := at.Unix() / 60; minute > o.minute {
		o.minute, o.read, o.refusals, o.own = minute, false, 0, 0
	}
	return o
}

// flush adds the refusals of this process to the table and reads how many there are.
func (t *Table) flush(name domain.Organisation, o *organisation) {
	taken, subtracted, minute := -1, false, int64(0)
	err := t.db.Post(func(tx *keysdb.Tx) error {
		t.mu.Lock()
		if taken < 0 { // a batch that fails runs again
			taken, minute = o.own, o.minute
		}
		t.mu.Unlock()
		if _, err := tx.Exec(`INSERT INTO quota_minutes (minute, organisation, refusals) VALUES (?, ?, ?)
			ON CONFLICT (minute, organisation) DO UPDATE SET refusals = quota_minutes.refusals + excluded.refusals`, minute, string(name), taken); err != nil {
			return err
		}
		var refusals int
		if err := tx.Row(`SELECT refusals FROM quota_minutes WHERE minute = ? AND organisation = ?`, []any{minute, string(name)}, &refusals); err != nil {
			return err
		}
		t.mu.Lock()
		if minute == o.minute {
			o.refusals, o.read = max(o.refusals, refusals), true
			if !subtracted {
				o.own -= taken
			}
		}
		subtracted = true
		again := o.own > 0
		o.flushing = again
		t.mu.Unlock()
		if again {
			t.flush(name, o)
		}
		return nil
	})
	if err != nil { // they are counted with the next one
		t.mu.Lock()
		o.flushing = false
		t.mu.Unlock()
	}
}

// Refusals returns how often an organisation was refused in the minute of a time, by all
// processes as far as this one knows: it reads the table once a minute and whenever it
// writes to it.
func (t *Table) Refusals(ctx context.Context, name domain.Organisation, at time.Time) (int, error) {
	t.mu.Lock()
	o := t.minuteOf(name, at)
	n, read, minute := o.refusals+o.own, o.read, o.minute
	t.mu.Unlock()
	if read {
		return n, nil
	}
	s, err := t.db.Read(`SELECT coalesce((SELECT refusals FROM quota_minutes WHERE minute = ? AND organisation = ?), 0)`)
	if err != nil {
		return 0, fmt.Errorf("refusals of a minute: %w", err)
	}
	var refusals int
	if err := s.GetContext(ctx, &refusals, minute, string(name)); err != nil {
		return 0, fmt.Errorf("refusals of a minute: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if o.minute == minute {
		o.refusals, o.read = max(o.refusals, refusals), true
	}
	return refusals + o.own, nil
}

// Slowed counts a call that was not even judged, because its organisation was refused too
// often, and tells the operator of the first of a day.
func (t *Table) Slowed(name domain.Organisation, operation string) {
	t.total(operation, func(s *Totals) { s.Slowed++ })
	t.mu.Lock()
	o := t.known(name)
	told := o.alarmed
	o.alarmed = true
	t.mu.Unlock()
	if !told {
		t.slog.Warn("an organisation is refused so often that it is not answered for the rest of the minute", slog.String("organisation", string(name)))
	}
}

// Totals counts, since the process started, what happened to the calls of one operation.
type Totals struct {
	Operation string
	People    int // counted among those named today
	Exhausted int // refused for the day's quota
	Slowed    int // refused for too many refusals
}

// Totals returns the totals of each operation, in the order of their names.
func (t *Table) Totals() []Totals {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]Totals, 0, len(t.totals))
	for _, s := range t.totals {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b Totals) int { return strings.Compare(a.Operation, b.Operation) })
	return all
}

func (t *Table) total(operation string, add func(*Totals)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.totals[operation]
	if s == nil {
		s = &Totals{Operation: operation}
		t.totals[operation] = s
	}
	add(s)
}

// Purge deletes what days and minutes that are over have left, and the places that ended.
func (t *Table) Purge(ctx context.Context) error {
	now := t.now()
	minute, day := now.Unix()/60, domain.BelgianDay(now)
	for _, q := range []struct {
		delete string
		before int64
	}{
		{`DELETE FROM quota_people WHERE day < ? AND person IN (SELECT person FROM quota_people ORDER BY day LIMIT ?)`, day},
		{`DELETE FROM quota_days WHERE day < ? AND organisation IN (SELECT organisation FROM quota_days ORDER BY day LIMIT ?)`, day},
		{`DELETE FROM quota_amounts WHERE day < ? AND who IN (SELECT who FROM quota_amounts ORDER BY day LIMIT ?)`, day},
		{`DELETE FROM quota_minutes WHERE minute < ? AND organisation IN (SELECT organisation FROM quota_minutes ORDER BY minute LIMIT ?)`, minute - keptMinutes},
	} {
		for {
			n, err := keysdb.Do(ctx, t.db, func(tx *keysdb.Tx) (int64, error) { return tx.Exec(q.delete, q.before, purgeBatch) })
			if err != nil {
				return fmt.Errorf("purge quotas: %w", err)
			}
			if n == 0 {
				break
			}
		}
	}
	return t.endPlaces(ctx)
}

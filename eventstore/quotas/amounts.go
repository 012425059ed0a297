package quotas

import (
	"context"
	"fmt"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"coffre/domain"
	"coffre/eventstore/seal/keysdb"
)

const (
	// maxAmounts is how many callers and pairs of a day are remembered in memory. Those beyond
	// are read again from the table.
	maxAmounts = 1 << 16
	// lostAfter is how long a count may be on its way into the table before it counts as lost,
	// as on a full disk, and is sent again.
	lostAfter = time.Minute
)

// Amount is one more of something that callers leave day by day and that lasts, so that its
// number counts and nobody gives it back.
type Amount struct {
	Budget string // what is left; a word of the program
	// Operation is of the contract, for the totals.
	Operation string
	Caller    string // what tells the caller from others; it is not stored
	Person    []byte // what tells the person from others, known to the vault or not; it is not stored
	Bounds    Bounds // of a day in Belgium; those of Caller and Pair count
	Refusal   error  // answers a caller who may leave no more that day
	At        time.Time
}

// amount holds what this process knows of how much of a day was left under one digest.
type amount struct {
	mu       sync.Mutex
	read     bool  // the table was read
	all      int64 // in the table
	own      int64 // that are not in it
	flushing bool  // some of them are on their way
	since    time.Time
}

// amounts holds the amounts of the newest day.
type amounts struct {
	mu  sync.Mutex
	day int64
	of  *lru.Cache[digest, *amount]
}

// Add counts one more, and reports with the refusal that it would be one too many. It waits for
// no durable write: it reads the table when a process meets a caller or a pair for the first
// time that day, and adds to it soon after, at once for all that came meanwhile. A crash loses
// the counts of some milliseconds. takeBack uncounts it, for an act that left nothing. Other
// errors are those of the database.
func (t *Table) Add(ctx context.Context, a Amount) (takeBack func(), err error) {
	day := domain.BelgianDay(a.At)
	var counted []func()
	takeBack = func() {
		for _, back := range counted {
			back()
		}
	}
	for _, s := range []struct {
		kind  string
		about []byte
		bound Bound
	}{{"caller", nil, a.Bounds.Caller}, {"pair", a.Person, a.Bounds.Pair}} {
		if s.bound.Places == 0 {
			continue
		}
		sum := t.mac([]byte("amount/v1\x00"+s.kind+"\x00"+a.Budget+"\x00"), lengthOf([]byte(a.Caller)), []byte(a.Caller), s.about)
		who := digest(sum[:16])
		one, err := t.amountOf(ctx, day, who)
		if err != nil {
			takeBack()
			return nil, fmt.Errorf("count what is left: %w", err)
		}
		if !t.addOne(one, day, who, 1, s.bound.Places) {
			takeBack()
			t.countTaken(a.Budget, a.Operation, true)
			return nil, a.Refusal
		}
		counted = append(counted, func() { t.addOne(one, day, who, -1, 0) })
	}
	t.countTaken(a.Budget, a.Operation, false)
	return takeBack, nil
}

// amountOf returns what is known of a digest on a day, after reading the table when it is new.
func (t *Table) amountOf(ctx context.Context, day int64, who digest) (*amount, error) {
	t.amounts.mu.Lock()
	if day > t.amounts.day {
		t.amounts.day = day
		t.amounts.of.Purge()
	}
	one, known := t.amounts.of.Get(who)
	if !known {
		one = new(amount)
		t.amounts.of.Add(who, one)
	}
	t.amounts.mu.Unlock()
	one.mu.Lock()
	read := one.read
	one.mu.Unlock()
	if read {
		return one, nil
	}
	s, err := t.db.Read(`SELECT coalesce((SELECT n FROM quota_amounts WHERE day = ? AND who = ?), 0)`)
	if err != nil {
		return nil, err
	}
	var n int64
	if err := s.GetContext(ctx, &n, day, who[:]); err != nil {
		return nil, err
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	one.all, one.read = max(one.all, n), true
	return one, nil
}

// addOne adds to an amount in memory, if the bound has room, and soon after to the table.
func (t *Table) addOne(a *amount, day int64, who digest, n, bound int64) bool {
	a.mu.Lock()
	if n > 0 && a.all+a.own+n > bound {
		a.mu.Unlock()
		return false
	}
	a.own += n
	now := t.now()
	post := !a.flushing || now.Sub(a.since) > lostAfter
	if post {
		a.flushing, a.since = true, now
	}
	a.mu.Unlock()
	if post {
		t.flushAmount(a, day, who)
	}
	return true
}

// flushAmount adds what this process counted to the table and reads how much there is.
func (t *Table) flushAmount(a *amount, day int64, who digest) {
	var taken int64
	began, added := false, false
	err := t.db.Post(func(tx *keysdb.Tx) error {
		a.mu.Lock()
		if !began { // a batch that fails runs again
			taken, began = a.own, true
		}
		a.mu.Unlock()
		var all int64
		if err := tx.Row(`INSERT INTO quota_amounts (day, who, n) VALUES (?, ?, ?)
			ON CONFLICT (day, who) DO UPDATE SET n = quota_amounts.n + excluded.n RETURNING n`, []any{day, who[:], taken}, &all); err != nil {
			return err
		}
		a.mu.Lock()
		a.all = all
		if !added {
			a.own -= taken
		}
		added = true
		again := a.own != 0
		a.flushing = again
		a.mu.Unlock()
		if again {
			t.flushAmount(a, day, who)
		}
		return nil
	})
	if err != nil { // it is counted with the next one
		a.mu.Lock()
		a.flushing = false
		a.mu.Unlock()
	}
}

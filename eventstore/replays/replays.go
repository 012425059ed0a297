// Package replays remembers, for all processes on one key database, which proofs of
// possession (DPoP, RFC 9449) were used, so that each is accepted once.
//
// A row holds a keyed digest of the key that signed a proof and of the proof's id: it names
// nobody, and is deleted once the proof is too old to be accepted anyway.
//
// Invariant: of all processes that are shown one proof, one is told that it is the first, and
// a proof whose use is not on the medium was not accepted. What cannot be remembered is not
// accepted either: the memory is bounded, and does not make room by forgetting.
package replays

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// Limits on what one process has remembered at a time.
const (
	// Window is the longest time until which a proof is remembered.
	Window = 3 * time.Minute
	// MaxProofs bounds the proofs of all holders in a window: some 30 MB of the database.
	MaxProofs = 1 << 18
	// MaxOfHolder bounds those of one key, some 360 a second.
	MaxOfHolder = 1 << 16

	slot       = time.Minute
	slots      = int64(Window/slot) + 1
	purgeEvery = 30 * time.Second
	purgeBatch = 5000 // rows deleted in one transaction
)

// Errors of Table.Use.
var (
	// ErrFull reports that so many proofs were used that no more can be remembered now.
	ErrFull = errors.New("more proofs of possession were used than can be remembered")
	// ErrWindow reports a proof that would have to be remembered for too long.
	ErrWindow = errors.New("a proof of possession is to be remembered for longer than the window")
)

var migrations = []string{`
CREATE TABLE used_proofs (
	proof BLOB    NOT NULL PRIMARY KEY, -- HMAC of the holder's key and the proof's id
	until INTEGER NOT NULL              -- seconds since 1970
) STRICT;
CREATE INDEX used_proofs_until ON used_proofs (until);
`}

// Migrate makes the table in db, or brings it up to date, and puts nothing into it.
func Migrate(ctx context.Context, db *keysdb.DB) error { return db.Migrate(ctx, "replays", migrations) }

// Options of a Table. All fields may be zero.
type Options struct {
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // told, once a minute at most, that the memory is full; default: nobody
	// Others are the MACs under other versions of the request key than the one in force, by
	// which a proof may be remembered; default: none.
	Others func() []func(parts ...[]byte) [32]byte
	// MaxProofs and MaxOfHolder default to the constants.
	MaxProofs, MaxOfHolder int
}

// Table remembers proofs in the key database. Make it with [Open]; its methods may be called
// concurrently.
type Table struct {
	db  *keysdb.DB
	mac func(parts ...[]byte) [sha256.Size]byte
	o   Options

	mu     sync.Mutex
	counts map[int64]*count // by slot
	purged time.Time
	told   int64 // the last slot in which the operator was told
}

// count holds how many proofs this process remembered in one slot of time.
type count struct {
	all     int
	holders map[string]int
}

// Open returns the table in db. mac is an HMAC-SHA256 under the deployment's request key.
func Open(ctx context.Context, db *keysdb.DB, mac func(parts ...[]byte) [sha256.Size]byte, o Options) (*Table, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxProofs == 0 {
		o.MaxProofs = MaxProofs
	}
	if o.MaxOfHolder == 0 {
		o.MaxOfHolder = MaxOfHolder
	}
	if o.Others == nil {
		o.Others = func() []func(parts ...[]byte) [32]byte { return nil }
	}
	if err := Migrate(ctx, db); err != nil {
		return nil, err
	}
	return &Table{db: db, mac: mac, o: o, counts: make(map[int64]*count)}, nil
}

// Proof is a proof of possession.
type Proof struct {
	Holder []byte // the thumbprint of the key that signed it
	ID     []byte // what tells it from the holder's others
	Until  time.Time
	// Class is that of the request it came with. One of eventstore.Reserved has room where
	// others have none, so that what must pass is not refused for a proof (rule C-6).
	Class eventstore.Class
}

// reservedShare is the part of the bounds that a proof of eventstore.Reserved may use beyond
// them.
const reservedShare = 8

// Use remembers a proof until its time, and reports whether this is its first use by any
// process. It returns when that is durable. Errors are ErrFull, ErrWindow and those of
// keysdb.Do.
func (t *Table) Use(ctx context.Context, p Proof) (first bool, err error) {
	now := t.o.Now()
	if p.Until.Sub(now) > Window {
		return false, ErrWindow
	}
	if !t.admit(ctx, string(p.Holder), p.Class, now) {
		return false, ErrFull
	}
	digest := func(mac func(parts ...[]byte) [sha256.Size]byte) []byte {
		sum := mac([]byte("dpop-proof/v1\x00"), p.Holder, []byte{0}, p.ID)
		return sum[:16]
	}
	sum := digest(t.mac)
	var others [][]byte
	for _, mac := range t.o.Others() {
		others = append(others, digest(mac))
	}
	added, err := keysdb.DoAs(ctx, t.db, p.Class, func(tx *keysdb.Tx) (int64, error) {
		for _, other := range others {
			var used int
			if err := tx.Row(`SELECT count(*) FROM used_proofs WHERE proof = ?`, []any{other}, &used); err != nil || used > 0 {
				return 0, err
			}
		}
		return tx.Exec(`INSERT INTO used_proofs (proof, until) VALUES (?, ?) ON CONFLICT (proof) DO NOTHING`, sum, p.Until.Unix())
	})
	if err != nil {
		return false, fmt.Errorf("remember a proof of possession: %w", err)
	}
	return added == 1, nil
}

// admit counts one more proof of a holder, unless there is no room, and now and then has the
// database forget what is over.
func (t *Table) admit(ctx context.Context, holder string, class eventstore.Class, now time.Time) bool {
	at := now.Unix() / int64(slot/time.Second)
	t.mu.Lock()
	defer t.mu.Unlock()
	all, own := 0, 0
	for s, c := range t.counts {
		if s <= at-slots || s > at+slots { // over, or of a clock that was set back
			delete(t.counts, s)
			continue
		}
		all, own = all+c.all, own+c.holders[holder]
	}
	maxAll, maxOwn := t.o.MaxProofs, t.o.MaxOfHolder
	if class == eventstore.Reserved {
		maxAll, maxOwn = maxAll+max(1, maxAll/reservedShare), maxOwn+max(1, maxOwn/reservedShare)
	}
	if all >= maxAll || own >= maxOwn {
		if t.told != at {
			t.told = at
			t.o.Logger.WarnContext(ctx, "more proofs of possession come than can be remembered; callers are told to come again", slog.Bool("fromOneKey", own >= maxOwn))
		}
		return false
	}
	c := t.counts[at]
	if c == nil {
		c = &count{holders: make(map[string]int)}
		t.counts[at] = c
	}
	c.all++
	c.holders[holder]++
	if now.Sub(t.purged).Abs() >= purgeEvery {
		t.purged = now
		t.purge(now.Unix())
	}
	return true
}

// purge deletes, without being waited for, what is over.
func (t *Table) purge(now int64) {
	_ = t.db.Post(func(tx *keysdb.Tx) error { // whoever comes next in half a minute tries again
		n, err := tx.Exec(`DELETE FROM used_proofs WHERE proof IN (SELECT proof FROM used_proofs WHERE until < ? LIMIT ?)`, now, purgeBatch)
		if err == nil && n == purgeBatch {
			t.purge(now)
		}
		return err
	})
}

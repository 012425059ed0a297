package seal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// MaxLease bounds [Config.Lease], and with it how long a key that another process has
// destroyed may still be used here.
const MaxLease = 30 * time.Second

// Config tunes a [Ring]. The zero value is right.
type Config struct {
	// Lease is how long keys in memory may be used without asking the database
	// whether they were destroyed: 1 s to MaxLease; 0 means MaxLease. An erasure waits
	// it out, so every process on one database must have the same.
	Lease time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Streams and Subjects bound the content keys (some 400 bytes each, 1 KiB once used to open) and the DEKs
	// (about 1.5 KiB each) in memory; 0 means 32,768 and 16,384.
	Streams, Subjects int
	// Patience bounds one load of keys, whoever waits for it; 0 means 10 s.
	Patience time.Duration
}

func (c Config) withDefaults() (Config, error) {
	if c.Lease == 0 {
		c.Lease = MaxLease
	}
	if c.Lease < time.Second || c.Lease > MaxLease {
		return c, fmt.Errorf("seal: a lease of %v is not between 1 s and %v", c.Lease, MaxLease)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Streams == 0 {
		c.Streams = 32 << 10
	}
	if c.Subjects == 0 {
		c.Subjects = 16 << 10
	}
	if c.Patience == 0 {
		c.Patience = 10 * time.Second
	}
	return c, nil
}

// Errors of the ring, beside eventstore.ErrErased, ErrKeysUnavailable and the
// refusal [ErrCitizenErased].
var (
	// ErrUnknown: no such citizen, reference or stream.
	ErrUnknown = errors.New("seal: no such citizen, reference or stream")
	// ErrNotErasing: a citizen's keys are destroyed only after BeginErase.
	ErrNotErasing = errors.New("seal: the citizen is not being erased")
	// ErrOtherCitizen: the stream is sealed under another citizen's key.
	ErrOtherCitizen = errors.New("seal: the stream belongs to another citizen")
)

// Ring keeps the keys: wrapped in the database, unwrapped in memory under a lease.
// All methods may be called concurrently; all that need the database or the
// key-encryption key return an error that wraps eventstore.ErrKeysUnavailable when
// these cannot be reached.
type Ring struct {
	db  *keysdb.DB
	kek KEK
	cfg Config

	deployment map[string]DeploymentKey // by name, the latest version when the ring was opened
	fileKeys   atomic.Pointer[fileKeys]
	peppers    atomic.Pointer[peppers]
	peppering  sync.Mutex // held while peppers are read
	audit      atomic.Pointer[Audit]
	auditing   sync.Mutex                      // held while audit keys are read
	requests   atomic.Pointer[[]DeploymentKey] // versions of the request key, the latest first
	requesting sync.Mutex                      // held while they are read

	lease    lease
	gen      atomic.Uint64 // counts what was destroyed or forgotten; guards the caches
	seq      uint64        // of the last destruction applied; under lease.turn
	subjects *cache[domain.CitizenID, *subject]
	streams  *cache[eventstore.Stream, *contentKey]
	numbers  *cache[[32]byte, domain.CitizenID] // active citizens by blind index
	refs     *cache[refKey, domain.CitizenRef]

	leasing sync.Mutex
	leases  map[*KeyLease]struct{} // not yet released; under leasing

	keyReads atomic.Int64 // see KeyReads

	loadSubjects *loader[domain.CitizenID, *subject]
	loadStreams  *loader[eventstore.Stream, *contentKey]
	wraps        *loader[*WrapItem, Wrapped] // keys of one's own: this one only gathers

	destroyerTaken, rotatorTaken atomic.Bool

	stop   context.CancelFunc
	wg     sync.WaitGroup
	closed atomic.Bool
}

// OpenRing opens the ring in db, which stays the caller's to close, after the
// ring. On first start it makes the deployment's keys. It needs the key-encryption
// key at once. A database that a copy did not finish is refused (keysdb.ErrUnfinished).
func OpenRing(ctx context.Context, db *keysdb.DB, kek KEK, cfg Config) (*Ring, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if unfinished, err := db.Unfinished(ctx); err != nil {
		return nil, err
	} else if unfinished { // keys that a copy has not brought yet would be taken for unknown
		return nil, keysdb.ErrUnfinished
	}
	if err := Migrate(ctx, db); err != nil {
		return nil, err
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	r := &Ring{db: db, kek: kek, cfg: cfg, stop: stop, lease: lease{turn: make(chan struct{}, 1)}}
	r.subjects = newCache[domain.CitizenID](cfg.Subjects, (*subject).zero)
	r.streams = newCache[eventstore.Stream](cfg.Streams, func(*contentKey) {})
	r.numbers = newCache[[32]byte](cfg.Subjects, func(domain.CitizenID) {})
	r.refs = newCache[refKey](cfg.Subjects, func(domain.CitizenRef) {})
	r.loadSubjects = newLoader(background, r.readSubjects)
	r.loadStreams = newLoader(background, r.readStreams)
	r.wraps = newLoader(background, r.wrapBatch)
	if err := r.openDeploymentKeys(ctx); err != nil {
		stop()
		return nil, err
	}
	if err := r.noteRestores(ctx); err != nil {
		stop()
		return nil, err
	}
	if err := r.readPeppers(ctx); err != nil {
		stop()
		return nil, err
	}
	if err := r.renew(ctx); err != nil {
		stop()
		return nil, err
	}
	r.wg.Go(func() { r.keepLease(background) })
	return r, nil
}

// Close forgets every key. Later calls fail.
func (r *Ring) Close() error {
	r.stop()
	r.wg.Wait()
	r.lease.turn <- struct{}{} // whoever is renewing has ended
	r.closed.Store(true)
	r.lease.granted.Store(nil)
	<-r.lease.turn
	r.forgetAll()
	r.endLeasesIf(eventstore.ErrKeysUnavailable, func(*KeyLease) bool { return true })
	return nil
}

// KeyReads counts the queries for content keys that were not in memory, since the ring was
// opened. Many of them say that the caches are small for what is read.
func (r *Ring) KeyReads() int64 { return r.keyReads.Load() }

// Lease is how long after BeginErase another process may still use a key.
func (r *Ring) Lease() time.Duration { return r.cfg.Lease }

// unavailable marks an error of the database or the keeper, unless it is the
// caller's own context that ended.
func unavailable(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w: %w", doing, eventstore.ErrKeysUnavailable, err)
}

// row scans the first row of a read-only query; found is false when there is none.
func (r *Ring) row(ctx context.Context, query string, args []any, dest ...any) (found bool, err error) {
	s, err := r.db.Read(query)
	if err != nil {
		return false, err
	}
	switch err := s.QueryRowxContext(ctx, args...).Scan(dest...); {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, nil
}

// rows calls each for every row of a read-only query.
func (r *Ring) rows(ctx context.Context, query string, args []any, each func(scan func(...any) error) error) error {
	return r.db.EachRow(ctx, query, args, each)
}

// patient bounds a load that nobody's context bounds.
func (r *Ring) patient(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, r.cfg.Patience)
}

// wrapBatch wraps keys of several callers in one call, and overwrites them.
func (r *Ring) wrapBatch(ctx context.Context, items []*WrapItem) []loaded[Wrapped] {
	out := make([]loaded[Wrapped], len(items))
	batch := make([]WrapItem, len(items))
	for i, item := range items {
		batch[i] = *item
	}
	ctx, cancel := r.patient(ctx)
	defer cancel()
	wrapped, err := r.kek.Wrap(ctx, batch)
	for i := range out {
		clear(items[i].Plain)
		switch {
		case err != nil:
			out[i].err = keeperError(err)
		case wrapped[i].Err != nil:
			out[i].err = keeperError(wrapped[i].Err)
		default:
			out[i].value = wrapped[i]
		}
	}
	return out
}

// keeperError says that the key-encryption key did not do what was asked, whoever
// is to blame: nothing may be stored or read.
func keeperError(err error) error {
	return fmt.Errorf("key-encryption key: %w: %w", eventstore.ErrKeysUnavailable, err)
}

// now in microseconds since 1970, as the database keeps times.
func (r *Ring) micros() int64 { return r.cfg.Now().UnixMicro() }

// unmoved reports, when asked, whether nothing was forgotten since gen.
func (r *Ring) unmoved(gen uint64) func() bool {
	return func() bool { return r.gen.Load() == gen }
}

// joinedIn is [keysdb.DB.Joined] with a list of parameters after the query, behind those that
// the query has itself; it tells each of damage and goes on. The list is filled up to one of few lengths with its last
// element, so that few statements are prepared.
func (r *Ring) joinedIn(ctx context.Context, query string, before, list []any, tables []*keysdb.Table, each func(rows []*keysdb.Entry, damage error) error) error {
	for _, length := range []int{1, 10, 100, MaxBatch} {
		if len(list) > length {
			continue
		}
		for len(list) < length {
			list = append(list, list[len(list)-1])
		}
		return r.db.EachJoined(ctx, query+"("+strings.Repeat("?,", length-1)+"?)", append(before, list...), tables, each)
	}
	return fmt.Errorf("%d parameters: %w", len(list), ErrBatch)
}

func (r *Ring) scrub(ctx context.Context) error {
	if err := r.db.Scrub(ctx); err != nil {
		return unavailable(ctx, "remove destroyed keys from the write-ahead log", err)
	}
	return nil
}

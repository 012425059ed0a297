package seal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// An erasure goes: erasure-started in the log → BeginErase → wait out Lease →
// fold again → DestroySubject → key-destroyed in the log. Each step here may be
// repeated, and whoever dies between two goes on with the next; none needs the
// key-encryption key, so the destroyer need not be able to decrypt (rule E-2).

// Destroyer destroys keys, which cannot be undone: those of citizens and those of
// streams. A ring has one, which the wiring takes ([Ring.TakeDestroyer]) and gives to
// the work that erases; nothing else of the program can destroy a key of a citizen.
// All methods may be called concurrently.
type Destroyer struct{ ring *Ring }

// ErrTaken: the authority over a ring was given out already.
var ErrTaken = errors.New("seal: this authority over the ring was taken already")

// TakeDestroyer returns the ring's destroyer the first time, and ErrTaken after that.
func (r *Ring) TakeDestroyer() (*Destroyer, error) {
	if r.destroyerTaken.Swap(true) {
		return nil, fmt.Errorf("destroyer: %w", ErrTaken)
	}
	return &Destroyer{r}, nil
}

// BeginErase ends every use of the citizen's keys, durably: in this process before
// it returns, elsewhere within [Ring.Lease]. It waits for the answers under way whose
// [KeyLease] that ends. Nothing is destroyed yet. It returns ErrUnknown for a citizen
// who is not in the ring, nil when it was begun or done before; after an error of ctx it
// is begun, and is to be called again.
func (d *Destroyer) BeginErase(ctx context.Context, citizen domain.CitizenID) error {
	now := d.ring.micros()
	known, err := keysdb.Do(ctx, d.ring.db, func(tx *keysdb.Tx) (bool, error) {
		st, err := stateOf(tx, citizen)
		if err != nil || !st.usable() {
			return st != 0, err
		}
		if _, err := tx.Exec(`UPDATE subjects SET state = ? WHERE citizen = ?`, erasing, citizen.UUID[:]); err != nil {
			return false, err
		}
		return true, announce(tx, now, citizen.UUID[:], nil)
	})
	if err != nil {
		return unavailable(ctx, "begin erasure", err)
	}
	if !known {
		return ErrUnknown
	}
	return d.ring.endUse(ctx, []domain.CitizenID{citizen}, nil)
}

// announcements older than this are dropped: a process that has not renewed its
// lease for so long forgets everything when it does.
const announcementLife = 24 * time.Hour

// dataKeyReplaced stands for the stream in the announcement that a citizen's data key was
// replaced: what was opened with their content keys may still be used.
const dataKeyReplaced = ""

// announce tells all processes that a citizen's or a stream's key is used no more.
func announce(tx *keysdb.Tx, now int64, citizen []byte, stream any) error {
	var seq int64
	if err := tx.Row(`UPDATE destruction_clock SET seq = seq + 1 WHERE id = 1 RETURNING seq`, nil, &seq); err != nil {
		return err
	}
	var subject any // a nil []byte would be stored as an empty one
	if citizen != nil {
		subject = citizen
	}
	if _, err := tx.Exec(`INSERT INTO destructions (seq, citizen, stream, at) VALUES (?, ?, ?, ?)`, seq, subject, stream, now); err != nil {
		return err
	}
	if seq%1000 != 0 { // tidied once in a while: the scan is long after a night of retention
		return nil
	}
	_, err := tx.Exec(`DELETE FROM destructions WHERE seq < ? AND at < ?`, seq, now-announcementLife.Microseconds())
	return err
}

// DestroySubject destroys the citizen's DEK, the content keys of all their
// streams, their numbers and references, and puts the suppression in place, in one
// transaction; then it removes what is left of them in the write-ahead log. An
// error after the first of these (somebody still reads an older state) leaves the
// keys destroyed and is mended by calling again. It returns ErrNotErasing unless
// BeginErase came before, ErrUnknown, or nil when it was done before.
func (d *Destroyer) DestroySubject(ctx context.Context, citizen domain.CitizenID, s Suppression) error {
	now := d.ring.micros()
	before, err := keysdb.Do(ctx, d.ring.db, func(tx *keysdb.Tx) (state, error) {
		st, err := stateOf(tx, citizen)
		if err != nil || st != erasing {
			return st, err
		}
		return st, destroySubject(tx, now, 0, citizen, s)
	})
	switch {
	case err != nil:
		return unavailable(ctx, "destroy keys", err)
	case before == 0:
		return ErrUnknown
	case before.usable():
		return ErrNotErasing
	}
	return errors.Join(d.ring.endUse(ctx, []domain.CitizenID{citizen}, nil), d.ring.scrub(ctx))
}

// destroySubject overwrites each key where it lies before it empties the row.
// What was destroyed counts as wrapped by version floor at least.
func destroySubject(tx *keysdb.Tx, now int64, floor int, citizen domain.CitizenID, s Suppression) error {
	id := citizen.UUID[:]
	var suppressions []struct {
		SSIN []byte `db:"suppression"`
	}
	if err := tx.Select(&suppressions, `SELECT suppression FROM subject_ssins WHERE citizen = ?`, id); err != nil {
		return err
	}
	for _, number := range suppressions {
		if _, err := tx.Exec(`INSERT INTO suppressions (ssin, until, basis) VALUES (?, ?, ?) ON CONFLICT (ssin) DO UPDATE SET until = excluded.until, basis = excluded.basis`,
			number.SSIN, s.until(), string(s.Basis)); err != nil {
			return err
		}
	}
	var wrapped []byte
	var version int
	if err := tx.Row(`SELECT wrapped, kek_version FROM subjects WHERE citizen = ?`, []any{id}, &wrapped, &version); err != nil {
		return err
	}
	floor, err := wrappedBy(tx, max(floor, version))
	if err != nil {
		return err
	}
	if err := concealStreams(tx, now, floor, id); err != nil { // they go with the data key
		return err
	}
	if _, err := doomFiles(tx, now, `state IN (3, 4) AND stream IN (SELECT stream FROM stream_keys WHERE citizen = ?)`, id); err != nil {
		return err
	}
	for _, step := range []struct {
		query string
		args  []any
	}{
		{`UPDATE subjects SET wrapped = ? WHERE citizen = ?`, []any{make([]byte, len(wrapped)), id}},
		{`UPDATE subjects SET wrapped = NULL, destroyed_version = ?, kek_version = 0, destroyed = ?, state = ? WHERE citizen = ?`,
			[]any{floor, now, destroyed, id}},
		{`UPDATE stream_keys SET wrapped = ? WHERE citizen = ? AND state = ?`, []any{make([]byte, wrappedContentKey), id, keyLive}},
		{`UPDATE stream_keys SET wrapped = NULL, state = ? WHERE citizen = ?`, []any{keyDestroyed, id}},
		{`UPDATE index_keys SET wrapped = ? WHERE citizen = ?`, []any{make([]byte, wrappedIndexKeys), id}},
		{`DELETE FROM index_keys WHERE citizen = ?`, []any{id}},
		{`DELETE FROM citizen_refs WHERE citizen = ?`, []any{id}},
		{`DELETE FROM subject_ssins WHERE citizen = ?`, []any{id}},
	} {
		if _, err := tx.Exec(step.query, step.args...); err != nil {
			return err
		}
	}
	return announce(tx, now, id, nil)
}

// wrappedContentKey and wrappedIndexKeys are nonce, keys and tag: every row overwritten
// keeps its length.
const (
	wrappedContentKey = 12 + keySize + 16
	wrappedIndexKeys  = 12 + 3*keySize + 16
)

// DestroyStreamKeys destroys the content keys of streams (retention,
// rectification), as DestroySubject does, and ends their use as BeginErase does:
// elsewhere they may be used until the lease ends. In old copies they lie under the data
// key of their citizen: [Destroyer.ReplaceDataKey] comes next. It returns ErrUnknown, and
// destroys none, when one of them has no key.
func (d *Destroyer) DestroyStreamKeys(ctx context.Context, streams ...eventstore.Stream) error {
	now := d.ring.micros()
	known, err := keysdb.Do(ctx, d.ring.db, func(tx *keysdb.Tx) (bool, error) {
		for _, stream := range streams {
			var st int
			err := tx.Row(`SELECT state FROM stream_keys WHERE stream = ?`, []any{string(stream)}, &st)
			if errors.Is(err, sql.ErrNoRows) {
				return false, nil
			} else if err != nil {
				return false, err
			}
		}
		for _, stream := range streams {
			if err := destroyStream(tx, now, 0, stream); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	if err != nil {
		return unavailable(ctx, "destroy content keys", err)
	}
	if !known {
		return ErrUnknown
	}
	return errors.Join(d.ring.endUse(ctx, nil, streams), d.ring.scrub(ctx))
}

func destroyStream(tx *keysdb.Tx, now int64, floor int, stream eventstore.Stream) error {
	if _, err := tx.Exec(`UPDATE stream_keys SET wrapped = ? WHERE stream = ? AND state = ?`, make([]byte, wrappedContentKey), string(stream), keyLive); err != nil {
		return err
	}
	// A content key is under the citizen's key, and that one under the key-encryption key.
	var version int
	err := tx.Row(`SELECT s.kek_version + s.destroyed_version FROM stream_keys k JOIN subjects s ON s.citizen = k.citizen WHERE k.stream = ?`, []any{string(stream)}, &version)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	n, err := tx.Exec(`UPDATE stream_keys SET wrapped = NULL, state = ?, destroyed = ?, destroyed_version = ? WHERE stream = ? AND state = ?`,
		keyDestroyed, now, max(floor, version), string(stream), keyLive)
	if err != nil || n == 0 {
		return err
	}
	if _, err := doomFiles(tx, now, `state IN (3, 4) AND stream = ?`, string(stream)); err != nil {
		return err
	}
	if _, err := tx.Exec(`INSERT INTO exposed_streams (stream, citizen) SELECT k.stream, k.citizen FROM stream_keys k
		JOIN subjects s ON s.citizen = k.citizen WHERE k.stream = ? AND s.state <> ? ON CONFLICT (stream) DO NOTHING`, string(stream), destroyed); err != nil {
		return err
	}
	return announce(tx, now, nil, string(stream))
}

// concealStreams records of a citizen's streams that are noted as exposed that the data key
// they lay under is gone, which the given version of the key-encryption key wrapped last.
func concealStreams(tx *keysdb.Tx, now int64, version int, citizen []byte) error {
	if _, err := tx.Exec(`UPDATE stream_keys SET destroyed = ?, destroyed_version = CASE WHEN destroyed_version > ? THEN destroyed_version ELSE ? END
		WHERE stream IN (SELECT stream FROM exposed_streams WHERE citizen = ?)`, now, version, version, citizen); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM exposed_streams WHERE citizen = ?`, citizen)
	return err
}

// wrappedBy returns the latest version of the key-encryption key that old copies may need
// to open what is destroyed now: version, or a later one that already wraps the deployment
// key under which the keys of files lay.
func wrappedBy(tx *keysdb.Tx, version int) (int, error) {
	var files int
	err := tx.Row(`SELECT coalesce(max(kek_version), 0) FROM deployment_keys WHERE name = ?`, []any{attachmentKey}, &files)
	return max(version, files), err
}

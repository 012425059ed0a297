package seal

import (
	"context"
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
		if _, err := tx.Update(subjects, `citizen = ?`, []any{citizen.UUID[:]}, func(e *keysdb.Entry) { e.Set("state", erasing) }); err != nil {
			return false, err
		}
		return true, d.ring.announce(tx, now, citizen.UUID[:], nil)
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

// announce tells all processes that a citizen's or a stream's key is used no more. A
// restored ring has no other process.
func (r *Ring) announce(tx *keysdb.Tx, now int64, citizen []byte, stream any) error {
	if r.keyless() {
		return nil
	}
	clock, err := tx.Entry(destructionClock, `id = 1`)
	switch {
	case err != nil:
		return err
	case clock == nil:
		return tx.Missing(destructionClock)
	}
	seq := clock.Int("seq") + 1
	clock.Set("seq", seq)
	if err := tx.Put(clock); err != nil {
		return err
	}
	var subject any // a nil []byte would be stored as an empty one
	if citizen != nil {
		subject = citizen
	}
	if err := tx.Insert(destructions, seq, subject, stream, now); err != nil {
		return err
	}
	if seq%1000 != 0 { // tidied once in a while: the scan is long after a night of retention
		return nil
	}
	_, err = tx.Delete(destructions, `seq < ? AND at < ?`, seq, now-announcementLife.Microseconds())
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
	before, err := upToDate(ctx, d.ring, func() (state, error) {
		return keysdb.Do(ctx, d.ring.db, func(tx *keysdb.Tx) (state, error) {
			st, err := stateOf(tx, citizen)
			if err != nil || st != erasing {
				return st, err
			}
			return st, d.ring.destroySubject(tx, destroying{at: now}, citizen, s)
		})
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

// upToDate runs a change again, as often as it found that this process is behind a rotation.
func upToDate[T any](ctx context.Context, r *Ring, change func() (T, error)) (T, error) {
	for attempt := 0; ; attempt++ {
		result, err := change()
		if !errors.Is(err, errStale) {
			return result, err
		}
		if err := r.catchUp(ctx, attempt); err != nil {
			return result, err
		}
	}
}

// destroying is how keys are destroyed.
type destroying struct {
	at    int64
	floor int // what was destroyed counts as wrapped by this version at least
	// again: the log or the shred list says that it was destroyed, so a damaged row is
	// destroyed as well, whatever it says.
	again bool
	// passing has damaged rows passed over, where nobody asked for one of them.
	passing bool
}

// rows returns the rows of a table under a condition that are to be destroyed.
func (d destroying) rows(tx *keysdb.Tx, t *keysdb.Table, where string, args ...any) (all []*keysdb.Entry, err error) {
	if d.again {
		return tx.Unverified(t, where, args...)
	}
	err = tx.Each(t, where, args, func(e *keysdb.Entry, damage error) error {
		if damage == nil {
			all = append(all, e)
		} else if !d.passing {
			return damage
		}
		return nil
	})
	return all, err
}

// destroySubject overwrites each key where it lies before it empties the row. Without the
// deployment's keys, as in a restored ring, no row can get a MAC: keys are overwritten and
// the rows are left damaged, and numbers, references and the list of destructions stay.
// Whoever has the keys destroys again what the shred list names, before anything is served.
func (r *Ring) destroySubject(tx *keysdb.Tx, d destroying, citizen domain.CitizenID, s Suppression) error {
	id := citizen.UUID[:]
	all, err := d.rows(tx, subjects, `citizen = ?`, id)
	if err != nil {
		return err
	}
	version := d.floor
	for _, e := range all {
		version = max(version, int(e.Int("kek_version")))
	}
	if version, err = wrappedBy(tx, version); err != nil {
		return err
	}
	if !r.keyless() {
		if err := d.concealStreams(tx, version, id); err != nil { // they go with the data key
			return err
		}
	}
	if _, err := r.doomFiles(tx, d, `state IN (3, 4) AND stream IN (SELECT stream FROM stream_keys WHERE citizen = ?)`, id); err != nil {
		return err
	}
	if !r.keyless() {
		if err := r.forgetNumbers(tx, d, id, s); err != nil {
			return err
		}
	}
	for _, e := range all {
		if err := empty(tx, e, func() {
			e.Set("destroyed_version", version)
			e.Set("kek_version", 0)
			e.Set("destroyed", d.at)
			e.Set("state", destroyed)
		}); err != nil {
			return err
		}
	}
	if all, err = d.rows(tx, indexKeys, `citizen = ?`, id); err != nil {
		return err
	}
	for _, e := range all {
		e.Set("wrapped", make([]byte, len(e.Bytes("wrapped"))))
		if err := tx.Put(e); err != nil {
			return err
		}
		if r.keyless() { // overwritten, and for whoever has the keys to remove
			continue
		}
		if err := tx.Remove(e); err != nil {
			return err
		}
	}
	if all, err = d.rows(tx, streamKeys, `citizen = ?`, id); err != nil {
		return err
	}
	for _, e := range all {
		if err := empty(tx, e, func() { e.Set("state", keyDestroyed) }); err != nil {
			return err
		}
	}
	return r.announce(tx, d.at, id, nil)
}

// keyless reports whether this ring has none of the deployment's keys.
func (r *Ring) keyless() bool { return r.deployment == nil }

// forgetNumbers turns the citizen's numbers into suppressions and removes them and the
// references. A damaged number stays: it finds somebody who is destroyed, and is named
// until its row is brought back.
func (r *Ring) forgetNumbers(tx *keysdb.Tx, d destroying, citizen []byte, s Suppression) error {
	all, err := d.rows(tx, numbers, `citizen = ?`, citizen)
	if err != nil {
		return err
	}
	latest := map[int64]int64{} // the pepper under which each number was indexed last
	for _, number := range all {
		if tx.Whole(number) {
			latest[number.Int("ordinal")] = max(latest[number.Int("ordinal")], number.Int("pepper_version"))
		}
	}
	for _, number := range all {
		if !tx.Whole(number) {
			continue
		}
		if number.Int("pepper_version") == latest[number.Int("ordinal")] { // remembered once
			if err := r.suppress(tx, number, s, d.at); err != nil {
				return err
			}
		}
		if err := tx.Remove(number); err != nil {
			return err
		}
	}
	if all, err = d.rows(tx, references, `citizen = ?`, citizen); err != nil {
		return err
	}
	for _, ref := range all {
		if err := tx.Remove(ref); err != nil {
			return err
		}
	}
	return nil
}

// empty overwrites the wrapped key of a row where it lies, and then removes it with what
// else changes.
func empty(tx *keysdb.Tx, e *keysdb.Entry, change func()) error {
	if wrapped := e.Bytes("wrapped"); len(wrapped) > 0 {
		e.Set("wrapped", make([]byte, len(wrapped)))
		if err := tx.Put(e); err != nil {
			return err
		}
	}
	e.Set("wrapped", nil)
	change()
	return tx.Put(e)
}

// DestroyStreamKeys destroys the content keys of streams (retention,
// rectification), as DestroySubject does, and ends their use as BeginErase does:
// elsewhere they may be used until the lease ends. In old copies they lie under the data
// key of their citizen: [Destroyer.ReplaceDataKey] comes next. It returns ErrUnknown, and
// destroys none, when one of them has no key.
func (d *Destroyer) DestroyStreamKeys(ctx context.Context, streams ...eventstore.Stream) error {
	now := d.ring.micros()
	known, err := keysdb.Do(ctx, d.ring.db, func(tx *keysdb.Tx) (bool, error) {
		for _, stream := range streams {
			e, err := tx.Entry(streamKeys, `stream = ?`, string(stream))
			if err != nil || e == nil {
				return false, err
			}
		}
		for _, stream := range streams {
			if err := d.ring.destroyStream(tx, destroying{at: now}, stream); err != nil {
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

func (r *Ring) destroyStream(tx *keysdb.Tx, d destroying, stream eventstore.Stream) error {
	all, err := d.rows(tx, streamKeys, `stream = ?`, string(stream))
	if err != nil {
		return err
	}
	for _, e := range all {
		if e.Int("state") == keyDestroyed && tx.Whole(e) {
			continue
		}
		// A content key is under the citizen's key, and that one under the key-encryption key.
		owners, err := d.rows(tx, subjects, `citizen = ?`, e.Bytes("citizen"))
		if err != nil {
			return err
		}
		version, lives := d.floor, false
		for _, owner := range owners {
			version = max(version, int(owner.Int("kek_version")+owner.Int("destroyed_version")))
			lives = lives || stateOfEntry(owner) != destroyed
		}
		if err := empty(tx, e, func() {
			e.Set("state", keyDestroyed)
			e.Set("destroyed", d.at)
			e.Set("destroyed_version", version)
		}); err != nil {
			return err
		}
		if _, err := r.doomFiles(tx, d, `state IN (3, 4) AND stream = ?`, string(stream)); err != nil {
			return err
		}
		if lives && !r.keyless() {
			if _, err := tx.InsertNew(exposedStreams, string(stream), e.Bytes("citizen")); err != nil {
				return err
			}
		}
		if err := r.announce(tx, d.at, nil, string(stream)); err != nil {
			return err
		}
	}
	return nil
}

// concealStreams records of a citizen's streams that are noted as exposed that the data key
// they lay under is gone, which the given version of the key-encryption key wrapped last.
func (d destroying) concealStreams(tx *keysdb.Tx, version int, citizen []byte) error {
	noted, err := d.rows(tx, exposedStreams, `citizen = ?`, citizen)
	if err != nil {
		return err
	}
	for _, note := range noted {
		all, err := d.rows(tx, streamKeys, `stream = ?`, note.Text("stream"))
		if err != nil {
			return err
		}
		for _, e := range all {
			e.Set("destroyed", d.at)
			e.Set("destroyed_version", max(version, int(e.Int("destroyed_version"))))
			if err := tx.Put(e); err != nil {
				return err
			}
		}
		if err := tx.Remove(note); err != nil {
			return err
		}
	}
	return nil
}

// wrappedBy returns the latest version of the key-encryption key that old copies may need
// to open what is destroyed now: version, or a later one that already wraps the deployment
// key under which the keys of files lay.
func wrappedBy(tx *keysdb.Tx, version int) (int, error) {
	var files int
	err := tx.Row(`SELECT coalesce(max(kek_version), 0) FROM deployment_keys WHERE name = ?`, []any{attachmentKey}, &files)
	return max(version, files), err
}

package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// A content key that was destroyed lies in old copies of the ring, in replicas and in
// write-ahead logs, wrapped under the data key of its citizen, which lives on. So the
// citizen gets another data key:
//
//	Destroyer.DestroyStreamKeys  the content key is overwritten, its stream noted as exposed
//	Destroyer.ReplaceDataKey     the content keys that are left are wrapped again, the data
//	                             key is replaced and the note removed, in one transaction
//
// From then on the destroyed content key opens with the former data key only, which lies in
// old copies, wrapped by versions of the key-encryption key that a trim destroys. Document
// ids, content tags and sealed numbers stay: their keys, which the first data key gave, are
// wrapped under each later one, and open no content key.
//
// A process that still has the former data key in memory can read what it read before, and
// cannot store a content key under it: the transaction that stores one asks for its number.

// ReplaceDataKey gives the citizen another data key if the content key of one of their
// streams was destroyed under the present one, durably. Elsewhere the former one is in
// memory until the lease ends. It may be repeated, and does nothing when there is nothing
// to do. It returns ErrUnknown for a citizen who is not in the ring, and an error that wraps
// ErrRefused, with everything as it was, when a key of theirs does not open: it could not
// be opened after it was restored from a copy, either.
func (d *Destroyer) ReplaceDataKey(ctx context.Context, citizen domain.CitizenID) error {
	if err := d.replaceDataKey(ctx, citizen); err != nil {
		return err
	}
	return d.ring.scrub(ctx)
}

// ReplaceDataKeys does what ReplaceDataKey does for every citizen who is to get another data
// key: after a start that destroyed keys again, and after an older program that left it
// undone. One that fails does not hold up the others; the errors are joined.
func (d *Destroyer) ReplaceDataKeys(ctx context.Context) error {
	var failed error
	replaced := false
	for after := int64(0); ; {
		var citizens []domain.CitizenID
		err := d.ring.rows(ctx, `SELECT max(id), citizen FROM exposed_streams GROUP BY citizen HAVING max(id) > ? ORDER BY max(id) LIMIT ?`, []any{after, MaxBatch},
			func(scan func(...any) error) error {
				var id []byte
				if err := scan(&after, &id); err != nil {
					return err
				}
				citizen, err := citizenID(id)
				citizens = append(citizens, citizen)
				return err
			})
		if err != nil {
			return errors.Join(failed, unavailable(ctx, "replace data keys", err))
		}
		if len(citizens) == 0 {
			break
		}
		for _, citizen := range citizens {
			if err := d.replaceDataKey(ctx, citizen); err != nil {
				failed = errors.Join(failed, err)
				if ctx.Err() != nil {
					return failed
				}
				continue
			}
			replaced = true
		}
	}
	if !replaced {
		return failed
	}
	return errors.Join(failed, d.ring.scrub(ctx))
}

func (d *Destroyer) replaceDataKey(ctx context.Context, citizen domain.CitizenID) error {
	for range maxStale {
		former, err := d.ring.presentSubject(ctx, citizen)
		if err != nil || former == nil {
			return err
		}
		err = d.replaceSubject(ctx, former)
		former.zero()
		if !errors.Is(err, errStale) {
			return err
		}
	}
	return fmt.Errorf("replace data key: %w: %w", eventstore.ErrKeysUnavailable, errStale)
}

// presentSubject reads and unwraps a citizen's data key past the caches, also one whose
// erasure has begun; nil when it is destroyed.
func (r *Ring) presentSubject(ctx context.Context, citizen domain.CitizenID) (*subject, error) {
	for again := false; ; again = true {
		var row subjectRow
		found := false
		err := r.db.Joined(ctx, selectSubjects+`s.citizen = ?`, []any{citizen.UUID[:]}, []*keysdb.Table{subjects, indexKeys}, func(rows []*keysdb.Entry) (err error) {
			found = true
			row, err = subjectRowOf(rows[0], rows[1])
			return err
		})
		switch {
		case err != nil:
			return nil, unavailable(ctx, "read data key", err)
		case !found:
			return nil, ErrUnknown
		case row.state == destroyed:
			return nil, nil
		}
		plain, err := r.kek.Unwrap(ctx, []UnwrapItem{{Wrapped: row.wrapped, AAD: dekAAD(citizen)}})
		if err != nil {
			return nil, unavailable(ctx, "unwrap data key", err)
		}
		if errors.Is(plain[0].Err, ErrRetired) && !again { // it was wrapped again meanwhile
			continue
		}
		return unwrapped(row, plain[0], 0)
	}
}

// replaceSubject replaces the data key that former has. It returns errStale when another
// process replaced it, or went on with a rotation.
func (d *Destroyer) replaceSubject(ctx context.Context, former *subject) error {
	dek := newKey()
	defer clear(dek[:])
	index, err := former.wrapIndexKeys(dek[:])
	if err != nil {
		return err
	}
	next, err := newSubject(former.citizen, dek[:], former.number+1, index, 0)
	if err != nil {
		return err
	}
	defer next.zero()
	wrapped, err := d.ring.wraps.one(ctx, &WrapItem{Plain: bytes.Clone(dek[:]), AAD: dekAAD(former.citizen)})
	if err != nil {
		return fmt.Errorf("wrap data key: %w", err)
	}
	now := d.ring.micros()
	stale, err := keysdb.Do(ctx, d.ring.db, func(tx *keysdb.Tx) (stale bool, err error) {
		return d.ring.storeReplacement(tx, now, former, next, wrapped, index)
	})
	if err != nil {
		return unavailable(ctx, "replace data key", err)
	}
	if stale {
		return errStale
	}
	d.ring.Forget(former.citizen)
	return nil
}

func (r *Ring) storeReplacement(tx *keysdb.Tx, now int64, former, next *subject, wrapped Wrapped, index []byte) (stale bool, err error) {
	id := former.citizen.UUID[:]
	exposed, err := tx.Entry(exposedStreams, `citizen = ? LIMIT 1`, id)
	if err != nil || exposed == nil {
		return false, err // another was faster, or there is nothing to do
	}
	at, err := stateIn(tx)
	if err != nil {
		return false, err
	}
	subject, err := tx.Entry(subjects, `citizen = ?`, id)
	if err != nil {
		return false, err
	}
	if subject == nil {
		return false, ErrUnknown
	}
	held, err := tx.Entry(indexKeys, `citizen = ?`, id)
	if err != nil {
		return false, err
	}
	version := int(subject.Int("kek_version"))
	if numberOf(held) != former.number || stateOfEntry(subject) == destroyed || wrapped.Version < max(at.floor, version) {
		return true, nil
	}
	if err := rewrapContentKeys(tx, former, next); err != nil {
		return false, err
	}
	subject.Set("wrapped", wrapped.Bytes)
	subject.Set("kek_version", wrapped.Version)
	if err := tx.Put(subject); err != nil {
		return false, err
	}
	if held == nil {
		err = tx.Insert(indexKeys, id, next.number, index)
	} else {
		held.Set("dek", next.number)
		held.Set("wrapped", index)
		err = tx.Put(held)
	}
	if err != nil {
		return false, err
	}
	if version, err = wrappedBy(tx, version); err != nil {
		return false, err
	}
	if err := (destroying{at: now}).concealStreams(tx, version, id); err != nil {
		return false, err
	}
	return false, r.announce(tx, now, id, dataKeyReplaced)
}

// rewrapContentKeys wraps every live content key of a citizen under their next data key.
func rewrapContentKeys(tx *keysdb.Tx, former, next *subject) error {
	rows, err := tx.Entries(streamKeys, `citizen = ? AND state = ? ORDER BY id`, former.citizen.UUID[:], keyLive)
	if err != nil {
		return err
	}
	damaged := 0
	for _, row := range rows {
		id, err := uuid.FromBytes(row.Bytes("key_id"))
		if err != nil {
			return fmt.Errorf("content key id: %w", err)
		}
		aad := contentKeyAAD(eventstore.Stream(row.Text("stream")), id)
		plain, err := former.contentKeys.Open(nil, nil, row.Bytes("wrapped"), aad)
		if err != nil {
			damaged++
			continue
		}
		row.Set("wrapped", next.contentKeys.Seal(nil, nil, plain, aad))
		clear(plain)
		if err := tx.Put(row); err != nil {
			return err
		}
	}
	if damaged > 0 {
		return fmt.Errorf("%d of the citizen's %d content keys do not open: %w", damaged, len(rows), ErrRefused)
	}
	return nil
}

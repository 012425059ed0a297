package seal

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// The deployment key of files is replaced with every version of the key-encryption key: old
// copies have the keys of files from before a document named them under the former one, and
// a trim has to end these too. The former one is never wrapped by a later version.
//
//	a new version → keys of files are sealed under it → the others are sealed again
//	             → the former version is overwritten and removed
//
// A process a step behind learns it in the transaction that would store a key sealed under
// the former version, or by a row of a version that it does not have.

// fileKeys are the versions of the deployment key that seal keys of files. It is never
// changed once it is in use.
type fileKeys struct {
	latest    DeploymentKey
	byVersion map[int]DeploymentKey
}

func newFileKeys() *fileKeys { return &fileKeys{byVersion: map[int]DeploymentKey{}} }

func (k *fileKeys) add(d DeploymentKey) {
	k.byVersion[d.Version] = d
	if d.Version > k.latest.Version {
		k.latest = d
	}
}

// readFileKeys brings this process to the versions that there are.
func (r *Ring) readFileKeys(ctx context.Context) error {
	rows, keys, err := r.readDeploymentKeys(ctx)
	if err != nil {
		return err
	}
	known := newFileKeys()
	for i, row := range rows {
		if row.Name == attachmentKey {
			known.add(keys[i])
		}
	}
	r.fileKeys.Store(known)
	return nil
}

// catchUpFiles is called when this process found itself behind, for the attempt-th time.
func (r *Ring) catchUpFiles(ctx context.Context, attempt int) error {
	if attempt+1 >= maxStale {
		return fmt.Errorf("%w: %w", eventstore.ErrKeysUnavailable, errStale)
	}
	return r.readFileKeys(ctx)
}

// latestFileKey returns errStale, in a transaction that would store a key sealed under that
// version, when there is a later one.
func latestFileKey(tx *keysdb.Tx, version int) error {
	var latest int
	if err := tx.Row(`SELECT max(version) FROM deployment_keys WHERE name = ?`, []any{attachmentKey}, &latest); err != nil {
		return err
	}
	if latest != version {
		return errStale
	}
	return nil
}

// replaceFileKey makes a version of the deployment key of files that no version of the
// key-encryption key below latest wraps, moves every key of a file to it, and removes those
// before it. It may be stopped and called again. Keys of files that do not open are left and
// counted in an error that wraps ErrRefused, and the former version stays for them.
func (r *Rotator) replaceFileKey(ctx context.Context, latest int) error {
	if err := r.makeFileKey(ctx, latest); err != nil {
		return err
	}
	if err := r.ring.readFileKeys(ctx); err != nil {
		return err
	}
	newest := r.ring.fileKeys.Load().latest.Version
	for after := int64(0); ; {
		batch, err := r.filesBefore(ctx, newest, after)
		if err != nil {
			return unavailable(ctx, "read keys of files", err)
		}
		if len(batch) == 0 {
			break
		}
		after = batch[len(batch)-1].id
		if err := r.resealFiles(ctx, batch); err != nil {
			return err
		}
	}
	left, err := keysdb.Do(ctx, r.ring.db, func(tx *keysdb.Tx) (left int, err error) {
		err = tx.Row(`SELECT count(*) FROM attachments WHERE wrapped IS NOT NULL AND key_version < ?`, []any{newest}, &left)
		if err != nil || left > 0 {
			return left, err
		}
		return 0, removeDeploymentKeys(tx, `name = ? AND version < ?`, attachmentKey, newest)
	})
	switch {
	case err != nil:
		return unavailable(ctx, "remove the former deployment key of files", err)
	case left > 0:
		return fmt.Errorf("%d keys of files do not open, so the deployment key they are under stays: %w", left, ErrRefused)
	}
	return r.ring.readFileKeys(ctx)
}

// makeFileKey makes the next version of the deployment key of files, durably, unless the
// newest was made under latest.
func (r *Rotator) makeFileKey(ctx context.Context, latest int) error {
	for attempt := 0; attempt < maxStale; attempt++ {
		held, err := r.ring.db.Entry(ctx, deploymentKeys, `name = ? ORDER BY version DESC LIMIT 1`, attachmentKey)
		if err == nil && held == nil {
			err = r.ring.db.Missing(deploymentKeys)
		}
		if err != nil {
			return unavailable(ctx, "read the deployment key of files", err)
		}
		newest, kek := int(held.Int("version")), int(held.Int("kek_version"))
		if kek >= latest {
			return nil
		}
		k := newKey()
		all, err := r.ring.kek.Wrap(ctx, []WrapItem{{Plain: k[:], AAD: deploymentAAD(attachmentKey, newest+1)}})
		clear(k[:])
		if err == nil {
			err = all[0].Err
		}
		if err != nil {
			return fmt.Errorf("wrap the deployment key of files: %w", keeperError(err))
		}
		wrapped := all[0]
		now := r.ring.micros()
		_, err = keysdb.Do(ctx, r.ring.db, func(tx *keysdb.Tx) (int64, error) {
			at, err := stateIn(tx)
			if err == nil {
				err = latestFileKey(tx, newest)
			}
			if err == nil && wrapped.Version < at.floor {
				err = errStale
			}
			if err != nil {
				return 0, err
			}
			return 0, tx.Insert(deploymentKeys, attachmentKey, newest+1, wrapped.Bytes, wrapped.Version, now)
		})
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, errStale):
			return unavailable(ctx, "make the deployment key of files", err)
		}
	}
	return fmt.Errorf("make the deployment key of files: %w: %w", eventstore.ErrKeysUnavailable, errStale)
}

// sealedFileKey is the key of a file as stored.
type sealedFileKey struct {
	id         int64 // of its row
	attachment []byte
	issuer     string
	wrapped    []byte
	version    int // of the deployment key
	damaged    bool
}

func (r *Rotator) filesBefore(ctx context.Context, newest int, after int64) (batch []sealedFileKey, err error) {
	err = r.ring.db.Each(ctx, attachments, `id > ? AND wrapped IS NOT NULL AND key_version < ? ORDER BY id LIMIT ?`, []any{after, newest, MaxBatch},
		func(e *keysdb.Entry, damage error) error {
			batch = append(batch, sealedFileKey{e.Number(), e.Bytes("attachment"), e.Text("issuer"), e.Bytes("wrapped"), int(e.Int("key_version")), damage != nil})
			return nil
		})
	return batch, err
}

// resealFiles moves keys of files to the latest deployment key. Only what is still the key
// that was read is replaced: one that a document claimed meanwhile stays overwritten.
func (r *Rotator) resealFiles(ctx context.Context, batch []sealedFileKey) error {
	fs := r.ring.Files()
	next := make([][]byte, len(batch))
	version := 0
	for i, f := range batch {
		if f.damaged { // counted in the end
			continue
		}
		id, err := attachmentID(f.attachment)
		if err != nil {
			return err
		}
		key, digest, err := fs.openKey(id, domain.Organisation(f.issuer), f.wrapped, f.version)
		if err != nil { // counted in the end
			continue
		}
		next[i], version, err = fs.sealKey(id, domain.Organisation(f.issuer), key, [sha256.Size]byte(digest))
		clear(key)
		if err != nil {
			return err
		}
	}
	_, err := keysdb.Do(ctx, r.ring.db, func(tx *keysdb.Tx) (struct{}, error) {
		for i, f := range batch {
			if next[i] == nil {
				continue
			}
			if _, err := tx.Update(attachments, `id = ? AND wrapped = ?`, []any{f.id, f.wrapped}, func(e *keysdb.Entry) {
				e.Set("wrapped", next[i])
				e.Set("key_version", version)
			}); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, nil
	})
	return unavailable(ctx, "seal keys of files again", err)
}

// removeDeploymentKeys overwrites versions of deployment keys where they lie, and then
// removes them.
func removeDeploymentKeys(tx *keysdb.Tx, where string, args ...any) error {
	all, err := tx.Entries(deploymentKeys, where, args...)
	if err != nil {
		return err
	}
	for _, e := range all {
		e.Set("wrapped", make([]byte, len(e.Bytes("wrapped"))))
		if err := errors.Join(tx.Put(e), tx.Remove(e)); err != nil {
			return err
		}
	}
	return nil
}

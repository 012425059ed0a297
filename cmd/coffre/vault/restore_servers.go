package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/google/uuid"

	"coffre/cmd/coffre/files"
	"coffre/eventstore"
	"coffre/eventstore/backup"
	"coffre/eventstore/blob"
	"coffre/eventstore/postgres"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/sqlite"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/eventstore/storecopy"
	"coffre/handlers/reactors"
)

// A restore onto servers goes: into files, as every restore, where everything is destroyed again and
// compared → the mark of a copy in the key database → the log, then read and compared → the
// files of documents → keys → reactors → the databases in files go, the directory notes that all was
// brought, and the mark goes. As long as it is there nothing opens the key database as a vault's, and as
// long as the directory's own marker is there nothing opens the directory. Stopped at any step it is run again, with the same
// words: it goes on where the log ended, and where only the directory's marker was left it compares the
// log once more.

// RestoreServers are databases in PostgreSQL to which a restored vault is brought. They are empty,
// or what an earlier restore of the same backup began to fill.
type RestoreServers struct {
	Stores StoresConfig
	Blobs  *BlobsConfig   // nil: files of documents stay in the directory
	Vault  *TransitConfig // nil: keys of which the key-encryption key lies in a file beside the directory, or elsewhere
	Logger *slog.Logger   // required
}

// Errors of a restore onto servers.
var (
	ErrOntoPostgres = errors.New("restore: log and keys go to PostgreSQL together: postgres://user@host:port/database")
	errOntoUsed     = errors.New("restore: the database is in use already; name an empty one")
)

func (s *RestoreServers) at() StoresConfig { return s.Stores.In("") }

func (s *RestoreServers) check() error {
	if !OnPostgres(s.at().Log) || !OnPostgres(s.at().Keys) {
		return ErrOntoPostgres
	}
	return nil
}

// bring moves what was restored into files, and judged, to the servers.
func (r *Restore) bring(ctx context.Context) (err error) {
	at := r.Onto.at()
	keys, doubts, err := keysdb.OpenPostgres(ctx, at.Keys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, keys.Close()) }()
	for _, doubt := range doubts {
		r.Onto.Logger.WarnContext(ctx, doubt)
	}
	r.step("mark the servers")
	if err := keys.BeginCopy(ctx); errors.Is(err, keysdb.ErrInUse) && r.brought {
		if err := r.sameLog(ctx, at.Log); err != nil {
			return err
		}
		return r.removeBrought()
	} else if errors.Is(err, keysdb.ErrInUse) {
		return errOntoUsed
	} else if err != nil {
		return err
	}
	r.step("bring the log")
	if err := r.bringLog(ctx, at.Log); err != nil {
		return err
	}
	r.step("bring files")
	if err := r.bringFiles(ctx); err != nil {
		return err
	}
	r.step("bring keys")
	if err := r.bringKeys(ctx, keys); err != nil {
		return err
	}
	r.step("bring reactors")
	if err := r.bringReactors(ctx, at.Keys); err != nil {
		return err
	}
	r.step("empty the directory")
	if err := r.removeBrought(); err != nil {
		return err
	}
	if err := r.noteBrought(); err != nil {
		return err
	}
	r.step("unmark the servers")
	return keys.EndCopy(ctx)
}

// noteBrought says in the directory that nothing is left to be brought.
func (r *Restore) noteBrought() error {
	f, err := os.OpenFile(r.Dir.File(restoreMarker), os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("restore: %w", files.Cause(err))
	}
	_, err = f.WriteString(broughtMark)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("restore: %w", files.Cause(err))
	}
	return nil
}

// sameLog compares the log that was brought before with the one of this backup, for a restore of which
// only the directory's marker was left, and appends nothing to it. Where a vault was served there since,
// it is another one.
func (r *Restore) sameLog(ctx context.Context, address string) error {
	return r.betweenLogs(ctx, address, storecopy.Compare)
}

func (r *Restore) bringLog(ctx context.Context, address string) error {
	return r.betweenLogs(ctx, address, storecopy.Log)
}

// betweenLogs does something with the log in files and the one on the server, which is another
// vault's where they part.
func (r *Restore) betweenLogs(ctx context.Context, address string, do func(ctx context.Context, from, to eventstore.Store, progress func(leaves int64)) (storecopy.Result, error)) (err error) {
	from, err := sqlite.Open(ctx, string(r.Dir), sqlite.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := postgres.Open(ctx, address, postgres.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	_, err = do(ctx, from, to, nil)
	if errors.Is(err, storecopy.ErrDiverged) {
		err = fmt.Errorf("%w: %w", errOntoUsed, err)
	}
	return err
}

// bringFiles puts the files of documents into the bucket, if there is one.
func (r *Restore) bringFiles(ctx context.Context) (err error) {
	if r.Onto.Blobs == nil {
		return nil
	}
	to, err := openBucket(ctx, r.Onto.Blobs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	return backup.Folder(r.Dir.File(BlobsFolder)).Walk(ctx, func(name string, size int64, open func() (io.ReadCloser, error)) error {
		id, err := uuid.Parse(name[len("ab/"):])
		if err != nil {
			return fmt.Errorf("%w: a file that is of no document", backup.ErrDamaged)
		}
		content, err := open()
		if err != nil {
			return err
		}
		err = to.Put(ctx, id, content, size)
		if err = errors.Join(err, content.Close()); errors.Is(err, blob.ErrExists) {
			return r.sameFile(ctx, to, id, open)
		}
		return err
	})
}

// sameFile compares a file that an earlier attempt, or the vault that was, put into the bucket.
func (r *Restore) sameFile(ctx context.Context, in blob.Store, id uuid.UUID, open func() (io.ReadCloser, error)) error {
	var sums [2][]byte
	for i, one := range []func() (io.ReadCloser, error){open, func() (io.ReadCloser, error) { return in.Open(ctx, id, 0) }} {
		content, err := one()
		if err != nil {
			return err
		}
		if sums[i], err = sumOf(content); err != nil {
			return err
		}
	}
	if !bytes.Equal(sums[0], sums[1]) {
		return errOtherBlob
	}
	return nil
}

// bringKeys copies the key database row by row, as it is: nobody here has the key of its rows' MACs.
func (r *Restore) bringKeys(ctx context.Context, to *keysdb.DB) (err error) {
	from, err := keysdb.Open(ctx, r.Dir.File(KeysFile), sqlitedb.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	for _, db := range []*keysdb.DB{from, to} {
		if err := migrateKeys(ctx, db); err != nil {
			return err
		}
	}
	return keysdb.Copy(ctx, from, to, nil, nil)
}

func (r *Restore) bringReactors(ctx context.Context, address string) (err error) {
	from, err := reactors.Open(ctx, r.Dir.File(ReactorsFile), sqlitedb.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := reactors.OpenPostgres(ctx, address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	for _, db := range []*reactors.DB{from, to} {
		if err := tablesOfReactors(ctx, db); err != nil {
			return err
		}
	}
	return from.CopyTo(ctx, to)
}

// removeBrought takes out of the directory what lies on the servers now.
func (r *Restore) removeBrought() error {
	gone := []string{KeysFile, ReactorsFile, sqlite.FileName, sqlite.ReserveName}
	if r.Onto.Blobs != nil {
		gone = append(gone, BlobsFolder)
	}
	entries, err := os.ReadDir(string(r.Dir))
	if err != nil {
		return fmt.Errorf("restore: %w", files.Cause(err))
	}
	for _, e := range entries {
		if madeOf(e.Name(), gone) {
			err = errors.Join(err, os.RemoveAll(r.Dir.File(e.Name())))
		}
	}
	if err = errors.Join(err, sqlitedb.SyncDir(string(r.Dir), "")); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

// settle opens the restored key ring as a start does, where the keeper of its keys is known: rows
// that were destroyed again get their MACs. Else the first process that destroys does it.
func (r *Restore) settle(ctx context.Context) (err error) {
	var closers []func() error
	defer func() {
		for i := len(closers) - 1; i >= 0; i-- {
			err = errors.Join(err, closers[i]())
		}
	}()
	onClose := func(f func() error) { closers = append(closers, f) }
	if r.Onto.Vault == nil && r.KEKFile == "" {
		return nil
	}
	o := openEnd{}
	if o.stores, err = openStores(ctx, r.Dir, Options{Stores: r.Onto.Stores, Logger: r.Onto.Logger}, newAlarm(r.Onto.Logger).report, onClose); err != nil {
		return err
	}
	if o.keeper, err = o.openKeysUnder(ctx, r.Onto.Vault); err != nil {
		return err
	}
	return o.check(ctx, r.Dir)
}

package vault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"filippo.io/age"

	"coffre/eventstore"
	"coffre/eventstore/backup"
	"coffre/eventstore/blob"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/sqlite"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/handlers/api"
)

// Parts of an archive, in the order in which they are written: the key ring first,
// because while it is read nothing can be scrubbed from it.
const (
	keysPart     = "keys"
	reactorsPart = "reactors"
	eventsPart   = "events"
)

// backups takes backups of a data directory that is served. The states of the databases
// are chosen while nothing can be written to the key ring: so the log in an archive names
// no citizen and no stream whose key is not in it, no request is remembered as done whose
// events are not in it, and the reactors are nowhere that the log is not.
type backups struct {
	dir    DataDir
	keys   *keysdb.DB
	files  backup.Blobs
	ledger *backup.Ledger
	life   context.Context // ends with the vault
	busy   chan struct{}   // holds a token while a backup is open
}

func newBackups(ctx, life context.Context, dir DataDir, keys *keysdb.DB, files backup.Blobs) (*backups, error) {
	ledger, err := backup.OpenLedger(ctx, keys)
	if err != nil {
		return nil, err
	}
	return &backups{dir: dir, keys: keys, files: files, ledger: ledger, life: life, busy: make(chan struct{}, 1)}, nil
}

// Find implements api.Backups.
func (b *backups) Find(ctx context.Context, sum backup.Sum) (backup.Made, bool, error) {
	return b.ledger.Find(ctx, sum)
}

// Begin implements api.Backups.
func (b *backups) Begin(ctx context.Context, to []age.Recipient) (_ api.TakenBackup, err error) {
	select {
	case b.busy <- struct{}{}:
	default:
		return nil, api.ErrBackupUnderWay
	}
	t := &takenBackup{b: b, to: to}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close())
		}
	}()
	if t.keyRing, err = keysdb.OpenSnapshot(b.life, b.dir.File(KeysFile)); err != nil {
		return nil, err
	}
	if t.reactors, err = sqlitedb.OpenSnapshot(b.life, b.dir.File(ReactorsFile), sqlitedb.Options{}); err != nil {
		return nil, err
	}
	if t.log, err = sqlite.OpenSnapshot(b.life, string(b.dir)); err != nil {
		return nil, err
	}
	err = b.keys.Frozen(ctx, func() error {
		t.manifest.Taken = time.Now().UTC().Truncate(time.Microsecond)
		return errors.Join(t.reactors.Take(), t.log.Take(), t.keyRing.Take())
	})
	if err != nil {
		return nil, fmt.Errorf("choose the state of a backup: %w", err)
	}
	head, err := t.log.Head()
	if err != nil {
		return nil, err
	}
	versions, err := seal.VersionsIn(t.keyRing)
	if err != nil {
		return nil, err
	}
	software, err := ReadVersions(ctx)
	if err != nil {
		return nil, err
	}
	t.manifest.Software = software.name()
	t.manifest.Log = backup.Log{Records: head.Records, Last: backup.Sum(head.Last), At: head.At}
	t.manifest.Keys = backup.Keys(versions)
	return t, nil
}

// filesOf gives a backup the files of a vault, under the names they have in a folder,
// where a restore puts them.
func filesOf(dir DataDir, files blob.Store, inBucket bool) backup.Blobs {
	if inBucket {
		return bucketFiles{files}
	}
	return backup.Folder(dir.File(BlobsFolder))
}

type bucketFiles struct{ blob.Store }

// Walk implements backup.Blobs.
func (f bucketFiles) Walk(ctx context.Context, each func(name string, size int64, open func() (io.ReadCloser, error)) error) error {
	var all []blob.Info
	if err := f.Store.Walk(ctx, func(i blob.Info) error { all = append(all, i); return nil }); err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b blob.Info) int { return bytes.Compare(a.Name[:], b.Name[:]) })
	for _, i := range all {
		name := i.Name.String()
		if err := each(name[:2]+"/"+name, i.Size, func() (io.ReadCloser, error) {
			content, err := f.Open(ctx, i.Name, 0)
			if errors.Is(err, blob.ErrNotFound) { // removed meanwhile
				err = fs.ErrNotExist
			}
			return content, err
		}); err != nil {
			return err
		}
	}
	return nil
}

// takenBackup holds the chosen state of the databases, until Close.
type takenBackup struct {
	b        *backups
	to       []age.Recipient
	manifest backup.Manifest
	keyRing  *sqlitedb.Snapshot
	reactors *sqlitedb.Snapshot
	log      sqlite.Snapshot
	closed   bool
}

// End implements api.TakenBackup.
func (t *takenBackup) End() eventstore.Position {
	n := uint64(t.manifest.Log.Records)
	return eventstore.Position{Commit: n, Prepare: n}
}

// WriteTo implements api.TakenBackup.
func (t *takenBackup) WriteTo(w io.Writer) (int64, error) {
	out := &counted{w: w}
	sum := sha256.New()
	m, err := backup.Write(t.b.life, io.MultiWriter(out, sum), t.to, backup.Contents{
		Manifest: t.manifest, Now: time.Now, Blobs: t.b.files,
		Parts: []backup.Source{
			{Name: keysPart, WriterTo: once(t.keyRing)},
			{Name: reactorsPart, WriterTo: once(t.reactors)},
			{Name: eventsPart, WriterTo: once(t.log.Snapshot)},
		},
	})
	if err != nil {
		return out.n, err
	}
	made := backup.Made{Taken: m.Taken, Oldest: m.Keys.Oldest}
	sum.Sum(made.SHA256[:0])
	return out.n, t.b.ledger.Enter(t.b.life, made)
}

// Close implements api.TakenBackup.
func (t *takenBackup) Close() error {
	if t.closed {
		return nil
	}
	t.closed = true
	var errs []error
	for _, s := range []*sqlitedb.Snapshot{t.keyRing, t.reactors, t.log.Snapshot} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	<-t.b.busy
	return errors.Join(errs...)
}

// once is a snapshot that lets go of its state as soon as it is written.
func once(s *sqlitedb.Snapshot) io.WriterTo { return writtenOnce{s} }

type writtenOnce struct{ s *sqlitedb.Snapshot }

func (o writtenOnce) WriteTo(w io.Writer) (int64, error) {
	n, err := o.s.WriteTo(w)
	return n, errors.Join(err, o.s.Release())
}

// counted counts what passes.
type counted struct {
	w io.Writer
	n int64
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

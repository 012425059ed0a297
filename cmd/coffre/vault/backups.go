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
	"coffre/eventstore/dense"
	"coffre/eventstore/seal/keysdb"
	"coffre/handlers/api"
)

// Parts of an archive, in the order in which they are written: the key ring first,
// because while it is read nothing can be scrubbed from it. The log is there once, as the
// tables of a file or record by record.
const (
	keysPart     = "keys"
	reactorsPart = "reactors"
	eventsPart   = "events"
	recordsPart  = "records"
)

// backups takes backups of a vault that is served. The states of the databases
// are chosen while nothing can be written to the key ring: so the log in an archive names
// no citizen and no stream whose key is not in it, no request is remembered as done whose
// events are not in it, and the reactors are nowhere that the log is not.
type backups struct {
	open   func(life context.Context) (moment, error)
	keys   *keysdb.DB
	files  backup.Blobs
	ledger *backup.Ledger
	life   context.Context // ends with the vault
	busy   chan struct{}   // holds a token while a backup is open
}

// moment is a state of the vault's databases. It is used by one goroutine.
type moment interface {
	// take chooses the state, in milliseconds; the last choice counts. Of the reactors it is
	// never later than of the log, and of the log never later than of the key ring.
	take(ctx context.Context) error
	// describe fills in the log's end and the versions of the key-encryption key.
	describe(m *backup.Manifest) error
	// parts are written once, in this order.
	parts() []backup.Source
	// Close lets go of the state.
	Close() error
}

func newBackups(ctx, life context.Context, keys *keysdb.DB, files backup.Blobs, open func(context.Context) (moment, error)) (*backups, error) {
	ledger, err := backup.OpenLedger(ctx, keys)
	if err != nil {
		return nil, err
	}
	return &backups{open: open, keys: keys, files: files, ledger: ledger, life: life, busy: make(chan struct{}, 1)}, nil
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
	if t.moment, err = b.open(b.life); err != nil {
		return nil, err
	}
	err = b.keys.Frozen(ctx, func() error {
		t.manifest.Taken = time.Now().UTC().Truncate(time.Microsecond)
		return t.moment.take(ctx)
	})
	if err != nil {
		return nil, fmt.Errorf("choose the state of a backup: %w", err)
	}
	if err := t.moment.describe(&t.manifest); err != nil {
		return nil, err
	}
	software, err := ReadVersions(ctx)
	if err != nil {
		return nil, err
	}
	t.manifest.Software = software.name()
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
	moment   moment
	closed   bool
}

// End implements api.TakenBackup.
func (t *takenBackup) End() eventstore.Position { return dense.Position(t.manifest.Log.Records) }

// WriteTo implements api.TakenBackup.
func (t *takenBackup) WriteTo(w io.Writer) (int64, error) {
	out := &backup.Counter{W: w}
	sum := sha256.New()
	m, err := backup.Write(t.b.life, io.MultiWriter(out, sum), t.to, backup.Contents{
		Manifest: t.manifest, Now: time.Now, Blobs: t.b.files, Parts: t.moment.parts(),
	})
	if err != nil {
		return out.N, err
	}
	made := backup.Made{Taken: m.Taken, Oldest: m.Keys.Oldest}
	sum.Sum(made.SHA256[:0])
	return out.N, t.b.ledger.Enter(t.b.life, made)
}

// Close implements api.TakenBackup.
func (t *takenBackup) Close() (err error) {
	if t.closed {
		return nil
	}
	t.closed = true
	if t.moment != nil {
		err = t.moment.Close()
	}
	<-t.b.busy
	return err
}

package vault

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"coffre/cmd/coffre/files"
	"coffre/domain/audit"
	"coffre/eventstore"
	"coffre/eventstore/backup"
	"coffre/eventstore/blob"
	"coffre/eventstore/certificates"
	"coffre/eventstore/checkpoints"
	"coffre/eventstore/codec"
	"coffre/eventstore/exports"
	"coffre/eventstore/jobs"
	"coffre/eventstore/quotas"
	"coffre/eventstore/replays"
	"coffre/eventstore/requests"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/shred"
	"coffre/eventstore/sessions"
	"coffre/eventstore/sqlite"
	"coffre/eventstore/storecopy"
	"coffre/eventstore/traffic"
	"coffre/handlers/acting"
)

// A copy of a vault goes: the mark in the target's key ring → the record of the copy, at the end of
// the source's log → events, then read and compared →
// attachments, each compared → the shred list → the key ring, under the target's own
// keeper → the source must be where it was → the mark goes → the key ring is opened
// and compared with the log. As long as the mark is there nothing opens the target as
// a vault. Stopped at any step it is begun again: what is there already is passed over.

// CopyEnd is the source or the target of a copy.
type CopyEnd struct {
	Dir DataDir // its files, and its control socket when it is served
	At  StoresConfig
}

// Copied is the result of a copy.
type Copied struct {
	Leaves      int64  `json:"leaves"`
	Copied      int64  `json:"copied"` // of the leaves, by this call
	Digest      string `json:"digest"` // SHA-256 over the leaf hashes
	Attachments int64  `json:"attachments"`
	Rewrapped   bool   `json:"rewrapped"` // the target's keeper is another
}

// exists refuses a source that is no vault, before opening it would make one of it.
func (e CopyEnd) exists() error {
	path := string(e.Dir)
	if dir, file := SQLiteDir(e.At.Log); file {
		path = dir.File(sqlite.FileName)
	}
	there, err := isThere(path)
	if err == nil && !there {
		err = fmt.Errorf("there is no vault in %s", e.Dir)
	}
	return err
}

// openEnd is the source or the target of a copy while it is open.
type openEnd struct {
	*stores
	keeper Keeper
	blobs  blob.Store
	bucket bool // the blobs lie in the configured bucket
}

// open opens one end. Its functions onClose run in any case.
func (e CopyEnd) open(ctx context.Context, config Config, logger *slog.Logger, onClose func(func() error)) (o openEnd, err error) {
	release, err := e.Dir.OwnStopped()
	if err != nil {
		return o, fmt.Errorf("%s: %w", e.Dir, err)
	}
	onClose(release)
	if err := e.Dir.restoredWhole(); err != nil {
		return o, err
	}
	if o.stores, err = openStores(ctx, e.Dir, Options{Stores: e.At, Logger: logger}, newAlarm(logger).report, onClose); err != nil {
		return o, err
	}
	vault := config.Transit
	if inFile, err := isThere(e.Dir.File(KEKFile)); err != nil {
		return o, err
	} else if inFile { // a directory keeps the keeper it was made with
		vault = nil
	}
	if o.keeper, err = o.openKeysUnder(ctx, vault); err != nil {
		return o, err
	}
	files := config.Blobs
	local, err := isThere(e.Dir.File(BlobsFolder))
	if err != nil {
		return o, err
	}
	elsewhere, err := isThere(e.Dir.File(blobsMark))
	if err != nil {
		return o, err
	}
	if local && !elsewhere { // a folder from before the bucket is empty
		files = nil
	}
	o.bucket = files != nil
	var closeFiles func() error
	if o.blobs, closeFiles, err = openBlobs(ctx, e.Dir, files); err != nil {
		return o, err
	}
	onClose(closeFiles)
	return o, nil
}

var (
	// ErrSameVault says that a vault would be copied over itself.
	ErrSameVault = errors.New("the source and the target are the same")
	errNoSource  = errors.New("there is no vault to copy: its log is empty")
	// errSourceGrew: with the source in PostgreSQL or KurrentDB no lock of a directory
	// keeps other processes away.
	errSourceGrew = errors.New("something was written to the source meanwhile: stop every process that serves it, and run the copy again")
	// errNoFiles: with the log in PostgreSQL or KurrentDB any directory can be named as
	// the source's, and an empty one has no files.
	errNoFiles = errors.New("files that the source knows are not where it should keep them: name its own directory, or the bucket it uses")
)

// Progress shows how far a step of a copy has come, of total units, or -1 when that is
// not known; bytes tells that the units are bytes.
type Progress func(total int64, step string, bytes bool) Bar

// Bar is the progress of one step.
type Bar interface {
	Add(n int64)
	Done()
}

// Copy brings the vault Source to Target, keys and all. All fields are required.
type Copy struct {
	Source, Target CopyEnd
	Config         Config // of both keepers and of the files
	Logger         *slog.Logger
	Progress       Progress
}

// Run makes the copy, or goes on with one that was stopped.
func (c Copy) Run(ctx context.Context) (done Copied, err error) {
	source, target, config, logger := c.Source, c.Target, c.Config, c.Logger
	if source.Dir == target.Dir || source.At.Log == target.At.Log || source.At.Keys == target.At.Keys {
		return done, ErrSameVault
	}
	if err := source.exists(); err != nil {
		return done, err
	}
	var closers []func() error
	defer func() {
		for i := len(closers) - 1; i >= 0; i-- {
			err = errors.Join(err, closers[i]())
		}
	}()
	onClose := func(f func() error) { closers = append(closers, f) }
	// The source first: a directory that is no vault must not make one of the target.
	from, err := source.open(ctx, config, logger, onClose)
	if err != nil {
		return done, err
	}
	if half, err := from.keys.Unfinished(ctx); err != nil {
		return done, err
	} else if half {
		return done, fmt.Errorf("the source: %w", keysdb.ErrUnfinished)
	}
	if loss, err := unfinishedLoss(ctx, from.keys); err != nil {
		return done, fmt.Errorf("the source: %w", err)
	} else if loss != nil {
		return done, fmt.Errorf("the source: %w", errUnfinishedLoss)
	}
	if found, err := findCut(ctx, from.log, keyRingWitness(from.keys)); err != nil {
		return done, fmt.Errorf("the source: %w", err)
	} else if found != nil {
		return done, fmt.Errorf("the source: %w", found.err())
	}
	head, err := from.log.Head(ctx)
	if err != nil {
		return done, err
	}
	if head.IsZero() {
		return done, errNoSource
	}
	to, err := target.open(ctx, config, logger, onClose)
	if err != nil {
		return done, err
	}
	if err := to.keys.BeginCopy(ctx); err != nil {
		return done, err
	}
	for _, keys := range []*keysdb.DB{from.keys, to.keys} {
		if err := migrateKeys(ctx, keys); err != nil {
			return done, err
		}
	}
	if err := from.verifyAndRecord(ctx); err != nil {
		return done, fmt.Errorf("the source: %w", err)
	}
	if head, err = from.log.Head(ctx); err != nil { // with the record of this copy
		return done, err
	}
	done.Rewrapped = from.keeper.transit == nil || to.keeper.transit == nil

	log, err := c.copyLog(ctx, from, to.log, head)
	if errors.Is(err, storecopy.ErrDiverged) { // it may have grown behind what was copied
		err = cmp.Or(from.stayed(ctx, head), err)
	}
	if err != nil {
		return done, err
	}
	done.Leaves, done.Copied, done.Digest = log.Leaves, log.Copied, fmt.Sprintf("%x", log.Digest)
	if done.Attachments, err = c.copyBlobs(ctx, from, to); err != nil {
		return done, err
	}
	if err := files.Copy(target.Dir.File(ShredFile), source.Dir.File(ShredFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return done, fmt.Errorf("copy the shred list: %w", err)
	}
	var bar Bar
	told := int64(0)
	change := keysChange(from.keeper, to.keeper, done.Rewrapped)
	err = keysdb.Copy(ctx, from.keys, to.keys, change, func(n, total int64) {
		if told == 0 {
			bar = c.Progress(total, "keys", false)
		}
		bar.Add(n - told)
		told = n
	})
	if bar != nil {
		bar.Done()
	}
	if err != nil {
		return done, err
	}
	if err := from.stayed(ctx, head); err != nil {
		return done, err
	}
	if err := to.keys.EndCopy(ctx); err != nil {
		return done, err
	}
	return done, to.check(ctx, target.Dir)
}

// migrateKeys brings every component's tables in a key database up to date.
func migrateKeys(ctx context.Context, db *keysdb.DB) error {
	return errors.Join(seal.Migrate(ctx, db), requests.Migrate(ctx, db), backup.Migrate(ctx, db), quotas.Migrate(ctx, db), replays.Migrate(ctx, db), traffic.Migrate(ctx, db), sessions.Migrate(ctx, db), jobs.Migrate(ctx, db), exports.Migrate(ctx, db), certificates.Migrate(ctx, db), checkpoints.Migrate(ctx, db),
		db.Migrate(ctx, "guard", guardTables))
}

// verifyAndRecord opens the key ring as a start does, so that every row of it carries a MAC and
// is verified as it is copied, and records in the log that it is copied, before anything is. An
// attempt that goes on is one more.
func (o openEnd) verifyAndRecord(ctx context.Context) (err error) {
	ring, err := seal.OpenRing(ctx, o.keys, o.keeper, seal.Config{})
	if err != nil {
		return fmt.Errorf("open the key ring: %w", err)
	}
	defer func() { err = errors.Join(err, ring.Close()) }()
	if err := protectKeys(ctx, o.keys, ring); err != nil {
		return err
	}
	log := eventstore.NewLog(eventstore.Options{Store: o.log, Codec: codec.Catalog, Sealer: seal.Sealer{Ring: ring}, Leaves: o.leafIndex()})
	act := audit.Operate{Act: audit.CopyStore, At: time.Now().UTC().Truncate(time.Microsecond)}
	if _, err := acting.Audits.Transact(ctx, log, operatorWrite(ring.Audit().Subject(osAccount()), uuid.New(), act.At), act); err != nil {
		return fmt.Errorf("record the copy: %w", err)
	}
	return nil
}

// protectKeys has the rows of all components carry MACs, those of a database from before too.
func protectKeys(ctx context.Context, db *keysdb.DB, ring *seal.Ring) error {
	if _, err := requests.Open(ctx, db, ring.RequestMAC, nil); err != nil {
		return err
	}
	_, err := backup.OpenLedger(ctx, db)
	return err
}

// keysChange leaves behind what only means something beside the source: how far its
// log was compared and seen, and under another keeper its backups.
func keysChange(from, to seal.KEK, rewrap bool) keysdb.Change {
	under := func(_ context.Context, _ string, rows []keysdb.Row) ([]keysdb.Row, error) { return rows, nil }
	if rewrap {
		under = seal.Rewrapping(from, to)
	}
	return func(ctx context.Context, table string, rows []keysdb.Row) ([]keysdb.Row, error) {
		if table == "guard" || table == "log_end" || table == "losses" || table == "backups_made" && rewrap {
			return nil, nil
		}
		return under(ctx, table, rows)
	}
}

// copyLog copies the events up to head, the last one of the source.
func (c Copy) copyLog(ctx context.Context, from openEnd, to eventstore.Store, head eventstore.Position) (storecopy.Result, error) {
	last, err := from.leafIndex().Leaf(ctx, head)
	if err != nil {
		return storecopy.Result{}, err
	}
	total := 2 * (last + 1) // copied, then compared
	bar := c.Progress(total, "events", false)
	defer bar.Done()
	const step = 256
	return storecopy.Log(ctx, from.log, to, func(leaves int64) {
		if leaves%step == 0 {
			bar.Add(step)
		}
	})
}

// stayed tells whether the source's last event is still the one at head.
func (o openEnd) stayed(ctx context.Context, head eventstore.Position) error {
	now, err := o.log.Head(ctx)
	if err == nil && now != head {
		err = errSourceGrew
	}
	return err
}

// copyBlobs brings every blob to the target, unless both have the same bucket, and
// compares what is there. It refuses a source that lacks a file it knows.
func (c Copy) copyBlobs(ctx context.Context, from, to openEnd) (n int64, err error) {
	files, err := seal.StoredFiles(ctx, from.keys)
	if err != nil {
		return 0, fmt.Errorf("copy the attachments: %w", err)
	}
	lacking := make(map[uuid.UUID]bool, len(files))
	for _, file := range files {
		lacking[file.UUID] = true
	}
	bar := c.Progress(-1, "attachments", true)
	defer bar.Done()
	err = from.blobs.Walk(ctx, func(i blob.Info) error {
		delete(lacking, i.Name)
		if from.bucket && to.bucket {
			return nil
		}
		n++
		bar.Add(i.Size)
		content, err := from.blobs.Open(ctx, i.Name, 0)
		if err != nil {
			return err
		}
		err = to.blobs.Put(ctx, i.Name, content, i.Size)
		if err = errors.Join(ignore(err, blob.ErrExists), content.Close()); err != nil {
			return err
		}
		return sameBlob(ctx, from.blobs, to.blobs, i)
	})
	if err != nil {
		return n, fmt.Errorf("copy the attachments: %w", err)
	}
	if len(lacking) > 0 {
		return n, fmt.Errorf("%w (%d of them)", errNoFiles, len(lacking))
	}
	return n, nil
}

func ignore(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}

var errOtherBlob = errors.New("the target has other bytes under the same name")

func sameBlob(ctx context.Context, a, b blob.Store, i blob.Info) error {
	var sums [2][]byte
	for n, s := range []blob.Store{a, b} {
		content, err := s.Open(ctx, i.Name, 0)
		if err != nil {
			return err
		}
		if sums[n], err = sumOf(content); err != nil {
			return err
		}
	}
	if !bytes.Equal(sums[0], sums[1]) {
		return errOtherBlob
	}
	return nil
}

// sumOf reads and closes content, and returns its SHA-256.
func sumOf(content io.ReadCloser) ([]byte, error) {
	sum := sha256.New()
	_, err := io.Copy(sum, content)
	return sum.Sum(nil), errors.Join(err, content.Close())
}

// check opens the target's key ring as a start of the vault does: it knows every
// citizen of the log, and what the log or the shred list says was destroyed, is.
func (o openEnd) check(ctx context.Context, dir DataDir) (err error) {
	ring, err := seal.OpenRing(ctx, o.keys, o.keeper, seal.Config{})
	if err != nil {
		return fmt.Errorf("open the copied key ring: %w", err)
	}
	defer func() { err = errors.Join(err, ring.Close()) }()
	destroyer, err := ring.TakeDestroyer()
	if err != nil {
		return err
	}
	log := eventstore.NewLog(eventstore.Options{Store: o.log, Codec: codec.Catalog, Sealer: seal.Sealer{Ring: ring}})
	return guard(ctx, log, o.keys, servedRing{ring, destroyer}, shred.Open(dir.File(ShredFile)))
}

package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/google/uuid"

	"coffre/cmd/coffre/files"
	"coffre/domain"
	"coffre/domain/audit"
	"coffre/domain/document"
	"coffre/eventstore"
	"coffre/eventstore/backup"
	"coffre/eventstore/codec"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/localkek"
	"coffre/eventstore/seal/shred"
	"coffre/eventstore/sqlite"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/eventstore/storecopy"
)

// A restore of a backup goes: the marker → parts and attachments, as they come out of
// the archive → the key file and the shred list beside them → every key on the list, and
// every key whose destruction is in the log, is destroyed → everything is read and
// compared with the manifest → the marker goes. As long as the marker lies in a directory nothing
// opens it as a vault, so whatever ends a restore leaves nothing that could be served
// by mistake; restoring again begins anew.

// restoreMarker says that a directory is being restored. It is empty until everything was brought to
// servers, and holds broughtMark from then on.
const (
	restoreMarker = "restore.unfinished"
	broughtMark   = "brought\n"
)

var (
	// ErrUnfinishedRestore says that the directory is no vault: its restore was interrupted.
	ErrUnfinishedRestore = errors.New("the data directory was not restored to the end; run `coffre restore` on it again")
	errNotEmpty          = errors.New("restore: the directory is not empty; name one that is, or that is not there")
	errOtherLog          = fmt.Errorf("%w: the log is not the one its manifest tells of", backup.ErrDamaged)
	// ErrOtherKEK says that the key file put beside a backup is not the one of its vault.
	ErrOtherKEK = errors.New("restore: the key file does not open the key ring of this backup")
	errNoKeys   = fmt.Errorf("%w: keys are missing that its log names", backup.ErrDamaged)
)

// restoredFiles are the files and folders that a restore makes.
var restoredFiles = []string{KeysFile, ReactorsFile, sqlite.FileName, sqlite.ReserveName, BlobsFolder, KEKFile, ShredFile}

// Restore makes a vault of a backup, in a directory that this process owns.
type Restore struct {
	Dir        DataDir
	Identities []age.Identity
	ShredList  string            // path of the shred list to apply; "": none
	KEKFile    string            // path of the key file to put beside; "": none
	Scratch    bool              // it is a test of the archive: nothing there will be served
	BeforeStep func(step string) // told before each step; nil: nobody listens
	Show       func(n, of int64) // told how many records were read; nil: nobody listens
	Digest     func() string     // SHA-256 of what was read of the archive, in hexadecimal; nil: it is not recorded
	Onto       *RestoreServers   // where the databases go then; nil: they stay in Dir
	brought    bool              // a restore before this one had brought everything to the servers
	found      Restored
}

// Restored is the result of a restore: what the archive said of itself, and what was
// destroyed or removed again.
type Restored struct {
	backup.Manifest
	Shredded int // keys that the list named
	Unlisted int // destructions that the log tells of and the list did not
	Removed  int // attachments of what was destroyed
}

// restoredWhole refuses a directory whose restore did not end.
func (d DataDir) restoredWhole() error {
	_, err := os.Stat(d.File(restoreMarker))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("data directory: %w", err)
	}
	return ErrUnfinishedRestore
}

func (r *Restore) step(name string) {
	if r.BeforeStep != nil {
		r.BeforeStep(name)
	}
}

// Run restores archive. When it fails the directory is as empty as it was.
func (r *Restore) Run(ctx context.Context, archive io.Reader) (Restored, error) {
	if r.Onto != nil {
		if err := r.Onto.check(); err != nil {
			return Restored{}, err
		}
	}
	if err := r.begin(); err != nil {
		return Restored{}, err
	}
	if err := r.fill(ctx, archive); err != nil {
		return Restored{}, errors.Join(err, r.clear())
	}
	if r.Onto != nil {
		if err := r.settle(ctx); err != nil {
			return Restored{}, fmt.Errorf("the vault is restored, and does not open: %w", err)
		}
	}
	return r.found, nil
}

// begin puts the marker into a directory that is empty or was begun before.
func (r *Restore) begin() error {
	entries, err := os.ReadDir(string(r.Dir))
	if err != nil {
		return fmt.Errorf("restore: %w", files.Cause(err))
	}
	begun := r.Dir.restoredWhole() != nil
	for _, e := range entries {
		switch name := e.Name(); {
		case name == lockFile, name == restoreMarker:
		case begun && (name == DevKeyFile || madeByRestore(name)):
		default:
			return errNotEmpty
		}
	}
	mark, err := os.ReadFile(r.Dir.File(restoreMarker))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("restore: %w", files.Cause(err))
	}
	r.brought = string(mark) == broughtMark
	r.step("mark")
	f, err := os.OpenFile(r.Dir.File(restoreMarker), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("restore: %w", files.Cause(err))
	}
	if err := errors.Join(f.Sync(), f.Close(), sqlitedb.SyncDir(string(r.Dir), ""), sqlitedb.SyncDir(filepath.Dir(filepath.Clean(string(r.Dir))), "")); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return r.remove()
}

// madeByRestore reports whether a name is of a file that a restore makes, or of what
// SQLite puts beside one.
func madeByRestore(name string) bool { return madeOf(name, restoredFiles) }

func madeOf(name string, files []string) bool {
	return slices.ContainsFunc(files, func(made string) bool {
		return name == made || strings.HasSuffix(made, ".db") && (strings.HasPrefix(name, made+"-") || strings.HasPrefix(name, made+".new"))
	})
}

// remove takes away what this or an earlier restore made.
func (r *Restore) remove() error {
	entries, err := os.ReadDir(string(r.Dir))
	for _, e := range entries {
		if madeByRestore(e.Name()) {
			err = errors.Join(err, os.RemoveAll(r.Dir.File(e.Name())))
		}
	}
	if err == nil {
		err = sqlitedb.SyncDir(string(r.Dir), "")
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

// clear leaves an empty directory; the marker goes last.
func (r *Restore) clear() error {
	if err := r.remove(); err != nil {
		return err
	}
	return r.unmark()
}

func (r *Restore) unmark() error {
	err := os.Remove(r.Dir.File(restoreMarker))
	if err == nil {
		err = sqlitedb.SyncDir(string(r.Dir), "")
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

func (r *Restore) fill(ctx context.Context, archive io.Reader) error {
	r.step("read")
	into := &RestoreTarget{Dir: r.Dir}
	var err error
	if r.found.Manifest, err = backup.Read(ctx, archive, r.Identities, into); err != nil {
		return err
	}
	if len(into.parts) != 3 {
		return backup.ErrDamaged
	}
	if err := backup.Folder(r.Dir.File(BlobsFolder)).Sync(); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	r.step("beside")
	if err := r.beside(); err != nil {
		return err
	}
	if err := r.judge(ctx); err != nil {
		return err
	}
	if r.Scratch {
		return nil
	}
	if r.Onto != nil {
		if err := r.bring(ctx); err != nil {
			return err
		}
	}
	r.step("done")
	return r.unmark()
}

// RestoreTarget makes files in a data directory of the parts of an archive.
type RestoreTarget struct {
	Dir   DataDir
	parts []string
}

// Part implements backup.Target.
func (t *RestoreTarget) Part(ctx context.Context, name string, r io.Reader) error {
	t.parts = append(t.parts, name)
	switch name {
	case keysPart:
		return keysdb.Restore(ctx, t.Dir.File(KeysFile), r)
	case reactorsPart:
		return sqlitedb.Restore(ctx, t.Dir.File(ReactorsFile), sqlitedb.Options{}, r)
	case eventsPart:
		return sqlite.Restore(ctx, string(t.Dir), r)
	case recordsPart:
		return t.records(ctx, r)
	}
	return backup.ErrUnknownPart
}

// records makes the log of the records that r holds.
func (t *RestoreTarget) records(ctx context.Context, r io.Reader) (err error) {
	log, err := sqlite.Open(ctx, string(t.Dir), sqlite.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	_, err = storecopy.Append(ctx, backup.ReadRecords(r), log)
	return err
}

// Blob implements backup.Target.
func (t *RestoreTarget) Blob(_ context.Context, name string, size int64, r io.Reader) error {
	return backup.Folder(t.Dir.File(BlobsFolder)).Put(name, size, r)
}

// beside puts the key file and the shred list where the vault looks for them.
func (r *Restore) beside() error {
	if r.KEKFile != "" {
		if err := files.Copy(r.Dir.File(KEKFile), r.KEKFile); err != nil {
			return fmt.Errorf("key file: %w", err)
		}
	}
	if r.ShredList == "" {
		return nil
	}
	if _, _, err := shred.Open(r.ShredList).Read(); err != nil { // before it counts
		return err
	}
	if err := files.Copy(r.Dir.File(ShredFile), r.ShredList); err != nil {
		return fmt.Errorf("shred list: %w", err)
	}
	return nil
}

// judge destroys what has to be destroyed and reads all that is left.
func (r *Restore) judge(ctx context.Context) (err error) {
	versions, err := versionsIn(ctx, r.Dir)
	if err != nil {
		return err
	}
	if r.found.Keys != backup.Keys(versions) {
		return fmt.Errorf("%w: the key ring is not the one its manifest tells of", backup.ErrDamaged)
	}
	db, err := keysdb.Open(ctx, r.Dir.File(KeysFile), sqlitedb.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	ring, err := seal.OpenRestored(ctx, db)
	if err != nil {
		return err
	}
	r.step("shred")
	shreds := shred.Open(r.Dir.File(ShredFile))
	citizens, streams, err := shreds.Read()
	if err != nil {
		return err
	}
	r.found.Shredded = len(citizens) + len(streams)
	if err := ring.ReapplyDestroyed(ctx, citizens, streams); err != nil {
		return err
	}
	store, err := sqlite.Open(ctx, string(r.Dir), sqlite.Options{ServeDamaged: true}) // verify says more
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	r.step("verify")
	if err := r.verify(ctx, store); err != nil {
		return err
	}
	r.step("compare")
	log := eventstore.NewLog(eventstore.Options{Store: store, Codec: codec.Catalog})
	if err := db.Migrate(ctx, "guard", guardTables); err != nil {
		return err
	}
	if _, err := keysdb.Do(ctx, db, func(tx *keysdb.Tx) (struct{}, error) { // from the first event on
		_, err := tx.Exec(`DELETE FROM guard`)
		return struct{}{}, err
	}); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	noted := &notedRing{Restored: ring}
	if err := guard(ctx, log, db, noted, shreds); err != nil {
		return err
	}
	if err := r.compare(ctx, log, ring); err != nil {
		return err
	}
	r.step("list")
	missedCitizens, missedStreams := noted.besides(citizens, streams)
	r.found.Unlisted = len(missedCitizens) + len(missedStreams)
	if err := list(shreds, missedCitizens, missedStreams); err != nil {
		return err
	}
	if err := errors.Join(ring.Check(ctx), ring.Settle(ctx)); err != nil {
		return err
	}
	r.step("note")
	if err := r.note(ctx, db); err != nil {
		return err
	}
	r.step("unwrap")
	return r.unwrap(ctx, db)
}

// note has the next process that opens the vault record the restore.
func (r *Restore) note(ctx context.Context, db *keysdb.DB) error {
	if r.Scratch {
		return nil
	}
	digest := ""
	if r.Digest != nil {
		digest = r.Digest()
	}
	return noteAct(ctx, db, audit.RestoreBackup, digest)
}

// list adds destructions to the shred list.
func list(to *shred.List, citizens []seal.DestroyedSubject, streams []seal.DestroyedStream) error {
	now := time.Now()
	for _, c := range citizens {
		if err := to.AddCitizen(c, now); err != nil {
			return err
		}
	}
	for _, s := range streams {
		if err := to.AddStream(s, now); err != nil {
			return err
		}
	}
	return nil
}

// unwrap opens the ring as a server will, if the key file came along.
func (r *Restore) unwrap(ctx context.Context, db *keysdb.DB) (err error) {
	if r.KEKFile == "" {
		return nil
	}
	kek, err := localkek.Open(r.Dir.File(KEKFile))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kek.Close()) }()
	ring, err := seal.OpenRing(ctx, db, kek, seal.Config{})
	if errors.Is(err, seal.ErrRefused) || errors.Is(err, seal.ErrRetired) {
		return fmt.Errorf("%w (the key ring needs versions %d to %d)", ErrOtherKEK, r.found.Keys.Oldest, r.found.Keys.Latest)
	} else if err != nil {
		return err
	}
	return ring.Close()
}

// versionsIn reads which versions of the key-encryption key the restored ring needs.
func versionsIn(ctx context.Context, dir DataDir) (v seal.KeyVersions, err error) {
	s, err := keysdb.OpenSnapshot(ctx, dir.File(KeysFile))
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.Take(); err != nil {
		return v, err
	}
	return seal.VersionsIn(s.Integers)
}

// verify reads every record again and holds the log against the manifest.
func (r *Restore) verify(ctx context.Context, store *sqlite.Store) error {
	damaged, err := store.Verify(ctx, eventstore.Position{}, r.Show)
	if err != nil {
		return err
	}
	if len(damaged) > 0 {
		return fmt.Errorf("%w: %d damaged records, the first: %w", backup.ErrDamaged, len(damaged), damaged[0])
	}
	end, err := store.End(ctx)
	if err != nil {
		return err
	}
	if end.Records != r.found.Log.Records || backup.Sum(end.Last) != r.found.Log.Last {
		return errOtherLog
	}
	return nil
}

// notedRing remembers which destructions the guard found.
type notedRing struct {
	*seal.Restored
	citizens []seal.DestroyedSubject
	streams  []seal.DestroyedStream
}

// ReapplyDestroyed implements keyRing.
func (n *notedRing) ReapplyDestroyed(ctx context.Context, citizens []seal.DestroyedSubject, streams []seal.DestroyedStream) error {
	n.citizens, n.streams = append(n.citizens, citizens...), append(n.streams, streams...)
	return n.Restored.ReapplyDestroyed(ctx, citizens, streams)
}

// UnknownStreams implements keyRing: compare looks for every key later.
func (n *notedRing) UnknownStreams(context.Context, []eventstore.Stream) (int, error) { return 0, nil }

// besides returns what was noted and is not among these.
func (n *notedRing) besides(citizens []seal.DestroyedSubject, streams []seal.DestroyedStream) (c []seal.DestroyedSubject, s []seal.DestroyedStream) {
	gone, closed := map[domain.CitizenID]bool{}, map[eventstore.Stream]bool{}
	for _, one := range citizens {
		gone[one.Citizen] = true
	}
	for _, one := range streams {
		closed[one.Stream] = true
	}
	for _, one := range n.citizens {
		if !gone[one.Citizen] {
			gone[one.Citizen] = true
			c = append(c, one)
		}
	}
	for _, one := range n.streams {
		if !closed[one.Stream] {
			closed[one.Stream] = true
			s = append(s, one)
		}
	}
	return c, s
}

// comparePage is how many records are compared with the key ring at once.
const comparePage = 5_000

// compare looks for the key of everything sealed in the log, and removes the
// attachments of documents whose key was destroyed.
func (r *Restore) compare(ctx context.Context, log *eventstore.Log, ring *seal.Restored) error {
	var after eventstore.Position
	for {
		keys := map[eventstore.Stream]uuid.UUID{}
		files := map[eventstore.Stream][]domain.AttachmentID{}
		n := 0
		for record, err := range log.Store().ReadAll(ctx, after, comparePage) {
			if err != nil {
				return err
			}
			n++
			after = record.Position
			if record.Sealed != nil {
				id, ok := seal.KeyID(record.Sealed)
				if former, known := keys[record.Stream]; !ok || known && former != id {
					return errNoKeys
				}
				keys[record.Stream] = id
			}
			ids, err := attachments(log, record)
			if err != nil {
				return err
			}
			if len(ids) > 0 {
				files[record.Stream] = append(files[record.Stream], ids...)
			}
		}
		if n == 0 {
			return nil
		}
		missing, err := ring.MissingStreams(ctx, keys)
		if err != nil {
			return err
		}
		if missing > 0 {
			return fmt.Errorf("%w (%d of them)", errNoKeys, missing)
		}
		if err := r.removeDestroyed(ctx, ring, files); err != nil {
			return err
		}
	}
}

// attachments returns the files that a record names.
func attachments(log *eventstore.Log, record eventstore.Record) ([]domain.AttachmentID, error) {
	if !strings.HasPrefix(record.Type, "document.issued/") && !strings.HasPrefix(record.Type, "document.updated/") {
		return nil, nil
	}
	data, err := log.Decode(record)
	if err != nil {
		return nil, err
	}
	switch e := data.(type) {
	case document.Issued:
		return e.Attachments, nil
	case document.Updated:
		return e.Attachments, nil
	}
	return nil, nil
}

func (r *Restore) removeDestroyed(ctx context.Context, ring *seal.Restored, named map[eventstore.Stream][]domain.AttachmentID) error {
	for stream, ids := range named {
		destroyed, err := ring.Destroyed(ctx, stream)
		if err != nil {
			return err
		}
		if !destroyed {
			continue
		}
		for _, id := range ids {
			name := id.String()
			err := os.Remove(filepath.Join(r.Dir.File(BlobsFolder), name[:2], name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			} else if err != nil {
				return fmt.Errorf("restore: remove a destroyed attachment: %w", files.Cause(err))
			}
			r.found.Removed++
		}
	}
	return nil
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/ncruces/go-sqlite3"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/domain/document"
	"coffre/eventstore"
	"coffre/eventstore/proof"
	"coffre/eventstore/sqlite"
	"coffre/eventstore/sqlite/sqlitedb"
)

const (
	rawBatch   = 64
	warmEach   = 32 // streams of each caller whose keys are in memory
	rawFlavour = "raw inserts of the same rows, 64 to a transaction"
)

// appends is T1: sealed events, one to an append, durable before the caller hears
// of it, into streams whose keys exist; and, in a line of its own, into new streams,
// whose keys must be durable first.
func (b *bench) appends(ctx context.Context) (err error) {
	w, err := b.newWriter(ctx, "T1", 0, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	got, err := b.compare(ctx, "T1", w.raw.during(b.span, false), w.during(b.span))
	if err != nil {
		return err
	}
	if err := b.tell(got.measure("T1", "events/s", rawFlavour, ">= 0.65")); err != nil {
		return err
	}
	bare, err := newRawLog(ctx, w.dir.File("bare.db"), w.store, w.streams[0], 0, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bare.Close()) }()
	if got, err = b.compare(ctx, "T1bare", bare.during(b.span, false), w.during(b.span)); err != nil {
		return err
	}
	if err := b.tell(got.measure("T1.bare", "events/s", rawFlavour+" without the index over streams", "")); err != nil {
		return err
	}
	got, err = b.compare(ctx, "T1new", w.raw.during(b.span, true), func(ctx context.Context) (pace, error) {
		return load(ctx, callers, b.span, w.issueOne)
	})
	if err != nil {
		return err
	}
	return b.tell(got.measure("T1n", "events/s", rawFlavour+", with the stream's", ">= 0.55"))
}

// writer appends to a log of a certain size, beside a raw file of that size.
type writer struct {
	*sealedLog
	raw     *rawLog
	dir     vault.DataDir
	holders []domain.CitizenID
	streams []eventstore.Stream // warmEach for each caller
}

// newWriter fills a new log with so many events first; its keys lie in Vault unless
// that is nil.
func (b *bench) newWriter(ctx context.Context, name string, events int, keeper *vault.TransitConfig) (_ *writer, err error) {
	dir, err := b.folder(name)
	if err != nil {
		return nil, err
	}
	if events > 0 {
		if err := populate(ctx, dir, events); err != nil {
			return nil, fmt.Errorf("fill: %w", err)
		}
	}
	l, err := openLog(ctx, dir, keeper)
	if err != nil {
		return nil, err
	}
	w, err := warm(ctx, l, events)
	if err != nil {
		return nil, err
	}
	w.dir = dir
	if w.raw, err = newRawLog(ctx, dir.File("raw.db"), l.store, w.streams[0], events, true); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// warm gives each caller streams with keys in memory. It closes l when it fails.
func warm(ctx context.Context, l *sealedLog, events int) (*writer, error) {
	w := &writer{sealedLog: l}
	var err error
	if w.holders, err = l.enrol(ctx, events, callers); err == nil {
		w.streams, err = l.issue(ctx, w.holders, warmEach)
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (w *writer) Close() error {
	var raw error
	if w.raw != nil {
		raw = w.raw.Close()
	}
	return errors.Join(raw, w.sealedLog.Close())
}

// during appends for a while from all callers.
func (w *writer) during(span time.Duration) side {
	return func(ctx context.Context) (pace, error) { return load(ctx, callers, span, w.updateOne) }
}

// updateOne appends one event to one of the caller's streams.
func (w *writer) updateOne(ctx context.Context, caller int) error {
	i := rand.IntN(warmEach)*callers + caller
	return w.put(ctx, w.streams[i], w.holders[i%len(w.holders)], document.Updated{
		Document: domain.DocumentID{UUID: uuid.New()}, Version: 2, Replaces: 1, Reason: "correction",
		EffectiveFrom: validFrom, ValidFrom: validFrom, At: time.Now().UTC().Truncate(time.Microsecond),
		Personal: &document.UpdatedPersonal{Content: content()},
	})
}

// issueOne appends the first event of a new stream of the caller's citizen.
func (w *writer) issueOne(ctx context.Context, caller int) error {
	id := domain.DocumentID{UUID: uuid.New()}
	return w.begin(ctx, eventstore.Stream("document-"+id.String()), w.holders[caller], issued(id, w.holders[caller], content(), caller))
}

// rawLog is a file with the log's tables, written to by nothing but two prepared
// statements. Its rows have the bytes of a record of the log.
type rawLog struct {
	conn                  *sqlite3.Conn
	insert, insertStream  *sqlite3.Stmt
	record                eventstore.Record
	position, streams     int64
	revisions             [warmEach * callers]int64
	beginBatch, endsBatch *sqlite3.Stmt
}

// rawOptions are those of the log's own writer, with more cache for the index that it lacks.
var rawOptions = sqlitedb.Options{PageSize: 32 << 10, Cache: 32 << 20, Checksums: true}

const rawTables = `
CREATE TABLE streams (id INTEGER PRIMARY KEY, hash INTEGER NOT NULL, category INTEGER NOT NULL, name ANY) STRICT;
CREATE INDEX streams_by_hash ON streams (hash);
CREATE TABLE events (position INTEGER PRIMARY KEY, stream INTEGER NOT NULL, revision INTEGER NOT NULL, type INTEGER NOT NULL,
	time INTEGER NOT NULL, id BLOB NOT NULL, sum BLOB NOT NULL, meta BLOB, clear BLOB, sealed BLOB) STRICT;`

const rawIndex = `CREATE UNIQUE INDEX events_by_stream ON events (stream, revision)`

// newRawLog makes the file, with the index over streams and revisions or without, and
// fills it with so many rows like the first of a stream.
func newRawLog(ctx context.Context, path string, store eventstore.Store, like eventstore.Stream, rows int, indexed bool) (_ *rawLog, err error) {
	r := &rawLog{}
	for record, err := range store.ReadStream(ctx, like, 0) {
		if err != nil {
			return nil, err
		}
		r.record = record
		break
	}
	if r.conn, err = sqlitedb.OpenConn(ctx, path, rawOptions, sqlitedb.Write); err != nil {
		return nil, err
	}
	err = r.conn.Exec(rawTables)
	if err == nil && indexed {
		err = r.conn.Exec(rawIndex)
	}
	for into, sql := range map[**sqlite3.Stmt]string{
		&r.beginBatch: `BEGIN IMMEDIATE`, &r.endsBatch: `COMMIT`,
		&r.insert:       `INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		&r.insertStream: `INSERT INTO streams VALUES (?, ?, ?, ?)`,
	} {
		if err == nil {
			*into, _, err = r.conn.Prepare(sql)
		}
	}
	for err == nil && r.position < int64(rows) {
		err = errors.Join(r.batch(16*rawBatch, true), ctx.Err())
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Close closes the statements, then the file.
func (r *rawLog) Close() error {
	for _, s := range slices.Collect(r.conn.Stmts()) {
		_ = s.Close() // the error of its last use, which was dealt with then
	}
	return r.conn.Close()
}

// during inserts batch after batch for a while, into known streams or into new ones.
func (r *rawLog) during(span time.Duration, newStreams bool) side {
	return func(ctx context.Context) (pace, error) {
		batches, err := load(ctx, 1, span, func(context.Context, int) error { return r.batch(rawBatch, newStreams) })
		return batches.each(rawBatch), err
	}
}

// times inserts so many rows into known streams.
func (r *rawLog) times(rows int64) side {
	return func(ctx context.Context) (pace, error) {
		batches, err := times(ctx, 1, rows/rawBatch, func(context.Context, int) error { return r.batch(rawBatch, false) })
		return batches.each(rawBatch), err
	}
}

func (r *rawLog) batch(size int, newStreams bool) error {
	if err := r.beginBatch.Exec(); err != nil {
		return err
	}
	for range size {
		stream, revision := int64(0), int64(0)
		if newStreams {
			id := uuid.New()
			r.streams++
			stream = r.streams + int64(len(r.revisions))
			s := r.insertStream
			hash := int64(int32(id.ID()))
			if err := errors.Join(s.BindInt64(1, stream), s.BindInt64(2, hash), s.BindInt64(3, 1), s.BindBlob(4, id[:]), s.Exec()); err != nil {
				return err
			}
		} else {
			stream = rand.Int64N(int64(len(r.revisions))) // as the callers of the log choose theirs
			r.revisions[stream]++
			revision = r.revisions[stream]
		}
		if err := r.row(stream, revision); err != nil {
			return err
		}
	}
	return r.endsBatch.Exec()
}

func (r *rawLog) row(stream, revision int64) error {
	r.position++
	s := r.insert
	for param, value := range [...]int64{r.position, stream, revision, 1, r.record.Time.UnixMicro()} {
		if err := s.BindInt64(param+1, value); err != nil {
			return err
		}
	}
	sum := proof.Hash{byte(r.position)}
	for i, value := range [...][]byte{r.record.ID[:], sum[:], r.record.Meta, r.record.Clear, r.record.Sealed} {
		if err := s.BindBlob(6+i, value); err != nil {
			return err
		}
	}
	return s.Exec()
}

// bytesPerEvent is the part of T7 about the disk: documents of payload, each in
// a stream of its own, which costs the most.
func (b *bench) bytesPerEvent(ctx context.Context) error {
	const events = 20_000
	dir, err := b.folder("T7")
	if err != nil {
		return err
	}
	l, err := openLog(ctx, dir, nil)
	if err != nil {
		return err
	}
	holders, err := l.enrol(ctx, 0, 1)
	if err == nil {
		_, err = l.issue(ctx, holders, events)
	}
	if err := errors.Join(err, l.Close()); err != nil {
		return err
	}
	info, err := os.Stat(dir.File(sqlite.FileName))
	if err != nil {
		return err
	}
	return b.tell(Measure{Name: "T7.bytes", Value: float64(info.Size()) / events / payload, Unit: "of payload", Target: "<= 1.4"})
}

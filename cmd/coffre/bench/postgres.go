package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"coffre/cmd/coffre/vault"
	"coffre/eventstore"
	"coffre/eventstore/postgres"
	"coffre/eventstore/sqlite"
	"coffre/eventstore/sqlite/sqlitedb"
)

// PostgresVariable holds the address of the PostgreSQL to measure on.
const PostgresVariable = "COFFRE_BENCH_POSTGRES"

const (
	tailEvents = 20_000 // that a tailing reader reads
	rawPage    = 1000   // rows of one raw SELECT
)

// ErrNoAddress says that the address given for a PostgreSQL cannot be read.
var ErrNoAddress = errors.New("--postgres is not an address")

// database makes a database on the server, and tells how to drop it.
func (b *bench) database(ctx context.Context) (dsn string, drop func() error, err error) {
	u, err := url.Parse(b.Postgres)
	if err != nil {
		return "", nil, ErrNoAddress
	}
	admin, err := pgx.Connect(ctx, b.Postgres)
	if err != nil {
		return "", nil, err
	}
	name := "coffre_bench_" + strings.ToLower(rand.Text()[:10])
	if _, err := admin.Exec(ctx, `CREATE DATABASE `+name+` TEMPLATE template0`); err != nil {
		return "", nil, errors.Join(err, admin.Close(ctx))
	}
	u.Path = "/" + name
	return u.String(), func() error {
		ctx := context.WithoutCancel(ctx)
		_, err := admin.Exec(ctx, `DROP DATABASE `+name+` WITH (FORCE)`)
		return errors.Join(err, admin.Close(ctx))
	}, nil
}

// postgresAppends is T10: T1 with the log in PostgreSQL.
func (b *bench) postgresAppends(ctx context.Context) (err error) {
	if b.Postgres == "" {
		return b.leftOut("T10")
	}
	w, drop, err := b.newPostgresWriter(ctx, "T10")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close(), drop()) }()
	got, err := b.compare(ctx, "T10", w.rows.during(b.span), w.during(b.span))
	if err != nil {
		return err
	}
	return b.tell(got.measure("T10", "events/s", "raw unnest of the same rows, 64 to a statement, one connection", ">= 0.65"))
}

// leftOut tells a person why a figure is not there.
func (b *bench) leftOut(name string) error {
	_, err := fmt.Fprintf(b.Err, "%s is left out: it needs --postgres or %s\n", name, PostgresVariable)
	return err
}

// postgresWriter appends to a log in PostgreSQL, beside a raw table.
type postgresWriter struct {
	*writer
	rows *rawRows
	dsn  string
}

func (w *postgresWriter) Close() error {
	var err error
	if w.rows != nil {
		err = w.rows.conn.Close(context.Background())
	}
	return errors.Join(err, w.writer.Close())
}

func (b *bench) newPostgresWriter(ctx context.Context, name string) (_ *postgresWriter, drop func() error, err error) {
	dir, err := b.folder(name)
	if err != nil {
		return nil, nil, err
	}
	dsn, drop, err := b.database(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, drop())
		}
	}()
	store, err := postgres.Open(ctx, dsn, postgres.Options{Gather: vault.Gather})
	if err != nil {
		return nil, nil, err
	}
	l, err := sealOver(ctx, store, dir, nil)
	if err != nil {
		return nil, nil, err
	}
	w := &postgresWriter{dsn: dsn}
	if w.writer, err = warm(ctx, l, 0); err != nil {
		return nil, nil, err
	}
	if w.rows, err = newRawRows(ctx, dsn, store, w.streams); err != nil {
		return nil, nil, errors.Join(err, w.Close())
	}
	return w, drop, nil
}

// rawRows is a table with the columns and indexes of the log's, written to by
// nothing but one prepared statement on one connection.
type rawRows struct {
	conn      *pgx.Conn
	record    eventstore.Record
	streams   []eventstore.Stream
	revisions []int64
	position  int64
}

func newRawRows(ctx context.Context, dsn string, store eventstore.Store, streams []eventstore.Stream) (*rawRows, error) {
	r := &rawRows{streams: streams, revisions: make([]int64, len(streams))}
	for record, err := range store.ReadStream(ctx, streams[0], 0) {
		if err != nil {
			return nil, err
		}
		r.record = record
		break
	}
	var err error
	if r.conn, err = pgx.Connect(ctx, dsn); err != nil {
		return nil, err
	}
	_, err = r.conn.Exec(ctx, `CREATE TABLE raw (LIKE `+postgres.Schema+`.events INCLUDING ALL)`)
	if err == nil {
		_, err = r.conn.Prepare(ctx, "insert", `INSERT INTO raw (position, stream, revision, type, time, id, sum, meta, clear, sealed)
			SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::bytea[], $5::bigint[], $6::uuid[], $7::bytea[], $8::bytea[], $9::bytea[], $10::bytea[])`)
	}
	if err != nil {
		return nil, errors.Join(err, r.conn.Close(ctx))
	}
	return r, nil
}

func (r *rawRows) during(span time.Duration) side {
	return func(ctx context.Context) (pace, error) {
		batches, err := load(ctx, 1, span, func(ctx context.Context, _ int) error { return r.batch(ctx) })
		return batches.each(rawBatch), err
	}
}

func (r *rawRows) batch(ctx context.Context) error {
	var positions, revisions, times [rawBatch]int64
	var streams, types, sums, metas, clears, seals [rawBatch][]byte
	var ids [rawBatch][16]byte
	for i := range rawBatch {
		r.position++
		s := r.position % int64(len(r.streams))
		r.revisions[s]++
		positions[i], revisions[i], times[i] = r.position, r.revisions[s], r.record.Time.UnixMicro()
		streams[i], types[i], sums[i] = []byte(r.streams[s]), []byte(r.record.Type), make([]byte, 32)
		metas[i], clears[i], seals[i], ids[i] = r.record.Meta, r.record.Clear, r.record.Sealed, r.record.ID
	}
	_, err := r.conn.Exec(ctx, "insert", positions[:], streams[:], revisions[:], types[:], times[:], ids[:], sums[:], metas[:], clears[:], seals[:])
	return err
}

// tailing is T13: a reader that follows the log from its beginning, every record
// verified, beside the same rows selected in order by the same driver, their bytes
// copied once.
func (b *bench) tailing(ctx context.Context) error {
	if err := b.tailSQLite(ctx); err != nil {
		return fmt.Errorf("SQLite: %w", err)
	}
	if b.Postgres == "" {
		return b.leftOut("T13.postgres")
	}
	if err := b.tailPostgres(ctx); err != nil {
		return fmt.Errorf("PostgreSQL: %w", err)
	}
	return nil
}

func (b *bench) tailSQLite(ctx context.Context) (err error) {
	dir, err := b.folder("T13")
	if err != nil {
		return err
	}
	l, err := openLog(ctx, dir, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := fill(ctx, l); err != nil {
		return err
	}
	conn, err := sqlitedb.OpenConn(ctx, dir.File(sqlite.FileName), rawOptions, sqlitedb.Read)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	page, _, err := conn.Prepare(`SELECT position, stream, revision, type, time, id, sum, meta, clear, sealed FROM events
		WHERE position > ? ORDER BY position LIMIT ?`)
	if err != nil {
		return err
	}
	defer page.Close()
	var row, kept []byte
	raw := pass(b.span, func(context.Context) (n int64, err error) {
		for more := true; more; {
			if err := errors.Join(page.BindInt64(1, n), page.BindInt64(2, rawPage)); err != nil {
				return n, err
			}
			more = false
			for page.Step() {
				row = row[:0]
				for column := range page.ColumnCount() {
					row = append(row, page.ColumnRawBlob(column)...)
				}
				kept = bytes.Clone(row)
				n++
				more = true
			}
			if err := errors.Join(page.Err(), page.Reset()); err != nil {
				return n, err
			}
		}
		return n, nil
	})
	got, err := b.compare(ctx, "T13sqlite", raw, pass(b.span, tailOnce(l.store)))
	runtime.KeepAlive(kept)
	if err != nil {
		return err
	}
	return b.tell(got.measure("T13.sqlite", "events/s", "raw ordered SELECT", ">= 0.6"))
}

func (b *bench) tailPostgres(ctx context.Context) (err error) {
	w, drop, err := b.newPostgresWriter(ctx, "T13postgres")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close(), drop()) }()
	if err := fill(ctx, w.sealedLog); err != nil {
		return err
	}
	db, err := sql.Open("pgx", w.dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var row []byte
	raw := pass(b.span, func(ctx context.Context) (n int64, err error) {
		for more := true; more; {
			rows, err := db.QueryContext(ctx, `SELECT position, revision, time, uuid_send(id), stream, type, sum, meta, clear, sealed
				FROM `+postgres.Schema+`.events WHERE position > $1 ORDER BY position LIMIT $2`, n, rawPage)
			if err != nil {
				return n, err
			}
			more = false
			var at, revision, micros int64
			var id, stream, kind, sum, meta, clear, sealed sql.RawBytes
			for rows.Next() {
				if err := rows.Scan(&at, &revision, &micros, &id, &stream, &kind, &sum, &meta, &clear, &sealed); err != nil {
					return n, errors.Join(err, rows.Close())
				}
				row = slices.Concat(id, stream, kind, sum, meta, clear, sealed)
				n++
				more = true
			}
			if err := errors.Join(rows.Err(), rows.Close()); err != nil {
				return n, err
			}
		}
		return n, nil
	})
	got, err := b.compare(ctx, "T13postgres", raw, pass(b.span, tailOnce(w.store)))
	runtime.KeepAlive(row)
	if err != nil {
		return err
	}
	return b.tell(got.measure("T13.postgres", "events/s", "raw ordered SELECT", ">= 0.6"))
}

// fill brings a log to tailEvents events.
func fill(ctx context.Context, l *sealedLog) error {
	holders, err := l.enrol(ctx, callers, callers)
	if err == nil {
		_, err = l.issue(ctx, holders, tailEvents/callers)
	}
	return err
}

// pass reads a log from its beginning to its end, again and again for a while.
func pass(span time.Duration, once func(context.Context) (int64, error)) side {
	return func(ctx context.Context) (pace, error) {
		began, total := time.Now(), int64(0)
		for time.Since(began) < span {
			n, err := once(ctx)
			if err != nil {
				return pace{}, err
			}
			total += n
		}
		return over(total, began), nil
	}
}

// tailOnce tails a log that nobody writes to, up to its head.
func tailOnce(s eventstore.Store) func(context.Context) (int64, error) {
	return func(ctx context.Context) (n int64, err error) {
		head, err := s.Head(ctx)
		if err != nil {
			return 0, err
		}
		for r, err := range eventstore.Tail(ctx, s, eventstore.Position{}) {
			if err != nil {
				return n, err
			}
			if n++; r.Position == head {
				break
			}
		}
		return n, nil
	}
}

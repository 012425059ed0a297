package sqlite

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/ncruces/go-sqlite3"

	"coffre/eventstore"
	"coffre/eventstore/dense"
	"coffre/eventstore/proof"
	"coffre/eventstore/sqlite/sqlitedb"
)

// A page is read at once and its connection given back before the first record is
// yielded, so that a slow or nested reader holds up neither others nor the
// write-ahead log.
const (
	pageRecords = 256
	pageBytes   = 1 << 20 // the record that exceeds it still belongs to the page
)

// reader is a connection for reading with its statements.
type reader struct {
	conn                 *sqlite3.Conn
	all, one, findStream *sqlite3.Stmt
	lookup               lookup
	form                 int64
	memory               memory
}

func newReader(ctx context.Context, path string, o sqlitedb.Options, t *tail, form int64) (*reader, error) {
	conn, err := sqlitedb.OpenConn(ctx, path, o, sqlitedb.Read)
	if err != nil {
		return nil, err
	}
	r := &reader{conn: conn, form: form}
	const columns = `SELECT e.position, e.revision, e.type, e.time, e.id, e.sum, e.meta, e.clear, e.sealed`
	for into, sql := range map[**sqlite3.Stmt]string{
		&r.all:        columns + `, s.category, s.name FROM events e LEFT JOIN streams s ON s.id = e.stream WHERE e.position BETWEEN ? AND ? ORDER BY e.position`,
		&r.one:        columns + `, e.stream FROM events e WHERE e.position = ?`,
		&r.findStream: `SELECT id FROM streams WHERE hash = ? AND category = ? AND name IS ?`,
	} {
		if *into, _, err = conn.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT); err != nil {
			return nil, errors.Join(fmt.Errorf("prepare: %w", err), closeConn(conn))
		}
	}
	if r.lookup, err = prepareLookup(conn, t, form); err != nil {
		return nil, errors.Join(err, closeConn(conn))
	}
	return r, nil
}

// borrow gives f a reader that stops when ctx ends.
func (s *Store) borrow(ctx context.Context, f func(*reader) error) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	select {
	case r := <-s.readers:
		defer func() { s.readers <- r }()
		r.conn.SetInterrupt(ctx)
		defer r.conn.SetInterrupt(context.Background())
		if err := f(r); err != nil {
			if ctx.Err() != nil && errors.Is(err, sqlite3.INTERRUPT) {
				return ctx.Err()
			}
			return err
		}
		return nil
	case <-s.closed:
		return eventstore.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ReadAll implements eventstore.Store.
func (s *Store) ReadAll(ctx context.Context, after eventstore.Position, limit int) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		end := s.head.Load()
		s.pages(end).Records(ctx, dense.Next(after), int64(limit), pageRecords)(yield)
	}
}

// ReadAhead implements eventstore.Ahead. It reads no more pages at once than the store has
// connections for reading.
func (s *Store) ReadAhead(ctx context.Context, after eventstore.Position, limit, pages int) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		end := s.head.Load()
		s.pages(end).Ahead(ctx, dense.Next(after), int64(limit), pageRecords, min(pages, s.poolSize))(yield)
	}
}

// pages reads by pages what lies up to number end, which was acknowledged.
func (s *Store) pages(end int64) dense.Page {
	return func(ctx context.Context, first int64, n int) ([]eventstore.Record, bool, error) {
		if first > end {
			return nil, false, s.usable(ctx)
		}
		last := end
		if int64(n) <= end-first { // in this order it cannot overflow
			last = first + int64(n) - 1
		}
		page, err := s.page(ctx, first, last)
		return page, err == nil && int64(len(page)) <= last-first, err
	}
}

// page reads records from first to last, as many as fit a page, and at least one.
// What is missing or does not match its checksum ends it with *eventstore.Corrupt.
func (s *Store) page(ctx context.Context, first, last int64) (page []eventstore.Record, err error) {
	err = s.borrow(ctx, func(r *reader) error {
		if err := errors.Join(r.all.BindInt64(1, first), r.all.BindInt64(2, last)); err != nil {
			return err
		}
		words := s.words.Load()
		page = make([]eventstore.Record, 0, last-first+1)
		r.memory.begin(int(min(memoryBlock, (last-first)*(1<<10)))) // a record alone takes what it needs
		defer r.memory.begin(0)
		expected, size := first, 0
		for size < pageBytes && r.all.Step() {
			found, intact := r.record(r.all, words, columnName(r.all, 10, words.at(r.all.ColumnInt64(9))))
			if r.all.Err() != nil {
				break
			}
			if !intact || found.Position != dense.Position(expected) {
				r.all.Reset()
				return &eventstore.Corrupt{Stream: found.Stream, Revision: found.Revision, Position: dense.Position(expected)}
			}
			page = append(page, found)
			size += found.Size()
			expected++
		}
		if err := ended(r.all); err != nil {
			return unreadable(err, &eventstore.Corrupt{Revision: -1, Position: dense.Position(expected)})
		}
		if size < pageBytes && expected <= last {
			return &eventstore.Corrupt{Revision: -1, Position: dense.Position(expected)}
		}
		return nil
	})
	return page, err
}

// ReadStream implements eventstore.Store.
func (s *Store) ReadStream(ctx context.Context, name eventstore.Stream, from eventstore.Revision) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		turn := s.ends.turn() // before the head, as of which the stream is read
		first, head := max(from, 0), s.head.Load()
		if end, known := s.ends.of(name); known && first > end { // of what was acknowledged there is no more
			if err := s.usable(ctx); err != nil {
				yield(eventstore.Record{}, err)
			}
			return
		}
		pages := dense.Page(func(ctx context.Context, at int64, n int) ([]eventstore.Record, bool, error) {
			page, cut, err := s.streamPage(ctx, name, eventstore.Revision(at), head, n)
			if err == nil && !cut && len(page) < n {
				s.ends.found(name, eventstore.Revision(at)+eventstore.Revision(len(page))-1, turn)
			}
			return page, cut, err
		})
		pages.Records(ctx, int64(first), math.MaxInt64, pageRecords)(yield)
	}
}

// streamPage reads up to n records of a stream, and tells whether it left some out for
// their bytes.
func (s *Store) streamPage(ctx context.Context, name eventstore.Stream, from eventstore.Revision, head int64, n int) (page []eventstore.Record, cut bool, err error) {
	err = s.borrow(ctx, func(r *reader) error {
		words := s.words.Load()
		number, err := r.number(name, words)
		if err != nil {
			return unreadable(err, &eventstore.Corrupt{Stream: name, Revision: -1})
		}
		if number == 0 {
			return nil
		}
		positions, missing, err := r.lookup.of(number, from, head, n)
		if err != nil {
			return unreadable(err, &eventstore.Corrupt{Stream: name, Revision: from})
		}
		size := 0
		for _, position := range positions {
			found, err := r.at(position, number, from, words, name)
			if err != nil {
				return err
			}
			page = append(page, found)
			size += found.Size()
			from++
			if size >= pageBytes {
				cut = true
				return nil
			}
		}
		if !missing && len(positions) < n && s.strays != nil {
			strays, err := s.strays(r)
			if err != nil {
				return err
			}
			missing = strays[number]
		}
		if missing {
			return &eventstore.Corrupt{Stream: name, Revision: from}
		}
		return nil
	})
	return page, cut && err == nil, err
}

// at returns the record of a stream at a position, where its revision must be the expected
// one; else a *eventstore.Corrupt.
func (r *reader) at(position, stream int64, expected eventstore.Revision, w *words, name eventstore.Stream) (found eventstore.Record, err error) {
	wrong := &eventstore.Corrupt{Stream: name, Revision: expected, Position: dense.Position(position)}
	if err := r.one.BindInt64(1, position); err != nil {
		return found, err
	}
	whole := r.one.Step()
	if whole {
		found, whole = r.record(r.one, w, name)
		whole = whole && found.Revision == expected && r.one.ColumnInt64(9) == stream
	}
	if err := ended(r.one); err != nil {
		return found, unreadable(err, wrong)
	}
	if !whole {
		return found, wrong
	}
	return found, nil
}

// number returns the number that stands for a stream; 0 when it is not there.
func (r *reader) number(name eventstore.Stream, w *words) (number int64, err error) {
	if err := bindStream(r.findStream, name, w); err != nil {
		return 0, err
	}
	if r.findStream.Step() {
		number = r.findStream.ColumnInt64(0)
	}
	return number, ended(r.findStream)
}

// unreadable turns what SQLite says of a damaged file into the port's word for it.
func unreadable(err error, at *eventstore.Corrupt) error {
	if damage(err) {
		return fmt.Errorf("%w: %w", at, err)
	}
	return err
}

// record copies the record out of the row s stands on, and tells whether it is what
// was appended.
func (from *reader) record(row *sqlite3.Stmt, w *words, name eventstore.Stream) (r eventstore.Record, intact bool) {
	r.Stream = name
	r.Position = dense.Position(row.ColumnInt64(0))
	r.Revision = eventstore.Revision(row.ColumnInt64(1))
	r.Type = w.at(row.ColumnInt64(2))
	r.Time = time.UnixMicro(row.ColumnInt64(3)).UTC()
	id, idErr := uuid.FromBytes(row.ColumnRawBlob(4))
	r.ID = id
	sum := row.ColumnRawBlob(5)
	meta, clear, sealed := row.ColumnRawBlob(6), row.ColumnRawBlob(7), row.ColumnRawBlob(8)
	if from.form < compactForm {
		dense.SetParts(&r, meta, clear, sealed)
		intact = dense.Intact(&r, sum) && idErr == nil
		return r, intact
	}
	if len(sum) != len(proof.Hash{}) || from.memory.setParts(&r, meta, clear, sealed) != nil {
		return r, false
	}
	r.Sum = proof.LeafHash(&r)
	return r, idErr == nil && proof.Hash(r.Sum) == bound(proof.Hash(sum), row.ColumnInt64(0))
}

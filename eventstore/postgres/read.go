package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore"
	"coffre/eventstore/dense"
	"coffre/eventstore/postgres/pgdb"
)

// A page is read at once and its connection given back before the first record is
// yielded, so that a slow or nested reader holds up neither others nor the server's
// cleaning.
const (
	pageRecords = 512
	pageBytes   = 2 << 20 // the record that exceeds it still belongs to the page
)

const columns = `SELECT position, revision, type, time, uuid_send(id), sum, meta, clear, sealed`

// read runs f, which reads, within the bound of one answer. What f reads does not
// change anything, so where the server has cut a pooled connection since it was last
// used, f is run again on another one.
func (s *Store) read(ctx context.Context, f func(context.Context) error) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, s.answer)
	defer cancel()
	var err error
	for range s.attempts {
		if err = f(within); err == nil || !cutOff(err) || within.Err() != nil {
			break
		}
	}
	if err == nil {
		return nil
	}
	if why := s.usable(ctx); why != nil {
		return why
	}
	if pgdb.Away(err) || within.Err() != nil {
		return fmt.Errorf("%w: %w", eventstore.ErrUnavailable, opaque{err})
	}
	return err
}

// cutOff tells whether it was the connection that ended, before or under a statement.
func cutOff(err error) bool {
	code := pgdb.Code(err)
	return pgdb.Away(err) && (code == "" || code == "57P01" || code == "57P02")
}

// opaque keeps the text of an error that must not be taken for what it wraps: a
// deadline of ours is not the caller's.
type opaque struct{ err error }

func (o opaque) Error() string { return o.err.Error() }

// ReadAll implements eventstore.Store.
func (s *Store) ReadAll(ctx context.Context, after eventstore.Position, limit int) iter.Seq2[eventstore.Record, error] {
	return dense.Page(s.page).Records(ctx, dense.Next(after), int64(limit), pageRecords)
}

// ReadAhead implements eventstore.Ahead. It reads no more pages at once than the store has
// connections for reading.
func (s *Store) ReadAhead(ctx context.Context, after eventstore.Position, limit, pages int) iter.Seq2[eventstore.Record, error] {
	return dense.Page(s.page).Ahead(ctx, dense.Next(after), int64(limit), pageRecords, min(pages, s.attempts-1))
}

// page reads up to n records from first on, at least one if there is one, and tells
// whether it left some out for their bytes. What is missing before one that is there,
// or does not match its checksum, ends it with *eventstore.Corrupt.
func (s *Store) page(ctx context.Context, first int64, n int) (page []eventstore.Record, cut bool, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		page, cut = make([]eventstore.Record, 0, n), false
		expected := first
		rows, err := s.readers.QueryContext(ctx, columns+`, stream FROM events WHERE position >= $1 ORDER BY position LIMIT $2`, first, n)
		if err != nil {
			return unreadable(err, &eventstore.Corrupt{Revision: -1, Position: dense.Position(first)})
		}
		defer rows.Close()
		for size := 0; rows.Next(); expected++ {
			if size >= pageBytes {
				cut = true
				return nil
			}
			r, intact, err := record(rows, "")
			if err != nil {
				return err
			}
			if !intact || r.Position != dense.Position(expected) {
				return &eventstore.Corrupt{Stream: r.Stream, Revision: r.Revision, Position: dense.Position(expected)}
			}
			page = append(page, r)
			size += r.Size()
		}
		return unreadable(rows.Err(), &eventstore.Corrupt{Revision: -1, Position: dense.Position(expected)})
	})
	return page, cut, err
}

// ReadStream implements eventstore.Store.
func (s *Store) ReadStream(ctx context.Context, name eventstore.Stream, from eventstore.Revision) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		first := int64(max(from, 0))
		end := int64(math.MaxInt64) // a stream of one page needs no bound
		pages := dense.Page(func(ctx context.Context, at int64, n int) ([]eventstore.Record, bool, error) {
			if at > first && end == math.MaxInt64 { // writers must not keep a reader going
				head, err := s.Head(ctx)
				if err != nil {
					return nil, false, err
				}
				end = int64(head.Commit)
			}
			return s.streamPage(ctx, name, eventstore.Revision(at), end, n)
		})
		pages.Records(ctx, first, math.MaxInt64, pageRecords)(yield)
	}
}

// streamPage reads up to n records of a stream.
func (s *Store) streamPage(ctx context.Context, name eventstore.Stream, from eventstore.Revision, end int64, n int) (page []eventstore.Record, cut bool, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		page, cut = nil, false
		expected := from
		rows, err := s.readers.QueryContext(ctx, columns+` FROM events WHERE stream = $1 AND revision >= $2 AND position <= $3
			ORDER BY revision LIMIT $4`, []byte(name), int64(from), end, n)
		if err != nil {
			return unreadable(err, &eventstore.Corrupt{Stream: name, Revision: from})
		}
		defer rows.Close()
		for size := 0; rows.Next(); expected++ {
			if size >= pageBytes {
				cut = true
				return nil
			}
			r, intact, err := record(rows, name)
			if err != nil {
				return err
			}
			if !intact || r.Revision != expected {
				return &eventstore.Corrupt{Stream: name, Revision: expected, Position: r.Position}
			}
			page = append(page, r)
			size += r.Size()
		}
		return unreadable(rows.Err(), &eventstore.Corrupt{Stream: name, Revision: expected})
	})
	return page, cut, err
}

// unreadable turns what PostgreSQL says of a damaged file into the port's word.
func unreadable(err error, at *eventstore.Corrupt) error {
	switch pgdb.Code(err) {
	case "XX001", "XX002": // data corrupted, index corrupted
		return fmt.Errorf("%w: %w", at, err)
	}
	return err
}

// record copies the record out of the row that rows stands on, and tells whether it
// is what was appended. A name that is not given is the row's last column.
func record(rows *sql.Rows, name eventstore.Stream) (r eventstore.Record, intact bool, err error) {
	var at, micros int64
	var kind, id, sum, meta, clear, sealed, stream sql.RawBytes
	into := []any{&at, &r.Revision, &kind, &micros, &id, &sum, &meta, &clear, &sealed, &stream}
	if name != "" {
		into = into[:len(into)-1]
	}
	if err := rows.Scan(into...); err != nil {
		return r, false, fmt.Errorf("read a record: %w", err)
	}
	r.Position = dense.Position(at)
	r.Stream = name
	if name == "" {
		r.Stream = eventstore.Stream(stream)
	}
	r.Type = string(kind)
	r.Time = time.UnixMicro(micros).UTC()
	var idErr error
	r.ID, idErr = uuid.FromBytes(id)
	dense.SetParts(&r, meta, clear, sealed)
	intact = dense.Intact(&r, sum) && idErr == nil
	return r, intact, nil
}

package sqlitemodels

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"coffre/eventstore"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/projections"
)

// snapshot is one generation in a read transaction.
type snapshot struct {
	conn *sqlite3.Conn
	at   projections.Checkpoint
}

var _ projections.Described = (*snapshot)(nil)

// Snapshot opens the complete generation of a read model with the highest number in a directory,
// which another process may own; nil when there is none. The error is projections.ErrDamaged when
// it is no read model.
func Snapshot(ctx context.Context, dir, name string, version int) (projections.Described, error) {
	m := &model{dir: dir, name: name, version: version}
	complete, _, err := m.generations()
	if errors.Is(err, os.ErrNotExist) || err == nil && len(complete) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	conn, err := sqlitedb.OpenConn(ctx, m.path(complete[0], liveSuffix), sqlitedb.Options{}, sqlitedb.Read)
	if err != nil {
		return nil, damaged(fmt.Errorf("open read model: %w", err))
	}
	s := &snapshot{conn: conn}
	if err = conn.Exec(`BEGIN`); err == nil {
		for row, rowErr := range s.query(ctx, `SELECT commit_position, prepare_position, next_leaf FROM checkpoint`, 3) {
			if err = rowErr; err != nil {
				break
			}
			commit, _ := row[0].(int64)
			prepare, _ := row[1].(int64)
			s.at.Next, _ = row[2].(int64)
			s.at.Position = eventstore.Position{Commit: uint64(commit), Prepare: uint64(prepare)}
		}
	}
	if err != nil {
		return nil, errors.Join(damaged(err), conn.Close())
	}
	return s, nil
}

// damaged makes of an error that tells of the tables, and not of the medium or the moment,
// projections.ErrDamaged.
func damaged(err error) error {
	switch fault(err) {
	case projections.Damaged:
		return projections.ErrDamaged
	case projections.NoFault:
		if errors.Is(err, sqlite3.ERROR) { // a table or a column that is not there
			return projections.ErrDamaged
		}
	}
	return err
}

// At implements projections.Snapshot.
func (s *snapshot) At() projections.Checkpoint { return s.at }

// Close implements projections.Snapshot.
func (s *snapshot) Close() error { return s.conn.Close() }

// Rows implements projections.Snapshot.
func (s *snapshot) Rows(ctx context.Context, t projections.Table) iter.Seq2[[]any, error] {
	names, keys := make([]string, len(t.Columns)), make([]string, len(t.Key))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	for i, k := range t.Key {
		keys[i] = t.Columns[k].Name
	}
	return s.query(ctx, `SELECT `+strings.Join(names, ", ")+` FROM `+t.Name+` ORDER BY `+strings.Join(keys, ", "), len(names))
}

// query yields the rows of a query.
func (s *snapshot) query(ctx context.Context, query string, columns int) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		q, _, err := s.conn.Prepare(query)
		if err != nil {
			yield(nil, damaged(err))
			return
		}
		defer func() { _ = q.Close() }() // what it would tell, Err told
		for q.Step() {
			if ctx.Err() != nil {
				yield(nil, ctx.Err())
				return
			}
			row := make([]any, columns)
			for i := range row {
				row[i] = value(q, i)
			}
			if !yield(row, nil) {
				return
			}
		}
		if err := q.Err(); err != nil {
			yield(nil, damaged(err))
		}
	}
}

func value(q *sqlite3.Stmt, column int) any {
	switch q.ColumnType(column) {
	case sqlite3.NULL:
		return nil
	case sqlite3.INTEGER:
		return q.ColumnInt64(column)
	case sqlite3.TEXT:
		return q.ColumnText(column)
	case sqlite3.BLOB:
		return q.ColumnBlob(column, nil)
	}
	return fmt.Sprint(q.ColumnFloat(column)) // which no read model writes
}

// Tables implements projections.Described.
func (s *snapshot) Tables(ctx context.Context) (all []projections.Table, err error) {
	var names []string
	for row, err := range s.query(ctx, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'checkpoint' ORDER BY name`, 1) {
		if err != nil {
			return nil, err
		}
		name, _ := row[0].(string)
		names = append(names, name)
	}
	for _, name := range names {
		t := projections.Table{Name: name}
		place := map[int]int64{} // in the key, from 1, by column
		for row, err := range s.query(ctx, `SELECT name, type, pk FROM pragma_table_info('`+name+`') ORDER BY cid`, 3) {
			if err != nil {
				return nil, err
			}
			column, _ := row[0].(string)
			if pk, _ := row[2].(int64); pk > 0 {
				place[len(t.Columns)] = pk
				t.Key = append(t.Key, len(t.Columns))
			}
			t.Columns = append(t.Columns, projections.Column{Name: column, Text: row[1] == "TEXT"})
		}
		slices.SortFunc(t.Key, func(a, b int) int { return int(place[a] - place[b]) })
		all = append(all, t)
	}
	return all, nil
}

package backup

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"coffre/eventstore/postgres/pgdb"
	"coffre/eventstore/sqlite/sqlitedb"
)

// ErrForm: the tables on a server are not those that this program knows.
var ErrForm = errors.New("backup: the tables on the server are of another release than this program")

// Tables writes the tables of a schema in PostgreSQL as the part that the same tables make where
// they lie in a file, so that a restore needs no server.
type Tables struct {
	From  *pgdb.Snapshot
	Shape sqlitedb.Shape // of an empty file with the same tables
	Own   []string       // tables that only a server has: they are left out
}

// WriteTo implements io.WriterTo, and lets go of the state when it was written. It returns ErrForm
// when the server has a table or a column that the file has not, or lacks a column.
func (t Tables) WriteTo(w io.Writer) (int64, error) {
	there, err := t.From.Tables()
	if err != nil {
		return 0, err
	}
	known := map[string]bool{}
	for _, table := range t.Shape.Tables {
		known[table.Name] = true
		if columns, found := there[table.Name]; found && !sameNames(columns, table.Columns) {
			return 0, fmt.Errorf("%w: table %s", ErrForm, table.Name)
		}
	}
	for name := range there {
		if !known[name] && !slices.Contains(t.Own, name) {
			return 0, fmt.Errorf("%w: table %s", ErrForm, name)
		}
	}
	n, err := t.Shape.WriteRows(w, func(table sqlitedb.Table, each func([]any) error) error {
		if there[table.Name] == nil { // of a part that nobody used yet
			return nil
		}
		return t.From.Rows(table.Name, table.Columns, each)
	})
	return n, errors.Join(err, t.From.Release())
}

func sameNames(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

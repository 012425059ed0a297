package projections

import (
	"context"
	"iter"
)

// Snapshot is a read model in force as it stood at one moment, read beside whoever moves it,
// for one goroutine. It keeps space of the medium from being used again until it is closed.
type Snapshot interface {
	// At returns how far the read model had come.
	At() Checkpoint
	// Rows yields the rows of a table in the order of its key, numbers by value, bytes and texts
	// byte by byte. The values are in the order of the columns, each nil, an int64, a string or a
	// []byte, and stay the reader's. The error is ErrDamaged when the table, or a column, is not
	// there or not what was written.
	Rows(ctx context.Context, t Table) iter.Seq2[[]any, error]
	Close() error
}

// Table is a table of a read model, as its schema makes it.
type Table struct {
	Name    string
	Columns []Column
	Key     []int // the columns that name a row, in the order of its key
}

// Column is a column of a table.
type Column struct {
	Name string
	Text bool // TEXT, which a medium may order by other rules than byte by byte
}

// Described is a snapshot that tells which tables there are, without that of the checkpoint.
type Described interface {
	Snapshot
	Tables(ctx context.Context) ([]Table, error)
}

package sqlitedb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ncruces/go-sqlite3"
)

// Look runs a query of the database at path, which may be in use, on a connection that cannot
// write, and gives each row of the answer. there is false, and nothing is asked, where no file is.
func Look(ctx context.Context, path, query string, each func(row *sqlite3.Stmt)) (there bool, err error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	conn, err := OpenConn(ctx, path, Options{}, Read)
	if err != nil {
		return false, fmt.Errorf("look into a database: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	s, _, err := conn.Prepare(query)
	if err != nil {
		return true, fmt.Errorf("look into a database: %w", err)
	}
	defer s.Close()
	for s.Step() {
		each(s)
	}
	return true, s.Err()
}

// Version returns the number that a program gave the form of the database at path, which may be in
// use; 0 where no file is.
func Version(ctx context.Context, path string) (version int64, err error) {
	_, err = Look(ctx, path, `PRAGMA user_version`, func(row *sqlite3.Stmt) { version = row.ColumnInt64(0) })
	return version, err
}

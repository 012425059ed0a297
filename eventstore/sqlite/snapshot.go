package sqlite

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/ncruces/go-sqlite3"

	"coffre/eventstore"
	"coffre/eventstore/dense"
	"coffre/eventstore/proof"
	"coffre/eventstore/sqlite/sqlitedb"
)

// Snapshot copies the log as it is at one moment, while appends go on. It is for
// one goroutine at a time.
type Snapshot struct{ *sqlitedb.Snapshot }

// OpenSnapshot connects to the log in dir; [sqlitedb.Snapshot.Take] chooses the
// moment.
func OpenSnapshot(ctx context.Context, dir string) (Snapshot, error) {
	s, err := sqlitedb.OpenSnapshot(ctx, filepath.Join(dir, FileName), sqlitedb.Options{Cache: readerCache})
	if err != nil {
		return Snapshot{}, fmt.Errorf("event log: %w", err)
	}
	return Snapshot{s}, nil
}

// Head is the end of a log.
type Head struct {
	Records int64      // how many there are
	Last    proof.Hash // proof.LeafHash of the last one; zero when there is none
	At      time.Time  // when the last one was recorded
}

// Head returns the end of the log as it was taken.
func (s Snapshot) Head() (h Head, err error) {
	sized := true
	_, err = s.First(`SELECT position, time, sum, (SELECT user_version FROM pragma_user_version) FROM events ORDER BY position DESC LIMIT 1`, func(row *sqlite3.Stmt) {
		h.Records, h.At = row.ColumnInt64(0), time.UnixMicro(row.ColumnInt64(1)).UTC()
		sized = copy(h.Last[:], row.ColumnRawBlob(2)) == len(h.Last)
		if row.ColumnInt64(3) == compactForm {
			h.Last = bound(h.Last, h.Records)
		}
	})
	if err == nil && !sized {
		err = &eventstore.Corrupt{Revision: -1, Position: dense.Position(h.Records)}
	}
	if err != nil {
		return Head{}, fmt.Errorf("event log: %w", unreadable(err, &eventstore.Corrupt{Revision: -1, Position: dense.Position(h.Records)}))
	}
	return h, nil
}

// End returns the end of the log, its last record read again.
func (s *Store) End(ctx context.Context) (Head, error) {
	n := s.head.Load()
	if n == 0 {
		return Head{}, s.usable(ctx)
	}
	page, err := s.page(ctx, n, n)
	if err != nil {
		return Head{}, err
	}
	return Head{Records: n, Last: proof.SumOf(&page[0]), At: page[0].Time}, nil
}

// Restore makes the log in dir, where none may be, of what a [Snapshot] wrote. It
// checks no record: that is [Store.Verify]'s. See [sqlitedb.Restore].
func Restore(ctx context.Context, dir string, r io.Reader) error {
	return sqlitedb.Restore(ctx, filepath.Join(dir, FileName), sqlitedb.Options{PageSize: pageSize, Cache: writerCache, Checksums: true}, r)
}

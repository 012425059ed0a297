package sqlite_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore"
	"coffre/eventstore/proof"
	"coffre/eventstore/sqlite"
	"coffre/eventstore/sqlite/sqlitedb"
)

// The benchmarks come in pairs: what the store does, and the same rows through
// nothing but a prepared statement. Only their ratio means anything.

const callers = 64

// document is an event of the usual size: 1 KiB sealed, 200 bytes each of clear
// facts and metadata.
func document(sealed []byte) eventstore.Record {
	return eventstore.Record{
		ID:     uuid.New(),
		Type:   "document.issued/1",
		Time:   time.Now().UTC().Truncate(time.Microsecond),
		Meta:   sealed[:200],
		Clear:  sealed[200:400],
		Sealed: sealed,
	}
}

func sealedBytes() []byte {
	b := make([]byte, 1024+29) // content, nonce, tag and header
	_, _ = rand.Read(b)
	return b
}

func BenchmarkAppend(b *testing.B) {
	for name, o := range map[string]sqlite.Options{"drain": {}, "gather": {Gather: 700 * time.Microsecond}} {
		b.Run(name, func(b *testing.B) {
			s := open(b, b.TempDir(), o)
			sealed := sealedBytes()
			b.SetParallelism(callers / runtime.GOMAXPROCS(0))
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					batch := eventstore.Batch{
						Stream:   eventstore.Stream("document-" + uuid.NewString()),
						Expected: eventstore.NoStream,
						Records:  []eventstore.Record{document(sealed)},
					}
					if _, err := s.Append(context.Background(), batch); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

const rawTable = `CREATE TABLE events (position INTEGER PRIMARY KEY, stream TEXT NOT NULL, revision INTEGER NOT NULL, type TEXT NOT NULL,
	time INTEGER NOT NULL, id BLOB NOT NULL, sum BLOB NOT NULL, meta BLOB, clear BLOB, sealed BLOB, UNIQUE (stream, revision))`

// BenchmarkAppendRaw inserts the same rows 64 to a transaction, as directly as can be.
func BenchmarkAppendRaw(b *testing.B) {
	conn, err := sqlitedb.OpenConn(b.Context(), filepath.Join(b.TempDir(), "raw.db"), sqlitedb.Options{}, sqlitedb.Write)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Exec(rawTable); err != nil {
		b.Fatal(err)
	}
	insert, _, err := conn.Prepare(`INSERT INTO events VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		b.Fatal(err)
	}
	defer insert.Close()
	sealed := sealedBytes()
	b.ResetTimer()
	for n := 0; n < b.N; {
		must(b, conn.Exec(`BEGIN IMMEDIATE`))
		for range min(callers, b.N-n) {
			n++
			r := document(sealed)
			r.Stream = eventstore.Stream("document-" + uuid.NewString())
			var sum proof.Hash
			must(b, insert.BindInt64(1, int64(n)))
			must(b, insert.BindText(2, string(r.Stream)))
			must(b, insert.BindText(3, r.Type))
			must(b, insert.BindInt64(4, r.Time.UnixMicro()))
			for i, part := range [][]byte{r.ID[:], sum[:], r.Meta, r.Clear, r.Sealed} {
				must(b, insert.BindBlob(5+i, part))
			}
			must(b, insert.Exec())
		}
		must(b, conn.Exec(`COMMIT`))
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func must(b *testing.B, err error) {
	if err != nil {
		b.Fatal(err)
	}
}

const benchEvents = 100_000

// fill appends benchEvents in streams of ten.
func fill(tb testing.TB, s *sqlite.Store, events int) {
	sealed := sealedBytes()
	for n := 0; n < events; n += 10 {
		records := make([]eventstore.Record, 10)
		for i := range records {
			records[i] = document(sealed)
		}
		if _, err := s.Append(tb.Context(), eventstore.Batch{
			Stream: eventstore.Stream("document-" + uuid.NewString()), Expected: eventstore.NoStream, Records: records,
		}); err != nil {
			tb.Fatal(err)
		}
	}
}

func BenchmarkReadAll(b *testing.B) {
	dir := b.TempDir()
	s := open(b, dir, sqlite.Options{})
	fill(b, s, benchEvents)
	b.Run("store", func(b *testing.B) {
		for n := 0; n < b.N; {
			for r, err := range s.ReadAll(context.Background(), eventstore.Position{}, b.N-n) {
				if err != nil || len(r.Sealed) == 0 {
					b.Fatal(err)
				}
				n++
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("raw", func(b *testing.B) {
		conn, err := sqlitedb.OpenConn(b.Context(), filepath.Join(dir, sqlite.FileName), sqlitedb.Options{}, sqlitedb.Read)
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		rows, _, err := conn.Prepare(`SELECT position, stream, revision, type, time, id, sum, meta, clear, sealed FROM events WHERE position > ? ORDER BY position LIMIT ?`)
		if err != nil {
			b.Fatal(err)
		}
		defer rows.Close()
		b.ResetTimer()
		for n := 0; n < b.N; {
			must(b, rows.BindInt64(1, 0))
			must(b, rows.BindInt64(2, int64(b.N-n)))
			for rows.Step() {
				n++
				_, _, _, _, _ = rows.ColumnInt64(0), rows.ColumnInt64(1), rows.ColumnInt64(2), rows.ColumnInt64(3), rows.ColumnInt64(4)
				for i := 5; i < 10; i++ {
					_ = rows.ColumnBlob(i, nil)
				}
			}
			must(b, rows.Reset())
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	})
}

// BenchmarkReadStream reads one stream of one event among many, as a fold does.
func BenchmarkReadStream(b *testing.B) {
	s := open(b, b.TempDir(), sqlite.Options{})
	sealed := sealedBytes()
	names := make([]eventstore.Stream, 1000)
	for i := range names {
		names[i] = eventstore.Stream("document-" + uuid.NewString())
		if _, err := s.Append(b.Context(), eventstore.Batch{Stream: names[i], Expected: eventstore.NoStream, Records: []eventstore.Record{document(sealed)}}); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			for _, err := range s.ReadStream(context.Background(), names[i%len(names)], 0) {
				if err != nil {
					b.Error(err)
				}
			}
		}
	})
}

// TestBytesPerEvent holds the target of 1.6 bytes on disk for each byte of a payload
// of 1 KiB, every event in a stream of its own, which costs the most.
func TestBytesPerEvent(t *testing.T) {
	for _, perStream := range []int{1, 10} {
		t.Run(fmt.Sprintf("%d to a stream", perStream), func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, sqlite.Options{})
			const events = 20_000
			sealed := sealedBytes()
			var wg sync.WaitGroup
			for range callers { // at once, or the test would take as long as as many syncs
				wg.Go(func() {
					for range events / callers / perStream {
						records := make([]eventstore.Record, perStream)
						for i := range records {
							records[i] = document(sealed)
						}
						if _, err := s.Append(t.Context(), eventstore.Batch{
							Stream: eventstore.Stream("document-" + uuid.NewString()), Expected: eventstore.NoStream, Records: records,
						}); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			head, err := s.Head(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(filepath.Join(dir, sqlite.FileName))
			if err != nil {
				t.Fatal(err)
			}
			ratio := float64(info.Size()) / float64(head.Commit) / 1024
			t.Logf("%.3f bytes for each byte of payload", ratio)
			if ratio > 1.6 {
				t.Errorf("%.3f bytes for each byte of payload, the target is 1.6", ratio)
			}
		})
	}
}

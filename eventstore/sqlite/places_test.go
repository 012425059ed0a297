package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/proof"
	"coffre/eventstore/storetest"
)

// formerSchema is that of a log of form 1.
const formerSchema = `
CREATE TABLE streams (id INTEGER PRIMARY KEY, hash INTEGER NOT NULL, category INTEGER NOT NULL, name ANY) STRICT;
CREATE INDEX streams_by_hash ON streams (hash);
CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE events (position INTEGER PRIMARY KEY, stream INTEGER NOT NULL, revision INTEGER NOT NULL, type INTEGER NOT NULL,
	time INTEGER NOT NULL, id BLOB NOT NULL, sum BLOB NOT NULL, meta BLOB, clear BLOB, sealed BLOB, UNIQUE (stream, revision)) STRICT;
CREATE TABLE settled (only INTEGER PRIMARY KEY CHECK (only = 1), position INTEGER NOT NULL, remains INTEGER NOT NULL) STRICT;
INSERT INTO settled VALUES (1, 0, 0);
CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'an event is never changed'); END;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'an event is never deleted'); END;
PRAGMA application_id=1131374194; PRAGMA user_version=1;`

// harnessOf opens stores in new directories that prepare fills.
func harnessOf(o Options, prepare func(t testing.TB, dir string)) storetest.Harness {
	dirs := map[eventstore.Store]string{}
	at := func(t testing.TB, dir string) eventstore.Store {
		t.Helper()
		s, err := Open(t.Context(), dir, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		dirs[s] = dir
		return s
	}
	return storetest.Harness{
		Repeats: true,
		Open: func(t testing.TB) eventstore.Store {
			dir := t.TempDir()
			prepare(t, dir)
			return at(t, dir)
		},
		Reopen: func(t testing.TB, s eventstore.Store) eventstore.Store {
			t.Helper()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return at(t, dirs[s])
		},
	}
}

// TestPlacesAreMoved is the contract where places of records go to their table all the time.
func TestPlacesAreMoved(t *testing.T) {
	storetest.Run(t, harnessOf(Options{settleEvents: 3, moveLeast: 1}, func(testing.TB, string) {}))
}

// TestFormerLog is the contract over logs of form 1, which stay as they are.
func TestFormerLog(t *testing.T) {
	storetest.Run(t, harnessOf(Options{settleEvents: 3}, former))
}

// TestFormerRows is the contract over logs of form 2, whose rows hold texts as they came.
func TestFormerRows(t *testing.T) {
	storetest.Run(t, harnessOf(Options{settleEvents: 3}, formerRows))
}

func formerRows(t testing.TB, dir string) {
	t.Helper()
	makeFormer(t, dir, schema+`PRAGMA application_id=1131374194; PRAGMA user_version=2;`)
}

// A log of form 2 keeps its form, so that the release that made it reads it again.
func TestFormerRowsStay(t *testing.T) {
	dir := t.TempDir()
	formerRows(t, dir)
	s, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := some("consent-1", eventstore.NoStream)
	if _, err := s.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c := raw(t, dir)
	defer c.Close()
	query, _, err := c.Prepare(`SELECT meta, clear, sum FROM events`)
	if err != nil {
		t.Fatal(err)
	}
	defer query.Close()
	if !query.Step() || !bytes.Equal(query.ColumnRawBlob(0), b.Records[0].Meta) || !bytes.Equal(query.ColumnRawBlob(1), b.Records[0].Clear) {
		t.Errorf("the row has %q", query.ColumnRawBlob(0))
	}
	b.Records[0].Stream = b.Stream
	if sum := proof.LeafHash(&b.Records[0]); !bytes.Equal(query.ColumnRawBlob(2), sum[:]) {
		t.Error("the row has another checksum")
	}
}

func former(t testing.TB, dir string) {
	t.Helper()
	makeFormer(t, dir, formerSchema)
}

func makeFormer(t testing.TB, dir, sql string) {
	t.Helper()
	c := raw(t, dir)
	if err := errors.Join(c.Exec(sql), c.Close()); err != nil {
		t.Fatal(err)
	}
}

// moved fills a new directory with streams some of whose places are in the table, while a
// run is under way, and returns it and what is in it.
func moved(t *testing.T) (dir string, all []eventstore.Record) {
	t.Helper()
	dir = t.TempDir()
	o := Options{settleEvents: 10, moveLeast: 3}
	s, err := Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 33 {
		if _, err := s.Append(t.Context(), some(fmt.Sprintf("consent-%d", i%4), eventstore.Any)); err != nil {
			t.Fatal(err)
		}
	}
	if s.sequencer.moved == 0 || s.sequencer.moved == len(s.sequencer.moving) {
		t.Fatalf("%d of %d places are moved: no run is under way", s.sequencer.moved, len(s.sequencer.moving))
	}
	for r, err := range s.ReadAll(t.Context(), eventstore.Position{}, 100) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, all
}

// read returns the records of a stream, and the error that ended it.
func readStream(t *testing.T, s *Store, name eventstore.Stream) (all []eventstore.Record, err error) {
	for r, err := range s.ReadStream(t.Context(), name, 0) {
		if err != nil {
			return all, err
		}
		all = append(all, r)
	}
	return all, nil
}

// TestARunOfPlacesGoesOnAfterARestart: whatever of it was written.
func TestARunOfPlacesGoesOnAfterARestart(t *testing.T) {
	dir, all := moved(t)
	for range 3 {
		s, err := Open(t.Context(), dir, Options{settleEvents: 10, moveLeast: 3})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			name := eventstore.Stream(fmt.Sprintf("consent-%d", i))
			want := slices.DeleteFunc(slices.Clone(all), func(r eventstore.Record) bool { return r.Stream != name })
			got, err := readStream(t, s, name)
			if err != nil || len(got) != len(want) {
				t.Fatalf("%s has %d records, want %d: %v", name, len(got), len(want), err)
			}
		}
		for i := range 13 {
			b := some(fmt.Sprintf("consent-%d", i%4), eventstore.StreamExists)
			if _, err := s.Append(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			r := b.Records[0]
			r.Stream = b.Stream
			all = append(all, r)
		}
		if damaged, err := s.Verify(t.Context(), eventstore.Position{}, nil); err != nil || len(damaged) > 0 {
			t.Fatal(damaged, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWrongPlaces: a place that is gone, or names another record, ends the reading of its
// stream, and Verify says so.
func TestWrongPlaces(t *testing.T) {
	for _, sql := range []string{
		`DELETE FROM places WHERE revision = 0`,
		`DELETE FROM places WHERE revision = 1`,
		`UPDATE places SET position = position + 4 WHERE revision = 0`,
		`UPDATE places SET position = position + 1 WHERE revision = 1`,
		`UPDATE places SET position = 99 WHERE revision = 1`,
		`UPDATE places SET revision = 7 WHERE revision = 1`,
	} {
		t.Run(sql, func(t *testing.T) {
			dir, _ := moved(t)
			c := raw(t, dir)
			if err := errors.Join(c.Exec(sql), c.Close()); err != nil {
				t.Fatal(err)
			}
			s, err := Open(t.Context(), dir, Options{settleEvents: 10, moveLeast: 3})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if got, err := readStream(t, s, "consent-1"); !isCorrupt(err) {
				t.Errorf("%d records, then %v", len(got), err)
			}
			if _, err := s.Verify(t.Context(), eventstore.Position{}, nil); !errors.Is(err, eventstore.ErrIntegrity) {
				t.Errorf("verify says %v", err)
			}
		})
	}
}

// TestFlippedPlaces flips bytes of the pages that say where records lie.
func TestFlippedPlaces(t *testing.T) {
	for _, table := range []string{"places", "recent"} {
		t.Run(table, func(t *testing.T) { flipPlaces(t, table) })
	}
}

func flipPlaces(t *testing.T, table string) {
	dir, want := moved(t)
	file, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	start := pageOf(t, dir, table)
	flips := 0
	for i := range pageSize - 8 {
		if file[start+i] == 0 && i > 16 {
			continue
		}
		copied := slices.Clone(file)
		copied[start+i] ^= 0x10
		sum := pageSum(copied[start : start+pageSize])
		copy(copied[start+pageSize-8:], sum[:])
		flips++
		noticed(t, copied, want)
	}
	if flips < 100 {
		t.Fatalf("%d flips", flips)
	}
}

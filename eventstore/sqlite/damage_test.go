package sqlite

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"coffre/eventstore"
	"coffre/eventstore/dense"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/eventstore/storetest"
)

// small fills a new directory with two streams of three events each, closes it, and
// returns the directory and what is in it.
func small(t *testing.T) (string, []eventstore.Record) {
	t.Helper()
	dir := t.TempDir()
	s, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		for _, name := range []eventstore.Stream{"consent-0198f6a0-0000-7000-8000-000000000001", "registry"} {
			records := storetest.Records(1)
			records[0].Sealed = bytes.Repeat([]byte{byte(i), 0xa5}, 20)
			if _, err := s.Append(t.Context(), eventstore.Batch{Stream: name, Expected: eventstore.Any, Records: records}); err != nil {
				t.Fatal(err)
			}
		}
	}
	var all []eventstore.Record
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

// TestEveryFlippedByte flips bytes of the page that holds the events, in a copy, once
// as a disk would do it and once as memory would before the page's checksum was made,
// and demands that nobody ever reads anything but what was appended. It flips each
// byte in a soak and every eighth, from a random one on, otherwise.
func TestEveryFlippedByte(t *testing.T) {
	dir, want := small(t)
	file, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	start := pageOf(t, dir, "events")
	page := file[start : start+pageSize]
	if sum := pageSum(page); !bytes.Equal(sum[:], page[pageSize-8:]) {
		t.Fatal("the page has no checksum as the test understands it")
	}
	stride, first, enough, turn := 8, rand.IntN(8), 100, rand.IntN(8)
	if os.Getenv("COFFRE_SOAK") == "1" {
		stride, first, enough = 1, 0, 1000
	}
	t.Logf("every byte %d modulo %d, the bits from %d on in turn", first, stride, turn)
	flips, found := 0, 0
	for _, resum := range []bool{false, true} {
		for i := first; i < len(page); i += stride {
			if page[i] == 0 && i > 32 {
				continue // free space, and zeroes between
			}
			if !resum && stride > 1 && (i-first)/stride%stride != 0 {
				continue // the page's checksum is one for all bytes
			}
			copied := bytes.Clone(file)
			damaged := copied[start : start+pageSize]
			damaged[i] ^= 1 << ((i/stride + turn) % 8) // another bit each time, and in each run
			if resum {
				if i >= pageSize-8 {
					continue
				}
				sum := pageSum(damaged)
				copy(damaged[pageSize-8:], sum[:])
			}
			flips++
			if noticed(t, copied, want) {
				found++
			} else if !resum {
				t.Errorf("byte %d: not noticed", i)
			}
		}
	}
	t.Logf("%d of %d flips noticed, the others without effect", found, flips)
	if flips < enough || found < flips*9/10 {
		t.Fatalf("%d of %d flips noticed", found, flips)
	}
}

// TestAPlaceThatIsMissed: whichever of two tellers of a record's place is damaged, its position
// in the table or what the transactions left, the reading of its stream does not end as if
// the record had never been.
func TestAPlaceThatIsMissed(t *testing.T) {
	for _, sql := range []string{
		`UPDATE events SET position = 39 WHERE position = 6`,
		`UPDATE events SET position = 39, stream = 0 WHERE position = 6`,
		`UPDATE recent SET places = x'0902' WHERE position = 6`,
		`UPDATE recent SET places = x'0102' WHERE position = 6`,
		`UPDATE recent SET places = x'' WHERE position = 6`,
		`DELETE FROM recent WHERE position = 2`,
	} {
		t.Run(sql, func(t *testing.T) {
			dir, _ := small(t)
			c := raw(t, dir)
			if err := errors.Join(c.Exec(unlock+sql), c.Close()); err != nil {
				t.Fatal(err)
			}
			s, err := Open(t.Context(), dir, Options{ServeDamaged: true})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if got, err := readStream(t, s, "registry"); !isCorrupt(err) && len(got) < 3 {
				t.Errorf("%d of 3 records, then %v", len(got), err)
			}
		})
	}
}

// TestFlipsAnywhere flips bytes all over the file: indexes, names, header.
func TestFlipsAnywhere(t *testing.T) {
	dir, want := small(t)
	file, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	flips, found := 0, 0
	for i := 0; i < len(file); i += 1 + i%29 {
		if file[i] == 0 && i > 100 {
			continue
		}
		copied := bytes.Clone(file)
		copied[i] ^= 0x10
		flips++
		if noticed(t, copied, want) {
			found++
		}
	}
	t.Logf("%d of %d flips noticed, the others without effect", found, flips)
	if flips < 50 || found < flips/2 {
		t.Fatalf("%d of %d flips noticed", found, flips)
	}
}

// noticed opens a damaged file and reads it in every way. It fails the test when
// something was read that was not appended, or missed without an error, and tells
// whether anything was said.
func noticed(t *testing.T, file []byte, want []eventstore.Record) (said bool) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, FileName), file, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), dir, Options{ServeDamaged: true, Readers: 1})
	if err != nil {
		return true
	}
	defer s.Close()
	same := func(got []eventstore.Record, err error, of eventstore.Stream) {
		var expected []eventstore.Record
		for _, r := range want {
			if of == "" || r.Stream == of {
				expected = append(expected, r)
			}
		}
		for i, r := range got {
			if i >= len(expected) || !storetest.Same(r, expected[i]) || r.Position != expected[i].Position {
				t.Fatalf("reading %q yields an altered record %d", of, i)
			}
		}
		if err == nil && len(got) != len(expected) {
			t.Fatalf("reading %q yields %d of %d records and no error", of, len(got), len(expected))
		}
		said = said || err != nil
	}
	var got []eventstore.Record
	err = nil
	for r, readErr := range s.ReadAll(t.Context(), eventstore.Position{}, 100) {
		if err = readErr; err == nil {
			got = append(got, r)
		}
	}
	if head, _ := s.Head(t.Context()); err == nil && head != want[len(want)-1].Position {
		return true // the end is cut off, which only a checkpoint kept elsewhere can tell
	}
	same(got, err, "")
	for _, name := range []eventstore.Stream{want[0].Stream, want[1].Stream} {
		got, err = nil, nil
		for r, readErr := range s.ReadStream(t.Context(), name, 0) {
			if err = readErr; err == nil {
				got = append(got, r)
			}
		}
		same(got, err, name)
	}
	damaged, err := s.Verify(t.Context(), eventstore.Position{}, nil)
	return said || err != nil || len(damaged) > 0
}

// pageOf returns where in the file the only page of a table begins.
func pageOf(t *testing.T, dir, table string) int {
	t.Helper()
	c := raw(t, dir)
	defer c.Close()
	var root int64
	if err := row(c, `SELECT rootpage FROM sqlite_schema WHERE name = '`+table+`'`, &root); err != nil {
		t.Fatal(err)
	}
	return int(root-1) * pageSize
}

// raw opens the file of a closed store past the store.
func raw(t testing.TB, dir string) *sqlite3.Conn {
	t.Helper()
	c, err := sqlitedb.OpenConn(t.Context(), filepath.Join(dir, FileName), sqlitedb.Options{}, sqlitedb.Write)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pageSum is the checksum of sqlite.org/cksumvfs.html over all but a page's last 8 bytes.
func pageSum(page []byte) (sum [8]byte) {
	var s1, s2 uint32
	for i := 0; i < len(page)-8; i += 8 {
		s1 += binary.LittleEndian.Uint32(page[i:]) + s2
		s2 += binary.LittleEndian.Uint32(page[i+4:]) + s1
	}
	binary.LittleEndian.PutUint32(sum[:4], s1)
	binary.LittleEndian.PutUint32(sum[4:], s2)
	return sum
}

const unlock = `DROP TRIGGER events_are_never_changed; DROP TRIGGER events_are_never_deleted;`

// TestVerifyNamesWhatWasTampered: whoever can write the file can drop the triggers
// and keep SQLite content; the checksums and the sequence still tell.
func TestVerifyNamesWhatWasTampered(t *testing.T) {
	for sql, want := range map[string]string{
		`UPDATE events SET sealed = x'00' WHERE position = 3`:             "3",
		`UPDATE events SET sealed = NULL WHERE position = 3`:              "3",
		`UPDATE events SET clear = meta, meta = clear WHERE position = 2`: "2",
		`UPDATE events SET time = time + 1 WHERE position = 4`:            "4",
		`UPDATE events SET type = 1 WHERE position = 5`:                   "5",
		`UPDATE events SET type = 99 WHERE position = 5`:                  "5",
		`UPDATE events SET id = randomblob(16) WHERE position = 1`:        "1",
		`UPDATE events SET id = x'00' WHERE position = 1`:                 "1",
		`UPDATE events SET position = 7 WHERE position = 1; UPDATE events SET position = 1 WHERE position = 6; UPDATE events SET position = 6 WHERE position = 7`: "1 6",
		`UPDATE events SET sum = x'' WHERE position = 6`:    "6",
		`DELETE FROM events WHERE position = 3`:             "3",
		`DELETE FROM events WHERE position IN (2, 3)`:       "2 3",
		`DELETE FROM events WHERE position = 1`:             "1",
		`UPDATE events SET stream = 99 WHERE position = 2`:  "2",
		`UPDATE events SET revision = 7 WHERE position = 5`: "5",
		`UPDATE events SET position = 9 WHERE position = 3; UPDATE events SET position = 3 WHERE position = 5; UPDATE events SET position = 5 WHERE position = 9`: "3 5",
		`UPDATE streams SET name = 'x' WHERE id = 2`: "2 4 6",
		`DELETE FROM streams WHERE id = 1`:           "1 3 5",
	} {
		t.Run(sql, func(t *testing.T) {
			dir, all := small(t)
			c := raw(t, dir)
			if err := c.Exec(unlock + sql); err != nil {
				t.Fatal(err)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(t.Context(), dir, Options{}); !isCorrupt(err) {
				t.Fatalf("a start finds %v", err)
			}
			s, err := Open(t.Context(), dir, Options{ServeDamaged: true})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			calls := 0
			damaged, err := s.Verify(t.Context(), eventstore.Position{}, func(done, total int64) {
				calls++
				if done > total || total != int64(len(all)) {
					t.Errorf("progress %d of %d", done, total)
				}
			})
			if err != nil || calls == 0 {
				t.Fatal(err, calls)
			}
			if got := positions(damaged); got != want {
				t.Errorf("verify names %s, want %s", got, want)
			}
			var scrubbed []*eventstore.Corrupt
			if err := s.Scrub(t.Context(), 1<<20, func(c *eventstore.Corrupt) { scrubbed = append(scrubbed, c) }); err != nil {
				t.Fatal(err)
			}
			if len(scrubbed) == 0 {
				t.Error("the scrubber finds nothing")
			}
		})
	}
}

// TestReadStreamMissesNothing: a record gone from the middle of a stream ends the read.
func TestReadStreamMissesNothing(t *testing.T) {
	dir, all := small(t)
	c := raw(t, dir)
	if err := errors.Join(c.Exec(unlock+`DELETE FROM events WHERE position = 3`), c.Close()); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), dir, Options{ServeDamaged: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n := 0
	var last error
	for _, err := range s.ReadStream(t.Context(), all[2].Stream, 0) {
		if last = err; err == nil {
			n++
		}
	}
	if corrupt, ok := errors.AsType[*eventstore.Corrupt](last); n != 1 || !ok || corrupt.Revision != 1 {
		t.Fatalf("%d records, then %v, want *Corrupt at revision 1", n, last)
	}
}

func positions(damaged []*eventstore.Corrupt) string {
	var at []string
	seen := map[uint64]bool{}
	for _, c := range damaged {
		if !seen[c.Position.Commit] {
			at = append(at, fmt.Sprint(c.Position.Commit))
		}
		seen[c.Position.Commit] = true
	}
	return strings.Join(at, " ")
}

func isCorrupt(err error) bool {
	_, ok := errors.AsType[*eventstore.Corrupt](err)
	return ok
}

func TestVerifyFindsNothingInAWholeLog(t *testing.T) {
	dir, _ := small(t)
	s, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if damaged, err := s.Verify(t.Context(), eventstore.Position{}, nil); err != nil || len(damaged) > 0 {
		t.Fatal(damaged, err)
	}
	if damaged, err := s.Verify(t.Context(), dense.Position(3), nil); err != nil || len(damaged) > 0 {
		t.Fatal(damaged, err)
	}
	if err := s.Scrub(t.Context(), 1<<20, func(c *eventstore.Corrupt) { t.Error(c) }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Verify(ctx, eventstore.Position{}, nil); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// TestDamageStopsOneStream: serving its subject stops, others go on, even in one
// transaction with it.
func TestDamageStopsOneStream(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"consent-1", "consent-2"} {
		b := some(name, eventstore.NoStream)
		b.Records[0].Sealed = bytes.Repeat([]byte(name[len(name)-1:]), 3*pageSize) // pages of its own
		if _, err := s.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	file[bytes.LastIndex(file, bytes.Repeat([]byte("1"), 1000))] ^= 1
	if err := os.WriteFile(filepath.Join(dir, FileName), file, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err = Open(t.Context(), dir, Options{ServeDamaged: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	read := func(name eventstore.Stream) (last error) {
		for _, err := range s.ReadStream(t.Context(), name, 0) {
			last = err
		}
		return last
	}
	if err := read("consent-1"); !isCorrupt(err) {
		t.Errorf("the damaged stream: %v, want *Corrupt", err)
	}
	if err := read("consent-2"); err != nil {
		t.Errorf("the other stream: %v", err)
	}
	for range 2 {
		if _, err := s.Append(t.Context(), some("consent-2", eventstore.StreamExists)); err != nil {
			t.Errorf("append to the other stream: %v", err)
		}
	}
}

func TestNobodyChangesAnEvent(t *testing.T) {
	dir, _ := small(t)
	c := raw(t, dir)
	defer c.Close()
	for _, sql := range []string{
		`UPDATE events SET sealed = NULL WHERE position = 1`, `DELETE FROM events WHERE position = 6`,
		`REPLACE INTO events SELECT * FROM events WHERE position = 1`,
	} {
		if err := c.Exec(sql); !errors.Is(err, sqlite3.CONSTRAINT) {
			t.Errorf("%s: %v, want a constraint", sql, err)
		}
	}
}

// TestARevisionIsThereOnce: a record that somebody adds by hand at a revision that is taken
// is found by a start, and is no record of the stream.
func TestARevisionIsThereOnce(t *testing.T) {
	dir, all := small(t)
	c := raw(t, dir)
	if err := errors.Join(c.Exec(`INSERT INTO events SELECT 7, stream, revision, type, time, id, sum, meta, clear, sealed FROM events WHERE position = 1`), c.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dir, Options{}); !isCorrupt(err) {
		t.Fatalf("a start finds %v", err)
	}
	s, err := Open(t.Context(), dir, Options{ServeDamaged: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if damaged, err := s.Verify(t.Context(), eventstore.Position{}, nil); err == nil && positions(damaged) != "7" {
		t.Errorf("verify names %s, %v", positions(damaged), err)
	}
	if got, err := readStream(t, s, all[0].Stream); err == nil && len(got) != 3 {
		t.Errorf("%d records of the stream, %v", len(got), err)
	}
}

func TestOpenRefusesWhatIsNotItsOwn(t *testing.T) {
	for name, sql := range map[string]string{
		"foreign":   `CREATE TABLE t(x)`,
		"newer":     schema + `PRAGMA application_id=1131374194; PRAGMA user_version=4`,
		"no tables": `PRAGMA user_version=1`,
	} {
		dir := t.TempDir()
		c := raw(t, dir)
		if err := c.Exec(sql); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err := Open(t.Context(), dir, Options{}); err == nil {
			t.Errorf("%s: opened", name)
			s.Close()
		}
	}
}

// TestStartVerifiesTheTail: damage after the settled position is found by a start,
// before it by the scrubber, and the position moves.
func TestStartVerifiesTheTail(t *testing.T) {
	for _, c := range []struct {
		at    int
		found bool
	}{{30, true}, {3, false}} {
		dir := t.TempDir()
		s, err := Open(t.Context(), dir, Options{settleEvents: 10})
		if err != nil {
			t.Fatal(err)
		}
		for range 35 {
			if _, err := s.Append(t.Context(), some("consent-1", eventstore.Any)); err != nil {
				t.Fatal(err)
			}
		}
		if s.sequencer.settled != 20 {
			t.Fatalf("settled at %d, want 20", s.sequencer.settled)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		conn := raw(t, dir)
		if err := conn.Exec(unlock + fmt.Sprintf(`UPDATE events SET meta = x'00' WHERE position = %d`, c.at)); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		s, err = Open(t.Context(), dir, Options{settleEvents: 10})
		if isCorrupt(err) != c.found {
			t.Fatalf("damage at %d: %v", c.at, err)
		}
		if err == nil {
			s.Close()
		}
	}
}

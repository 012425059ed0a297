package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/ncruces/go-sqlite3"

	"coffre/eventstore"
	"coffre/eventstore/sqlite/sqlitedb"
)

const (
	applicationID = 0x436f6672 // "Cofr", so that `file` and a puzzled operator can tell

	indexedForm = 1 // an index of events finds the records of a stream; not made any more
	placesForm  = 2 // the table places does, see places.go; not made any more
	compactForm = 3 // and metadata and clear facts lie as tokens, and checksums are bound to positions, see compact.go
)

// schema is compact on purpose: a page holds more rows, and what a row costs
// decides how many events a disk takes. Numbers stand for names, ids are 16 raw
// bytes, blobs are as they came; narrow columns come first, so that they are read
// without touching the pages a large one overflows to.
//
// Streams are found by a short hash of their name: names are random, and an index
// over them would be the largest and the slowest part of an append that begins a
// stream. That no name is there twice is the sequencer's care, and so is that no revision
// is: the places of records are written after them.
//
// There is no index over ids: a random index would be paid by every append, and
// ids are asked for only when a writer repeats itself, within one stream.
const schema = `
CREATE TABLE streams (
	id       INTEGER PRIMARY KEY,
	hash     INTEGER NOT NULL, -- see hash
	category INTEGER NOT NULL, -- a word
	name     ANY               -- what follows the category, see bindName
) STRICT;
CREATE INDEX streams_by_hash ON streams (hash);
CREATE TABLE words ( -- categories of streams and types of events
	id   INTEGER PRIMARY KEY, -- 1, 2, 3 …
	word TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE events (
	position INTEGER PRIMARY KEY, -- 1, 2, 3 … without gaps
	stream   INTEGER NOT NULL,
	revision INTEGER NOT NULL,    -- 0, 1, 2 … without gaps within its stream
	type     INTEGER NOT NULL,    -- a word
	time     INTEGER NOT NULL,    -- microseconds since 1970, UTC
	id       BLOB NOT NULL,
	sum      BLOB NOT NULL,       -- proof.LeafHash of the record, as bound makes it
	meta     BLOB,                -- as compact makes it
	clear    BLOB,                -- as compact makes it
	sealed   BLOB
) STRICT;
CREATE TABLE places ( -- of settled records, and of some after them
	stream   INTEGER NOT NULL,
	revision INTEGER NOT NULL,
	position INTEGER NOT NULL,
	PRIMARY KEY (stream, revision)
) STRICT, WITHOUT ROWID;
CREATE TABLE recent ( -- a row for each transaction whose places are not all in the table
	position INTEGER PRIMARY KEY, -- of its first record
	places   BLOB NOT NULL        -- see appendPlaces
) STRICT;
CREATE TABLE settled ( -- one row: a start verifies, and remembers the places of, only what lies after this position
	only     INTEGER PRIMARY KEY CHECK (only = 1),
	position INTEGER NOT NULL,
	remains  INTEGER NOT NULL -- counts what writeOver wrote over
) STRICT;
INSERT INTO settled VALUES (1, 0, 0);
CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'an event is never changed'); END;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'an event is never deleted'); END;
`

// prepareSchema creates the tables in a new file, or checks that the file is one of
// ours in a form this program knows, and returns that form.
func prepareSchema(c *sqlite3.Conn) (form int64, err error) {
	var application, version, tables int64
	if err := row(c, `SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),
		(SELECT count(*) FROM sqlite_schema)`, &application, &version, &tables); err != nil {
		return 0, err
	}
	switch {
	case tables == 0 && version == 0:
		err := c.Exec(fmt.Sprintf(`BEGIN IMMEDIATE; %s PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT`,
			schema, applicationID, compactForm))
		if err != nil {
			return 0, errors.Join(fmt.Errorf("create tables: %w", err), rollback(c))
		}
		return compactForm, nil
	case application != applicationID:
		return 0, errors.New("this is not an event log of Coffre")
	case version < indexedForm || version > compactForm:
		return 0, fmt.Errorf("the event log has form %d, this program knows %d to %d", version, indexedForm, compactForm)
	}
	return version, nil
}

// Form returns the form of the log in a directory, which another process may own, and the newest
// form that this program makes; it reads logs of older ones, too, and leaves them in theirs. A form
// of 0 is of no log.
func Form(ctx context.Context, dir string) (form, newest int64, err error) {
	form, err = sqlitedb.Version(ctx, filepath.Join(dir, FileName))
	return form, compactForm, err
}

func rollback(c *sqlite3.Conn) error {
	if c.GetAutocommit() {
		return nil
	}
	return c.Exec(`ROLLBACK`)
}

// row reads the integers of the only row of a statement; a NULL reads as 0.
func row(c *sqlite3.Conn, sql string, into ...*int64) error {
	s, _, err := c.Prepare(sql)
	if err != nil {
		return err
	}
	defer s.Close()
	if !s.Step() {
		return cmp.Or(s.Err(), fmt.Errorf("no answer to %q", sql))
	}
	for i := range into {
		*into[i] = s.ColumnInt64(i)
	}
	return s.Reset()
}

// hash is what streams_by_hash finds a name by, with others that share it.
func hash(name eventstore.Stream) int64 {
	h := fnv.New32a()
	h.Write([]byte(name))
	return int64(int32(h.Sum32())) // signed, so that it takes four bytes
}

// uuidText is the length of a canonical UUID, "0198f6a0-0000-7000-8000-000000000001".
const uuidText = 36

// bindName binds what follows the category in a stream's name: the dash and an
// identifier, or nothing. A canonical UUID, which most are, becomes its 16 bytes as
// a blob; any other identifier is text. SQLite never takes the one for the other,
// nor either for NULL, so no two names meet.
func bindName(s *sqlite3.Stmt, param int, name eventstore.Stream) error {
	_, identifier, dash := strings.Cut(string(name), "-")
	if !dash {
		return s.BindNull(param)
	}
	if len(identifier) == uuidText {
		if id, err := uuid.Parse(identifier); err == nil && id.String() == identifier {
			return s.BindBlob(param, id[:])
		}
	}
	return s.BindText(param, identifier)
}

// bindStream binds the three parameters a stream is found by.
func bindStream(s *sqlite3.Stmt, name eventstore.Stream, w *words) error {
	return errors.Join(s.BindInt64(1, hash(name)), s.BindInt64(2, w.number[name.Category()]), bindName(s, 3, name))
}

// columnName reads what bindName bound, behind its category; "" when it is damaged
// beyond recognition.
func columnName(s *sqlite3.Stmt, column int, category string) eventstore.Stream {
	switch s.ColumnType(column) {
	case sqlite3.NULL:
		return eventstore.Stream(category)
	case sqlite3.TEXT:
		return eventstore.Stream(category + "-" + s.ColumnText(column))
	case sqlite3.BLOB:
		if id, err := uuid.FromBytes(s.ColumnRawBlob(column)); err == nil {
			return eventstore.Stream(category + "-" + id.String())
		}
	}
	return ""
}

// words is a dictionary: numbers stand for words that occur in many rows. It is
// replaced, never changed, when it grows, because readers use it meanwhile.
type words struct {
	word   []string // by number; 0 stands for none
	number map[string]int64
}

func readWords(c *sqlite3.Conn) (*words, error) {
	s, _, err := c.Prepare(`SELECT id, word FROM words ORDER BY id`)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	w := &words{word: []string{""}, number: map[string]int64{}}
	for s.Step() {
		if number := s.ColumnInt64(0); number != int64(len(w.word)) {
			return nil, fmt.Errorf("word %d follows word %d", number, len(w.word)-1)
		}
		w = w.with(s.ColumnText(1))
	}
	return w, s.Err()
}

// with returns w and one word more.
func (w *words) with(word string) *words {
	more := &words{word: append(slices.Clone(w.word), word), number: maps.Clone(w.number)}
	more.number[word] = int64(len(w.word))
	return more
}

// at returns the word a number stands for; "" when it stands for none.
func (w *words) at(number int64) string {
	if number < 0 || number >= int64(len(w.word)) {
		return ""
	}
	return w.word[number]
}

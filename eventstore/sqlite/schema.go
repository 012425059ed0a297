package sqlite

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/ncruces/go-sqlite3"

	"coffre/eventstore"
)

const (
	applicationID = 0x436f6672 // "Cofr", so that `file` and a puzzled operator can tell
	schemaVersion = 1
)

// schema is compact on purpose: a page holds more rows, and what a row costs
// decides how many events a disk takes. Numbers stand for names, ids are 16 raw
// bytes, blobs are as they came; narrow columns come first, so that they are read
// without touching the pages a large one overflows to.
//
// There is no index over ids: a random index would be paid by every append, and
// ids are asked for only when a writer repeats itself, within one stream.
const schema = `
CREATE TABLE streams (
	id   INTEGER PRIMARY KEY,
	name ANY NOT NULL UNIQUE -- see encodeName
) STRICT;
CREATE TABLE types (
	id   INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE events (
	position INTEGER PRIMARY KEY, -- 1, 2, 3 … without gaps
	stream   INTEGER NOT NULL,
	revision INTEGER NOT NULL,    -- 0, 1, 2 … without gaps within its stream
	type     INTEGER NOT NULL,
	time     INTEGER NOT NULL,    -- microseconds since 1970, UTC
	id       BLOB NOT NULL,
	sum      BLOB NOT NULL,       -- proof.LeafHash of the record
	meta     BLOB,
	clear    BLOB,
	sealed   BLOB,
	UNIQUE (stream, revision)
) STRICT;
CREATE TABLE settled ( -- one row: a start verifies only what lies after this position
	only     INTEGER PRIMARY KEY CHECK (only = 1),
	position INTEGER NOT NULL
) STRICT;
INSERT INTO settled VALUES (1, 0);
CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'an event is never changed'); END;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'an event is never deleted'); END;
`

// prepareSchema creates the tables in a new file, or checks that the file is one of
// ours in a form this program knows.
func prepareSchema(c *sqlite3.Conn) error {
	var application, version, tables int64
	if err := row(c, `SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),
		(SELECT count(*) FROM sqlite_schema)`, &application, &version, &tables); err != nil {
		return err
	}
	switch {
	case tables == 0 && version == 0:
		err := c.Exec(fmt.Sprintf(`BEGIN IMMEDIATE; %s PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT`,
			schema, applicationID, schemaVersion))
		if err != nil {
			return errors.Join(fmt.Errorf("create tables: %w", err), rollback(c))
		}
		return nil
	case application != applicationID:
		return errors.New("this is not an event log of Coffre")
	case version != schemaVersion:
		return fmt.Errorf("the event log has form %d, this program knows %d", version, schemaVersion)
	}
	return nil
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
		return errors.Join(s.Err(), fmt.Errorf("no answer to %q", sql))
	}
	for i := range into {
		*into[i] = s.ColumnInt64(i)
	}
	return s.Reset()
}

// uuidText is the length of a canonical UUID, "0198f6a0-0000-7000-8000-000000000001".
const uuidText = 36

// bindName binds a stream's name. One that ends in a canonical UUID, as most do,
// becomes a blob in which the UUID takes 16 bytes; any other stays text. SQLite
// never takes a blob for a text, so no two names meet.
func bindName(s *sqlite3.Stmt, param int, name eventstore.Stream) error {
	if cut := len(name) - uuidText; cut >= 0 {
		var short [eventstore.MaxStreamName]byte
		n := copy(short[:], name[:cut])
		if canonical(string(name[cut:]), short[n:n+16]) {
			return s.BindBlob(param, short[:n+16])
		}
	}
	return s.BindText(param, string(name))
}

// canonical writes the UUID that text stands for, if writing it again gives text.
func canonical(text string, into []byte) bool {
	if strings.ToLower(text) != text {
		return false
	}
	plain := text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:]
	if text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return false
	}
	n, err := hex.Decode(into, []byte(plain))
	return err == nil && n == 16
}

// columnName reads what bindName bound; "" when it is damaged beyond recognition.
func columnName(s *sqlite3.Stmt, column int) eventstore.Stream {
	switch s.ColumnType(column) {
	case sqlite3.TEXT:
		return eventstore.Stream(s.ColumnRawText(column))
	case sqlite3.BLOB:
		b := s.ColumnRawBlob(column)
		if cut := len(b) - 16; cut >= 0 {
			return eventstore.Stream(b[:cut]) + eventstore.Stream(uuid.UUID(b[cut:]).String())
		}
	}
	return ""
}

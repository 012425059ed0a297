package seal

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/sqlite/sqlitedb"
)

// E-3: what an older program destroyed lies under the living data key of its citizen, so
// these get another one, too; those who are erased do not.
func TestKeysDestroyedByAnOlderProgramAreExposed(t *testing.T) {
	db, err := keysdb.Open(t.Context(), filepath.Join(t.TempDir(), "keys.db"), sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	at := slices.IndexFunc(migrations, func(step string) bool { return strings.Contains(step, "CREATE TABLE exposed_streams") })
	if at < 1 {
		t.Fatal("no step makes the table: this test sees nothing")
	}
	if err := db.Migrate(t.Context(), "seal", migrations[:at]); err != nil {
		t.Fatal(err)
	}
	if _, err := keysdb.Do(t.Context(), db, func(tx *keysdb.Tx) (int64, error) {
		for _, row := range []struct {
			citizen byte
			state   state
			stream  string
			key     int
		}{
			{1, active, "document-destroyed", keyDestroyed},
			{1, active, "document-live", keyLive},
			{2, active, "document-other", keyLive},
			{3, destroyed, "document-erased", keyDestroyed},
			{4, erasing, "document-erasing", keyDestroyed},
		} {
			if _, err := tx.Exec(`INSERT INTO subjects (citizen, state, kek_version, created) VALUES (?, ?, 1, 0) ON CONFLICT (citizen) DO NOTHING`, []byte{row.citizen}, row.state); err != nil {
				return 0, err
			}
			if _, err := tx.Exec(`INSERT INTO stream_keys (stream, citizen, key_id, state) VALUES (?, ?, ?, ?)`, row.stream, []byte{row.citizen}, []byte{0}, row.key); err != nil {
				return 0, err
			}
		}
		return 0, nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	s, err := db.Read(`SELECT stream FROM exposed_streams ORDER BY stream`)
	if err != nil {
		t.Fatal(err)
	}
	var exposed []string
	if err := s.Select(&exposed); err != nil || !slices.Equal(exposed, []string{"document-destroyed", "document-erasing"}) {
		t.Fatal(exposed, err)
	}
}

// The keys of a citizen's streams are looked for in one place of an index, in a database from
// before there was one, too.
func TestKeysOfACitizenAreFoundInOnePlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	db, err := keysdb.Open(t.Context(), path, sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { db.Close() }()
	at := slices.IndexFunc(migrations, func(step string) bool { return strings.Contains(step, "DROP INDEX stream_keys_citizen") })
	if at < 1 {
		t.Fatal("no step makes the index: this test sees nothing")
	}
	if err := db.Migrate(t.Context(), "seal", migrations[:at]); err != nil {
		t.Fatal(err)
	}
	plan := func() string {
		s, err := db.Read(`EXPLAIN QUERY PLAN ` + selectStreams + byCitizen + `(?, ?, ?)`)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := s.Query([]byte{1}, "a", "b", "c")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var steps []string
		for rows.Next() {
			var id, parent, unused int
			var step string
			if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
				t.Fatal(err)
			}
			steps = append(steps, step)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return strings.Join(steps, "\n")
	}
	const found = "stream_keys_citizen_stream (citizen=? AND stream=?)"
	if before := plan(); strings.Contains(before, found) {
		t.Fatalf("the index is there already: %s", before)
	}
	if err := errors.Join(db.Close(), func() (err error) { db, err = keysdb.Open(t.Context(), path, sqlitedb.Options{}); return err }()); err != nil {
		t.Fatal(err)
	}
	if err := Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	if after := plan(); !strings.Contains(after, found) {
		t.Errorf("read otherwise: %s", after)
	}
}

package reactors

import (
	"testing"

	"coffre/eventstore/postgres/pgtest"
)

// Tables that an older program made get the primary key that one of them lacked, so that
// a database may publish all of its tables.
func TestOlderTablesArePublished(t *testing.T) {
	server := pgtest.Shared(t)
	dsn := server.Database(t)
	open := func() *DB {
		t.Helper()
		db, err := OpenPostgres(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	older := open()
	if _, err := older.sql.Writer.ExecContext(t.Context(), `ALTER TABLE reactor_version DROP CONSTRAINT reactor_version_pkey`); err != nil {
		t.Fatal(err)
	}
	if err := older.Close(); err != nil {
		t.Fatal(err)
	}
	server.Publish(t, dsn)
	db := open()
	defer db.Close()
	if unkeyed := server.Unkeyed(t, dsn); len(unkeyed) > 0 {
		t.Errorf("without a primary key: %v", unkeyed)
	}
	if _, err := db.sql.Writer.ExecContext(t.Context(), `UPDATE reactor_version SET version = version`); err != nil {
		t.Error(err)
	}
}

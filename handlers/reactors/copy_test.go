package reactors

import (
	"path/filepath"
	"testing"

	"github.com/jmoiron/sqlx"

	"coffre/eventstore"
	"coffre/eventstore/postgres/pgtest"
)

// A restored vault on PostgreSQL goes on where it was: it has positions and what was done as the
// file has them, and nothing of what lay there.
func TestCopyToPostgreSQL(t *testing.T) {
	file := openDB(t, filepath.Join(t.TempDir(), "reactors.db"))
	server, err := OpenPostgres(t.Context(), pgtest.Shared(t).Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	at := func(n uint64) func() (eventstore.Position, error) {
		return func() (eventstore.Position, error) { return eventstore.Position{Commit: n, Prepare: n}, nil }
	}
	if _, err := file.position(t.Context(), "told", "document", at(7)); err != nil {
		t.Fatal(err)
	}
	if _, err := server.position(t.Context(), "stale", "document", at(99)); err != nil {
		t.Fatal(err)
	}
	if err := file.Write(t.Context(), func(tx *sqlx.Tx) error {
		for n := range 2*copyRows + 3 {
			if _, err := tx.Exec(`INSERT INTO reactor_done (reactor, event, done_at) VALUES ('told', ?, ?)`, []byte{byte(n), byte(n >> 8)}, n); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // repeated, it is the same
		if err := file.CopyTo(t.Context(), server); err != nil {
			t.Fatal(err)
		}
		var done, stale int
		if err := server.sql.Reader.Get(&done, `SELECT count(*) FROM reactor_done WHERE length(event) = 2`); err != nil || done != 2*copyRows+3 {
			t.Error(done, err)
		}
		if err := server.sql.Reader.Get(&stale, `SELECT count(*) FROM reactor_positions WHERE reactor = 'stale'`); err != nil || stale != 0 {
			t.Error(stale, err)
		}
		if p, err := server.storedPosition(t.Context(), "told", "document"); err != nil || p.Commit != 7 {
			t.Error(p, err)
		}
	}
}

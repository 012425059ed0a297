package webhook

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"coffre/domain"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/handlers/reactors"
)

// Every statement of the webhook does on PostgreSQL what it does in a file.
func TestStatementsOnPostgreSQL(t *testing.T) {
	db, err := reactors.OpenPostgres(t.Context(), pgtest.Shared(t).Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	endpoint, err := ParseEndpoint("https://consumer.example/hook", Policy{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := New(t.Context(), Options{DB: db, Log: newKit(t).log, Endpoint: endpoint, Secrets: []Secret{secret(t)}, Jitter: func() float64 { return 0 }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Add(time.Minute)
	one, document := uuid.New(), uuid.New()
	tx, err := db.Reader().BeginTxx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(`DELETE FROM webhook_deliveries`); err == nil {
		t.Error("the reader writes")
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := db.Write(t.Context(), func(tx *sqlx.Tx) error { return insert(t.Context(), tx, one, document, 1, []byte(`{}`)) }); err != nil {
			t.Fatal(err)
		}
	}
	ready, _, err := w.due(t.Context(), now)
	if err != nil || len(ready) != 1 || uuid.UUID(ready[0].Event) != one {
		t.Fatal(ready, err)
	}
	for _, a := range []tryResult{{reason: "status"}, {reason: "status", holdOff: time.Hour}, {reason: "gone", gone: true}} {
		if err := w.record(t.Context(), ready[0], a); err != nil {
			t.Fatal(err)
		}
	}
	s, err := w.Status(t.Context())
	if err != nil || s.Disabled.IsZero() || s.Resume.Before(now) {
		t.Fatalf("%+v %v", s, err)
	}
	if err := w.Enable(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.Replay(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	if _, err := w.ReplayFailed(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all, err := w.Deliveries(t.Context(), Pending, 10); err != nil || len(all) != 1 || all[0].Attempts != 0 {
		t.Fatal(all, err)
	}
	tellsOf(t, db, one, document)
	if err := w.record(t.Context(), ready[0], tryResult{}); err != nil {
		t.Fatal(err)
	}
	w.prune(t.Context(), now.Add(2*keepDelivered))
	if all, err := w.Deliveries(t.Context(), Delivered, 10); err != nil || len(all) != 0 {
		t.Fatal(all, err)
	}
}

// tellsOf fails the test unless a document's delivery is told, and nobody else's.
func tellsOf(t *testing.T, db *reactors.DB, event, document uuid.UUID) {
	t.Helper()
	told, err := NewTold(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	all, err := told.About(t.Context(), []domain.DocumentID{{UUID: uuid.New()}, {UUID: document}})
	if err != nil || len(all) != 1 || all[0].Event != event || all[0].Document.UUID != document || all[0].State != Pending || all[0].Changed.IsZero() {
		t.Errorf("%+v, %v", all, err)
	}
	if all, err := told.About(t.Context(), []domain.DocumentID{{UUID: uuid.New()}}); err != nil || len(all) != 0 {
		t.Errorf("of another document: %+v, %v", all, err)
	}
}

// What was told of a document is told where no webhook runs, too, in a file as in PostgreSQL.
func TestTold(t *testing.T) {
	db, err := reactors.Open(t.Context(), filepath.Join(t.TempDir(), "reactors.db"), sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := NewTold(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	event, document := uuid.New(), uuid.New()
	for one, of := range map[uuid.UUID]uuid.UUID{event: document, uuid.New(): uuid.New()} {
		if err := db.Write(t.Context(), func(tx *sqlx.Tx) error { return insert(t.Context(), tx, one, of, 1, []byte(`{}`)) }); err != nil {
			t.Fatal(err)
		}
	}
	tellsOf(t, db, event, document)
}

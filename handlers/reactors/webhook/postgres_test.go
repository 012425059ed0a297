package webhook

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"coffre/eventstore/postgres/pgtest"
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
	if err := w.record(t.Context(), ready[0], tryResult{}); err != nil {
		t.Fatal(err)
	}
	w.prune(t.Context(), now.Add(2*keepDelivered))
	if all, err := w.Deliveries(t.Context(), Delivered, 10); err != nil || len(all) != 0 {
		t.Fatal(all, err)
	}
}

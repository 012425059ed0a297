package reactors

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/eventstore/memory"
	"coffre/eventstore/sqlite/sqlitedb"
)

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// noKeys is a sealer for logs in which nothing is sealed.
type noKeys struct{}

func (noKeys) Seal(context.Context, domain.CitizenID, eventstore.Place, []byte) ([]byte, error) {
	return nil, eventstore.ErrKeysUnavailable
}

func (noKeys) Open(context.Context, []byte, eventstore.Place, []byte) ([]byte, error) {
	return nil, eventstore.ErrKeysUnavailable
}

func logOver(store eventstore.Store) *eventstore.Log {
	return eventstore.NewLog(eventstore.Options{Store: store, Codec: codec.Catalog, Sealer: noKeys{}})
}

func openDB(t testing.TB, path string) *DB {
	t.Helper()
	db, err := Open(t.Context(), path, sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// kit is a log and a reactors' database.
type kit struct {
	t     testing.TB
	store eventstore.Store
	log   *eventstore.Log
	db    *DB
	path  string
}

func newKit(t testing.TB) *kit { return newKitOver(t, memory.New()) }

func newKitOver(t testing.TB, store eventstore.Store) *kit {
	t.Helper()
	path := filepath.Join(t.TempDir(), "reactors.db")
	return &kit{t, store, logOver(store), openDB(t, path), path}
}

// add appends one record that carries a sealed part, and returns its id.
func (k *kit) add(stream, typ string) uuid.UUID {
	k.t.Helper()
	id := uuid.New()
	meta, err := json.Marshal(eventstore.Meta{SchemaVersion: 1, Correlation: uuid.NewSHA1(id, []byte("correlation"))})
	if err != nil {
		k.t.Fatal(err)
	}
	r := eventstore.Record{
		ID: id, Type: typ, Time: time.Now().UTC().Truncate(time.Microsecond),
		Meta: meta, Clear: fmt.Appendf(nil, `{"n":%q}`, id), Sealed: []byte("sealed and nobody's business"),
	}
	if _, err := k.store.Append(context.Background(), eventstore.Batch{
		Stream: eventstore.Stream(stream), Expected: eventstore.Any, Records: []eventstore.Record{r},
	}); err != nil {
		k.t.Fatal(err)
	}
	return id
}

func (k *kit) addMany(n int, stream, typ string) []uuid.UUID {
	ids := make([]uuid.UUID, n)
	for i := range ids {
		ids[i] = k.add(stream, typ)
	}
	return ids
}

func (k *kit) subscriber(group string) *Subscriber {
	s := NewSubscriber(SubscriberOptions{DB: k.db, Log: k.log, Group: group, Logger: silent})
	k.t.Cleanup(func() { s.Close() })
	return s
}

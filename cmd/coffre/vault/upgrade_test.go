package vault

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"coffre/eventstore"
	"coffre/eventstore/postgres/pgdb"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/sqlite"
	"coffre/eventstore/sqlite/sqlitedb"
)

func check(t *testing.T, dir DataDir, c Config) Upgrade {
	t.Helper()
	events := int64(0)
	u, err := CheckUpgrade(t.Context(), dir, c, func(n int64) { events += n })
	if err != nil || u.Events != events {
		t.Fatalf("%+v, %d told, %v", u, events, err)
	}
	return u
}

// tables returns what is said of one part.
func (u Upgrade) tables(part string) (found UpgradedTables) {
	for _, one := range u.Tables {
		if one.Part == part {
			found = one
		}
	}
	return found
}

// A vault of this release needs nothing; what an older or a newer one left is told, and nothing is
// changed by telling.
func TestUpgradeCheckOfADirectory(t *testing.T) {
	dir := DataDir(t.TempDir())
	v, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	served := check(t, dir, Config{}) // while a process has it
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if served.Refused() || len(served.Rebuilt()) > 0 || served.Events == 0 || served.OlderBeside || len(served.Tables) < 10 || len(served.Models) < 7 {
		t.Errorf("%+v", served)
	}
	for _, one := range served.Tables {
		if one.Form == 0 || one.Form != one.Program || one.Newer {
			t.Errorf("%+v", one)
		}
	}

	db, err := sqlitedb.Open(t.Context(), dir.File(KeysFile), sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	db.Writer.MustExecContext(t.Context(), `UPDATE schema_versions SET version = version - 1 WHERE component = 'seal'`)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	models, err := filepath.Glob(filepath.Join(dir.File(modelsFolder), "wallet.*"))
	if err != nil || len(models) == 0 {
		t.Fatalf("%v %v", models, err)
	}
	for _, name := range models {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		older := check(t, dir, Config{})
		if seal := older.tables("keys: seal"); older.Refused() || seal.Form != seal.Program-1 || strings.Join(older.Rebuilt(), " ") != "wallet" {
			t.Errorf("%+v", older)
		}
	}

	log, err := sqlite.Open(t.Context(), string(dir), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = log.Append(t.Context(), eventstore.Batch{Stream: eventstore.Stream("audit-later"), Expected: eventstore.Any, Records: []eventstore.Record{
		{ID: uuid.New(), Type: "moon.landed/1", Time: time.Unix(1, 0).UTC(), Meta: []byte(`{}`), Clear: []byte(`{}`)},
	}})
	if err := errors.Join(err, log.Close()); err != nil {
		t.Fatal(err)
	}
	if newer := check(t, dir, Config{}); !newer.Refused() || len(newer.Unknown) != 1 || newer.Unknown[0] != (UnknownEvents{"moon.landed/1", 1}) || newer.Events != served.Events+1 {
		t.Errorf("%+v", newer)
	}
	if _, err := CheckUpgrade(t.Context(), DataDir(t.TempDir()), Config{}, func(int64) {}); err == nil {
		t.Error("a directory without a log is taken for a vault")
	}
}

// On PostgreSQL an older process may stand beside as long as no tables are changed.
func TestUpgradeCheckOfAServer(t *testing.T) {
	at, dir := pgtest.Shared(t).Database(t), DataDir(t.TempDir())
	c := Config{Stores: StoresConfig{Log: at}}
	if _, err := CheckUpgrade(t.Context(), dir, c, func(int64) {}); err == nil {
		t.Error("an empty database is taken for a vault")
	}
	v, err := Open(t.Context(), dir, Options{Duty: Alone, Stores: c.Stores})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if u := check(t, dir, c); u.Refused() || len(u.Rebuilt()) > 0 || !u.OlderBeside || u.Events == 0 {
		t.Errorf("%+v", u)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	for schema, statement := range map[string]string{
		"coffre_keys": `UPDATE schema_versions SET version = version - 1 WHERE component = 'seal'`, "coffre_models": `UPDATE live SET version = version - 1 WHERE name = 'wallet'`,
		"coffre_reactors": `UPDATE reactor_version SET version = version + 1`,
	} {
		db, err := pgdb.Open(at, pgdb.Options{Schema: schema, Name: "test", Conns: 1})
		if err != nil {
			t.Fatal(err)
		}
		change(t, db, statement)
	}
	u := check(t, dir, c)
	if u.OlderBeside || !strings.Contains(u.Why, "keys: seal") || strings.Join(u.Rebuilt(), " ") != "wallet" || !u.tables("reactors").Newer || !u.Refused() {
		t.Errorf("%+v", u)
	}
}

func change(t *testing.T, db *sqlx.DB, statement string) {
	t.Helper()
	defer db.Close()
	db.MustExecContext(t.Context(), statement)
}

// Every component of the key database that a start migrates is one that is told of.
func TestUpgradeCheckKnowsEveryComponent(t *testing.T) {
	dir := DataDir(t.TempDir())
	v, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	done, err := keysdb.Done(t.Context(), dir.File(KeysFile))
	if err != nil || len(done) < 8 {
		t.Fatalf("%v %v", done, err)
	}
	for name, n := range done {
		if one := check(t, dir, Config{}).tables("keys: " + name); one.Program != int64(n) {
			t.Errorf("%s: %+v", name, one)
		}
	}
}

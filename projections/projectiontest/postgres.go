package projectiontest

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"coffre/eventstore/postgres/pgdb"
)

func onPostgres(place string) bool { return strings.HasPrefix(place, "postgres://") }

func connect(t testing.TB, dsn string) *sqlx.DB {
	t.Helper()
	db, err := sqlx.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// schemaOf returns the schema in force.
func schemaOf(t testing.TB, dsn, name string) string {
	t.Helper()
	db := connect(t, dsn)
	defer db.Close()
	var at struct {
		Version    int `db:"version"`
		Generation int `db:"generation"`
	}
	if err := db.Get(&at, `SELECT version, generation FROM coffre_models.live WHERE name = $1 ORDER BY version DESC LIMIT 1`, name); err != nil {
		t.Fatal("there is no read model ", name, err)
	}
	return fmt.Sprintf("coffre_%s_v%d_g%d", name, at.Version, at.Generation)
}

func dumpSchema(t testing.TB, dsn, schema string) Tables {
	t.Helper()
	db := connect(t, dsn)
	defer db.Close()
	var names []string
	if err := db.Select(&names, `SELECT tablename FROM pg_tables WHERE schemaname = $1`, schema); err != nil {
		t.Fatal(err)
	}
	tables := Tables{}
	for _, table := range names {
		tables[table] = dumpTable(t, db, schema+"."+table)
	}
	return tables
}

// Schemas lists the generations there are of a projection, in any state.
func Schemas(t testing.TB, dsn, name string) []string {
	t.Helper()
	db := connect(t, dsn)
	defer db.Close()
	var all []string
	if err := db.Select(&all, `SELECT nspname FROM pg_namespace WHERE nspname LIKE $1 ORDER BY nspname`, `coffre\_`+name+`\_v%`); err != nil {
		t.Fatal(err)
	}
	return all
}

// foundInTables looks at every row that any generation holds.
func foundInTables(t testing.TB, dsn string, sealed []byte) bool {
	t.Helper()
	piece := hex.EncodeToString(sealed[16:32])
	db := connect(t, dsn)
	defer db.Close()
	var tables []string
	if err := db.Select(&tables, `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname LIKE 'coffre\_%' AND schemaname <> 'coffre_models'`); err != nil {
		t.Fatal(err)
	}
	if len(tables) == 0 {
		t.Fatal("no tables")
	}
	for _, table := range tables {
		var there bool
		err := db.Get(&there, `SELECT EXISTS (SELECT 1 FROM `+table+` x WHERE strpos(x::text, $1) > 0)`, piece)
		if err != nil && !pgdb.Missing(err) { // one that was replaced is dropped meanwhile
			t.Fatal(err)
		}
		if there {
			return true
		}
	}
	return false
}

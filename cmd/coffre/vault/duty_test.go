package vault

import (
	"maps"
	"slices"
	"testing"

	"coffre/eventstore/postgres/pgdb"
	"coffre/eventstore/postgres/pgtest"
)

// A role with two duties is refused before a database is asked for anything.
func TestNoRoleIsPreparedForTwoDuties(t *testing.T) {
	for _, p := range []Preparation{{Role: "a", Destroyer: "a"}, {Role: "a", Rotator: "a"}, {Destroyer: "a", Rotator: "a", Role: "b"}} {
		p.Stores = StoresConfig{Log: "postgres://nobody@127.0.0.1:1/none"}.In("")
		if _, err := Prepare(t.Context(), p); err != ErrOneRole {
			t.Errorf("%v: %v", p, err)
		}
	}
	for _, p := range []Preparation{{}, {Role: "a"}, {Role: "a", Destroyer: "b", Rotator: "c"}} {
		if err := p.apart(); err != nil {
			t.Errorf("%v: %v", p, err)
		}
	}
}

// Every table of the key database stands in the table of rights, and none that is gone: who
// may write in a new one is somebody's decision.
func TestEveryKeyTableHasItsRights(t *testing.T) {
	at := pgtest.Shared(t).Database(t)
	if _, err := Prepare(t.Context(), Preparation{Stores: StoresConfig{Log: at}.In("")}); err != nil {
		t.Fatal(err)
	}
	db, err := pgdb.Open(at, pgdb.Options{Schema: "coffre_keys", Conns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var tables []string
	if err := db.SelectContext(t.Context(), &tables, `SELECT tablename::text FROM pg_tables WHERE schemaname = 'coffre_keys' ORDER BY 1`); err != nil {
		t.Fatal(err)
	}
	if decided := slices.Sorted(maps.Keys(keyRights)); !slices.Equal(tables, decided) {
		t.Errorf("the tables are %v, and rights are decided of %v", tables, decided)
	}
	for table, of := range keyRights {
		for duty, r := range of {
			if duty == Alone {
				t.Errorf("%s: a process that is alone has no role of its own", table)
			}
			for _, column := range r.Update {
				var n int
				err := db.GetContext(t.Context(), &n, `SELECT count(*) FROM information_schema.columns WHERE table_schema = 'coffre_keys' AND table_name = $1 AND (column_name = $2 OR $2 = '*')`, table, column)
				if err != nil || n == 0 {
					t.Errorf("%s has no column %s: %v", table, column, err)
				}
			}
		}
	}
}

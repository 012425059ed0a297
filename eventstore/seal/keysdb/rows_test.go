package keysdb_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/sqlite/sqlitedb"
)

const peopleTable = `CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, nick TEXT, wrapped BLOB, age INTEGER NOT NULL, mac BLOB) STRICT;`

var people = &keysdb.Table{Name: "people", Number: "id", Key: []string{"name"}, Columns: []string{"name", "nick", "wrapped", "age"}}

var rowKeys = keysdb.RowKeys{MAC: [32]byte{1}, Sum: [32]byte{2}, Seal: [32]byte{3}}

// forRows runs a test on each engine, with a table whose rows carry MACs. another opens a
// further database with the same key.
func forRows(t *testing.T, test func(t *testing.T, db *keysdb.DB, another func() *keysdb.DB)) {
	sqlite := func(t *testing.T) *keysdb.DB {
		db, err := keysdb.Open(t.Context(), filepath.Join(t.TempDir(), "keys.db"), sqlitedb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	postgres := func(t *testing.T) *keysdb.DB {
		db, _, err := keysdb.OpenPostgres(t.Context(), pgtest.Shared(t).Database(t))
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	for name, open := range map[string]func(*testing.T) *keysdb.DB{"SQLite": sqlite, "PostgreSQL": postgres} {
		t.Run(name, func(t *testing.T) {
			another := func() *keysdb.DB {
				db := open(t)
				t.Cleanup(func() { db.Close() })
				must(t, db.MigrateSums(t.Context()), db.Migrate(t.Context(), "people", []string{peopleTable}))
				return db
			}
			db := another()
			db.Guard(&rowKeys)
			must(t, db.ProtectFormer(t.Context(), []*keysdb.Table{people}, func(*keysdb.Tx) error { return nil }))
			test(t, db, another)
		})
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func change(t *testing.T, db *keysdb.DB, run func(tx *keysdb.Tx) error) error {
	t.Helper()
	_, err := keysdb.Do(t.Context(), db, func(tx *keysdb.Tx) (struct{}, error) { return struct{}{}, run(tx) })
	return err
}

func add(t *testing.T, db *keysdb.DB, names ...string) {
	t.Helper()
	for i, name := range names {
		must(t, change(t, db, func(tx *keysdb.Tx) error { return tx.Insert(people, name, nil, []byte{}, i) }))
	}
}

// past runs a statement that keeps no MAC true.
func past(t *testing.T, db *keysdb.DB, query string, args ...any) {
	t.Helper()
	must(t, change(t, db, func(tx *keysdb.Tx) error { _, err := tx.Exec(query, args...); return err }))
}

func finds(t *testing.T, db *keysdb.DB, want ...keysdb.Damage) {
	t.Helper()
	if found, err := db.Check(t.Context()); err != nil || !slices.Equal(found, want) || !slices.Equal(db.Damaged(), want) {
		t.Fatalf("found %v, known %v, want %v: %v", found, db.Damaged(), want, err)
	}
}

// NULL, an empty value and a value that moved to another column are each something else.
func TestRowsAreUnambiguous(t *testing.T) {
	forRows(t, func(t *testing.T, db *keysdb.DB, _ func() *keysdb.DB) {
		add(t, db, "ann")
		finds(t, db)
		for _, set := range []string{`nick = ''`, `wrapped = NULL`, `nick = 'ann', name = ''`, `name = 'an', nick = 'n'`, `age = 1`, `mac = NULL`} {
			past(t, db, `UPDATE people SET `+set)
			finds(t, db, keysdb.Damage{Table: "people", Row: "1"})
			past(t, db, `DELETE FROM people`)
			past(t, db, `DELETE FROM row_sums`)
			must(t, db.ProtectFormer(t.Context(), []*keysdb.Table{people}, func(*keysdb.Tx) error { return nil }))
			must(t, change(t, db, func(tx *keysdb.Tx) error { return tx.Insert(people, "ann", nil, []byte{}, 0) }))
			past(t, db, `UPDATE people SET id = 1`)
			finds(t, db)
		}
	})
}

// What two columns hold together is not what they hold each: lengths are under the MAC.
func TestRowsKeepColumnsApart(t *testing.T) {
	forRows(t, func(t *testing.T, db *keysdb.DB, _ func() *keysdb.DB) {
		must(t, change(t, db, func(tx *keysdb.Tx) error { return tx.Insert(people, "ann", "x\x01ty", []byte{}, 0) }))
		finds(t, db)
		past(t, db, `UPDATE people SET name = ?, nick = ?`, "ann\x01tx", "y")
		finds(t, db, keysdb.Damage{Table: "people", Row: "1"})
	})
}

// A damaged row is an answer to whoever needs it and to nobody else: it is neither read,
// changed nor removed, and it is told of once.
func TestDamagedRowIsLeftAlone(t *testing.T) {
	forRows(t, func(t *testing.T, db *keysdb.DB, _ func() *keysdb.DB) {
		add(t, db, "ann", "bob")
		var told []keysdb.Damage
		db.OnDamage(func(d keysdb.Damage) { told = append(told, d) })
		past(t, db, `UPDATE people SET age = 99 WHERE name = 'bob'`)
		want := keysdb.Damage{Table: "people", Row: "2"}
		_, err := db.Entry(t.Context(), people, `name = ?`, "bob")
		for _, err := range []error{
			err,
			change(t, db, func(tx *keysdb.Tx) error { _, err := tx.Entry(people, `name = ?`, "bob"); return err }),
			change(t, db, func(tx *keysdb.Tx) error {
				_, err := tx.Update(people, "", nil, func(e *keysdb.Entry) { e.Set("age", 1) })
				return err
			}),
			change(t, db, func(tx *keysdb.Tx) error { _, err := tx.Delete(people, `age = 99`); return err }),
			db.Joined(t.Context(), `SELECT `+people.Of("p")+` FROM people p ORDER BY p.id DESC`, nil, []*keysdb.Table{people}, func([]*keysdb.Entry) error { return nil }),
		} {
			if !errors.Is(err, keysdb.ErrDamaged) || !errors.Is(err, eventstore.ErrKeysUnavailable) || !errors.Is(err, want) {
				t.Errorf("a damaged row: %v", err)
			}
		}
		if e, err := db.Entry(t.Context(), people, `name = ?`, "ann"); err != nil || e.Int("age") != 0 {
			t.Errorf("the other row: %v", err)
		}
		finds(t, db, want)
		if !slices.Equal(told, []keysdb.Damage{want}) {
			t.Errorf("told %v", told)
		}
		past(t, db, `UPDATE people SET age = 1 WHERE name = 'bob'`)
		finds(t, db)
	})
}

// Swap changes a row as it was written: bits that changed since in other columns stay
// damage, and a row that another changed stays that one's.
func TestSwapBlessesNothing(t *testing.T) {
	forRows(t, func(t *testing.T, db *keysdb.DB, _ func() *keysdb.DB) {
		ann := db.Known(people, "ann", nil, []byte{1}, 5)
		must(t, change(t, db, func(tx *keysdb.Tx) error { _, err := tx.Add(ann); return err }))
		older := ann.Clone()
		older.Set("age", 6)
		swap := func(want bool) {
			t.Helper()
			must(t, change(t, db, func(tx *keysdb.Tx) error {
				if done, err := tx.Swap(older); err != nil || done != want {
					t.Errorf("%v %v", done, err)
				}
				return nil
			}))
		}
		past(t, db, `UPDATE people SET wrapped = ?`, []byte{2})
		swap(true)
		finds(t, db, keysdb.Damage{Table: "people", Row: "1"})
		past(t, db, `UPDATE people SET wrapped = ?`, []byte{1})
		finds(t, db)
		swap(false)
	})
}

// Columns that came later leave the MACs of rows from before true, and are under those of
// rows that use them.
func TestAddedColumn(t *testing.T) {
	forRows(t, func(t *testing.T, db *keysdb.DB, _ func() *keysdb.DB) {
		add(t, db, "ann", "bob")
		past(t, db, `ALTER TABLE people ADD COLUMN shoe INTEGER NOT NULL DEFAULT 40`)
		later := *people
		later.Columns, later.Added = append(slices.Clone(people.Columns), "shoe"), map[string]any{"shoe": 40}
		read := func(name string) error {
			_, err := db.Entry(t.Context(), &later, `name = ?`, name)
			return err
		}
		must(t, read("ann"), read("bob"), change(t, db, func(tx *keysdb.Tx) error {
			_, err := tx.Update(&later, `name = ?`, []any{"bob"}, func(e *keysdb.Entry) { e.Set("shoe", 43) })
			return err
		}), read("bob"))
		past(t, db, `UPDATE people SET shoe = shoe + 1`)
		for _, name := range []string{"ann", "bob"} {
			if err := read(name); !errors.Is(err, keysdb.ErrDamaged) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// Sums that are damaged are named and stop nobody; no row gets a MAC from them.
func TestDamagedSums(t *testing.T) {
	forRows(t, func(t *testing.T, db *keysdb.DB, _ func() *keysdb.DB) {
		add(t, db, "ann")
		past(t, db, `UPDATE people SET mac = NULL`)
		for _, damage := range []string{`UPDATE row_sums SET sealed = `, `DELETE FROM row_sums --`} {
			query, args := damage+`?`, []any{bytes.Repeat([]byte{1}, 90)}
			if strings.HasPrefix(damage, "DELETE") {
				query, args = `DELETE FROM row_sums`, nil
			}
			past(t, db, query, args...)
			add(t, db, "b"+damage[:1])
			must(t, db.Protect(t.Context(), []*keysdb.Table{people}, nil))
			if _, err := db.Entry(t.Context(), people, `name = ?`, "ann"); !errors.Is(err, keysdb.ErrDamaged) {
				t.Errorf("a row without a MAC became %v", err)
			}
			finds(t, db, keysdb.Damage{Table: "people", Row: "1"}, keysdb.Damage{Table: "row_sums", Row: "1"})
		}
	})
}

// A copy brings MACs and sums along, and refuses a row that is damaged.
func TestCopyKeepsMACs(t *testing.T) {
	forRows(t, func(t *testing.T, db *keysdb.DB, another func() *keysdb.DB) {
		add(t, db, "ann", "bob", "eve")
		to := another()
		must(t, change(t, to, func(tx *keysdb.Tx) error {
			_, err := tx.Exec(`CREATE TABLE copying (id INTEGER PRIMARY KEY)`)
			return err
		}))
		older := func(_ context.Context, table string, rows []keysdb.Row) ([]keysdb.Row, error) {
			if table == "people" {
				for _, row := range rows {
					row["age"] = row["age"].(int64) + 1
				}
				rows = rows[1:]
			}
			return rows, nil
		}
		past(t, db, `UPDATE people SET age = 7 WHERE name = 'eve'`)
		if err := keysdb.Copy(t.Context(), db, to, older, nil); !errors.Is(err, keysdb.Damage{Table: "people", Row: "3"}) {
			t.Fatalf("a damaged row was copied: %v", err)
		}
		past(t, db, `UPDATE people SET age = 2 WHERE name = 'eve'`)
		must(t, keysdb.Copy(t.Context(), db, to, older, nil), to.Protect(t.Context(), []*keysdb.Table{people}, people))
		finds(t, to)
		if e, err := to.Entry(t.Context(), people, `name = ?`, "eve"); err != nil || e.Int("age") != 3 {
			t.Fatal(err)
		}
		past(t, to, `DELETE FROM people WHERE name = 'eve'`)
		finds(t, to, keysdb.Damage{Table: "people"})
	})
}

// A backup brings back what the sums say was there, and only with the operator's word what
// is older.
func TestMend(t *testing.T) {
	forRows(t, func(t *testing.T, db *keysdb.DB, another func() *keysdb.DB) {
		add(t, db, "ann", "bob", "eve", "joe")
		backup := another()
		must(t, change(t, backup, func(tx *keysdb.Tx) error {
			_, err := tx.Exec(`CREATE TABLE copying (id INTEGER PRIMARY KEY)`)
			return err
		}), keysdb.Copy(t.Context(), db, backup, nil, nil), backup.Protect(t.Context(), []*keysdb.Table{people}, people))
		age := func(to int) {
			t.Helper()
			must(t, change(t, db, func(tx *keysdb.Tx) error {
				_, err := tx.Update(people, `name = 'joe'`, nil, func(e *keysdb.Entry) { e.Set("age", to) })
				return err
			}))
		}
		age(50)
		mend := func(accept bool) keysdb.Mended {
			t.Helper()
			m, err := keysdb.Mend(t.Context(), db, backup, accept)
			must(t, err)
			return m
		}
		for _, damage := range []string{
			`UPDATE people SET age = 99 WHERE name = 'ann'`,
			`UPDATE people SET name = 'amy' WHERE name = 'ann'`,
			`UPDATE people SET mac = NULL WHERE name = 'bob'`,
			`UPDATE people SET mac = name::bytea WHERE name = 'bob'`,
			`DELETE FROM people WHERE name = 'eve'`,
			`DELETE FROM people WHERE name IN ('ann', 'bob')`,
		} {
			past(t, db, strings.ReplaceAll(damage, "name::bytea", "(SELECT mac FROM people WHERE name = 'ann')"))
			if m := mend(false); len(m.Found) == 0 || len(m.Left) > 0 || len(m.Restored) == 0 {
				t.Errorf("%s: %+v", damage, m)
			}
			finds(t, db)
		}
		// joe changed since the backup: what it has of joe is older.
		past(t, db, `UPDATE people SET age = 99 WHERE name = 'joe'`)
		if m := mend(false); len(m.Left) != 1 || len(m.Older) > 0 {
			t.Errorf("%+v", m)
		}
		if m := mend(true); len(m.Older) != 1 || len(m.Left) > 0 {
			t.Errorf("%+v", m)
		}
		if e, err := db.Entry(t.Context(), people, `name = 'joe'`); err != nil || e.Int("age") != 3 {
			t.Error(err)
		}
		// A row that was put back as it was before is replaced by the one that is missed.
		row, err := db.Entry(t.Context(), people, `name = 'joe'`)
		must(t, err)
		age(60)
		must(t, change(t, backup, func(tx *keysdb.Tx) error {
			_, err := tx.Update(people, `name = 'joe'`, nil, func(e *keysdb.Entry) { e.Set("age", 60) })
			return err
		}))
		must(t, change(t, db, func(tx *keysdb.Tx) error { // its row as it was, MAC and all
			_, err := tx.Exec(`UPDATE people SET age = 3, mac = ? WHERE name = 'joe'`, keysdb.MACOf(row))
			return err
		}))
		finds(t, db, keysdb.Damage{Table: "people"})
		if m := mend(false); len(m.Restored) != 1 || len(m.Left) > 0 {
			t.Errorf("%+v", m)
		}
	})
}

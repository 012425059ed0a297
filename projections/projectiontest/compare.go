package projectiontest

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"coffre/eventstore/codec"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/projections"
	"coffre/projections/pgmodels"
	"coffre/projections/sqlitemodels"
)

// Compare holds the read model in force in a place, which nobody runs, against a log.
func Compare(t testing.TB, w *World, place string, p projections.Projection) projections.Compared {
	t.Helper()
	scratch := t.TempDir()
	medium, err := sqlitemodels.Open(scratch)
	if err != nil {
		t.Fatal(err)
	}
	c := projections.Comparison{
		Store: w, Codec: codec.Catalog, Scratch: medium,
		Built: func(ctx context.Context, name string, version int) (projections.Described, error) {
			return sqlitemodels.Snapshot(ctx, scratch, name, version)
		},
		InForce: func(ctx context.Context, name string, version int) (projections.Snapshot, error) {
			return sqlitemodels.Snapshot(ctx, place, name, version)
		},
	}
	if onPostgres(place) {
		m, err := pgmodels.Open(t.Context(), place)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		c.InForce = m.Snapshot
	}
	found, err := c.Compare(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Meddle opens the tables in force of a read model for whoever may write to them.
func Meddle(t testing.TB, place, name string) *sqlx.DB {
	t.Helper()
	if onPostgres(place) {
		db := connect(t, pgtest.Shared(t).Superuser(t, place))
		db.SetMaxOpenConns(1)
		t.Cleanup(func() { _ = db.Close() })
		if _, err := db.Exec(`SET search_path TO ` + generation(t, place, name)); err != nil {
			t.Fatal(err)
		}
		return db
	}
	db, err := sqlitedb.Open(context.Background(), generation(t, place, name), sqlitedb.Options{Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db.Writer
}

// secret is what somebody writes into rows, and nobody is told.
const secret = "Canary van den Berg"

// compared checks that a comparison finds nothing in sound tables, and names each row that
// somebody altered, added or took out, with an event of the log.
func compared(t *testing.T, w *World, place string, fresh func() projections.Projection) {
	r := Start(t, w, place, fresh())
	r.CaughtUp(t)
	r.Stop()
	p := fresh()
	sound := Compare(t, w, place, p)
	if sound.Wrong != 0 || sound.Incomplete != "" || sound.Rows == 0 || sound.Events != int64(len(w.recorded)) {
		t.Fatalf("of sound tables: %+v", sound)
	}
	db := Meddle(t, place, p.Name())
	exec := func(statement string, args ...any) {
		t.Helper()
		result, err := db.Exec(db.Rebind(statement), args...)
		if err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
		if n, err := result.RowsAffected(); err != nil || n != 1 {
			t.Fatalf("%s: %d rows, %v", statement, n, err)
		}
	}
	want := map[string]projections.Divergence{}
	check := func(how string) {
		t.Helper()
		found := Compare(t, w, place, p)
		if found.Wrong != int64(len(want)) || len(want) == 0 {
			t.Errorf("%s: %d differences, want %v: %+v", how, found.Wrong, want, found.Differences)
		}
		for _, d := range found.Differences {
			if want[d.Table] != d.What || d.Row == "" || (d.What == projections.RowOther) != (len(d.Columns) == 1) {
				t.Errorf("%s: %+v", how, d)
			}
			switch {
			case d.Leaf == nil && d.What == projections.RowExtra: // nothing made it
			case d.Leaf == nil:
				t.Errorf("%s: nothing explains %+v", how, d)
			case w.recorded[*d.Leaf].ID != d.Event || w.recorded[*d.Leaf].Type != d.Type:
				t.Errorf("%s: leaf %d is not %s %s", how, *d.Leaf, d.Type, d.Event)
			}
		}
		if text, err := json.Marshal(found); err != nil || strings.Contains(string(text), secret) {
			t.Errorf("%s: what was written there is told: %s, %v", how, text, err)
		}
		clear(want)
	}
	var undo []func()
	undone := func(how string) {
		t.Helper()
		check(how)
		for _, u := range undo {
			u()
		}
		undo = nil
	}
	tables := tablesOf(t, w, fresh())
	for _, table := range tables {
		row := rowOf(t, db, table)
		if row == nil {
			continue
		}
		first := table.Columns[table.Key[0]]
		switch n, number := row[table.Key[0]].(int64); {
		case number:
			row[table.Key[0]] = n + 1_000_003
		case first.Text:
			row[table.Key[0]] = secret
		default:
			row[table.Key[0]] = []byte("sixteen letters.")
		}
		exec(`INSERT INTO `+table.Name+` (`+names(table)+`) VALUES (?`+strings.Repeat(`, ?`, len(row)-1)+`)`, row...)
		want[table.Name] = projections.RowExtra
		undo = append(undo, func() {
			exec(`DELETE FROM `+table.Name+` WHERE `+first.Name+` = ?`, row[table.Key[0]])
		})
	}
	undone("a row more")
	for _, table := range tables {
		row := rowOf(t, db, table)
		column := slices.IndexFunc(table.Columns, func(c projections.Column) bool { return !isKey(table, c.Name) })
		if row == nil || column < 0 {
			continue
		}
		other := map[bool]any{true: any(secret), false: any([]byte("sixteen letters."))}[table.Columns[column].Text]
		if n, number := row[column].(int64); number {
			other = n + 1_000_003
		}
		where, key := whereKey(table, row)
		set := `UPDATE ` + table.Name + ` SET ` + table.Columns[column].Name + ` = ? WHERE ` + where
		exec(set, append([]any{other}, key...)...)
		want[table.Name] = projections.RowOther
		undo = append(undo, func() { exec(set, append([]any{row[column]}, key...)...) })
	}
	undone("another value")
	for _, table := range tables {
		if row := rowOf(t, db, table); row != nil {
			where, key := whereKey(table, row)
			exec(`DELETE FROM `+table.Name+` WHERE `+where, key...)
			want[table.Name] = projections.RowMissing
		}
	}
	check("a row less")
	exec(`UPDATE checkpoint SET next_leaf = next_leaf + 5`)
	if found := Compare(t, w, place, p); !slices.ContainsFunc(found.Differences, func(d projections.Difference) bool { return d.What == projections.AheadOfLog }) {
		t.Errorf("ahead of the log: %+v", found)
	}
	if _, err := db.Exec(`DROP TABLE ` + tables[0].Name); err != nil {
		t.Fatal(err)
	}
	if found := Compare(t, w, place, p); !slices.ContainsFunc(found.Differences, func(d projections.Difference) bool {
		return d.What == projections.Unreadable && d.Table == tables[0].Name
	}) {
		t.Errorf("without a table: %+v", found)
	}
	if found := Compare(t, w, emptied(t, place), p); found.Incomplete == "" {
		t.Errorf("without a read model: %+v", found)
	}
}

// emptied returns a place like another one, with nothing in it.
func emptied(t testing.TB, place string) string {
	if onPostgres(place) {
		return pgtest.Shared(t).Database(t)
	}
	return t.TempDir()
}

// tablesOf returns the tables that a read model makes.
func tablesOf(t testing.TB, w *World, p projections.Projection) []projections.Table {
	t.Helper()
	dir := t.TempDir()
	r := Start(t, w, dir, p)
	r.CaughtUp(t)
	r.Stop()
	s, err := sqlitemodels.Snapshot(t.Context(), dir, p.Name(), p.Version())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tables, err := s.Tables(t.Context())
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	return tables
}

func names(table projections.Table) string {
	var all []string
	for _, c := range table.Columns {
		all = append(all, c.Name)
	}
	return strings.Join(all, ", ")
}

func isKey(table projections.Table, column string) bool {
	return slices.ContainsFunc(table.Key, func(k int) bool { return table.Columns[k].Name == column })
}

// rowOf returns a row of a table, nil when there is none.
func rowOf(t testing.TB, db *sqlx.DB, table projections.Table) []any {
	t.Helper()
	rows, err := db.Queryx(`SELECT ` + names(table) + ` FROM ` + table.Name + ` LIMIT 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if !rows.Next() {
		return nil
	}
	row, err := rows.SliceScan()
	if err != nil {
		t.Fatal(err)
	}
	return row
}

func whereKey(table projections.Table, row []any) (where string, key []any) {
	var parts []string
	for _, k := range table.Key {
		parts, key = append(parts, table.Columns[k].Name+" = ?"), append(key, row[k])
	}
	return strings.Join(parts, " AND "), key
}

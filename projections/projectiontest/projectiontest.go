// Package projectiontest is the contract of every read model, whatever it shows ([Run]),
// and of the media that keep them ([RunMedium]).
//
// Invariant: it refuses to pass on nothing. A history that leaves a table empty, or
// that erases nothing, fails.
package projectiontest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"coffre/domain/citizen"
	"coffre/domain/document"
	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/projections"
	"coffre/projections/pgmodels"
	"coffre/projections/sqlitemodels"
)

// patience is how long a test waits before it calls a read model stuck.
const patience = 30 * time.Second

// Running is a runner at work for a test.
type Running struct {
	*projections.Runner
	Dir  string
	stop func()
}

// OnEach runs a test for read models in files and for those on a PostgreSQL. place
// makes an empty place, for Start.
func OnEach(t *testing.T, test func(t *testing.T, place func(testing.TB) string)) {
	t.Run("SQLite", func(t *testing.T) { test(t, func(t testing.TB) string { return t.TempDir() }) })
	t.Run("PostgreSQL", func(t *testing.T) {
		test(t, func(t testing.TB) string { return pgtest.Shared(t).Database(t) })
	})
}

// OpenMedium opens the medium in a place as OnEach makes it, until closed is called.
func OpenMedium(t testing.TB, place string) (medium projections.Medium, closed func() error) {
	t.Helper()
	if onPostgres(place) {
		m, err := pgmodels.Open(context.Background(), place)
		if err != nil {
			t.Fatal(err)
		}
		return m, m.Close
	}
	m, err := sqlitemodels.Open(place)
	if err != nil {
		t.Fatal(err)
	}
	return m, func() error { return nil }
}

// Start runs projections over a store until Stop or the test's end. place is a
// directory, or the address of a PostgreSQL.
func Start(t testing.TB, store eventstore.Store, place string, all ...projections.Projection) *Running {
	t.Helper()
	medium, closed := OpenMedium(t, place)
	o := projections.Options{Medium: medium, Store: store, Codec: codec.Catalog, Logger: slog.New(slog.DiscardHandler)}
	r, err := projections.New(o, all...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stopped := false
	running := &Running{Runner: r, Dir: place, stop: func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := errors.Join(<-done, closed()); err != nil {
			t.Error(err)
		}
	}}
	t.Cleanup(running.stop)
	return running
}

// Stop ends the runner and closes its tables.
func (r *Running) Stop() { r.stop() }

// CaughtUp waits until everything in the log is shown.
func (r *Running) CaughtUp(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.CatchUp(ctx); err != nil {
		t.Fatal(err)
	}
}

// Run checks a read model against a history, in a file and on a PostgreSQL. New
// returns a new one each time. The history needs at least one event that puts a row
// in each table, one citizen.key-destroyed and one document.content-destroyed.
func Run(t *testing.T, fresh func() projections.Projection, history func(t testing.TB, w *World)) {
	t.Helper()
	w := NewWorld()
	history(t, w)
	if len(w.recorded) < 10 {
		t.Fatalf("a history of %d events proves nothing", len(w.recorded))
	}
	OnEach(t, func(t *testing.T, place func(testing.TB) string) { run(t, w, place, fresh) })
	t.Run("no statement reads a whole table", func(t *testing.T) { planned(t, w, fresh) })
}

// soak tells whether read models are restarted at every position of a history, not at
// some of them.
func soak() bool { return os.Getenv("COFFRE_SOAK") == "1" }

func run(t *testing.T, w *World, place func(testing.TB) string, fresh func() projections.Projection) {
	p := fresh()
	want := keptUp(t, w, place(t), fresh())
	t.Logf("%d events; tables: %s", len(w.recorded), want.counts())

	t.Run("replay equals kept up", func(t *testing.T) {
		dir := place(t)
		r := Start(t, w, dir, fresh())
		r.CaughtUp(t)
		r.Stop()
		want.same(t, Dump(t, dir, p.Name()))
	})
	t.Run("rebuilt equals kept up", func(t *testing.T) {
		dir := place(t)
		r := Start(t, w, dir, fresh())
		r.CaughtUp(t)
		before := generation(t, dir, p.Name())
		if err := r.Rebuild(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.Stop()
		if generation(t, dir, p.Name()) == before {
			t.Fatal("it was not rebuilt")
		}
		want.same(t, Dump(t, dir, p.Name()))
	})
	t.Run("restarted at every position", func(t *testing.T) {
		dir := place(t)
		step := 1
		switch {
		case onPostgres(dir) && !soak():
			step = 1 + len(w.recorded)/4 // a start takes ten connections
		case onPostgres(dir):
			step = 7
		case !soak():
			step = 3
		}
		first := rand.IntN(step)
		t.Logf("every position %d modulo %d", first, step)
		for i := first; i < len(w.recorded)+step-1; i += step {
			e := w.recorded[min(i, len(w.recorded)-1)]
			r := Start(t, until{w, e.Position}, dir, fresh())
			r.CaughtUp(t)
			r.Stop()
		}
		want.same(t, Dump(t, dir, p.Name()))
	})
	t.Run("caught up from every position", func(t *testing.T) {
		often := 20
		switch {
		case onPostgres(place(t)) && !soak():
			often = 2
		case onPostgres(place(t)):
			often = 4
		case !soak():
			often = 6
		}
		for i := 0; i < len(w.recorded); i += 1 + len(w.recorded)/often {
			dir := place(t)
			r := Start(t, until{w, w.recorded[i].Position}, dir, fresh())
			r.CaughtUp(t)
			r.Stop()
			r = Start(t, w, dir, fresh())
			r.CaughtUp(t)
			r.Stop()
			want.same(t, Dump(t, dir, p.Name()))
		}
	})
	t.Run("late duplicates count once", func(t *testing.T) {
		dir := place(t)
		half := w.recorded[len(w.recorded)/2].Position
		for _, store := range []eventstore.Store{stutter{until{w, half}}, stutter{w}} {
			r := Start(t, store, dir, fresh())
			r.CaughtUp(t)
			r.Stop()
		}
		want.same(t, Dump(t, dir, p.Name()))
	})
	t.Run("each altered row is named", func(t *testing.T) { compared(t, w, place(t), fresh) })
	t.Run("what was erased is nowhere", func(t *testing.T) { erased(t, w, place(t), fresh) })
}

// keptUp shows the history to a live model, one event after the other, and
// returns what it ends with. Each table must have held something on the way.
func keptUp(t *testing.T, w *World, dir string, p projections.Projection) Tables {
	t.Helper()
	live := NewWorld()
	r := Start(t, live, dir, p)
	r.CaughtUp(t)
	held := map[string]bool{}
	for i, e := range w.recorded {
		e.Event.Position = eventstore.Position{}
		at, err := live.Append(t.Context(), eventstore.Batch{Stream: e.Stream, Expected: eventstore.Any, Records: []eventstore.Record{e.Record}})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.WaitFor(t.Context(), p.Name(), at.Position); err != nil {
			t.Fatalf("at leaf %d: %v", i, err)
		}
		if len(held) == 0 || slices.Contains(slices.Collect(maps.Values(held)), false) {
			for name, rows := range Dump(t, dir, p.Name()) {
				held[name] = held[name] || len(rows) > 0
			}
		}
	}
	for name, something := range held {
		if !something {
			t.Fatalf("the history never puts anything into the table %s", name)
		}
	}
	if len(held) < 2 {
		t.Fatal("there are no tables")
	}
	r.Stop()
	return Dump(t, dir, p.Name())
}

// erased checks that the sealed parts of erased citizens and documents leave the
// files, in a live model and in a rebuilt one.
func erased(t *testing.T, w *World, dir string, fresh func() projections.Projection) {
	gone := map[int64]bool{} // leaves whose sealed part must not be found
	citizens, documents := 0, 0
	for _, e := range w.recorded {
		switch f := e.Data.(type) {
		case citizen.KeyDestroyed:
			citizens++
			for _, other := range w.recorded {
				gone[other.Leaf] = gone[other.Leaf] || other.Citizen == f.Citizen
			}
		case document.ContentDestroyed:
			documents++
			for _, other := range w.recorded {
				gone[other.Leaf] = gone[other.Leaf] || other.Stream == e.Stream
			}
		}
	}
	if citizens == 0 || documents == 0 {
		t.Fatal("the history erases no citizen or no document")
	}
	var first int64 = -1 // of the erasures
	for _, e := range w.recorded {
		switch e.Data.(type) {
		case citizen.KeyDestroyed, document.ContentDestroyed:
			if first < 0 {
				first = e.Leaf
			}
		}
	}
	r := Start(t, until{w, w.recorded[first-1].Position}, dir, fresh())
	r.CaughtUp(t)
	r.Stop()
	before := 0
	for leaf := range gone {
		if gone[leaf] && found(t, dir, w.recorded[leaf].Sealed) {
			before++
		}
	}
	keeps := before > 0 // a model that copies nothing sealed has nothing to lose
	for _, stage := range []string{"live", "rebuilt"} {
		r := Start(t, w, dir, fresh())
		r.CaughtUp(t)
		if stage == "rebuilt" {
			if err := r.Rebuild(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		// While it runs: nothing may wait for a clean end.
		for leaf := range gone {
			if gone[leaf] && found(t, dir, w.recorded[leaf].Sealed) {
				t.Errorf("%s: the sealed part of leaf %d (%s) is still in the files", stage, leaf, w.recorded[leaf].Type)
			}
		}
		r.Stop()
	}
	rest := 0
	for _, e := range w.recorded {
		if !gone[e.Leaf] && found(t, dir, e.Sealed) {
			rest++
		}
	}
	if keeps != (rest > 0) {
		t.Fatalf("%d sealed parts found before the erasures, %d of others after: this test sees nothing", before, rest)
	}
}

// found reports whether a piece of the sealed part stands in a file of the
// directory, or in a table.
func found(t testing.TB, dir string, sealed []byte) bool {
	t.Helper()
	const piece = 16
	if len(sealed) < 2*piece {
		return false
	}
	if onPostgres(dir) {
		return foundInTables(t, dir, sealed)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			if os.IsNotExist(err) {
				continue
			}
			t.Fatal(err)
		}
		for at := 0; at+piece <= len(sealed); at += piece {
			if bytes.Contains(content, sealed[at:at+piece]) {
				return true
			}
		}
	}
	return false
}

// Tables are the rows of a read model by table, each as text, sorted.
type Tables map[string][]string

// Dump reads the tables of the named projection's generation in force.
func Dump(t testing.TB, dir, name string) Tables {
	t.Helper()
	if onPostgres(dir) {
		return dumpSchema(t, dir, generation(t, dir, name))
	}
	db, err := sqlitedb.Open(context.Background(), generation(t, dir, name), sqlitedb.Options{Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var names []string
	if err := db.Reader.Select(&names, `SELECT name FROM sqlite_schema WHERE type = 'table'`); err != nil {
		t.Fatal(err)
	}
	tables := Tables{}
	for _, table := range names {
		tables[table] = dumpTable(t, db.Reader, table)
	}
	return tables
}

// Spoil changes a byte of a table of the named projection, which nobody has open, in its
// file: the newest row's, that stands last in the table's page.
func Spoil(t testing.TB, dir, name, table string) {
	t.Helper()
	path := generation(t, dir, name)
	db, err := sqlitedb.Open(context.Background(), path, sqlitedb.Options{Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	var page, size int64
	err = errors.Join(db.Reader.Get(&page, `SELECT rootpage FROM sqlite_schema WHERE name = ?`, table), db.Reader.Get(&size, `PRAGMA page_size`), db.Close())
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	at, b := page*size-16, make([]byte, 1)
	if _, err := file.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 4
	_, err = file.WriteAt(b, at)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

func dumpTable(t testing.TB, db *sqlx.DB, table string) []string {
	t.Helper()
	rows, err := db.Queryx(`SELECT * FROM ` + table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := []string{}
	for rows.Next() {
		values, err := rows.SliceScan()
		if err != nil {
			t.Fatal(err)
		}
		var line strings.Builder
		for i, v := range values {
			if columns, _ := rows.Columns(); columns[i] == "fence" {
				continue // whose it is says nothing of what is shown
			}
			if b, ok := v.([]byte); ok {
				fmt.Fprintf(&line, "x'%x'|", b)
			} else {
				fmt.Fprintf(&line, "%v|", v)
			}
		}
		all = append(all, line.String())
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

func (want Tables) counts() string {
	var all []string
	for name, rows := range want {
		all = append(all, fmt.Sprintf("%s %d", name, len(rows)))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// same fails at the first row that differs.
func (want Tables) same(t testing.TB, got Tables) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d tables, want %d", len(got), len(want))
	}
	for name, rows := range want {
		for i := range max(len(rows), len(got[name])) {
			switch {
			case i >= len(got[name]):
				t.Fatalf("table %s lacks the row %s", name, rows[i])
			case i >= len(rows):
				t.Fatalf("table %s has the row %s", name, got[name][i])
			case rows[i] != got[name][i]:
				t.Fatalf("table %s has the row\n%s, want\n%s", name, got[name][i], rows[i])
			}
		}
	}
}

// generation returns the path of the file, or the name of the schema, in force.
func generation(t testing.TB, dir, name string) string {
	t.Helper()
	if onPostgres(dir) {
		return schemaOf(t, dir, name)
	}
	files, err := filepath.Glob(filepath.Join(dir, name+".v*.g*.db"))
	if err != nil || len(files) == 0 {
		t.Fatal("there is no read model ", name, err)
	}
	return slices.Max(files)
}

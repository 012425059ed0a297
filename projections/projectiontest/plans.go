package projectiontest

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"

	"coffre/eventstore/codec"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/projections"
	"coffre/projections/sqlitemodels"
)

// ofOneRow is the table of the transparency tree that has one row, whatever the log holds.
const ofOneRow = "log"

// planned asks SQLite how it would run each statement of a build, which has the tables
// without the indexes of queries, and of a model that is kept up. One that reads a whole
// table for each event makes a build take time with the square of the log's length.
func planned(t *testing.T, w *World, fresh func() projections.Projection) {
	schema := fresh().Schema()
	for name, c := range map[string]struct {
		watched bool
		tables  string
	}{
		"built":   {false, schema.Tables},
		"kept up": {true, schema.Tables + schema.Indexes},
	} {
		t.Run(name, func(t *testing.T) {
			statements := statementsOf(t, w, fresh(), c.watched)
			if len(statements) == 0 {
				t.Fatal("no statement was run")
			}
			db, err := sqlitedb.Open(t.Context(), filepath.Join(t.TempDir(), "plans.db"), sqlitedb.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Writer.Exec(c.tables); err != nil {
				t.Fatal(err)
			}
			for _, s := range statements {
				for _, step := range plan(t, db.Writer, s) {
					if table, scan := strings.CutPrefix(step, "SCAN "); scan && !strings.Contains(table, "ROW") && table != ofOneRow {
						t.Errorf("%s: %s", step, s)
					}
				}
			}
		})
	}
}

// plan returns the steps by which SQLite would run a statement.
func plan(t *testing.T, db *sqlx.DB, statement string) (steps []string) {
	t.Helper()
	rows, err := db.Query("EXPLAIN QUERY PLAN "+statement, make([]any, strings.Count(statement, "?"))...)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return steps
}

// statementsOf returns every statement with which a projection takes the history in, in
// order of their texts.
func statementsOf(t *testing.T, w *World, p projections.Projection, watched bool) []string {
	t.Helper()
	medium, err := sqlitemodels.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	said := &said{texts: map[string]bool{}}
	replay, err := projections.NewReplay(t.Context(), listening{medium, said}, w, codec.Catalog, p, watched)
	if err != nil {
		t.Fatal(err)
	}
	if err := replay.To(t.Context(), int64(len(w.recorded)), nil); err != nil {
		t.Fatal(err)
	}
	if err := replay.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(said.texts))
}

// said keeps the texts of statements.
type said struct {
	mu    sync.Mutex
	texts map[string]bool
}

func (s *said) add(query string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !strings.Contains(query, "checkpoint") { // the runner's own table of one row
		s.texts[query] = true
	}
}

// listening is a medium that notes the statements run on tables while they are made.
type listening struct {
	projections.Medium
	said *said
}

func (l listening) Model(name string, version int) projections.Model {
	return listeningModel{l.Medium.Model(name, version), l.said}
}

type listeningModel struct {
	projections.Model
	said *said
}

func (l listeningModel) Create(ctx context.Context, statements string) (projections.Tables, error) {
	tables, err := l.Model.Create(ctx, statements)
	if err != nil {
		return nil, err
	}
	return listeningTables{tables, l.said}, nil
}

func (l listeningModel) Finish(ctx context.Context, built projections.Tables, schema projections.Schema) (projections.Tables, error) {
	return l.Model.Finish(ctx, built.(listeningTables).Tables, schema)
}

type listeningTables struct {
	projections.Tables
	said *said
}

func (l listeningTables) Begin(ctx context.Context) (projections.Transaction, error) {
	tx, err := l.Tables.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return listeningTransaction{tx, l.said}, nil
}

type listeningTransaction struct {
	projections.Transaction
	said *said
}

func (l listeningTransaction) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	l.said.add(query)
	return l.Transaction.Exec(ctx, query, args...)
}

func (l listeningTransaction) Get(ctx context.Context, query string, args []any, dest ...any) (bool, error) {
	l.said.add(query)
	return l.Transaction.Get(ctx, query, args, dest...)
}

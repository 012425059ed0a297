package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"coffre/cmd/coffre/vault"
	"coffre/eventstore/postgres/pgtest"
)

// With everything in a PostgreSQL nothing is found either: in no row of any table, and
// in no file of the server, its write-ahead log and its log among them.
func TestCanaryOnPostgreSQL(t *testing.T) {
	found, paths := readImport(t)
	if paths == nil {
		return
	}
	innocentServer(t, found)
	server := pgtest.Start(t)
	dsn := server.Database(t)
	super, err := sqlx.Open("pgx", server.Superuser(t, dsn))
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close()
	traced, traces := collect(t)
	p := play(t, found, paths, vault.Options{Stores: vault.StoresConfig{Log: dsn}, KeyLease: time.Second, Traces: traces})
	innocent(t, found)
	f, hits := newFinder(found), map[string]string{}
	traced.holdNothingPersonal(t, f, "accessDocument", "sql")
	f.below(t, hits, p.dir, p.temp)
	f.in("the log", p.logs.Bytes(), hits)

	folder := folderOf(t, server.Superuser(t, dsn))
	if rows := dump(t, super, f, hits); rows < 100 {
		t.Fatalf("looked at %d rows only", rows)
	}
	if err := super.Close(); err != nil {
		t.Fatal(err)
	}
	server.Stop(t) // so that every page is in its file
	if files := f.below(t, hits, folder); files < 100 {
		t.Fatalf("looked into %d files only", files)
	}
	for canary, where := range hits { // invented or public test data, so it may be shown
		t.Errorf("%q stands in %s", canary, where)
	}
}

// innocentServer removes what a server that was never used holds as well.
func innocentServer(t *testing.T, c canaries) {
	t.Helper()
	server := pgtest.Start(t)
	fresh, hits := folderOf(t, server.Superuser(t, server.Database(t))), map[string]string{}
	newFinder(c).below(t, hits, fresh)
	for s := range hits {
		delete(c, s)
	}
	if len(hits) > 20 {
		t.Fatalf("%d canaries are in an unused server", len(hits))
	}
}

// folderOf returns where all files of a server are.
func folderOf(t *testing.T, super string) string {
	t.Helper()
	db, err := sqlx.Open("pgx", super)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var data string
	if err := db.Get(&data, `SHOW data_directory`); err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(data)
}

// dump looks at every value of every table of ours, as it is before the server
// compresses it.
func dump(t *testing.T, super *sqlx.DB, f finder, hits map[string]string) (seen int) {
	t.Helper()
	var tables []string
	if err := super.Select(&tables, `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname LIKE 'coffre%'`); err != nil {
		t.Fatal(err)
	}
	issued := false
	for _, table := range tables {
		rows, err := super.QueryxContext(context.Background(), `SELECT * FROM `+table)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values, err := rows.SliceScan()
			if err != nil {
				t.Fatal(err)
			}
			seen++
			for _, v := range values {
				b, ok := v.([]byte)
				if !ok {
					b = fmt.Append(nil, v)
				}
				f.in(table, b, hits)
				issued = issued || bytes.Contains(b, []byte("document.issued/"))
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		rows.Close()
	}
	if !issued {
		t.Fatal("no table tells of a document: this test sees nothing")
	}
	return seen
}

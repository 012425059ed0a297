package pgdb_test

import (
	"net/url"
	"testing"

	"coffre/eventstore/postgres/pgdb"
	"coffre/eventstore/postgres/pgtest"
)

// What the owner of a database made in the place of the role that serves becomes that role's, who may
// then change it; the owner still reads it, and what is another's stays theirs.
func TestHandOver(t *testing.T) {
	server := pgtest.Shared(t)
	dsn := server.Database(t)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	role := "app_" + u.User.Username()
	owner := open(t, dsn, pgdb.Options{Schema: "made", Conns: 1})
	if err := pgdb.HandOver(t.Context(), owner, "made", role); err != nil {
		t.Fatalf("where nothing is there: %v", err)
	}
	for _, sql := range []string{`CREATE SCHEMA made`, `CREATE TABLE made.things (n bigint PRIMARY KEY)`, `INSERT INTO made.things VALUES (7)`} {
		if _, err := owner.Exec(sql); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pgdb.MakeRole(t.Context(), owner, "made", role); err != nil {
		t.Fatal(err)
	}
	if _, err := pgdb.LetCreate(t.Context(), owner, role); err != nil {
		t.Fatal(err)
	}
	server.Exec(t, `ALTER ROLE "`+role+`" PASSWORD '`+password+`'`)
	u.User = url.UserPassword(role, password)
	serving := open(t, u.String(), pgdb.Options{Schema: "made", Conns: 1})
	if _, err := serving.Exec(`CREATE INDEX again ON things (n)`); err == nil {
		t.Fatal("the role may change the owner's table before: this test sees nothing")
	}
	for range 2 { // repeated, it changes nothing
		if err := pgdb.HandOver(t.Context(), owner, "made", role); err != nil {
			t.Fatal(err)
		}
	}
	var n int
	if _, err := serving.Exec(`CREATE INDEX again ON things (n); CREATE TABLE more (n bigint PRIMARY KEY)`); err != nil {
		t.Error(err)
	}
	if err := owner.Get(&n, `SELECT n FROM made.things`); err != nil || n != 7 {
		t.Error(n, err)
	}
	if err := pgdb.HandOver(t.Context(), owner, "made", "no role"); err == nil {
		t.Error("what is no name of a role")
	}
}

package postgres

import (
	"testing"
	"time"

	"coffre/eventstore/postgres/pgtest"
)

// A migration of the log's tables that is cut off at any step leaves the form that was there, and
// the next one does what is missing. Not parallel: it adds steps to the program's.
func TestAMigrationOfTheLogIsCutOffAtEachStep(t *testing.T) {
	released := steps
	defer func() { steps = released }()
	added := []step{
		{serves: 1, sql: `ALTER TABLE events ADD COLUMN one bigint`},
		{serves: 1, sql: `CREATE INDEX events_by_one ON events (one)`},
		{serves: len(released) + 3, sql: `ALTER TABLE events DROP COLUMN one`},
	}
	dsn := pgtest.Shared(t).Database(t)
	form := func(want, serves int) {
		t.Helper()
		if form, oldest, program, err := Form(t.Context(), dsn); err != nil || form != want || oldest != serves || program != len(steps) {
			t.Fatalf("form %d, serves %d, program %d, %v; wanted %d and %d", form, oldest, program, err, want, serves)
		}
	}
	form(0, 0)
	for cut := range len(released) + len(added) {
		whole := append(append([]step{}, released...), added...)
		steps = append(whole[:cut:cut], step{serves: 1, sql: `NOT SQL`})
		if err := migrate(t.Context(), dsn, time.Minute); err == nil {
			t.Fatal("a step that fails is no error")
		}
		form(0, 0)
	}
	for n := range len(added) + 1 {
		steps = append(append([]step{}, released...), added[:n]...)
		if err := migrate(t.Context(), dsn, time.Minute); err != nil {
			t.Fatal(err)
		}
		form(len(steps), steps[len(steps)-1].serves)
		steps = append(steps, step{serves: 1, sql: `NOT SQL`})
		if err := migrate(t.Context(), dsn, time.Minute); err == nil {
			t.Fatal("a step that fails is no error")
		}
		form(len(steps)-1, steps[len(steps)-2].serves)
	}
	steps = released
	if _, err := Open(t.Context(), dsn, Options{}); err == nil {
		t.Error("a program that is too old opens the log")
	}
}

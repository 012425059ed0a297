package pgdb

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// A server whose disk is full is told so from the first write that it refuses until one
// passes and none was refused for a while.
func TestRoomOfAServer(t *testing.T) {
	full := fmt.Errorf("write: %w", &pgconn.PgError{Code: "53100"})
	now := time.Date(2026, time.June, 15, 12, 0, 0, 0, time.UTC)
	r := &Room{Now: func() time.Time { return now }}
	for i, step := range []struct {
		err   error
		after time.Duration
		short bool
	}{
		{nil, 0, false},
		{errors.New("away"), 0, false},
		{&pgconn.PgError{Code: "53200"}, 0, false}, // memory
		{full, 0, true},
		{errors.New("away"), time.Hour, true}, // nothing has passed
		{nil, 0, false},
		{full, 0, true},
		{nil, settle - 1, true}, // a small one, into a page that is there
		{full, settle, true},
		{nil, 0, false},
		{nil, 0, false},
	} {
		r.Note(step.err)
		now = now.Add(step.after)
		if got := r.Short(); got != step.short {
			t.Errorf("%d: short is %t", i, got)
		}
	}
	var none *Room
	none.Note(full)
	if none.Short() {
		t.Error("a database in files is told of as a server")
	}
}

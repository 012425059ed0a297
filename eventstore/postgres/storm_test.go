package postgres_test

import (
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/storetest"
)

// The server is shut down in order and crashed while everybody works, and the store
// closed and opened.
func TestStormSoak(t *testing.T) {
	server := pgtest.Start(t)
	storetest.Storm{
		Harness: harness(server, func(s eventstore.Store) eventstore.Store { return s }),
		Disturb: []func(testing.TB){
			server.Restart,
			func(t testing.TB) { server.Crash(t); server.Start(t) },
		},
	}.Run(t)
}

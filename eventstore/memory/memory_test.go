package memory_test

import (
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/memory"
	"coffre/eventstore/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Open: func(testing.TB) eventstore.Store { return memory.New() },
	})
}

func TestStorm(t *testing.T) {
	storetest.Storm{Harness: storetest.Harness{
		Open: func(testing.TB) eventstore.Store { return memory.New() },
	}}.Run(t)
}

package seal_test

import (
	"testing"

	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/ringtest"
)

func TestRingOnSQLite(t *testing.T) {
	ringtest.Run(t, func(t *testing.T) *keysdb.DB { return ringtest.OpenDB(t, t.TempDir()) })
}

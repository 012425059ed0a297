package traffic

import (
	"testing"
	"time"

	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/ringtest"
)

// A write that came to pass and is made again, because its answer was lost, adds nothing; the
// next one does.
func TestAWriteMadeAgainAddsNothing(t *testing.T) {
	table, err := Open(t.Context(), ringtest.OpenDB(t, t.TempDir()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	rows := []row{{key: key{day: 20786, operation: "getWallet", status: 200}, n: [len(Bounds) + 1]int64{3}}}
	for _, number := range []int64{1, 1, 1, 2, 1} {
		if _, err := keysdb.Do(t.Context(), table.db, func(tx *keysdb.Tx) (struct{}, error) { return struct{}{}, table.write(tx, number, rows) }); err != nil {
			t.Fatal(err)
		}
	}
	all, err := table.Of(t.Context(), MonthOf(time.Unix(20786*86400, 0)), "")
	if err != nil || len(all) != 1 || all[0].Requests() != 6 {
		t.Errorf("%+v, %v", all, err)
	}
}

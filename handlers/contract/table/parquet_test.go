package table

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"coffre/handlers/contract"
)

// What was written is read back by type: zeros in front, a formula that is text, nothing as
// nothing; more rows than a group holds are all there, in order.
func TestParquetKeepsEveryValue(t *testing.T) {
	want := []sample{
		{At: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), Consumer: "0203430576", Purpose: "=evil()<&>", DocumentTypes: []string{"a", "b"}, Uses: 7},
		{Consumer: "0671516647"},
	}
	for i := range rowGroup + 10 {
		want = append(want, sample{Consumer: "0671516647", Uses: i + 1})
	}
	file := written(t, Form{Format: contract.ExportFormatParquet}, want...)
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil || len(f.RowGroups()) != 2 || f.NumRows() != int64(len(want)) {
		t.Fatalf("%v", err)
	}
	got, err := parquet.Read[sample](bytes.NewReader(file), int64(len(file)))
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d rows, %v", len(got), err)
	}
	for i := range want {
		got[i].At = got[i].At.UTC()
		if len(got[i].DocumentTypes) == 0 {
			got[i].DocumentTypes = nil
		}
		if got[i].At.Year() == 1970 || !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("row %d is %+v, want %+v", i, got[i], want[i])
		}
	}
	if names := f.Schema().Columns(); len(names) != 5 || names[0][0] != "at" || names[4][0] != "uses" {
		t.Fatalf("columns %v", names)
	}
}

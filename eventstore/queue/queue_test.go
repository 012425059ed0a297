package queue_test

import (
	"bytes"
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/proof"
	"coffre/eventstore/queue"
	"coffre/eventstore/storetest"
)

// A caller who gave up may change its bytes at any moment.
func TestRequestIsACopy(t *testing.T) {
	b := eventstore.Batch{Stream: "consent-1", Expected: eventstore.NoStream, Records: storetest.Records(1)}
	given, want := b.Records[0], bytes.Clone(b.Records[0].Sealed)
	r := queue.NewRequest(b)
	clear(given.Meta)
	clear(given.Clear)
	clear(given.Sealed)
	b.Records[0] = eventstore.Record{}
	kept := r.Batch.Records[0]
	if kept.ID != given.ID || !bytes.Equal(kept.Sealed, want) || kept.Meta[0] == 0 || kept.Clear[0] == 0 {
		t.Fatal("the request changed with the caller's batch")
	}
	if r.Sums[0] != proof.LeafHash(&kept) {
		t.Fatal("the checksum is not that of the copy")
	}
}

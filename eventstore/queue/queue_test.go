package queue_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

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

// The only append that waits can be withdrawn while the writer gathers more.
func TestTakeOutlivesAWithdrawnAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(queue.Options{Gather: time.Second})
		taken := make(chan []*queue.Request)
		go func() { taken <- q.Take() }()
		batch := func(stream eventstore.Stream) eventstore.Batch {
			return eventstore.Batch{Stream: stream, Expected: eventstore.NoStream, Records: storetest.Records(1)}
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			_, err := q.Append(ctx, batch("consent-1"))
			ended <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second) // of the bubble: the writer gathers no more
		go func() {
			_, err := q.Append(t.Context(), batch("consent-2"))
			ended <- err
		}()
		got := <-taken
		if len(got) != 1 || got[0].Batch.Stream != "consent-2" {
			t.Fatalf("the writer took %d appends", len(got))
		}
		got[0].Answer(queue.Answer{})
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	})
}

package sqlite

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore"
)

// A reader who began before an append does not put the end of the stream back, however late it
// tells what it found, and though the newer end was forgotten meanwhile.
func TestAnEndIsNotPutBackByAnEarlierReader(t *testing.T) {
	const most = 2
	appendTo := func(e *ends, s eventstore.Stream, last eventstore.Revision, during func()) {
		e.change(func(moved func(eventstore.Stream, eventstore.Revision)) { moved(s, last) }, during)
	}
	for name, late := range map[string]func(e *ends){
		"began before the append": func(e *ends) {
			turn := e.turn()
			appendTo(e, "document-1", 7, func() {})
			e.found("document-1", 6, turn)
		},
		"began and ended before it was published": func(e *ends) {
			appendTo(e, "document-1", 7, func() { e.found("document-1", 6, e.turn()) })
		},
		"began before it was published": func(e *ends) {
			var turn uint64
			appendTo(e, "document-1", 7, func() { turn = e.turn() })
			e.found("document-1", 6, turn)
		},
		"the newer end was forgotten": func(e *ends) {
			turn := e.turn()
			appendTo(e, "document-1", 7, func() {})
			for _, other := range []eventstore.Stream{"document-2", "document-3"} {
				appendTo(e, other, 0, func() {})
			}
			e.found("document-1", 6, turn)
		},
	} {
		e := newEnds(most)
		late(e)
		if last, known := e.of("document-1"); known && last != 7 {
			t.Errorf("%s: the stream ends at %d, want 7", name, last)
		}
		e.found("document-1", 7, e.turn())
		if last, known := e.of("document-1"); !known || last != 7 {
			t.Errorf("%s: a reader of now is not believed: %d, %t", name, last, known)
		}
	}
}

// Whoever remembers a stream up to its end asks the file once at most whether there is more,
// also after a start.
func TestTheEndOfAStreamIsReadOnce(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	add := func(s *Store) {
		t.Helper()
		r := eventstore.Record{ID: uuid.New(), Type: "document.issued/1", Time: time.UnixMicro(1).UTC(), Meta: []byte(`{}`), Clear: []byte(`{}`)}
		if _, err := s.Append(t.Context(), eventstore.Batch{Stream: "document-1", Expected: eventstore.Any, Records: []eventstore.Record{r}}); err != nil {
			t.Fatal(err)
		}
	}
	add(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(t.Context(), dir, Options{}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	read := func(name eventstore.Stream, from eventstore.Revision) (n int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // it would wait for a reader
		defer cancel()
		for _, err := range s.ReadStream(ctx, name, from) {
			if err != nil {
				t.Fatalf("read %s from %d: %v", name, from, err)
			}
			n++
		}
		return n
	}
	read("document-1", 0)
	func() { // while all readers are taken
		readers := make([]*reader, s.poolSize)
		for i := range readers {
			readers[i] = <-s.readers
			defer func() { s.readers <- readers[i] }()
		}
		if n := read("document-1", 1); n != 0 {
			t.Errorf("%d records after the end", n)
		}
		add(s)
	}()
	if n := read("document-1", 1); n != 1 {
		t.Errorf("%d records after one more was appended, want 1", n)
	}
}

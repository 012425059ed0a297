package disclosure

import (
	"context"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/document"
	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/eventstore/memory"
	"coffre/handlers/acting"
)

// countingStore counts the records that are read from streams.
type countingStore struct {
	eventstore.Store
	read int
}

func (s *countingStore) ReadStream(ctx context.Context, name eventstore.Stream, from eventstore.Revision) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		for r, err := range s.Store.ReadStream(ctx, name, from) {
			if s.read++; !yield(r, err) {
				return
			}
		}
	}
}

// Once an access is on record only what was recorded since is read of its document, and what
// is judged then is what a reading from the beginning would find (rule A-1).
func TestADocumentIsReadOnFromWhereItWasRead(t *testing.T) {
	store := &countingStore{Store: memory.New()}
	dis := &Discloser{Recorder: &acting.Recorder{Log: eventstore.NewLog(eventstore.Options{Store: store, Codec: codec.Catalog})}}
	one, other := domain.DocumentID{UUID: uuid.UUID{1}}, domain.DocumentID{UUID: uuid.UUID{2}}
	record := func(id domain.DocumentID, e document.Event) {
		t.Helper()
		typ, clear, personal, err := codec.Catalog.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		r := eventstore.Record{ID: uuid.New(), Type: typ, Time: time.UnixMicro(1).UTC(), Meta: []byte(`{}`), Clear: clear, Sealed: personal}
		if _, err := store.Append(t.Context(), eventstore.Batch{Stream: acting.DocumentStream(id), Expected: eventstore.Any, Records: []eventstore.Record{r}}); err != nil {
			t.Fatal(err)
		}
	}
	load := func(id domain.DocumentID, before LoadedDocument) LoadedDocument {
		t.Helper()
		a, err := dis.loadDocumentAt(t.Context(), id, before, eventstore.Position{})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	record(one, document.Issued{Document: one, Type: "diploma", Issuer: "0123456749"})
	record(other, document.Issued{Document: other, Type: "diploma", Issuer: "0123456749"})
	var before LoadedDocument
	for n, e := range []document.Event{
		document.Updated{Document: one, Version: 2}, document.Suspended{Document: one}, document.Reinstated{Document: one},
		document.Updated{Document: one, Version: 3}, document.Revoked{Document: one},
	} {
		store.read = 0
		before = load(one, before)
		if want := 1; n > 0 && store.read != want {
			t.Errorf("after %d events %d records were read again, want %d", n+1, store.read, want)
		}
		kept := fmt.Sprintf("%+v", before)
		record(one, e)
		again, whole := load(one, before), load(one, LoadedDocument{})
		if !reflect.DeepEqual(again, whole) {
			t.Errorf("after %T: read on %+v with %d contents, from the beginning %+v with %d", e, again.State, len(again.ContentEvents), whole.State, len(whole.ContentEvents))
		}
		if now := fmt.Sprintf("%+v", before); now != kept {
			t.Errorf("after %T what was found before has changed", e)
		}
	}
	if got, want := load(other, before), load(other, LoadedDocument{}); !reflect.DeepEqual(got, want) {
		t.Errorf("another document is %+v, want %+v", got.State, want.State)
	}
}

func TestOnlyFields(t *testing.T) {
	for _, test := range []struct{ content, want string }{
		{`{"a":1,"b":{"a":[1,"}"]},"c":"\u003c"}`, `{"b":{"a":[1,"}"]}}`},
		{`{}`, `{}`},
		{`{"b":"b\"","c":2}`, `{"b":"b\""}`},
	} {
		got, err := onlyFields(domain.JSON(test.content), []domain.Field{"b"})
		if err != nil || string(got) != test.want {
			t.Errorf("A-2 %s: %s, %v", test.content, got, err)
		}
	}
	for _, broken := range []string{``, `[]`, `{`, `{"a"`, `{"a":`, `{"a":1`} {
		if got, err := onlyFields(domain.JSON(broken), []domain.Field{"a"}); err == nil {
			t.Errorf("%q gave %s", broken, got)
		} else if broken != "" && strings.Contains(err.Error(), broken) {
			t.Errorf("the error quotes the content: %v", err)
		}
	}
}

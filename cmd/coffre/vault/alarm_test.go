package vault

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"coffre/eventstore"
)

// A place is told of once, by the name of its stream and where it lies, however often and
// by whomever it is met; each other place is told of, too.
func TestAlarmTellsOfAPlaceOnce(t *testing.T) {
	var said bytes.Buffer
	a := newAlarm(slog.New(slog.NewTextHandler(&said, nil)))
	at := eventstore.Position{Commit: 7, Prepare: 6}
	gone := &eventstore.Corrupt{Stream: "document-1", Revision: -1, Position: at}
	for range 3 {
		a.report(gone)
		a.fault(fmt.Errorf("read document: %w", &eventstore.Corrupt{Stream: "document-1"})) // met by a reader, who knows no place
	}
	if n := strings.Count(said.String(), "\n"); n != 1 || a.count() != 1 {
		t.Errorf("%d lines, %d places:\n%s", n, a.count(), said.String())
	}
	for _, want := range []string{"level=ERROR", "tampering", "stream=document-1", "commit=7", "prepare=6"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("it does not say %s: %s", want, said.String())
		}
	}
	a.report(&eventstore.Corrupt{Stream: "document-2", Position: at})
	a.report(&eventstore.Corrupt{Stream: "document-1", Revision: 4})
	a.report(&eventstore.Corrupt{Revision: -1, Position: eventstore.Position{Commit: 8}})
	a.report(&eventstore.Corrupt{Revision: -1, Position: eventstore.Position{Commit: 9}})
	for range 2 {
		a.fault(fmt.Errorf("sealed file: %w", eventstore.ErrTampered))
	}
	if n := strings.Count(said.String(), "\n"); n != 6 || a.count() != 6 {
		t.Errorf("%d lines, %d places:\n%s", n, a.count(), said.String())
	}
}

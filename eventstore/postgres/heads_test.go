package postgres

import (
	"errors"
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/storetest"
)

// What a process remembers of a stream is outdated as soon as another one appends. It
// must neither refuse, nor admit, nor repeat because of it.
func TestHeadsThatOthersMoved(t *testing.T) {
	exactly := func(e eventstore.Expected, records []eventstore.Record) eventstore.Batch {
		return eventstore.Batch{Stream: "consent-1", Expected: e, Records: records}
	}
	for name, c := range map[string]struct {
		expected eventstore.Expected
		theirs   bool // send their records again
		first    eventstore.Revision
		repeated bool
		actual   eventstore.Revision // that a refusal tells; 0: it is admitted
	}{
		"exact, where it is now":            {expected: eventstore.Exact(3), first: 4},
		"exact, where it was":               {expected: eventstore.Exact(1), actual: 3},
		"exact, where it will be":           {expected: eventstore.Exact(4), actual: 3},
		"none":                              {expected: eventstore.NoStream, actual: 3},
		"any":                               {expected: eventstore.Any, first: 4},
		"exists":                            {expected: eventstore.StreamExists, first: 4},
		"exact, what they appended":         {expected: eventstore.Exact(1), theirs: true, first: 2, repeated: true},
		"any, what they appended":           {expected: eventstore.Any, theirs: true, first: 2, repeated: true},
		"exists, what they appended":        {expected: eventstore.StreamExists, theirs: true, first: 2, repeated: true},
		"none, what they appended later on": {expected: eventstore.NoStream, theirs: true, actual: 3},
	} {
		t.Run(name, func(t *testing.T) {
			dsn := pgtest.Shared(t).Database(t)
			ours, other := openStore(t, dsn, Options{}), openStore(t, dsn, Options{})
			mustAppend(t, ours, exactly(eventstore.Any, storetest.Records(2))) // head and ids are remembered
			records := storetest.Records(2)
			mustAppend(t, other, exactly(eventstore.Exact(1), records))
			if !c.theirs {
				records = storetest.Records(2)
			}
			done, err := ours.Append(t.Context(), exactly(c.expected, records))
			var wrong *eventstore.WrongRevision
			switch {
			case c.actual != 0 && (!errors.As(err, &wrong) || wrong.Actual != c.actual):
				t.Errorf("%+v, %v, want to be told revision %d", done, err, c.actual)
			case c.actual == 0 && (err != nil || done.First != c.first || done.Repeated != c.repeated):
				t.Errorf("%+v, %v, want revision %d", done, err, c.first)
			}
		})
	}
}

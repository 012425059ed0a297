// Package checkpointstest is the contract of every place that keeps the last checkpoint.
package checkpointstest

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore/checkpoints"
	"coffre/eventstore/proof"
)

// Note returns the text of a checkpoint as a place keeps it, with a signature that no key made.
func Note(size int64) []byte {
	c := proof.Checkpoint{Origin: proof.Origin(uuid.UUID{1}, 0), Size: size, Time: time.UnixMicro(1_772_366_415_000_000 + size).UTC()}
	return []byte(c.Text() + "\n\u2014 " + c.Origin + " AAAAAAAA\n")
}

// Run checks a place. Open returns the same place each time it is called within a test, as
// another process would open it.
func Run(t *testing.T, place func(t *testing.T) (open func() checkpoints.Place)) {
	t.Run("holds nothing at first", func(t *testing.T) {
		if last, err := place(t)().Last(t.Context()); last != nil || err != nil {
			t.Fatalf("%q, %v", last, err)
		}
	})
	t.Run("holds what was kept last", func(t *testing.T) {
		open := place(t)
		var former []byte
		for size := range int64(3) {
			next := Note(size)
			if err := open().Replace(t.Context(), former, next); err != nil {
				t.Fatal(err)
			}
			if last, err := open().Last(t.Context()); !bytes.Equal(last, next) || err != nil {
				t.Fatalf("%q, %v", last, err)
			}
			former = next
		}
	})
	t.Run("replaces what is named only", func(t *testing.T) {
		open := place(t)
		if err := open().Replace(t.Context(), Note(1), Note(2)); !errors.Is(err, checkpoints.ErrOvertaken) {
			t.Fatalf("in an empty place: %v", err)
		}
		if err := open().Replace(t.Context(), nil, Note(1)); err != nil {
			t.Fatal(err)
		}
		for _, former := range [][]byte{nil, Note(3)} {
			if err := open().Replace(t.Context(), former, Note(2)); !errors.Is(err, checkpoints.ErrOvertaken) {
				t.Fatalf("in the place of another: %v", err)
			}
		}
		if last, err := open().Last(t.Context()); !bytes.Equal(last, Note(1)) || err != nil {
			t.Fatalf("%q, %v", last, err)
		}
	})
	t.Run("of many who replace one wins", func(t *testing.T) {
		one := place(t)()
		if err := one.Replace(t.Context(), nil, Note(0)); err != nil {
			t.Fatal(err)
		}
		var won atomic.Int64
		var all sync.WaitGroup
		for n := range int64(8) {
			all.Go(func() {
				switch err := one.Replace(t.Context(), Note(0), Note(n+1)); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, checkpoints.ErrOvertaken):
					t.Error(err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d replaced one checkpoint", won.Load())
		}
	})
}

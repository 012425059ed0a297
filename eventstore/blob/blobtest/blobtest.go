// Package blobtest is what every blob.Store promises, as tests.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore/blob"
)

// Run tests the contract. open returns an empty store, and the same one again when
// it is called with what it returned before: another process, as it were.
func Run(t *testing.T, open func(t *testing.T, again blob.Store) blob.Store) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s blob.Store)
	}{
		{"what was put is there", putAndOpen},
		{"from any place to the end", ranges},
		{"a blob never changes", exists},
		{"of many that put one name one wins", race},
		{"content that fails leaves nothing", failingContent},
		{"content of another size leaves nothing", otherSize},
		{"deleted is deleted", deletes},
		{"a walk meets all", walks},
		{"a context that ended", cancelled},
		{"memory does not grow with the content", memory},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t, nil)) })
	}
	t.Run("it survives the process", func(t *testing.T) {
		s := open(t, nil)
		name := Put(t, s, []byte("kept"))
		s = open(t, s)
		is(t, s, name, "kept")
	})
}

// Put stores content under a new name.
func Put(t testing.TB, s blob.Store, content []byte) uuid.UUID {
	t.Helper()
	name := uuid.New()
	if err := s.Put(t.Context(), name, bytes.NewReader(content), int64(len(content))); err != nil {
		t.Fatal(err)
	}
	return name
}

// Names returns all that a store has.
func Names(t testing.TB, s blob.Store) map[uuid.UUID]blob.Info {
	t.Helper()
	all := map[uuid.UUID]blob.Info{}
	if err := s.Walk(t.Context(), func(i blob.Info) error {
		if _, twice := all[i.Name]; twice {
			return fmt.Errorf("%s was met twice", i.Name)
		}
		all[i.Name] = i
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func read(t testing.TB, s blob.Store, name uuid.UUID, offset int64) ([]byte, error) {
	t.Helper()
	r, err := s.Open(t.Context(), name, offset)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	if shut := r.Close(); shut != nil {
		t.Error(shut)
	}
	return b, err
}

func is(t testing.TB, s blob.Store, name uuid.UUID, want string) {
	t.Helper()
	if got, err := read(t, s, name, 0); err != nil || string(got) != want {
		t.Fatalf("%d bytes of %d: %v", len(got), len(want), err)
	}
}

func absent(t testing.TB, s blob.Store, name uuid.UUID) {
	t.Helper()
	if got, err := read(t, s, name, 0); !errors.Is(err, blob.ErrNotFound) {
		t.Fatalf("%d bytes and %v", len(got), err)
	}
	if _, there := Names(t, s)[name]; there {
		t.Fatal("a walk meets it")
	}
}

func putAndOpen(t *testing.T, s blob.Store) {
	for _, content := range [][]byte{{}, []byte("x"), []byte("some\x00bytes\xff"), bytes.Repeat([]byte("0123456789abcdef"), 6<<20/16)} {
		name := uuid.New()
		if err := s.Put(t.Context(), name, iotest.HalfReader(bytes.NewReader(content)), int64(len(content))); err != nil {
			t.Fatal(err)
		}
		is(t, s, name, string(content))
	}
	absent(t, s, uuid.New())
}

func ranges(t *testing.T, s blob.Store) {
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	name := Put(t, s, content)
	for _, offset := range []int64{0, 1, 65_568, 999_999, 1_000_000, 1_000_001, 1 << 40} {
		got, err := read(t, s, name, offset)
		if err != nil || !bytes.Equal(got, content[min(offset, int64(len(content))):]) {
			t.Errorf("from %d: %d bytes, %v", offset, len(got), err)
		}
	}
	// A reader that is left before its end.
	r, err := s.Open(t.Context(), name, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func exists(t *testing.T, s blob.Store) {
	name := Put(t, s, []byte("first"))
	if err := s.Put(t.Context(), name, bytes.NewReader([]byte("second")), 6); !errors.Is(err, blob.ErrExists) {
		t.Errorf("%v", err)
	}
	is(t, s, name, "first")
}

func race(t *testing.T, s blob.Store) {
	name := uuid.New()
	var mu sync.Mutex
	won := ""
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			mine := fmt.Sprintf("content %d", i)
			switch err := s.Put(t.Context(), name, bytes.NewReader([]byte(mine)), int64(len(mine))); {
			case err == nil:
				mu.Lock()
				defer mu.Unlock()
				if won != "" {
					t.Error("two won")
				}
				won = mine
			case !errors.Is(err, blob.ErrExists):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won == "" {
		t.Fatal("nobody won")
	}
	is(t, s, name, won)
}

func failingContent(t *testing.T, s blob.Store) {
	broken := errors.New("broken")
	for _, length := range []int{0, 10, 6 << 20} {
		name := uuid.New()
		content := io.MultiReader(bytes.NewReader(make([]byte, length)), iotest.ErrReader(broken))
		if err := s.Put(t.Context(), name, content, int64(length)+100); !errors.Is(err, broken) {
			t.Errorf("after %d bytes: %v", length, err)
		}
		absent(t, s, name)
	}
}

func otherSize(t *testing.T, s blob.Store) {
	for _, said := range []int64{0, 9, 11, 1 << 20} {
		name := uuid.New()
		if err := s.Put(t.Context(), name, bytes.NewReader(make([]byte, 10)), said); !errors.Is(err, blob.ErrSize) {
			t.Errorf("10 bytes said to be %d: %v", said, err)
		}
		absent(t, s, name)
	}
}

func deletes(t *testing.T, s blob.Store) {
	kept, gone := Put(t, s, []byte("kept")), Put(t, s, []byte("gone"))
	for range 2 {
		if err := s.Delete(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
	}
	absent(t, s, gone)
	is(t, s, kept, "kept")
	if err := s.Delete(t.Context(), uuid.New()); err != nil {
		t.Error(err)
	}
}

func walks(t *testing.T, s blob.Store) {
	if got := Names(t, s); len(got) != 0 {
		t.Fatalf("an empty store has %d", len(got))
	}
	began := time.Now().Add(-time.Minute) // clocks of two machines
	want := map[uuid.UUID]int64{}
	for i := range 30 {
		want[Put(t, s, make([]byte, i))] = int64(i)
	}
	got := Names(t, s)
	for name, size := range want {
		if i := got[name]; i.Size != size || i.Stored.Before(began) || i.Stored.After(time.Now().Add(time.Minute)) {
			t.Errorf("%d bytes at %s, want %d", i.Size, i.Stored, size)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d of %d", len(got), len(want))
	}
	enough, met := errors.New("enough"), 0
	if err := s.Walk(t.Context(), func(blob.Info) error { met++; return enough }); !errors.Is(err, enough) || met != 1 {
		t.Errorf("%v after %d", err, met)
	}
	if err := s.Walk(t.Context(), func(i blob.Info) error { return s.Delete(t.Context(), i.Name) }); err != nil {
		t.Error(err)
	}
	if left := Names(t, s); len(left) != 0 {
		t.Errorf("%d are left", len(left))
	}
}

func cancelled(t *testing.T, s blob.Store) {
	name := Put(t, s, []byte("kept"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, uuid.New(), bytes.NewReader([]byte("x")), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := s.Walk(ctx, func(blob.Info) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if got := Names(t, s); len(got) != 1 {
		t.Errorf("%d blobs", len(got))
	}
	is(t, s, name, "kept")
}

// zeros gives n bytes without holding them.
type zeros int64

func (z *zeros) Read(p []byte) (int, error) {
	if *z == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), int64(*z))
	clear(p[:n])
	*z -= zeros(n)
	return int(n), nil
}

func memory(t *testing.T, s blob.Store) {
	const size = 48 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	name, content := uuid.New(), zeros(size)
	if err := s.Put(t.Context(), name, &content, size); err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), name, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, r)
	if shut := r.Close(); err != nil || shut != nil || n != size {
		t.Fatal(n, err, shut)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 16<<20 {
		t.Errorf("storing and reading %d bytes took %d bytes of memory", size, took)
	}
}

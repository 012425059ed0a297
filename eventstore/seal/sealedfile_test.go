package seal_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/iotest"

	"coffre/eventstore"
	"coffre/eventstore/seal"
)

const pack = 64<<10 + 32 // bytes of a sealed package

var fileSizes = []int{1, 100, 64<<10 - 1, 64 << 10, 64<<10 + 1, 3 * 64 << 10, 5*64<<10 + 77}

func aFile(size int) (plain, key []byte) {
	rng := rand.NewChaCha8([32]byte{byte(size)})
	plain, key = make([]byte, size), make([]byte, seal.FileKeySize)
	rng.Read(plain)
	rng.Read(key)
	return plain, key
}

func sealedFile(t testing.TB, plain, key []byte) []byte {
	t.Helper()
	r, err := seal.SealFile(key, iotest.HalfReader(bytes.NewReader(plain)))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// lying reads a sealed file from memory and counts what it was asked for.
type lying struct {
	sealed       []byte
	opened, shut int
}

func (l *lying) from(offset int64) (io.ReadCloser, error) {
	l.opened++
	return struct {
		io.Reader
		io.Closer
	}{bytes.NewReader(l.sealed[min(offset, int64(len(l.sealed))):]), closer(func() { l.shut++ })}, nil
}

type closer func()

func (c closer) Close() error { c(); return nil }

func TestAFileOpensFromAnyPlace(t *testing.T) {
	for _, size := range fileSizes {
		plain, key := aFile(size)
		sealed := sealedFile(t, plain, key)
		if got := seal.SealedFileSize(int64(size)); got != int64(len(sealed)) {
			t.Errorf("%d bytes are %d sealed, not %d", size, len(sealed), got)
		}
		if size > 100 && bytes.Contains(sealed, plain[:32]) {
			t.Fatal("the file is not sealed")
		}
		source := &lying{sealed: sealed}
		f := seal.OpenFile(key, int64(size), source.from)
		if err := iotest.TestReader(f, plain); size < 200<<10 && err != nil { // the checker reads byte by byte
			t.Errorf("%d bytes: %v", size, err)
		}
		rng := rand.New(rand.NewPCG(1, uint64(size)))
		for range 20 {
			at := rng.IntN(size)
			n := 1 + rng.IntN(size-at)
			if _, err := f.Seek(int64(at), io.SeekStart); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, n)
			if _, err := io.ReadFull(f, got); err != nil || !bytes.Equal(got, plain[at:at+n]) {
				t.Fatalf("%d bytes from %d: %v", n, at, err)
			}
		}
		if err := f.Close(); err != nil || source.opened != source.shut {
			t.Errorf("%d readers opened, %d closed (%v)", source.opened, source.shut, err)
		}
	}
}

// What was tampered with ends the reading, and no byte of the package comes out.
func TestATamperedFileDoesNotOpen(t *testing.T) {
	size := 3*64<<10 + 77
	plain, key := aFile(size)
	good := sealedFile(t, plain, key)
	_, otherKey := aFile(9)
	flipped := func(at int) []byte { b := bytes.Clone(good); b[at] ^= 1; return b }
	for name, tc := range map[string]struct {
		sealed []byte
		key    []byte
		intact int // packages before the bad one
	}{
		"the first byte":             {flipped(0), key, 0},
		"a header":                   {flipped(pack + 5), key, 1},
		"a header's cipher":          {flipped(pack + 1), key, 1},
		"a header's version":         {flipped(pack), key, 1},
		"a content":                  {flipped(2*pack + 1000), key, 2},
		"a tag":                      {flipped(2*pack - 1), key, 1},
		"the last byte":              {flipped(len(good) - 1), key, 3},
		"cut between packages":       {good[:2*pack], key, 2},
		"cut within a package":       {good[:2*pack+10], key, 2},
		"nothing left":               {nil, key, 0},
		"two packages exchanged":     {bytes.Join([][]byte{good[:pack], good[2*pack : 3*pack], good[pack : 2*pack], good[3*pack:]}, nil), key, 1},
		"a package left out":         {append(bytes.Clone(good[:pack]), good[2*pack:]...), key, 1},
		"another file's key":         {good, otherKey, 0},
		"sealed twice, spliced":      {append(bytes.Clone(good[:pack]), sealedFile(t, plain, key)[pack:]...), key, 1},
		"the last package elsewhere": {append(bytes.Clone(good[:pack]), good[3*pack:]...), key, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := seal.OpenFile(tc.key, int64(size), (&lying{sealed: tc.sealed}).from)
			got, err := io.ReadAll(f)
			if !errors.Is(err, eventstore.ErrTampered) {
				t.Errorf("%v", err)
			}
			if len(got) > tc.intact*64<<10 || !bytes.HasPrefix(plain, got) {
				t.Errorf("%d bytes came out", len(got))
			}
			if n, again := f.Read(make([]byte, 1)); n != 0 || !errors.Is(again, eventstore.ErrTampered) {
				t.Errorf("then %d, %v", n, again)
			}
		})
	}
}

// A medium that fails is no tampering.
func TestAMediumThatFails(t *testing.T) {
	plain, key := aFile(100)
	away := errors.New("away")
	for name, from := range map[string]func(int64) (io.ReadCloser, error){
		"at once":  func(int64) (io.ReadCloser, error) { return nil, away },
		"later on": func(int64) (io.ReadCloser, error) { return io.NopCloser(iotest.ErrReader(away)), nil },
	} {
		if _, err := io.ReadAll(seal.OpenFile(key, 100, from)); !errors.Is(err, away) || errors.Is(err, eventstore.ErrTampered) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r, err := seal.SealFile(key, io.MultiReader(bytes.NewReader(plain), iotest.ErrReader(away)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); !errors.Is(err, away) {
		t.Errorf("%v", err)
	}
}

// endless gives n bytes without holding them.
type endless int64

func (e *endless) Read(p []byte) (int, error) {
	if *e == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), int64(*e))
	*e -= endless(n)
	return int(n), nil
}

// Sealing and opening cost the same memory whatever the file's size.
func TestFilesAreNotHeld(t *testing.T) {
	_, key := aFile(1)
	sealed := func(size int64) func() {
		return func() {
			left := endless(size)
			r, err := seal.SealFile(key, &left)
			if err != nil {
				t.Fatal(err)
			}
			f := seal.OpenFile(key, size, func(int64) (io.ReadCloser, error) { return io.NopCloser(r), nil })
			if n, err := io.Copy(io.Discard, f); err != nil || n != size {
				t.Fatal(n, err)
			}
		}
	}
	allocated := func(run func()) int64 {
		run() // pools are filled
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		run()
		runtime.ReadMemStats(&after)
		return int64(after.TotalAlloc - before.TotalAlloc)
	}
	small, large := allocated(sealed(64<<10)), allocated(sealed(10<<20))
	if large > small+1<<20 {
		t.Errorf("a file of 10 MiB takes %d bytes of memory, one of 64 KiB %d", large, small)
	}
}

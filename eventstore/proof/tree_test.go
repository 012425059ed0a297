package proof

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// levels are the nodes of a tree in memory.
type levels [][]Hash

func (l levels) Nodes(_ context.Context, level int, first int64, count int) ([]Hash, error) {
	if level >= len(l) || first+int64(count) > int64(len(l[level])) {
		return nil, errors.New("not there")
	}
	return l[level][first : first+int64(count)], nil
}

func leaf(n int) Hash { return sha256.Sum256(binary.BigEndian.AppendUint64([]byte{0}, uint64(n))) }

func grown(size int) levels {
	all := levels{nil}
	for n := range size {
		all[0] = append(all[0], leaf(n))
	}
	for level := 0; len(all[level]) >= TileWidth; level++ {
		var above []Hash
		for from := 0; from+TileWidth <= len(all[level]); from += TileWidth {
			above = append(above, Subtree(all[level][from:from+TileWidth]))
		}
		all = append(all, above)
	}
	return all
}

// naive is the root by the words of RFC 6962 section 2.1.
func naive(leaves []Hash) Hash {
	if len(leaves) == 0 {
		return sha256.Sum256(nil)
	}
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := 1
	for k*2 < len(leaves) {
		k *= 2
	}
	left, right := naive(leaves[:k]), naive(leaves[k:])
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

func TestRootIsThatOfRFC6962(t *testing.T) {
	all := grown(70_000)
	var f Frontier
	sizes := map[int]bool{0: true, 1: true, 2: true, 3: true, 255: true, 256: true, 257: true, 511: true, 4097: true, 65_535: true, 65_536: true, 65_537: true, 70_000: true}
	for n := 0; n <= 70_000; n++ {
		if sizes[n] {
			want := naive(all[0][:n])
			if f.Root() != want {
				t.Fatalf("%d leaves: the frontier has another root", n)
			}
			if got, err := Root(t.Context(), all, int64(n)); err != nil || got != want {
				t.Fatalf("%d leaves: tiles have another root (%v)", n, err)
			}
		}
		if n < 70_000 {
			f.Append(all[0][n])
		}
	}
}

func TestProofsHoldAndNothingElseDoes(t *testing.T) {
	all := grown(700)
	root := func(n int) Hash { return naive(all[0][:n]) }
	for _, size := range []int{1, 2, 255, 256, 257, 700} {
		for _, n := range []int{0, 1, 254, 255, 256, size - 1} {
			if n >= size {
				continue
			}
			path, err := ProveInclusion(t.Context(), all, int64(n), int64(size))
			if err != nil {
				t.Fatal(err)
			}
			if err := CheckInclusion(path, int64(size), root(size), int64(n), leaf(n)); err != nil {
				t.Fatal(err)
			}
			if err := CheckInclusion(path, int64(size), root(size), int64(n), leaf(n+1)); !errors.Is(err, ErrProof) {
				t.Fatalf("leaf %d of %d: another leaf is proved: %v", n, size, err)
			}
			former := n + 1
			path, err = ProveConsistency(t.Context(), all, int64(former), int64(size))
			if err != nil {
				t.Fatal(err)
			}
			if err := CheckConsistency(path, int64(size), root(size), int64(former), root(former)); err != nil {
				t.Fatal(err)
			}
			if err := CheckConsistency(path, int64(size), root(size), int64(former), leaf(-1)); !errors.Is(err, ErrProof) {
				t.Fatalf("%d of %d: another former root is proved: %v", former, size, err)
			}
		}
	}
	if err := CheckInclusion(nil, 1, leaf(0), 1, leaf(0)); !errors.Is(err, ErrProof) {
		t.Fatalf("a leaf behind the end: %v", err)
	}
}

// keyPair signs as the keeper of keys does.
type keyPair struct{ private ed25519.PrivateKey }

func (k keyPair) Sign(_ context.Context, message []byte) ([]byte, string, error) {
	return ed25519.Sign(k.private, message), "k", nil
}

func (k keyPair) PublicKey(context.Context, string) (ed25519.PublicKey, string, error) {
	return k.public(), "k", nil
}

func (k keyPair) public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

func newKey(t *testing.T) keyPair {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return keyPair{private}
}

func someCheckpoint() Checkpoint {
	return Checkpoint{
		Origin: Origin(uuid.MustParse("0193a0b0-0000-7000-8000-000000000001"), 0), Size: 258, Root: leaf(1),
		Time: time.UnixMicro(1_772_366_415_123_456).UTC(),
	}
}

// The text of a checkpoint is for ever. It was put together by hand from docs/log-format.md.
func TestCheckpointText(t *testing.T) {
	c := someCheckpoint()
	want := "coffre/0193a0b0-0000-7000-8000-000000000001\n258\n" + tlog.Hash(c.Root).String() + "\ntime 2026-03-01T12:00:15.123456Z\n"
	if c.Text() != want {
		t.Fatalf("got %q\nwant %q", c.Text(), want)
	}
}

func TestCheckpointOpensUnderItsKeysOnly(t *testing.T) {
	key, other := newKey(t), newKey(t)
	c := someCheckpoint()
	signed, err := Sign(t.Context(), c, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, keys := range [][]ed25519.PublicKey{{key.public()}, {other.public(), key.public()}} {
		if got, err := Open(signed, keys...); err != nil || got != c {
			t.Fatalf("%v, %v", got, err)
		}
	}
	if _, err := Open(signed, other.public()); !errors.Is(err, ErrSignature) {
		t.Fatalf("another key: %v", err)
	}
	for _, change := range []struct{ from, to string }{{"\n258\n", "\n259\n"}, {"2026-03-01T12", "2026-03-01T11"}, {"0001\n", "0002\n"}} {
		forged := []byte(strings.Replace(string(signed), change.from, change.to, 1))
		if _, err := Open(forged, key.public()); !errors.Is(err, ErrSignature) {
			t.Fatalf("%q became %q: %v", change.from, change.to, err)
		}
	}
	// The tools of transparency logs read the same note.
	text, err := note.NewEd25519VerifierKey(c.Origin, key.public())
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(text)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := note.Open(signed, note.VerifierList(v)); err != nil || n.Text != c.Text() {
		t.Fatalf("%v", err)
	}
}

func TestCheckpointHasOneText(t *testing.T) {
	c := someCheckpoint()
	for name, text := range map[string]string{
		"leading zero": strings.Replace(c.Text(), "\n258\n", "\n0258\n", 1),
		"sign":         strings.Replace(c.Text(), "\n258\n", "\n+258\n", 1),
		"negative":     strings.Replace(c.Text(), "\n258\n", "\n-258\n", 1),
		"upper case":   strings.ToUpper(c.Text()[:7]) + c.Text()[7:],
		"more lines":   c.Text() + "more\n",
		"no time":      strings.Join(strings.SplitAfter(c.Text(), "\n")[:3], ""),
		"short time":   strings.Replace(c.Text(), "15.123456Z", "15Z", 1),
		"epoch 0":      strings.Replace(c.Text(), "0001\n", "0001/0\n", 1),
	} {
		if _, err := Peek([]byte(text + "\n— x y\n")); !errors.Is(err, ErrCheckpoint) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTilePaths(t *testing.T) {
	for path, want := range map[string]Tile{
		"0/000":           {0, 0, 256},
		"0/x001/234":      {0, 1234 * 256, 256},
		"1/000.p/17":      {1, 0, 17},
		"7/000.p/1":       {7, 0, 1},
		"0/x001/x234/067": {0, 1_234_067 * 256, 256},
	} {
		got, ok := ParseTile(path)
		if !ok || got != want || got.Path() != path {
			t.Errorf("%s: %v, %v", path, got, ok)
		}
	}
	for _, path := range []string{"", "0", "0/0", "0/1000", "8/000", "-1/000", "data/000", "0/000.p/0", "0/000.p/256", "0/x000/001", "0/000/", "00/000"} {
		if got, ok := ParseTile(path); ok {
			t.Errorf("%s: %v", path, got)
		}
	}
	if tile := (Tile{0, 256, 3}); tile.Within(258) || !tile.Within(259) {
		t.Error("the tree ends before")
	}
	if tile := (Tile{1, 0, 2}); tile.Within(511) || !tile.Within(512) {
		t.Error("a hash of a level is there when all below it are")
	}
	if (Tile{7, 1 << 62, 1}).Within(1 << 40) {
		t.Error("a place beyond every tree")
	}
}

func TestHashesAreSplitAsTheyWereJoined(t *testing.T) {
	all := []Hash{{1}, {2}, {3}}
	for n := range len(all) + 1 {
		data := Join(all[:n])
		if got, ok := Split(data); !ok || !slices.Equal(got, all[:n]) {
			t.Errorf("%d hashes became %v, %t", n, got, ok)
		}
		if _, ok := Split(append(data, 0)); ok {
			t.Errorf("%d hashes and a byte are whole", n)
		}
	}
}

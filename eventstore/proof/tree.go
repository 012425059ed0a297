package proof

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// TileHeight is the height of a tile: a full one holds 256 hashes (C2SP tlog-tiles).
const TileHeight = 8

// TileWidth is how many hashes a full tile holds.
const TileWidth = 1 << TileHeight

// ErrProof: a proof does not lead to the root that it should.
var ErrProof = errors.New("proof: it does not lead to the root")

// Nodes is the port to the hashes that tiles hold. Level 0 are the leaves; hash n of level
// l is the root of the 256^l leaves from n*256^l on. It may be called concurrently.
type Nodes interface {
	// Nodes returns count hashes of a level from hash first on, or an error when not all of
	// them are there.
	Nodes(ctx context.Context, level int, first int64, count int) ([]Hash, error)
}

// reader reads what tlog asks for out of tiles.
func reader(ctx context.Context, nodes Nodes) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		tiles := make(map[tlog.Tile][]byte)
		all := make([]tlog.Hash, 0, len(indexes))
		for _, index := range indexes {
			tile := tlog.TileForIndex(TileHeight, index)
			data, known := tiles[tile]
			if !known {
				hashes, err := nodes.Nodes(ctx, tile.L, tile.N*TileWidth, tile.W)
				if err != nil {
					return nil, err
				}
				data = Join(hashes)
				tiles[tile] = data
			}
			hash, err := tlog.HashFromTile(tile, data, index)
			if err != nil {
				return nil, err
			}
			all = append(all, hash)
		}
		return all, nil
	})
}

// Join returns the bytes of hashes one after the other, as tiles and bundles have them.
func Join(hashes []Hash) []byte {
	data := make([]byte, 0, len(hashes)*len(Hash{}))
	for _, h := range hashes {
		data = append(data, h[:]...)
	}
	return data
}

// Split returns the hashes that Join put together; ok is false when the last one is cut off.
func Split(data []byte) (hashes []Hash, ok bool) {
	hashes = make([]Hash, 0, len(data)/len(Hash{}))
	for len(data) >= len(Hash{}) {
		hashes, data = append(hashes, Hash(data[:len(Hash{})])), data[len(Hash{}):]
	}
	return hashes, len(data) == 0
}

// Root returns the root of the first size leaves, from what nodes holds. The root of no
// leaves is the hash of the empty string (RFC 6962 section 2.1).
func Root(ctx context.Context, nodes Nodes, size int64) (Hash, error) {
	if size == 0 {
		return new(Frontier).Root(), nil
	}
	h, err := tlog.TreeHash(size, reader(ctx, nodes))
	if err != nil {
		return Hash{}, fmt.Errorf("root of %d leaves: %w", size, err)
	}
	return Hash(h), nil
}

// ProveInclusion returns the hashes that lead from a leaf to the root of the first size
// leaves, 0 <= leaf < size, lowest first.
func ProveInclusion(ctx context.Context, nodes Nodes, leaf, size int64) ([]Hash, error) {
	p, err := tlog.ProveRecord(size, leaf, reader(ctx, nodes))
	if err != nil {
		return nil, fmt.Errorf("prove leaf %d of %d: %w", leaf, size, err)
	}
	return hashes(p), nil
}

// ProveConsistency returns the hashes that lead from the root of the first former leaves to
// that of the first size, 1 <= former <= size.
func ProveConsistency(ctx context.Context, nodes Nodes, former, size int64) ([]Hash, error) {
	p, err := tlog.ProveTree(size, former, reader(ctx, nodes))
	if err != nil {
		return nil, fmt.Errorf("prove that %d leaves begin with %d: %w", size, former, err)
	}
	return hashes(p), nil
}

// CheckInclusion returns ErrProof unless the hashes lead from the leaf to the root.
func CheckInclusion(path []Hash, size int64, root Hash, leaf int64, leafHash Hash) error {
	if leaf < 0 || leaf >= size || tlog.CheckRecord(tlogHashes(path), size, tlog.Hash(root), leaf, tlog.Hash(leafHash)) != nil {
		return fmt.Errorf("leaf %d of %d: %w", leaf, size, ErrProof)
	}
	return nil
}

// CheckConsistency returns ErrProof unless the hashes lead from the former root to both.
func CheckConsistency(path []Hash, size int64, root Hash, former int64, formerRoot Hash) error {
	if former < 1 || former > size || tlog.CheckTree(tlogHashes(path), size, tlog.Hash(root), former, tlog.Hash(formerRoot)) != nil {
		return fmt.Errorf("%d leaves that begin with %d: %w", size, former, ErrProof)
	}
	return nil
}

func hashes(all []tlog.Hash) []Hash {
	out := make([]Hash, len(all))
	for i, h := range all {
		out[i] = Hash(h)
	}
	return out
}

func tlogHashes(all []Hash) []tlog.Hash {
	out := make([]tlog.Hash, len(all))
	for i, h := range all {
		out[i] = tlog.Hash(h)
	}
	return out
}

// Frontier is the right edge of a tree, enough to go on appending leaves and to compute the
// root after each, in constant memory. The zero Frontier is the empty tree. It is not for
// concurrent use.
type Frontier struct {
	size  int64
	roots []Hash // of the perfect subtrees that the size is made of, the largest first
}

// Size returns the number of leaves.
func (f *Frontier) Size() int64 { return f.size }

// Append adds the next leaf.
func (f *Frontier) Append(leaf Hash) {
	f.roots = append(f.roots, leaf)
	for n := f.size; n&1 == 1; n >>= 1 {
		last := len(f.roots) - 1
		f.roots[last-1] = node(f.roots[last-1], f.roots[last])
		f.roots = f.roots[:last]
	}
	f.size++
}

// Root returns the root of all leaves so far.
func (f *Frontier) Root() Hash {
	if f.size == 0 {
		return emptyRoot
	}
	root := f.roots[len(f.roots)-1]
	for i := len(f.roots) - 2; i >= 0; i-- {
		root = node(f.roots[i], root)
	}
	return root
}

func node(left, right Hash) Hash { return Hash(tlog.NodeHash(tlog.Hash(left), tlog.Hash(right))) }

// Subtree returns the root of a full tile's hashes, which is one hash of the level above.
func Subtree(hashes []Hash) Hash {
	var f Frontier
	for _, h := range hashes {
		f.Append(h)
	}
	return f.Root()
}

// Tile names hashes of one level that are served together.
type Tile struct {
	Level int
	First int64 // number of its first hash
	Width int   // 1 to TileWidth
}

// maxTileLevel is the highest level that a log of 2^63 leaves has.
const maxTileLevel = 7

// ParseTile returns the tile of a path in the form of C2SP tlog-tiles behind "tile/", such as
// 0/x001/234 or 1/000.p/17.
func ParseTile(path string) (Tile, bool) {
	t, err := tlog.ParseTilePath(fmt.Sprintf("tile/%d/%s", TileHeight, path))
	if err != nil || t.L < 0 || t.L > maxTileLevel {
		return Tile{}, false
	}
	return Tile{Level: t.L, First: t.N * TileWidth, Width: t.W}, true
}

// Path returns the path that ParseTile reads.
func (t Tile) Path() string {
	path := tlog.Tile{H: TileHeight, L: t.Level, N: t.First / TileWidth, W: t.Width}.Path()
	return path[len(fmt.Sprintf("tile/%d/", TileHeight)):]
}

// Within reports whether a tree of that many leaves has all hashes of the tile.
func (t Tile) Within(size int64) bool {
	return t.First <= size && t.First+int64(t.Width) <= size>>(TileHeight*t.Level)
}

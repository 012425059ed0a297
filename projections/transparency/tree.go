// Package transparency proves the log: it keeps the Merkle tree over all leaves and
// publishes signed checkpoints of it.
//
// [Tree] is a read model like any other, built from the log and nothing else. [Publisher]
// signs what the tree holds. docs/log-format.md specifies leaves, tiles and checkpoints.
//
// Invariant: no two checkpoints of one origin disagree. A checkpoint is signed only when
// the leaves of the last one are still there, in their places, unchanged.
package transparency

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"coffre/domain/audit"
	"coffre/eventstore"
	"coffre/eventstore/proof"
	"coffre/projections"
)

// ErrNoNode: the tree does not hold the hashes that were asked for.
var ErrNoNode = errors.New("transparency: the tree is not that large")

// Tree is the projection and its queries, which may be called concurrently.
type Tree struct{ view projections.View }

var (
	_ projections.Gathering = (*Tree)(nil)
	_ proof.Nodes           = (*Tree)(nil)
)

// New returns a tree that answers projections.ErrNotReady until a runner has built it.
func New() *Tree { return &Tree{} }

// Name implements projections.Projection.
func (t *Tree) Name() string { return "transparency" }

// Version implements projections.Projection.
func (t *Tree) Version() int { return 1 }

// Categories implements projections.Projection: a leaf is a record of any of our streams.
func (t *Tree) Categories() []string { return projections.Categories() }

// View implements projections.Projection.
func (t *Tree) View() *projections.View { return &t.view }

// Schema implements projections.Projection. Leaves are hashes of level 0 of the tiles;
// nodes are those of the levels above, made when a tile below is full. There is one row in
// log: the id of the first event, and how many losses were accepted.
func (t *Tree) Schema() projections.Schema {
	return projections.Schema{Tables: `
CREATE TABLE leaves (
	from_leaf BIGINT PRIMARY KEY,
	hash BYTEA NOT NULL
);
CREATE TABLE nodes (
	level BIGINT NOT NULL,
	n BIGINT NOT NULL,
	hash BYTEA NOT NULL,
	PRIMARY KEY (level, n)
);
CREATE TABLE log (
	from_leaf BIGINT PRIMARY KEY,
	event BYTEA NOT NULL,
	losses BIGINT NOT NULL
);
`}
}

const (
	insertLeaf = `INSERT INTO leaves (from_leaf, hash) VALUES (?, ?)`
	insertNode = `INSERT INTO nodes (level, n, hash) VALUES (?, ?, ?)`
	insertLog  = `INSERT INTO log (from_leaf, event, losses) VALUES (?, ?, 0)`
	countLoss  = `UPDATE log SET losses = losses + 1`

	selectNodes = `SELECT hash FROM nodes WHERE n >= ? AND n < ? AND level = ? ORDER BY n`
	selectLog   = `SELECT event, losses FROM log`
)

// atOnce is how many hashes one statement inserts, or reads of a tile that is full: hash by
// hash either would be one statement for each event.
const atOnce = 64

var (
	insertMany = insertLeaf + strings.Repeat(`, (?, ?)`, atOnce-1)

	getLeaves = `SELECT ` + strings.Repeat(`(SELECT hash FROM leaves WHERE from_leaf = ?), `, atOnce-1) + `(SELECT hash FROM leaves WHERE from_leaf = ?)`
	getNodes  = `SELECT ` + strings.Repeat(`(SELECT hash FROM nodes WHERE n = ? AND level = ?), `, atOnce-1) + `(SELECT hash FROM nodes WHERE n = ? AND level = ?)`
)

// SelectLeaves reads the hashes of the leaves from one on and before another, in order, for who
// reads the tables of the tree beside whoever keeps them up.
const SelectLeaves = `SELECT hash FROM leaves WHERE from_leaf >= ? AND from_leaf < ? ORDER BY from_leaf`

// Apply implements projections.Projection.
func (t *Tree) Apply(ctx context.Context, tx *projections.Tx, e eventstore.Event, leaf int64) error {
	return t.ApplyAll(ctx, tx, []projections.Taken{{Event: &e, Leaf: leaf}})
}

// edge is the tile of level 0 that the last transaction left unfinished, kept for the next
// one: read back when it is full, it would be a statement for each leaf.
type edge struct {
	first  int64 // a multiple of proof.TileWidth
	hashes []proof.Hash
}

// ApplyAll implements projections.Gathering.
func (t *Tree) ApplyAll(ctx context.Context, tx *projections.Tx, events []projections.Taken) error {
	rows := make([]any, 0, 2*min(len(events), atOnce))
	now, _ := tx.Kept().(edge)
	now.hashes = slices.Clip(now.hashes) // it is the last transaction's until this one commits
	for i, e := range events {
		hash := proof.SumOf(&e.Event.Record)
		if rows = append(rows, e.Leaf, hash[:]); len(rows) == 2*atOnce || i == len(events)-1 {
			if err := insertLeaves(ctx, tx, rows); err != nil {
				return err
			}
			rows = rows[:0]
		}
		if e.Leaf == 0 {
			if _, err := tx.Exec(ctx, insertLog, e.Leaf, e.Event.ID[:]); err != nil {
				return err
			}
		}
		if _, accepted := e.Event.Data.(audit.LossAccepted); accepted {
			if _, err := tx.Exec(ctx, countLoss); err != nil {
				return err
			}
		}
		if e.Leaf%proof.TileWidth == 0 {
			now = edge{first: e.Leaf, hashes: make([]proof.Hash, 0, proof.TileWidth)}
		}
		if e.Leaf == now.first+int64(len(now.hashes)) {
			now.hashes = append(now.hashes, hash)
		}
		if e.Leaf%proof.TileWidth < proof.TileWidth-1 {
			continue
		}
		if err := insertLeaves(ctx, tx, rows); err != nil {
			return err
		}
		rows = rows[:0]
		if err := raise(ctx, tx, e.Leaf, now); err != nil {
			return err
		}
	}
	tx.Keep(now)
	return nil
}

// insertLeaves inserts rows of a leaf and its hash each.
func insertLeaves(ctx context.Context, tx *projections.Tx, rows []any) error {
	if len(rows) == 2*atOnce {
		_, err := tx.Exec(ctx, insertMany, rows...)
		return err
	}
	for row := range slices.Chunk(rows, 2) {
		if _, err := tx.Exec(ctx, insertLeaf, row...); err != nil {
			return err
		}
	}
	return nil
}

// raise makes the nodes above a leaf that fills its tile. Where last is that tile, it is not
// read.
func raise(ctx context.Context, tx *projections.Tx, leaf int64, last edge) error {
	for level, n := 0, leaf; n%proof.TileWidth == proof.TileWidth-1; {
		first := n - proof.TileWidth + 1
		below := last.hashes
		if level > 0 || last.first != first || len(below) != proof.TileWidth {
			below = make([]proof.Hash, proof.TileWidth)
			for i := 0; i < len(below); i += atOnce {
				if err := getHashes(ctx, tx, level, first+int64(i), below[i:i+atOnce]); err != nil {
					return err
				}
			}
		}
		level, n = level+1, n/proof.TileWidth
		above := proof.Subtree(below)
		if _, err := tx.Exec(ctx, insertNode, level, n, above[:]); err != nil {
			return err
		}
	}
	return nil
}

// getHashes reads as many hashes of a level as one statement does, from the n-th on.
func getHashes(ctx context.Context, tx *projections.Tx, level int, n int64, into []proof.Hash) error {
	query, args := getLeaves, make([]any, 0, 2*len(into))
	if level > 0 {
		query = getNodes
	}
	rows, dest := make([][]byte, len(into)), make([]any, len(into))
	for i := range into {
		dest[i] = &rows[i]
		if args = append(args, n+int64(i)); level > 0 {
			args = append(args, level)
		}
	}
	if _, err := tx.Get(ctx, query, args, dest...); err != nil {
		return err
	}
	for i, hash := range rows {
		if len(hash) != len(into[i]) {
			return ErrNoNode
		}
		copy(into[i][:], hash)
	}
	return nil
}

// Nodes implements proof.Nodes. It returns ErrNoNode where the tree ends before.
func (t *Tree) Nodes(ctx context.Context, level int, first int64, count int) ([]proof.Hash, error) {
	query, args := SelectLeaves, []any{first, first + int64(count)}
	if level > 0 {
		query, args = selectNodes, []any{first, first + int64(count), level}
	}
	all := make([]proof.Hash, 0, count)
	err := t.view.Select(ctx, query, args, func(scan func(...any) error) error {
		var hash []byte
		if err := scan(&hash); err != nil {
			return err
		}
		if len(hash) != len(proof.Hash{}) {
			return ErrNoNode
		}
		all = append(all, proof.Hash(hash))
		return nil
	})
	if err == nil && len(all) != count {
		err = ErrNoNode
	}
	if err != nil {
		return nil, fmt.Errorf("transparency: %w", err)
	}
	return all, nil
}

// head is how far the tree has come.
type head struct {
	first  uuid.UUID // the log's first event
	losses int
	size   int64
}

// head returns how far the tree has come; a size of 0 where there is no event.
func (t *Tree) head(ctx context.Context) (h head, err error) {
	for {
		at, err := t.view.Checkpoint(ctx)
		if err != nil {
			return h, fmt.Errorf("transparency: %w", err)
		}
		var event []byte
		found, err := t.view.Get(ctx, selectLog, nil, &event, &h.losses)
		if err != nil {
			return h, fmt.Errorf("transparency: %w", err)
		}
		after, err := t.view.Checkpoint(ctx)
		if err != nil {
			return h, fmt.Errorf("transparency: %w", err)
		}
		if after != at {
			continue // the number of losses may belong to either
		}
		h.size = at.Next
		if found {
			copy(h.first[:], event)
		}
		return h, nil
	}
}

// Size returns the number of leaves.
func (t *Tree) Size(ctx context.Context) (int64, error) {
	at, err := t.view.Checkpoint(ctx)
	if err != nil {
		return 0, fmt.Errorf("transparency: %w", err)
	}
	return at.Next, nil
}

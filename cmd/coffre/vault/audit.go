package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"

	"coffre/eventstore"
	"coffre/eventstore/checkpoints"
	"coffre/eventstore/kurrent"
	"coffre/eventstore/postgres"
	"coffre/eventstore/proof"
	"coffre/eventstore/proof/bundle"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/sqlite"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/handlers/contract"
	"coffre/projections"
	"coffre/projections/pgmodels"
	"coffre/projections/transparency"
)

// AuditSource reads what lies in a data directory, or in the databases of a vault, as an
// auditor does who trusts nobody: without a key, without the process that serves it, and
// whatever was done to it. It changes no record. It is a bundle.Source, for one goroutine.
type AuditSource struct {
	log      eventstore.Store
	kurrent  *kurrent.Store // the log, where it lies there
	marks    []logPlace     // in such a log, as far as it was read
	tree     proof.Nodes
	outside  checkpoints.Place
	kept     checkpoints.Place
	cosigned *checkpoints.Cosigned
	keys     *keysdb.DB
	closers  []func() error
}

// readAhead is how many pages of a log in SQLite or PostgreSQL are read and hashed at once.
const readAhead = 4

var _ bundle.Source = (*AuditSource)(nil)

// OpenAuditSource opens what the directory and the addresses say. The directory need not be
// owned, and may be.
func OpenAuditSource(ctx context.Context, dir DataDir, c Config) (_ *AuditSource, err error) {
	s := &AuditSource{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	at := c.Stores.In(dir)
	if err := s.openLog(ctx, at); err != nil {
		return nil, err
	}
	if err := s.openTree(ctx, at, dir); err != nil {
		return nil, err
	}
	if OnPostgres(at.Keys) {
		s.keys, _, err = keysdb.OpenPostgres(ctx, at.Keys)
	} else {
		own, _ := SQLiteDir(at.Keys)
		s.keys, err = keysdb.Open(ctx, own.File(KeysFile), sqlitedb.Options{})
	}
	if err != nil {
		return nil, err
	}
	s.onClose(s.keys.Close)
	if s.kept, err = checkpoints.In(ctx, s.keys); err != nil {
		return nil, err
	}
	if s.cosigned, err = checkpoints.CosignedIn(ctx, s.keys); err != nil {
		return nil, err
	}
	s.outside, _, err = c.Checkpoints.openOutside(ctx, dir, c.Transit, s.onClose)
	return s, err
}

// openLog opens the log alone.
func (s *AuditSource) openLog(ctx context.Context, at StoresConfig) (err error) {
	switch {
	case OnPostgres(at.Log):
		s.log, err = postgres.Open(ctx, at.Log, postgres.Options{ServeDamaged: true})
	case OnKurrent(at.Log):
		s.kurrent, err = kurrent.Open(ctx, at.Log, kurrent.Options{Categories: projections.Categories()})
		s.log = s.kurrent
	default:
		own, _ := SQLiteDir(at.Log)
		if _, err := os.Stat(own.File(sqlite.FileName)); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no log in %s", own)
		}
		// A reserve that is never held: whoever serves the directory has its own.
		s.log, err = sqlite.Open(ctx, string(own), sqlite.Options{Readers: readAhead, ServeDamaged: true, Reserve: sqlitedb.NewReserve(filepath.Join(os.TempDir(), sqlite.ReserveName), 0)})
	}
	if err == nil {
		s.onClose(s.log.Close)
	}
	return err
}

// openTree opens the tree that the read model has, beside whoever keeps it up. Where there is
// none the hashes come from the log itself.
func (s *AuditSource) openTree(ctx context.Context, at StoresConfig, dir DataDir) error {
	s.tree = loggedNodes{s}
	name, version := transparency.New().Name(), transparency.New().Version()
	if OnPostgres(at.ReadModels) {
		medium, err := pgmodels.Open(ctx, at.ReadModels)
		if err != nil {
			return err
		}
		s.onClose(medium.Close)
		tables, err := medium.Model(name, version).Open(ctx)
		if err != nil || tables == nil {
			return err
		}
		s.onClose(tables.Close)
		s.tree = fallback{tableNodes(func(ctx context.Context, first int64, count int, row func([]byte)) error {
			var all [][]byte
			err := tables.Reader().SelectContext(ctx, &all, tables.Reader().Rebind(transparency.SelectLeaves), first, first+int64(count))
			for _, hash := range all {
				row(hash)
			}
			return err
		}), s.tree}
		return nil
	}
	own, _ := SQLiteDir(at.ReadModels)
	found, err := filepath.Glob(own.File(filepath.Join(modelsFolder, fmt.Sprintf("%s.v%d.g*.db", name, version))))
	if err != nil || len(found) == 0 {
		return err
	}
	conn, err := sqlitedb.OpenConn(ctx, slices.Max(found), sqlitedb.Options{}, sqlitedb.Read)
	if err != nil {
		return fmt.Errorf("tree: %w", err)
	}
	s.onClose(conn.Close)
	q, _, err := conn.Prepare(transparency.SelectLeaves)
	if err != nil {
		return fmt.Errorf("tree: %w", err)
	}
	s.onClose(q.Close)
	s.tree = fallback{tableNodes(func(_ context.Context, first int64, count int, row func([]byte)) error {
		err := errors.Join(q.BindInt64(1, first), q.BindInt64(2, first+int64(count)))
		for err == nil && q.Step() {
			row(q.ColumnRawBlob(0))
		}
		return errors.Join(err, q.Err(), q.Reset())
	}), s.tree}
	return nil
}

// tableNodes are the leaf hashes that a read model holds: it gives row each from the first on,
// as many as there are up to count.
type tableNodes func(ctx context.Context, first int64, count int, row func(hash []byte)) error

func (n tableNodes) Nodes(ctx context.Context, level int, first int64, count int) ([]proof.Hash, error) {
	if level > 0 {
		return above(ctx, n, level, first, count)
	}
	all := make([]proof.Hash, 0, count)
	err := n(ctx, first, count, func(hash []byte) {
		if len(hash) == len(proof.Hash{}) {
			all = append(all, proof.Hash(hash))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("tree: %w", err)
	}
	if len(all) != count {
		return nil, transparency.ErrNoNode
	}
	return all, nil
}

// above computes the hashes of a level from those below it.
func above(ctx context.Context, n proof.Nodes, level int, first int64, count int) (all []proof.Hash, err error) {
	for i := range int64(count) {
		below, err := n.Nodes(ctx, level-1, (first+i)*proof.TileWidth, proof.TileWidth)
		if err != nil {
			return nil, err
		}
		all = append(all, proof.Subtree(below))
	}
	return all, nil
}

// fallback takes what the first has not from the second.
type fallback struct{ first, second proof.Nodes }

func (f fallback) Nodes(ctx context.Context, level int, first int64, count int) ([]proof.Hash, error) {
	all, err := f.first.Nodes(ctx, level, first, count)
	if errors.Is(err, transparency.ErrNoNode) {
		return f.second.Nodes(ctx, level, first, count)
	}
	return all, err
}

// loggedNodes are the leaf hashes of the log as it is.
type loggedNodes struct{ s *AuditSource }

func (n loggedNodes) Nodes(ctx context.Context, level int, first int64, count int) (all []proof.Hash, err error) {
	if level > 0 {
		return above(ctx, n, level, first, count)
	}
	for e, err := range n.s.events(ctx, first, first+int64(count)) {
		if err != nil {
			return nil, err
		}
		all = append(all, e.LeafHash())
	}
	for len(all) < count { // the log ends before: what follows is nobody's
		all = append(all, proof.Hash{})
	}
	return all, nil
}

func (s *AuditSource) onClose(f func() error) { s.closers = append(s.closers, f) }

// Close closes what was opened.
func (s *AuditSource) Close() (err error) {
	for _, f := range slices.Backward(s.closers) {
		err = errors.Join(err, f())
	}
	s.closers = nil
	return err
}

// Nodes implements proof.Nodes.
func (s *AuditSource) Nodes(ctx context.Context, level int, first int64, count int) ([]proof.Hash, error) {
	return s.tree.Nodes(ctx, level, first, count)
}

// Checkpoint implements bundle.Source: the last one, wherever it lies.
func (s *AuditSource) Checkpoint(ctx context.Context) ([]byte, error) {
	note, err := s.last(ctx)
	if err != nil || note == nil {
		return nil, err
	}
	return s.cosigned.Of(ctx, note)
}

// last returns the last checkpoint without cosignatures.
func (s *AuditSource) last(ctx context.Context) ([]byte, error) {
	all, err := s.Checkpoints(ctx)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return all[len(all)-1], nil
}

// Witnessed implements bundle.Source. What lies there is judged by whoever verifies.
func (s *AuditSource) Witnessed(ctx context.Context) ([]byte, error) {
	note, err := s.last(ctx)
	if err != nil || note == nil {
		return nil, err
	}
	c, err := proof.Peek(note)
	if err != nil {
		return nil, err
	}
	return s.cosigned.Enough(ctx, c.Origin)
}

// Checkpoints returns the last checkpoint of each place, the larger one last. What is no
// checkpoint is passed over: a signature is judged by whoever verifies.
func (s *AuditSource) Checkpoints(ctx context.Context) (all [][]byte, err error) {
	sizes := map[string]proof.Checkpoint{}
	for _, place := range []checkpoints.Place{s.kept, s.outside} {
		note, err := place.Last(ctx)
		if err != nil {
			return nil, err
		}
		if c, err := proof.Peek(note); err == nil {
			sizes[string(note)] = c
			all = append(all, note)
		}
	}
	slices.SortStableFunc(all, func(a, b []byte) int {
		x, y := sizes[string(a)], sizes[string(b)]
		_, lostX, _ := proof.SplitOrigin(x.Origin)
		_, lostY, _ := proof.SplitOrigin(y.Origin)
		if lostX != lostY {
			return lostX - lostY
		}
		return int(min(max(x.Size-y.Size, -1), 1))
	})
	return all, nil
}

// LogKeys implements bundle.Source: the public keys that the key database has on record.
func (s *AuditSource) LogKeys(ctx context.Context) (all []bundle.Key, err error) {
	q, err := s.keys.Read(`SELECT key_id, public FROM signing_keys WHERE purpose = ?`)
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	rows, err := q.QueryxContext(ctx, string(contract.SigningPurposeLog))
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var k bundle.Key
		var public []byte
		if err := rows.Scan(&k.ID, &public); err != nil {
			return nil, fmt.Errorf("read signing keys: %w", err)
		}
		k.Public = public
		all = append(all, k)
	}
	return all, rows.Err()
}

// LogEvents implements bundle.Source.
func (s *AuditSource) LogEvents(ctx context.Context, size int64) iter.Seq2[bundle.Event, error] {
	return s.events(ctx, 0, size)
}

// Deleted returns the streams that somebody deleted on a KurrentDB server, or told it to
// truncate, whether or not it took their records away yet. It is called after LogEvents.
func (s *AuditSource) Deleted(ctx context.Context) ([]eventstore.Stream, error) {
	if s.kurrent == nil {
		return nil, nil
	}
	var last logPlace
	if len(s.marks) > 0 {
		last = s.marks[len(s.marks)-1]
	}
	for _, err := range s.events(ctx, last.leaf, math.MaxInt64) { // past all that was said behind the last checkpoint
		if err != nil {
			return nil, err
		}
	}
	return s.kurrent.Deleted(), nil
}

// logPlace is a place in the log: the next record of ours behind a position has that leaf.
type logPlace struct {
	leaf  int64
	after eventstore.Position
}

// before returns a place from which leaf first is reached, not far before it. In KurrentDB
// leaves are counted: the index that a served vault keeps is its own.
func (s *AuditSource) before(ctx context.Context, first int64) (logPlace, error) {
	if s.kurrent == nil {
		after, err := eventstore.DenseLeaves{}.Position(ctx, first-1)
		return logPlace{first, after}, err
	}
	n, found := slices.BinarySearchFunc(s.marks, first, func(m logPlace, leaf int64) int { return cmp.Compare(m.leaf, leaf) })
	switch {
	case found:
		return s.marks[n], nil
	case n == 0:
		return logPlace{}, nil
	}
	return s.marks[n-1], nil
}

// EventsFrom yields the events from a leaf on to the end of the log, whatever covers them.
func (s *AuditSource) EventsFrom(ctx context.Context, leaf int64) iter.Seq2[bundle.Event, error] {
	return s.events(ctx, leaf, math.MaxInt64)
}

// events yields the events from leaf first on and before end.
func (s *AuditSource) events(ctx context.Context, first, end int64) iter.Seq2[bundle.Event, error] {
	const most = 1 << 14 // records asked for at once
	return func(yield func(bundle.Event, error) bool) {
		at, err := s.before(ctx, first)
		if err != nil {
			yield(bundle.Event{}, err)
			return
		}
		for more := true; more && at.leaf < end; {
			more = false
			for r, err := range eventstore.ReadAhead(ctx, s.log, at.after, int(min(end-at.leaf, most)), readAhead) {
				var damaged *eventstore.Corrupt
				lost := errors.As(err, &damaged)
				switch {
				case lost && damaged.Position.Compare(at.after) > 0:
					r = eventstore.Record{Stream: damaged.Stream, Revision: damaged.Revision, Position: damaged.Position}
				case err != nil:
					yield(bundle.Event{}, fmt.Errorf("read the log: %w", err))
					return
				}
				at.after, more = r.Position, true
				if !lost && !projections.Ours(r.Stream.Category()) {
					continue
				}
				e := bundle.Of(&r, at.leaf)
				if e.Damaged = lost; lost {
					e.Time = 0
				}
				at.leaf++
				s.pass(at)
				if e.Leaf >= first && !yield(e, nil) || at.leaf >= end {
					return
				}
			}
		}
	}
}

// pass notes a place in a log whose leaves are counted, once in a tile.
func (s *AuditSource) pass(at logPlace) {
	if s.kurrent != nil && at.leaf%proof.TileWidth == 0 && (len(s.marks) == 0 || s.marks[len(s.marks)-1].leaf < at.leaf) {
		s.marks = append(s.marks, at)
	}
}

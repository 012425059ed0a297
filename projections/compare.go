package projections

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/google/uuid"

	"coffre/eventstore"
)

// Comparison holds the read models in force against what the log makes of them, beside whoever
// serves them. It changes neither.
type Comparison struct {
	Store eventstore.Store
	Codec eventstore.Codec
	// InForce opens the read model in force at this moment; nil when there is none.
	InForce func(ctx context.Context, name string, version int) (Snapshot, error)
	// Scratch is an empty medium that nobody else uses, and Built opens what was built there.
	Scratch Medium
	Built   func(ctx context.Context, name string, version int) (Described, error)
	// Told gets the number of leaves that a read model was built from; nil: nobody asks.
	Told func(leaves int64)
}

// Divergence says how a row in force differs from what the log makes of it.
type Divergence string

// Divergences.
const (
	RowMissing Divergence = "missing" // the log makes such a row
	RowExtra   Divergence = "extra"   // the log makes no such row
	RowOther   Divergence = "other"   // the log makes it with other values
	Unreadable Divergence = "unreadable"
	AheadOfLog Divergence = "ahead" // the read model has taken in more than the log holds
)

// Hindrance says why a read model could not be compared.
type Hindrance string

// Hindrances.
const (
	NotInForce    Hindrance = "notInForce"    // there is none of this version
	TakenOut      Hindrance = "takenOut"      // meanwhile, for one that has seen less
	LogUnreadable Hindrance = "logUnreadable" // an event of the log cannot be taken in
)

// Difference is one way in which a read model in force is not what the log makes of it. It holds
// no value that somebody may have written there: numbers, ids and what the log makes only.
type Difference struct {
	Table string     `json:"table,omitzero"`
	Row   string     `json:"row,omitzero"` // the columns of its key
	What  Divergence `json:"what"`
	// Columns are those whose values differ, of RowOther.
	Columns []string `json:"columns,omitzero"`
	// Leaf is the number of the first event that explains the row: which made it, or the first
	// whose change it lacks; nil when none does.
	Leaf  *int64    `json:"leaf,omitzero"`
	Type  string    `json:"type,omitzero"`
	Event uuid.UUID `json:"eventId,omitzero"`

	key, live []any
	columns   []Column
	keyed     []int
}

// Compared is what the comparison of one read model found.
type Compared struct {
	Model   string `json:"model"`
	Version int    `json:"version"`
	Events  int64  `json:"events"` // leaves that the one in force has taken in
	Rows    int64  `json:"rows"`   // that the log makes
	// Differences are the first that were found, Wrong is how many there are.
	Differences []Difference `json:"differences"`
	Wrong       int64        `json:"wrong"`
	// Incomplete says why it could not be compared, "" when it was; Stopped is the leaf that cannot
	// be taken in, of LogUnreadable.
	Incomplete Hindrance `json:"incomplete,omitzero"`
	Stopped    *int64    `json:"stopped,omitzero"`
}

// Bounds of what is told of one read model.
const (
	maxDifferences = 100
	maxExplained   = 20 // of which each event of the log is asked for
)

func (c *Compared) add(d Difference) {
	if c.Wrong++; len(c.Differences) < maxDifferences {
		c.Differences = append(c.Differences, d)
	}
}

// Compare compares one read model. What was taken in meanwhile is compared, too.
func (c Comparison) Compare(ctx context.Context, p Projection) (_ Compared, err error) {
	found := Compared{Model: p.Name(), Version: p.Version(), Differences: []Difference{}}
	first, err := c.InForce(ctx, p.Name(), p.Version())
	switch {
	case errors.Is(err, ErrDamaged):
		found.add(Difference{What: Unreadable})
		return found, nil
	case err != nil:
		return found, err
	case first == nil:
		found.Incomplete = NotInForce
		return found, nil
	}
	next := first.At().Next
	if err := first.Close(); err != nil {
		return found, err
	}
	made, err := NewReplay(ctx, c.Scratch, c.Store, c.Codec, p, false)
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, made.Close(ctx)) }()
	// Most of it is built before the moment that is compared is held.
	if err := made.To(ctx, next, c.Told); err != nil {
		return found.poisoned(err)
	}
	live, err := c.InForce(ctx, p.Name(), p.Version())
	if err != nil {
		return found, err
	}
	if live == nil {
		found.Incomplete = TakenOut
		return found, nil
	}
	defer func() { err = errors.Join(err, live.Close()) }()
	if found.Events = live.At().Next; found.Events < made.At().Next {
		found.Incomplete = TakenOut
		return found, nil
	}
	if err := made.To(ctx, found.Events, c.Told); err != nil {
		return found.poisoned(err)
	}
	if leaves, err := c.leaves(ctx, made.At()); err != nil {
		return found, err
	} else if leaves < found.Events {
		found.add(Difference{What: AheadOfLog})
	}
	built, err := c.Built(ctx, p.Name(), p.Version())
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, built.Close()) }()
	tables, err := built.Tables(ctx)
	if err != nil {
		return found, err
	}
	for _, t := range tables {
		if err := found.table(ctx, t, live, built); err != nil {
			return found, fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
	return found, c.explain(ctx, p, &found)
}

// poisoned says that a read model cannot be made from the log; any other error is returned.
func (c *Compared) poisoned(err error) (Compared, error) {
	var poisoned *Poisoned
	if !errors.As(err, &poisoned) {
		return *c, err
	}
	c.Incomplete, c.Stopped = LogUnreadable, &poisoned.Leaf
	return *c, nil
}

// leaves returns how many leaves the log has, or some number behind at where it has more.
func (c Comparison) leaves(ctx context.Context, at Checkpoint) (int64, error) {
	f := newFeed(c.Store, c.Codec, nil)
	for {
		p, err := f.read(ctx, at)
		if err != nil {
			return 0, fmt.Errorf("read the log: %w", err)
		}
		if p.after == at {
			return at.Next, nil
		}
		at = p.after
	}
}

// table compares the rows of one table, both in the order of its key.
func (c *Compared) table(ctx context.Context, t Table, live, built Snapshot) error {
	ours, stop := iter.Pull2(built.Rows(ctx, t))
	defer stop()
	theirs, end := iter.Pull2(live.Rows(ctx, t))
	defer end()
	next := func(pull func() ([]any, error, bool)) ([]any, error) {
		row, err, _ := pull()
		return row, err
	}
	want, err := next(ours)
	if err != nil {
		return err
	}
	got, err := next(theirs)
	for want != nil || got != nil || err != nil {
		if errors.Is(err, ErrDamaged) {
			c.add(Difference{Table: t.Name, What: Unreadable})
			return nil
		} else if err != nil {
			return err
		}
		order := t.compare(want, got)
		switch {
		case order < 0:
			c.add(t.difference(RowMissing, want, nil))
		case order > 0:
			c.add(t.difference(RowExtra, nil, got))
		default:
			if columns := t.other(want, got); len(columns) > 0 {
				d := t.difference(RowOther, want, got)
				d.Columns = columns
				c.add(d)
			}
		}
		if order <= 0 {
			c.Rows++
			var broken error
			if want, broken = next(ours); broken != nil {
				return broken
			}
		}
		if order >= 0 {
			got, err = next(theirs)
		}
	}
	return nil
}

// compare orders two rows by their keys; a row that is not there is behind all.
func (t Table) compare(a, b []any) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	for _, k := range t.Key {
		if order := compareValues(a[k], b[k]); order != 0 {
			return order
		}
	}
	return 0
}

// compareValues orders two values of a column. Values of other types than the column's, which
// somebody may have written, are in some order all the same. Bytes of which there are none are
// NULL on one medium and empty on another.
func compareValues(a, b any) int {
	rank := func(v any) int {
		switch v := v.(type) {
		case int64:
			return 1
		case string:
			return 2
		case []byte:
			if len(v) > 0 {
				return 3
			}
		}
		return 0
	}
	if order := rank(a) - rank(b); order != 0 {
		return order
	}
	switch a := a.(type) {
	case int64:
		b, _ := b.(int64)
		return cmp.Compare(a, b)
	case string:
		b, _ := b.(string)
		return strings.Compare(a, b)
	case []byte:
		b, _ := b.([]byte)
		return bytes.Compare(a, b)
	}
	return 0
}

func (t Table) other(want, got []any) (columns []string) {
	for i, column := range t.Columns {
		if compareValues(want[i], got[i]) != 0 {
			columns = append(columns, column.Name)
		}
	}
	return columns
}

func (t Table) difference(what Divergence, want, got []any) Difference {
	row := want
	if row == nil {
		row = got
	}
	d := Difference{Table: t.Name, What: what, live: got, columns: t.Columns, keyed: t.Key}
	parts := make([]string, len(t.Key))
	for i, k := range t.Key {
		d.key = append(d.key, row[k])
		parts[i] = t.Columns[k].Name + " " + told(row[k], want != nil)
	}
	d.Row = strings.Join(parts, ", ")
	return d
}

// told returns a value of a key for people. Text that the log did not make may be anything, and
// is not told.
func told(v any, made bool) string {
	switch v := v.(type) {
	case int64:
		return fmt.Sprint(v)
	case []byte:
		if id, err := uuid.FromBytes(v); err == nil {
			return id.String()
		}
		return fmt.Sprintf("of %d bytes", len(v))
	case string:
		if made {
			return v
		}
		return "of a text that the log does not make"
	}
	return "nothing"
}

// explain finds the first event that explains each of the first differences, by taking the log
// in once more, event by event.
func (c Comparison) explain(ctx context.Context, p Projection, found *Compared) (err error) {
	var asked []*watchedRow
	for i := range found.Differences {
		if d := &found.Differences[i]; d.key != nil && len(asked) < maxExplained {
			asked = append(asked, newWatchedRow(d))
		}
	}
	if len(asked) == 0 {
		return nil
	}
	again, err := NewReplay(ctx, c.Scratch, c.Store, c.Codec, p, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, again.Close(ctx)) }()
	return again.Watch(ctx, found.Events, func(tx *Tx, leaf int64, e eventstore.Event) error {
		for _, w := range asked {
			if err := w.look(ctx, tx, leaf, e); err != nil {
				return err
			}
		}
		return nil
	})
}

// watchedRow is a row that differs, looked at after each event.
type watchedRow struct {
	d       *Difference
	query   string
	was     []any // nil: not there
	now     []any
	scanned []any
	madeBy  int64 // the leaf that its key names; -1 when it names none
	equal   bool  // the row is as it is in force
	pinned  bool  // the event on record is the first whose change the row in force lacks
}

func newWatchedRow(d *Difference) *watchedRow {
	w := &watchedRow{d: d, now: make([]any, len(d.columns)), scanned: make([]any, len(d.columns)), madeBy: -1, equal: d.live == nil}
	names, conditions := make([]string, len(d.columns)), make([]string, len(d.keyed))
	for i, column := range d.columns {
		names[i], w.scanned[i] = column.Name, &w.now[i]
	}
	for i, k := range d.keyed {
		conditions[i] = d.columns[k].Name + " = ?"
		if name := d.columns[k].Name; name == "leaf" || strings.HasSuffix(name, "_leaf") {
			w.madeBy, _ = d.key[i].(int64)
		}
	}
	w.query = `SELECT ` + strings.Join(names, ", ") + ` FROM ` + d.Table + ` WHERE ` + strings.Join(conditions, ` AND `)
	return w
}

// look notes the event when it changes the row: the first that does after the row was last as
// it is in force, and the last when it never was. Of a row that the log never makes it is the
// event that its key names.
func (w *watchedRow) look(ctx context.Context, tx *Tx, leaf int64, e eventstore.Event) error {
	if w.madeBy > leaf {
		return nil
	}
	there, err := tx.Get(ctx, w.query, w.d.key, w.scanned...)
	if err != nil {
		return fmt.Errorf("look at a row: %w", err)
	}
	var now []any
	if there {
		now = w.now
	}
	if w.madeBy == leaf && !there {
		w.note(leaf, e)
	}
	if sameRow(w.was, now) {
		return nil
	}
	if w.equal || !w.pinned {
		w.note(leaf, e)
	}
	w.pinned = w.pinned || w.equal
	w.was = slices.Clone(now)
	if w.equal = sameRow(now, w.d.live); w.equal {
		w.pinned = false
	}
	return nil
}

func (w *watchedRow) note(leaf int64, e eventstore.Event) {
	w.d.Leaf, w.d.Type, w.d.Event = &leaf, e.Type, e.ID
}

func sameRow(a, b []any) bool {
	return (a == nil) == (b == nil) && slices.EqualFunc(a, b, func(x, y any) bool { return compareValues(x, y) == 0 })
}

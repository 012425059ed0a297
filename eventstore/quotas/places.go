package quotas

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// Bound is the most that may be taken at a time. A zero member bounds nothing.
type Bound struct {
	Places int64
	Bytes  int64
}

// Bounds are the bounds of one budget, by whose places are counted together.
type Bounds struct {
	Caller Bound // those of one caller
	Pair   Bound // those of one caller about one person
	Person Bound // those of all callers about one person
	All    Bound
}

// Place is room that one thing takes which a caller leaves in the vault, or which the vault
// does for a caller.
type Place struct {
	Budget string // what is left; a word of the program
	// Operation is of the contract, for the totals.
	Operation string
	ID        uuid.UUID
	Caller    string // what tells the caller from others; it is not stored
	Person    []byte // what tells the person from others, known to the vault or not; it is not stored. nil: about nobody
	Bytes     int64
	At        time.Time
	Until     time.Time // when the place ends, unless it is freed before
	Bounds    Bounds
	// Refusal answers a caller for whom there is no place.
	Refusal error
	// Class is that of the write: a reserved one passes while the disk is full.
	Class eventstore.Class
}

// Take takes a place durably, in turns with all processes, or returns its refusal. One that
// was taken already is taken once. Other errors are those of keysdb.Do.
func (t *Table) Take(ctx context.Context, p Place) error {
	scopes := p.scopes(t.mac)
	for _, mac := range t.also() {
		for i, other := range p.scopes(mac) {
			scopes[i].also = append(scopes[i].also, other.digest)
		}
	}
	refusal, err := keysdb.DoAs(ctx, t.db, p.Class, func(tx *keysdb.Tx) (error, error) { return take(tx, p, scopes) })
	if err != nil {
		return fmt.Errorf("take a place: %w", err)
	}
	t.countTaken(p.Budget, p.Operation, refusal != nil)
	return refusal
}

// scope is one sum in which a place counts, with its bound.
type scope struct {
	digest digest
	bound  Bound
	also   []digest // the same sum under other keys
}

func (p Place) scopes(mac func(parts ...[]byte) [32]byte) []scope {
	of := func(kind string, who []byte, about []byte, b Bound) scope {
		sum := mac([]byte("place/v1\x00"+kind+"\x00"+p.Budget+"\x00"), lengthOf(who), who, about)
		return scope{digest: digest(sum[:16]), bound: b}
	}
	all := []scope{of("all", nil, nil, p.Bounds.All), of("caller", []byte(p.Caller), nil, p.Bounds.Caller)}
	if p.Person != nil {
		all = append(all, of("pair", []byte(p.Caller), p.Person, p.Bounds.Pair), of("person", nil, p.Person, p.Bounds.Person))
	}
	return all
}

func lengthOf(b []byte) []byte { return []byte{byte(len(b) >> 8), byte(len(b))} }

// take takes a place in a transaction. When there is none, the places that ended are
// removed first, which nobody has tidied yet.
func take(tx *keysdb.Tx, p Place, scopes []scope) (refusal, err error) {
	var taken int
	if err := tx.Row(`SELECT count(*) FROM quota_places WHERE budget = ? AND id = ?`, []any{p.Budget, p.ID[:]}, &taken); err != nil || taken > 0 {
		return nil, err
	}
	for {
		room, err := hasRoom(tx, p, scopes)
		if err != nil {
			return nil, err
		}
		if room {
			break
		}
		ended, err := endSome(tx, p.At)
		if err != nil {
			return nil, err
		}
		if ended == 0 {
			return p.Refusal, nil
		}
	}
	var names []byte
	for _, s := range scopes {
		names = append(names, s.digest[:]...)
		if _, err := tx.Exec(`INSERT INTO quota_sums (scope, places, bytes) VALUES (?, 1, ?)
			ON CONFLICT (scope) DO UPDATE SET places = quota_sums.places + 1, bytes = quota_sums.bytes + excluded.bytes`, s.digest[:], p.Bytes); err != nil {
			return nil, err
		}
	}
	_, err = tx.Exec(`INSERT INTO quota_places (budget, id, scopes, bytes, until) VALUES (?, ?, ?, ?, ?)`, p.Budget, p.ID[:], names, p.Bytes, p.Until.UnixMicro())
	return nil, err
}

func hasRoom(tx *keysdb.Tx, p Place, scopes []scope) (bool, error) {
	for _, s := range scopes {
		var places, bytes int64
		for _, d := range append([]digest{s.digest}, s.also...) {
			var more, moreBytes int64
			if err := tx.Row(`SELECT coalesce((SELECT places FROM quota_sums WHERE scope = ?), 0), coalesce((SELECT bytes FROM quota_sums WHERE scope = ?), 0)`,
				[]any{d[:], d[:]}, &more, &moreBytes); err != nil {
				return false, err
			}
			places, bytes = places+more, bytes+moreBytes
		}
		if s.bound.Places > 0 && places+1 > s.bound.Places || s.bound.Bytes > 0 && bytes+p.Bytes > s.bound.Bytes {
			return false, nil
		}
	}
	return true, nil
}

// placeRow is a place as it is stored.
type placeRow struct {
	Budget string `db:"budget"`
	ID     []byte `db:"id"`
	Scopes []byte `db:"scopes"`
	Bytes  int64  `db:"bytes"`
}

// endSome removes some of the places that have ended by a time and returns how many.
func endSome(tx *keysdb.Tx, at time.Time) (int, error) {
	var ended []placeRow
	if err := tx.Select(&ended, `SELECT budget, id, scopes, bytes FROM quota_places WHERE until <= ? ORDER BY until LIMIT ?`, at.UnixMicro(), purgeBatch); err != nil {
		return 0, err
	}
	for _, row := range ended {
		if err := row.remove(tx); err != nil {
			return 0, err
		}
	}
	return len(ended), nil
}

func (row placeRow) remove(tx *keysdb.Tx) error {
	for s := range slices.Chunk(row.Scopes, len(digest{})) {
		if _, err := tx.Exec(`UPDATE quota_sums SET places = places - 1, bytes = bytes - ? WHERE scope = ?`, row.Bytes, s); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM quota_sums WHERE scope = ? AND places <= 0`, s); err != nil {
			return err
		}
	}
	_, err := tx.Exec(`DELETE FROM quota_places WHERE budget = ? AND id = ?`, row.Budget, row.ID)
	return err
}

// Free gives a place back, if it is still taken. It does not wait: one that a crash keeps
// from being given back ends by itself.
func (t *Table) Free(budget string, id uuid.UUID) {
	if err := t.db.Post(func(tx *keysdb.Tx) error {
		var rows []placeRow
		if err := tx.Select(&rows, `SELECT budget, id, scopes, bytes FROM quota_places WHERE budget = ? AND id = ?`, budget, id[:]); err != nil {
			return err
		}
		for _, row := range rows {
			if err := row.remove(tx); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.slog.Warn("a place is given back when it ends", slog.String("budget", budget), slog.Any("error", err))
	}
}

func (t *Table) endPlaces(ctx context.Context) error {
	for {
		n, err := keysdb.Do(ctx, t.db, func(tx *keysdb.Tx) (int, error) { return endSome(tx, t.now()) })
		if err != nil {
			return fmt.Errorf("end places: %w", err)
		}
		if n == 0 {
			return nil
		}
	}
}

// BudgetTotals counts, since the process started, what the calls of one operation took of one
// budget.
type BudgetTotals struct {
	Budget    string
	Operation string // "" where the budget is of calls
	Taken     int
	Refused   int
}

// countTaken counts what happened to one place or amount, and tells the operator when a budget
// is used up for the first time.
func (t *Table) countTaken(budget, operation string, refused bool) {
	t.mu.Lock()
	s := t.totalsOf(budget, operation)
	first := refused && !t.refusedBefore(budget)
	if refused {
		s.Refused++
	} else {
		s.Taken++
	}
	t.mu.Unlock()
	if first {
		t.slog.Warn("a budget is used up for the first time since the start; coffre_budget_refused_total counts how often", slog.String("budget", budget))
	}
}

func (t *Table) refusedBefore(budget string) bool {
	for _, s := range t.budgets {
		if s.Budget == budget && s.Refused > 0 {
			return true
		}
	}
	return false
}

// budgetKey names the totals of one operation in one budget.
type budgetKey struct{ budget, operation string }

// totalsOf returns the totals of an operation in a budget, which the caller changes while it
// holds the lock.
func (t *Table) totalsOf(budget, operation string) *BudgetTotals {
	key := budgetKey{budget, operation}
	s := t.budgets[key]
	if s == nil {
		s = &BudgetTotals{Budget: budget, Operation: operation}
		t.budgets[key] = s
	}
	return s
}

// BudgetTotals returns the totals of each operation in each budget that it asked for, in the
// order of names.
func (t *Table) BudgetTotals() []BudgetTotals {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]BudgetTotals, 0, len(t.budgets))
	for _, s := range t.budgets {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b BudgetTotals) int {
		return cmp.Or(strings.Compare(a.Budget, b.Budget), strings.Compare(a.Operation, b.Operation))
	})
	return all
}

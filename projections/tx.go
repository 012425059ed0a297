package projections

import "context"

// Tx is the transaction in which a batch of events is taken in. It is for the
// goroutine that calls Apply, during the call. The medium prepares each statement
// once, so a projection's SQL is constant text with ? for each argument.
type Tx struct {
	transaction Transaction
	building    bool
	scrub       bool
	kept, keep  any
}

// Exec runs a statement and returns how many rows it changed.
func (t *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	return t.transaction.Exec(ctx, query, args...)
}

// Get reads the first row of a query into dest and reports whether there was one.
func (t *Tx) Get(ctx context.Context, query string, args []any, dest ...any) (found bool, err error) {
	return t.transaction.Get(ctx, query, args, dest...)
}

// Building reports whether the model is being built from the log's beginning, so
// that its query indexes are not there yet and Schema.Settle will follow.
func (t *Tx) Building() bool { return t.building }

// Keep hands v on to the next transaction on these tables in this process, if this one
// commits.
func (t *Tx) Keep(v any) { t.keep = v }

// Kept returns what the transaction that made the tables what they are kept; nil when that
// was nothing, or another process's.
func (t *Tx) Kept() any { return t.kept }

// Scrub asks that what this transaction deletes or overwrites also leaves the
// write-ahead log, soon after it committed: for erasures.
func (t *Tx) Scrub() { t.scrub = true }

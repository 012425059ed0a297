// Package storecopy brings a log from one store into another: every record with
// its stream, revision, id, time and bytes, in the same order, so that both have
// the same leaves and whoever holds a proof of one may check it against the other.
//
// Invariant: the target holds a prefix of the source at any time. Whoever stops a
// copy, or is killed, goes on with it by calling [Log] again; a target that holds
// anything else is told and left as it is.
package storecopy

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"

	"coffre/eventstore"
	"coffre/eventstore/proof"
)

const (
	page       = 512     // records read at once
	batchBytes = 8 << 20 // of the records appended at once, unless one alone is larger
	settling   = 3       // times an append of unknown outcome is repeated before the copy stops
)

// ErrDiverged: the two logs are not the same as far as both go, or the target has
// more than the source.
var ErrDiverged = errors.New("storecopy: the logs differ")

// Diverged is the error that names the leaf from which on two logs differ. It wraps [ErrDiverged].
type Diverged struct{ Leaf int64 }

func (d *Diverged) Error() string { return fmt.Sprintf("%v from leaf %d on", ErrDiverged, d.Leaf) }

func (d *Diverged) Unwrap() error { return ErrDiverged }

// Result is the extent of what both logs hold.
type Result struct {
	Copied int64 // records that this call appended
	Leaves int64 // records that both hold
	// Digest is SHA-256 over the leaf hashes of all records in log order.
	Digest proof.Hash
}

// Log appends to the target what it lacks of the source, then reads both from the
// beginning and compares them leaf by leaf. progress, if not nil, is told how many
// leaves have been looked at, in each of the two passes. Nothing else may append to
// either store meanwhile. Errors: a *[Diverged] when the target holds something
// else, ctx's, or one of the stores'.
func Log(ctx context.Context, from, to eventstore.Store, progress func(leaves int64)) (Result, error) {
	copied, err := appendRest(ctx, from, to, progress)
	if err != nil {
		return Result{}, err
	}
	r, err := Compare(ctx, from, to, progress)
	r.Copied = copied
	return r, err
}

// Append appends records, which follow what the target holds, in their order, and returns how many
// it appended. An error of records ends it as it is.
func Append(ctx context.Context, records iter.Seq2[eventstore.Record, error], to eventstore.Store) (appended int64, err error) {
	var waiting bundle
	for record, err := range records {
		if err != nil {
			return appended, err
		}
		if !waiting.takes(record) {
			n, err := waiting.appendTo(ctx, to)
			appended += n
			if err != nil {
				return appended, err
			}
		}
		waiting.add(record)
	}
	n, err := waiting.appendTo(ctx, to)
	return appended + n, err
}

// Compare reads two logs and returns what both hold, or a *[Diverged].
func Compare(ctx context.Context, a, b eventstore.Store, progress func(leaves int64)) (Result, error) {
	next, stop := iter.Pull2(all(ctx, b))
	defer stop()
	var r Result
	digest := sha256.New()
	for record, err := range all(ctx, a) {
		if err != nil {
			return Result{}, fmt.Errorf("read the source: %w", err)
		}
		other, err, ok := next()
		switch {
		case err != nil:
			return Result{}, fmt.Errorf("read the target: %w", err)
		case !ok || !same(record, other):
			return Result{}, &Diverged{r.Leaves}
		}
		hash := proof.SumOf(&record)
		digest.Write(hash[:])
		r.Leaves++
		tell(progress, r.Leaves)
	}
	if _, err, more := next(); err != nil {
		return Result{}, fmt.Errorf("read the target: %w", err)
	} else if more {
		return Result{}, &Diverged{r.Leaves}
	}
	digest.Sum(r.Digest[:0])
	return r, nil
}

// appendRest passes over what both logs hold, and appends the rest of the source.
func appendRest(ctx context.Context, from, to eventstore.Store, progress func(int64)) (copied int64, err error) {
	next, stop := iter.Pull2(all(ctx, to))
	defer func() { stop() }()
	shared := true // the target still has records to compare with
	leaf := int64(0)
	var waiting bundle
	flush := func() error {
		n, err := waiting.appendTo(ctx, to)
		copied += n
		return err
	}
	for record, err := range all(ctx, from) {
		if err != nil {
			return copied, fmt.Errorf("read the source: %w", err)
		}
		if shared {
			other, err, ok := next()
			switch {
			case err != nil:
				return copied, fmt.Errorf("read the target: %w", err)
			case ok && !same(record, other):
				return copied, &Diverged{leaf}
			case !ok:
				shared = false
				stop() // what is appended from here on is not read in this pass
			}
		}
		if !shared && !waiting.takes(record) {
			if err := flush(); err != nil {
				return copied, err
			}
		}
		if !shared {
			waiting.add(record)
		}
		leaf++
		tell(progress, leaf)
	}
	return copied, flush()
}

// bundle is records that follow each other in the log, a batch for each run of one stream.
type bundle struct {
	batches []eventstore.Batch
	records int64
	bytes   int
}

func (u *bundle) takes(next eventstore.Record) bool {
	return len(u.batches) == 0 || len(u.batches) < eventstore.MaxTogether && u.bytes+next.Size() <= batchBytes
}

func (u *bundle) add(next eventstore.Record) {
	u.records++
	u.bytes += next.Size()
	if n := len(u.batches); n > 0 {
		if last := &u.batches[n-1]; last.Stream == next.Stream && len(last.Records) < eventstore.MaxBatch {
			last.Records = append(last.Records, next)
			return
		}
	}
	b := eventstore.Batch{Stream: next.Stream, Expected: eventstore.NoStream, Records: []eventstore.Record{next}}
	if next.Revision > 0 {
		b.Expected = eventstore.Exact(next.Revision - 1)
	}
	u.batches = append(u.batches, b)
}

// appendTo appends the bundle and empties it. An append whose outcome is not known is
// repeated with the same ids, which settles it.
func (u *bundle) appendTo(ctx context.Context, to eventstore.Store) (int64, error) {
	if len(u.batches) == 0 {
		return 0, nil
	}
	err := eventstore.AppendTogether(ctx, to, u.batches)
	for range settling {
		if !errors.Is(err, eventstore.ErrOutcomeUnknown) || ctx.Err() != nil {
			break
		}
		err = eventstore.AppendTogether(ctx, to, u.batches)
	}
	if err != nil {
		return 0, fmt.Errorf("append to the target: %w", err)
	}
	n := u.records
	*u = bundle{}
	return n, nil
}

// all yields the whole log, page by page.
func all(ctx context.Context, s eventstore.Store) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		var after eventstore.Position
		for {
			n := 0
			for r, err := range s.ReadAll(ctx, after, page) {
				if !yield(r, err) || err != nil {
					return
				}
				after = r.Position
				n++
			}
			if n == 0 {
				return
			}
		}
	}
}

// same compares what a leaf is made of; its hash covers the bytes.
func same(a, b eventstore.Record) bool { return proof.SumOf(&a) == proof.SumOf(&b) }

func tell(progress func(int64), leaves int64) {
	if progress != nil {
		progress(leaves)
	}
}

// Package dense is what stores share whose positions count 1, 2, 3 … without gaps
// over our records alone: their positions, reading by pages, and verifying.
//
// Invariant: a page holds consecutive records, so a record that is missing is met
// where it should lie, and never passed over.
package dense

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"coffre/eventstore"
	"coffre/eventstore/proof"
)

// Position is where the n-th record lies; commit and prepare are one.
func Position(n int64) eventstore.Position {
	return eventstore.Position{Commit: uint64(n), Prepare: uint64(n)}
}

// Next is the number of the first record after p.
func Next(p eventstore.Position) int64 {
	const most = 1<<63 - 2
	n := int64(min(p.Commit, most))
	if n > 0 && Position(n).Compare(p) > 0 {
		return n
	}
	return n + 1
}

// A Page reads consecutive records from number first on: at most n of them, as many as
// fit the bytes of a page, and at least one if there is one. cut tells that it left
// some out for their bytes. A record that is missing before one that is there, or that
// does not match its checksum, ends the page with *eventstore.Corrupt.
type Page func(ctx context.Context, first int64, n int) (page []eventstore.Record, cut bool, err error)

// Records yields the records of pages from number first on, at most limit of them,
// until a page is not full. Each page is read whole before its first record is yielded:
// a slow or nested reader holds up nobody.
func (p Page) Records(ctx context.Context, first, limit int64, most int) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		at, size := first, most
		for left, more := limit, true; more && left > 0; {
			want := int(min(left, int64(size)))
			page, cut, err := p(ctx, at, want)
			if !emit(ctx, page, err, yield) {
				return
			}
			at += int64(len(page))
			left -= int64(len(page))
			more = cut || len(page) == want
			if size = most; cut { // the rest of such a page was read for nothing
				size = min(len(page)+1, most)
			}
		}
	}
}

// Ahead is Records with up to that many pages read at once, each by a goroutine of its own
// that has ended when the iterator does. What a page left out for its bytes is read when it
// is its turn.
func (p Page) Ahead(ctx context.Context, first, limit int64, most, pages int) iter.Seq2[eventstore.Record, error] {
	type stretch struct {
		first, n int64
		page     []eventstore.Record
		cut      bool
		err      error
		done     chan struct{}
	}
	return func(yield func(eventstore.Record, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var reading []*stretch
		defer func() {
			cancel()
			for _, s := range reading {
				<-s.done
			}
		}()
		for at, left := first, limit; left > 0 || len(reading) > 0; {
			for len(reading) < max(pages, 1) && left > 0 {
				s := &stretch{first: at, n: min(left, int64(most)), done: make(chan struct{})}
				go func() {
					defer close(s.done)
					s.page, s.cut, s.err = p(ctx, s.first, int(s.n))
				}()
				reading = append(reading, s)
				at, left = at+s.n, left-s.n
			}
			s := reading[0]
			<-s.done
			reading = reading[1:]
			if !emit(ctx, s.page, s.err, yield) {
				return
			}
			if s.cut {
				for r, err := range p.Records(ctx, s.first+int64(len(s.page)), s.n-int64(len(s.page)), most) {
					s.page = append(s.page, r)
					if !yield(r, err) || err != nil {
						return
					}
				}
			}
			if int64(len(s.page)) < s.n {
				return // the log ended there when it was read
			}
		}
	}
}

// emit yields a page and the error that ended it. It reports whether to go on.
func emit(ctx context.Context, page []eventstore.Record, err error, yield func(eventstore.Record, error) bool) bool {
	for _, r := range page {
		if ctx.Err() != nil {
			err = ctx.Err()
			break
		}
		if !yield(r, nil) {
			return false
		}
	}
	if err != nil {
		yield(eventstore.Record{}, err)
	}
	return err == nil
}

// maxDamaged bounds what Verify collects; beyond it the log is lost, not damaged.
const maxDamaged = 1000

// Verify reads every record after from, up to number end, by pages of at most most
// records, and returns those that are missing, out of sequence or not what their
// checksum says. From the zero position it checks revisions as well. progress, when not
// nil, is told after each page how many of how many records were read. The error tells
// that the check could not be finished.
func (p Page) Verify(ctx context.Context, from eventstore.Position, end int64, most int, progress func(done, total int64)) ([]*eventstore.Corrupt, error) {
	var damaged []*eventstore.Corrupt
	start := Next(from)
	err := p.walk(ctx, from, end, most, func(c *eventstore.Corrupt) {
		if len(damaged) <= maxDamaged {
			damaged = append(damaged, c)
		}
	}, func(at int64) error {
		if progress != nil {
			progress(min(at, end+1)-start, end+1-start)
		}
		if len(damaged) > maxDamaged {
			return fmt.Errorf("more than %d records are damaged", maxDamaged)
		}
		return nil
	})
	if err != nil {
		return damaged, fmt.Errorf("verify: %w", err)
	}
	return damaged, nil
}

// Scrub verifies every record up to number end, slowly: it rests between pages so long
// that it reads about perSecond records a second (at least 1), and reports what is
// damaged as it finds it. It returns ctx's error when ctx ends first.
func (p Page) Scrub(ctx context.Context, end int64, most, perSecond int, report func(*eventstore.Corrupt)) error {
	rest := time.NewTicker(max(time.Second*time.Duration(most)/time.Duration(max(perSecond, 1)), time.Millisecond))
	defer rest.Stop()
	err := p.walk(ctx, eventstore.Position{}, end, most, report, func(int64) error {
		select {
		case <-rest.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err != nil {
		return fmt.Errorf("scrub: %w", err)
	}
	return nil
}

// walk reads page after page to the end, reports what is damaged, and calls pause
// with the number of the next record after each page.
func (p Page) walk(ctx context.Context, from eventstore.Position, end int64, most int, report func(*eventstore.Corrupt), pause func(at int64) error) error {
	expected := map[eventstore.Stream]eventstore.Revision{}
	unreadable := 0 // damaged records whose absence from their streams is yet to be met
	at := Next(from)
	for at <= end {
		page, _, err := p(ctx, at, int(min(end-at+1, int64(most))))
		for _, r := range page {
			if !from.IsZero() {
				break // the revisions before are not known
			}
			want := expected[r.Stream]
			expected[r.Stream] = r.Revision + 1
			if missing := int(r.Revision - want); missing > 0 && missing <= unreadable {
				unreadable -= missing
			} else if missing != 0 {
				report(&eventstore.Corrupt{Stream: r.Stream, Revision: want, Position: r.Position})
			}
		}
		at += int64(len(page))
		if corrupt, ok := errors.AsType[*eventstore.Corrupt](err); ok {
			report(corrupt)
			unreadable++
			at = Next(corrupt.Position) // go on behind it
		} else if err != nil {
			return err
		} else if len(page) == 0 {
			report(&eventstore.Corrupt{Revision: -1, Position: Position(at)})
			return nil // it was there when the end was read
		}
		if err := pause(at); err != nil {
			return err
		}
	}
	return nil
}

// SetParts gives r copies of the parts, which share one allocation but no room to grow
// into each other; an empty part is nil.
func SetParts(r *eventstore.Record, meta, clear, sealed []byte) {
	buf := make([]byte, 0, len(meta)+len(clear)+len(sealed))
	keep := func(b []byte) []byte {
		if len(b) == 0 {
			return nil
		}
		start := len(buf)
		buf = append(buf, b...)
		return buf[start:len(buf):len(buf)]
	}
	r.Meta, r.Clear, r.Sealed = keep(meta), keep(clear), keep(sealed)
}

// Intact gives r its leaf hash, and reports whether sum, its checksum, is that.
func Intact(r *eventstore.Record, sum []byte) bool {
	r.Sum = proof.LeafHash(r)
	return len(sum) == len(r.Sum) && [32]byte(sum) == r.Sum
}

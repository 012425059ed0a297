package bench

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// side does work for a while and returns how many times a second it did.
type side func(ctx context.Context) (rate float64, err error)

// compared is the result of several rounds of two sides.
type compared struct{ subject, baseline, ratio float64 } // medians

// compare lets the baseline and the subject take turns, and pairs each round of
// the one with the round of the other beside it.
func (b *bench) compare(ctx context.Context, name string, baseline, subject side) (compared, error) {
	var base, subj, ratio []float64
	for round := range b.Rounds {
		lower, err := b.turn(ctx, "", baseline)
		if err != nil {
			return compared{}, fmt.Errorf("baseline: %w", err)
		}
		got, err := b.turn(ctx, fmt.Sprintf("%s-%d.pprof", name, round), subject)
		if err != nil {
			return compared{}, err
		}
		base, subj, ratio = append(base, lower), append(subj, got), append(ratio, got/lower)
	}
	return compared{median(subj), median(base), median(ratio)}, nil
}

// repeat measures a subject that has no baseline of its own.
func (b *bench) repeat(ctx context.Context, name string, subject side) (float64, error) {
	var all []float64
	for round := range b.Rounds {
		got, err := b.turn(ctx, fmt.Sprintf("%s-%d.pprof", name, round), subject)
		if err != nil {
			return 0, err
		}
		all = append(all, got)
	}
	return median(all), nil
}

// turn runs one side for one round, without the garbage of the other.
func (b *bench) turn(ctx context.Context, profile string, s side) (rate float64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	runtime.GC()
	if b.Profile != "" && profile != "" {
		f, err := os.Create(filepath.Join(b.Profile, profile))
		if err != nil {
			return 0, fmt.Errorf("profile: %w", err)
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return 0, errors.Join(fmt.Errorf("profile: %w", err), f.Close())
		}
		defer func() {
			pprof.StopCPUProfile()
			err = errors.Join(err, f.Close())
		}()
	}
	return s(ctx)
}

func median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

// load calls op from so many callers until span is over, and returns how often a
// second it succeeded. The first error ends it.
func load(ctx context.Context, callers int, span time.Duration, op func(ctx context.Context, caller int) error) (float64, error) {
	ending, cancel := context.WithTimeout(ctx, span)
	defer cancel()
	return drive(ctx, callers, func(int64) bool { return ending.Err() == nil }, op)
}

// times is load for a number of calls, whatever time they take.
func times(ctx context.Context, callers int, n int64, op func(ctx context.Context, caller int) error) (float64, error) {
	return drive(ctx, callers, func(begun int64) bool { return begun <= n }, op)
}

func drive(ctx context.Context, callers int, more func(begun int64) bool, op func(ctx context.Context, caller int) error) (float64, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var begun, done atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for caller := range callers {
		wg.Go(func() {
			for ctx.Err() == nil && more(begun.Add(1)) {
				if err := op(ctx, caller); err != nil {
					stop(err)
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	return float64(done.Load()) / took.Seconds(), context.Cause(ctx)
}

// machine tells what the machine can do, before anything else is measured.
func (b *bench) machine(ctx context.Context) error {
	path := filepath.Join(b.Dir, "fsync")
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	page := make([]byte, 4<<10)
	syncs, err := b.repeat(ctx, "fsync", func(ctx context.Context) (float64, error) {
		return load(ctx, 1, b.span/4, func(context.Context, int) error {
			_, err := f.Write(page)
			return errors.Join(err, f.Sync())
		})
	})
	if err := errors.Join(err, f.Close(), os.Remove(path)); err != nil {
		return fmt.Errorf("how often the disk syncs: %w", err)
	}
	hashes, err := b.repeat(ctx, "sha256", func(ctx context.Context) (float64, error) {
		const each = 1000
		var sum [sha256.Size]byte
		perThousand, err := load(ctx, 1, b.span/4, func(context.Context, int) error {
			for range each {
				sum = sha256.Sum256(page[:payload])
				page[0] = sum[0]
			}
			return nil
		})
		return perThousand * each, err
	})
	if err != nil {
		return err
	}
	return errors.Join(
		b.tell(Measure{Name: "machine.fsync", Value: syncs, Unit: "1/s"}),
		b.tell(Measure{Name: "machine.sha256", Value: hashes, Unit: "KiB/s"}),
	)
}

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
	"syscall"
	"time"
)

// pace is how much one round of one side did: operations a second, and in all.
type pace struct{ rate, operations float64 }

// side does work for a while and returns its pace.
type side func(ctx context.Context) (pace, error)

// over returns the pace of n operations that began at a time and have just ended.
func over[N int | int64](n N, began time.Time) pace {
	return pace{float64(n) / time.Since(began).Seconds(), float64(n)}
}

// each returns the pace of operations that were made so many at a time.
func (p pace) each(n float64) pace { return pace{p.rate * n, p.operations * n} }

// compared is the result of several rounds of two sides: medians. Processor time is that
// of this whole process, so clients and servers that run in it count, and whatever the
// side left to do in the background.
type compared struct {
	subject, baseline, ratio            float64
	subjectProcessor, baselineProcessor float64 // microseconds for an operation
}

// measure makes the line for a result.
func (c compared) measure(name, unit, baseline, target string) Measure {
	return Measure{
		Name: name, Value: c.subject, Unit: unit, Baseline: baseline, BaselineValue: c.baseline, Ratio: c.ratio,
		ProcessorMicros: c.subjectProcessor, BaselineProcessorMicros: c.baselineProcessor, Target: target,
	}
}

// compare lets the baseline and the subject take turns, and pairs each round of
// the one with the round of the other beside it.
func (b *bench) compare(ctx context.Context, name string, baseline, subject side) (compared, error) {
	var base, subj, ratio, baseProcessor, subjProcessor []float64
	for round := range b.Rounds {
		lower, lowerProcessor, err := b.turn(ctx, "", baseline)
		if err != nil {
			return compared{}, fmt.Errorf("baseline: %w", err)
		}
		got, processor, err := b.turn(ctx, fmt.Sprintf("%s-%d", name, round), subject)
		if err != nil {
			return compared{}, err
		}
		base, subj, ratio = append(base, lower), append(subj, got), append(ratio, got/lower)
		baseProcessor, subjProcessor = append(baseProcessor, lowerProcessor), append(subjProcessor, processor)
	}
	return compared{median(subj), median(base), median(ratio), median(subjProcessor), median(baseProcessor)}, nil
}

// repeat measures a subject that has no baseline of its own.
func (b *bench) repeat(ctx context.Context, name string, subject side) (float64, error) {
	var all []float64
	for round := range b.Rounds {
		got, _, err := b.turn(ctx, fmt.Sprintf("%s-%d", name, round), subject)
		if err != nil {
			return 0, err
		}
		all = append(all, got)
	}
	return median(all), nil
}

// turn runs one side for one round, without the garbage of the other, and returns its
// operations a second and microseconds of processor time for each of them. A profile is
// the beginning of file names, "" for none.
func (b *bench) turn(ctx context.Context, profile string, s side) (rate, processor float64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, 0, err
	}
	runtime.GC()
	if b.Profile != "" && profile != "" {
		stop, failed := profileInto(filepath.Join(b.Profile, profile))
		if failed != nil {
			return 0, 0, fmt.Errorf("profile: %w", failed)
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	before := processorTime()
	p, err := s(ctx)
	if err != nil {
		return 0, 0, err
	}
	return p.rate, (processorTime() - before).Seconds() * 1e6 / p.operations, nil
}

// profileInto profiles the processor from now on, and the heap when it stops, into files
// whose names begin with path.
func profileInto(path string) (stop func() error, err error) {
	f, err := os.Create(path + ".pprof")
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		heap, err := os.Create(path + ".heap.pprof")
		if err != nil {
			return errors.Join(err, f.Close())
		}
		return errors.Join(f.Close(), pprof.WriteHeapProfile(heap), heap.Close())
	}, nil
}

// processorTime is what this process has used of the processors, in its own code and in
// the system's.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // of a call that cannot fail with these arguments
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
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
func load(ctx context.Context, callers int, span time.Duration, op func(ctx context.Context, caller int) error) (pace, error) {
	ending, cancel := context.WithTimeout(ctx, span)
	defer cancel()
	return drive(ctx, callers, func(int64) bool { return ending.Err() == nil }, op)
}

// times is load for a number of calls, whatever time they take.
func times(ctx context.Context, callers int, n int64, op func(ctx context.Context, caller int) error) (pace, error) {
	return drive(ctx, callers, func(begun int64) bool { return begun <= n }, op)
}

func drive(ctx context.Context, callers int, more func(begun int64) bool, op func(ctx context.Context, caller int) error) (pace, error) {
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
	return over(done.Load(), began), context.Cause(ctx)
}

// machine tells what the machine can do, before anything else is measured.
func (b *bench) machine(ctx context.Context) error {
	path := filepath.Join(b.Dir, "fsync")
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	page := make([]byte, 4<<10)
	syncs, err := b.repeat(ctx, "fsync", func(ctx context.Context) (pace, error) {
		return load(ctx, 1, b.span/4, func(context.Context, int) error {
			_, err := f.Write(page)
			return errors.Join(err, f.Sync())
		})
	})
	if err := errors.Join(err, f.Close(), os.Remove(path)); err != nil {
		return fmt.Errorf("how often the disk syncs: %w", err)
	}
	hashes, err := b.repeat(ctx, "sha256", func(ctx context.Context) (pace, error) {
		const each = 1000
		var sum [sha256.Size]byte
		perThousand, err := load(ctx, 1, b.span/4, func(context.Context, int) error {
			for range each {
				sum = sha256.Sum256(page[:payload])
				page[0] = sum[0]
			}
			return nil
		})
		return perThousand.each(each), err
	})
	if err != nil {
		return err
	}
	return errors.Join(
		b.tell(Measure{Name: "machine.fsync", Value: syncs, Unit: "1/s"}),
		b.tell(Measure{Name: "machine.sha256", Value: hashes, Unit: "KiB/s"}),
	)
}

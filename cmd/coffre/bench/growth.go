package bench

import (
	"context"
	"errors"

	"coffre/cmd/coffre/vault"
)

const (
	smallVault   = 10_000
	growthRounds = 10_000 // appends in a round, so that a small log stays one
)

// largeEvents is how many events a large vault has, and largeName how it is called.
func (b *bench) largeEvents() int {
	if b.Full {
		return 1_000_000
	}
	return 100_000
}

func (b *bench) largeName() string {
	if b.Full {
		return "1M"
	}
	return "100k"
}

// large returns the directory of the large vault, which is filled once in a run.
func (b *bench) large(ctx context.Context) (vault.DataDir, error) {
	if b.largeDir != "" {
		return b.largeDir, nil
	}
	dir, err := b.folder("large")
	if err != nil {
		return "", err
	}
	if err := populate(ctx, dir, b.largeEvents()); err != nil {
		return "", err
	}
	b.largeDir = dir
	return dir, nil
}

// growth is T6: whether what was measured in a small vault holds in a large one.
func (b *bench) growth(ctx context.Context) error {
	if err := b.growingLog(ctx); err != nil {
		return err
	}
	return b.growingWallets(ctx)
}

func (b *bench) growingLog(ctx context.Context) (err error) {
	var ratios [2]float64
	for i, events := range []int{smallVault, b.largeEvents()} {
		w, err := b.newWriter(ctx, "T6-"+human(float64(events)), events, nil)
		if err != nil {
			return err
		}
		got, err := b.compare(ctx, "T6", w.raw.times(growthRounds), func(ctx context.Context) (pace, error) {
			return times(ctx, callers, growthRounds, w.updateOne)
		})
		if err := errors.Join(err, w.Close()); err != nil {
			return err
		}
		ratios[i] = got.ratio
	}
	return b.tell(Measure{Name: "T6.T1." + b.largeName(), Value: ratios[1], Unit: "of raw", Baseline: "at 10k events", BaselineValue: ratios[0], Ratio: ratios[1] / ratios[0], Target: ">= 0.9"})
}

func (b *bench) growingWallets(ctx context.Context) error {
	small, err := b.folder("T6-wallets")
	if err != nil {
		return err
	}
	if err := populate(ctx, small, smallVault); err != nil {
		return err
	}
	large, err := b.large(ctx)
	if err != nil {
		return err
	}
	var ratios [2]float64
	for i, v := range []struct {
		dir    vault.DataDir
		events int
	}{{small, smallVault}, {large, b.largeEvents()}} {
		citizens := v.events / (1 + documentsEach)
		got, err := b.wallets(ctx, "T6wallets", v.dir, citizens, citizens)
		if err != nil {
			return err
		}
		ratios[i] = got.ratio
	}
	return b.tell(Measure{Name: "T6.T3." + b.largeName(), Value: ratios[1], Unit: "of raw", Baseline: "at 10k events", BaselineValue: ratios[0], Ratio: ratios[1] / ratios[0], Target: ">= 0.9"})
}

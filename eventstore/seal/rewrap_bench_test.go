package seal_test

import (
	"testing"

	"github.com/google/uuid"

	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/ringtest"
)

// BenchmarkRewrapAll is target T9: keys moved to a new version, against what the
// keeper alone does with the same batches.
func BenchmarkRewrapAll(b *testing.B) {
	const n = 20_000
	dir := b.TempDir()
	db, kek := ringtest.OpenDB(b, dir), ringtest.OpenKeeper(b, dir)
	r := ringtest.OpenRing(b, db, kek, seal.Config{})
	var items []seal.UnwrapItem
	for range n / seal.MaxBatch {
		wraps := make([]seal.WrapItem, seal.MaxBatch)
		for i := range wraps {
			id := uuid.New()
			wraps[i] = seal.WrapItem{Plain: make([]byte, 32), AAD: id[:]}
		}
		wrapped, err := kek.Wrap(b.Context(), wraps)
		if err != nil {
			b.Fatal(err)
		}
		subjects := ringtest.Table(b, db, "subjects")
		_, err = keysdb.Do(b.Context(), db, func(tx *keysdb.Tx) (struct{}, error) {
			for i, w := range wrapped {
				if err := tx.Insert(subjects, wraps[i].AAD, 2, w.Bytes, w.Version, 1, 0, 0); err != nil {
					return struct{}{}, err
				}
			}
			return struct{}{}, nil
		})
		if err != nil {
			b.Fatal(err)
		}
		for i, w := range wrapped {
			items = append(items, seal.UnwrapItem{Wrapped: w.Bytes, AAD: wraps[i].AAD})
		}
	}
	b.Run("ring", func(b *testing.B) {
		for b.Loop() {
			if _, err := kek.Rotate(b.Context()); err != nil {
				b.Fatal(err)
			}
			if err := r.RewrapAll(b.Context(), nil); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "keys/s")
	})
	b.Run("keeper", func(b *testing.B) {
		for b.Loop() {
			for rest := items; len(rest) > 0; rest = rest[seal.MaxBatch:] {
				if _, err := kek.Rewrap(b.Context(), rest[:seal.MaxBatch]); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "keys/s")
	})
}

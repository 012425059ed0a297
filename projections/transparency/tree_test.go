package transparency_test

import (
	"testing"
	"time"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/eventstore/proof"
	"coffre/projections"
	"coffre/projections/projectiontest"
	"coffre/projections/transparency"
)

func fresh() projections.Projection { return transparency.New() }

func history(t testing.TB, w *projectiontest.World) {
	projectiontest.NewStory(w, 30).Tell(t, 300)
	loss := audit.LossAccepted{LogEnd: "3", SeenEnd: "4", Events: 1, Witness: audit.KeyRing, Cause: audit.MediumLost, At: time.UnixMicro(1_772_366_415_000_000).UTC()}
	w.Record(t, "audit-202603", domain.CitizenID{}, loss)
}

func TestProjection(t *testing.T) { projectiontest.Run(t, fresh, history) }

// Every leaf of the log can be proved in the tree, at every size, and the root is the one of
// RFC 6962 over the records.
func TestTreeIsThatOfTheLog(t *testing.T) {
	w := projectiontest.NewWorld()
	history(t, w)
	all := w.Recorded()
	projectiontest.OnEach(t, func(t *testing.T, place func(testing.TB) string) {
		tree := transparency.New()
		projectiontest.Start(t, w, place(t), tree).CaughtUp(t)
		var f proof.Frontier
		for n := range all {
			hash := proof.LeafHash(&all[n].Record)
			f.Append(hash)
			size := int64(n) + 1
			if n%50 != 0 && n != len(all)-1 && n != 255 && n != 256 {
				continue
			}
			root, err := proof.Root(t.Context(), tree, size)
			if err != nil || root != f.Root() {
				t.Fatalf("root of %d leaves: %v", size, err)
			}
			path, err := proof.ProveInclusion(t.Context(), tree, int64(n), size)
			if err != nil {
				t.Fatal(err)
			}
			if err := proof.CheckInclusion(path, size, root, int64(n), hash); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Tiles that fill up over many transactions, within one, at its end, and across a restart, have
// the nodes above them that the leaves ask for.
func TestTreeGrowsInParts(t *testing.T) {
	parts := []int{100, 155, 1, 256, 1, 254, 2, 300, 700, 3, 253}
	projectiontest.OnEach(t, func(t *testing.T, place func(testing.TB) string) {
		w, at := projectiontest.NewWorld(), place(t)
		tree := transparency.New()
		running := projectiontest.Start(t, w, at, tree)
		for i, n := range parts {
			loss := audit.LossAccepted{LogEnd: "3", SeenEnd: "4", Events: 1, Witness: audit.KeyRing, Cause: audit.MediumLost, At: time.UnixMicro(1_772_366_415_000_000).UTC()}
			for range n {
				w.Record(t, "audit-202603", domain.CitizenID{}, loss)
			}
			if i == 5 {
				running.Stop()
				tree = transparency.New()
				running = projectiontest.Start(t, w, at, tree)
			}
			running.CaughtUp(t)
		}
		all := w.Recorded()
		var f proof.Frontier
		for n := range all {
			f.Append(proof.LeafHash(&all[n].Record))
			if size := int64(n) + 1; size%proof.TileWidth == 0 {
				if root, err := proof.Root(t.Context(), tree, size); err != nil || root != f.Root() {
					t.Errorf("root of %d leaves: %v", size, err)
				}
			}
		}
	})
}

package projections

import "context"

// Generation is a generation at work, for tests.
type Generation struct{ g *generation }

// BuildGeneration builds and finishes an empty generation of p.
func BuildGeneration(ctx context.Context, model Model, p Projection) (Generation, error) {
	g, err := createGeneration(ctx, model, p)
	if err == nil {
		g, err = g.finish(ctx, model, p)
	}
	return Generation{g}, err
}

// At is where the generation believes to be; it may be changed.
func (g Generation) At() *Checkpoint { return &g.g.at }

// Commit moves the checkpoint and runs apply, in one transaction.
func (g Generation) Commit(ctx context.Context, token int64, to Checkpoint, apply func(*Tx) error) error {
	return g.g.commit(ctx, token, to, apply)
}

// Tables returns its tables.
func (g Generation) Tables() Tables { return g.g.Tables }

// Discard closes and deletes it.
func (g Generation) Discard(ctx context.Context) error { return g.g.discard(ctx) }

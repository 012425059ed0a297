package bench

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"time"

	"coffre/eventstore"
	"coffre/eventstore/checkpoints"
	"coffre/eventstore/codec"
	"coffre/projections"
	"coffre/projections/sqlitemodels"
	"coffre/projections/transparency"
)

// provedAppends is how many appends a round of T16 has: both sides do as many, so that the tree
// has taken in each when the round ends.
const provedAppends = 20_000

// proving is T16: sealed appends of a log whose tree grows beside them and whose checkpoints
// are signed each second, beside the same appends without.
func (b *bench) proving(ctx context.Context) (err error) {
	bare, err := b.warmLog(ctx, "T16-bare")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bare.Close()) }()
	proved, err := b.warmLog(ctx, "T16")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, proved.Close()) }()
	end, finish, err := proved.prove(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	got, err := b.compare(ctx, "T16", func(ctx context.Context) (pace, error) {
		return times(ctx, callers, provedAppends, bare.updateOne)
	}, func(ctx context.Context) (pace, error) {
		began := time.Now()
		did, err := times(ctx, callers, provedAppends, proved.updateOne)
		if err != nil {
			return did, err
		}
		err = finish(ctx)
		return over(int64(did.operations), began), err
	})
	if err != nil {
		return err
	}
	return b.tell(got.measure("T16", "events/s", "the same appends without tree and checkpoints", ">= 0.9"))
}

// warmLog opens the writing side of a new folder, with streams for each caller.
func (b *bench) warmLog(ctx context.Context, name string) (*writer, error) {
	dir, err := b.folder(name)
	if err != nil {
		return nil, err
	}
	l, err := openLog(ctx, dir, nil)
	if err != nil {
		return nil, err
	}
	w, err := warm(ctx, l, 0)
	if err == nil {
		w.dir = dir
	}
	return w, err
}

// prove keeps the tree of a log and its checkpoints up until end is called. finish waits until
// both cover the log as it ends then.
func (w *writer) prove(ctx context.Context) (end func() error, finish func(context.Context) error, err error) {
	medium, err := sqlitemodels.Open(w.dir.File("readmodels"))
	if err != nil {
		return nil, nil, err
	}
	tree := transparency.New()
	runner, err := projections.New(projections.Options{Medium: medium, Store: w.store, Codec: codec.Catalog, Logger: slog.New(slog.DiscardHandler)}, tree)
	if err != nil {
		return nil, nil, err
	}
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, nil, err
	}
	p := &transparency.Publisher{
		Tree: tree, Log: w.store, Leaves: eventstore.DenseLeaves{}, Signer: benchSigner{private}, Keys: benchSigner{private},
		Kept: checkpoints.InFile(w.dir.File("kept.checkpoint")), Outside: checkpoints.InFile(w.dir.File("outside.checkpoint")),
		Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 2)
	go func() { ended <- runner.Run(ctx) }()
	go func() { ended <- p.Run(ctx) }()
	return func() error {
			stop()
			err := errors.Join(<-ended, <-ended)
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		}, func(ctx context.Context) error {
			if err := runner.CatchUp(ctx); err != nil {
				return err
			}
			_, err := p.Finish(ctx)
			return err
		}, nil
}

// benchSigner signs checkpoints with a key in memory.
type benchSigner struct{ private ed25519.PrivateKey }

func (s benchSigner) key() ed25519.PublicKey { return s.private.Public().(ed25519.PublicKey) }

func (s benchSigner) Sign(_ context.Context, message []byte) (signature []byte, id string, err error) {
	return ed25519.Sign(s.private, message), "bench", nil
}

func (s benchSigner) PublicKey(context.Context, string) (ed25519.PublicKey, string, error) {
	return s.key(), "bench", nil
}

func (s benchSigner) Note(context.Context, string, ed25519.PublicKey) error { return nil }

func (s benchSigner) Public(context.Context) ([]ed25519.PublicKey, error) {
	return []ed25519.PublicKey{s.key()}, nil
}

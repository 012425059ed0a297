package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coffre/domain"
	"coffre/eventstore/proof"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections"
)

var (
	errNoCheckpoint     = domain.NewError(domain.NotFound, "noCheckpoint", "no checkpoint of the log is signed yet; try again in a few seconds")
	errCheckpointBehind = domain.NewError(domain.Stale, "checkpointBehind", "no checkpoint covers yet what was recorded before the call; the last one is at /log/checkpoint")
	errNotWitnessed     = domain.NewError(domain.NotFound, "notWitnessed", "no checkpoint has as many cosignatures of witnesses as the vault's policy asks for, or it has no such policy")
	errNotCovered       = domain.NewError(domain.Invalid, "notCovered", "no checkpoint covers that many events yet")
	errNotInTree        = domain.NewError(domain.Invalid, "notInTree", "that lies beyond the events that the proof is about")
)

// currentWait is the longest that a caller waits for a checkpoint of everything recorded so far.
const currentWait = 5 * time.Second

// GetCheckpoint implements GET /log/checkpoint: the last signed checkpoint of the log, one that
// covers everything recorded before the call, or the last one that enough witnesses cosigned.
func (v *Vault) GetCheckpoint(ctx context.Context, r contract.GetCheckpointRequestObject) (contract.GetCheckpointResponseObject, error) {
	if r.Params.Which == contract.WhichCheckpointWitnessed {
		return v.witnessed(ctx)
	}
	if r.Params.Covering == contract.CheckpointCoveringNow && v.Proof != nil {
		note, err := v.currentCheckpoint(ctx)
		if err != nil {
			return nil, err
		}
		return contract.GetCheckpoint200TextResponse(note), nil
	}
	note, _, err := v.lastCheckpoint(ctx)
	if err == nil && v.Witnesses != nil {
		var cosigned []byte
		cosigned, err = v.Witnesses.Cosigned(ctx, []byte(note))
		note = string(cosigned)
	}
	if err != nil {
		return nil, err
	}
	return contract.GetCheckpoint200TextResponse(note), nil
}

// currentCheckpoint waits for a checkpoint that covers the end of the log as it is now.
func (v *Vault) currentCheckpoint(ctx context.Context) ([]byte, error) {
	wait, cancel := context.WithTimeout(ctx, currentWait)
	defer cancel()
	note, err := v.Proof.AwaitEnd(wait)
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return nil, errCheckpointBehind
	}
	return note, err
}

func (v *Vault) witnessed(ctx context.Context) (contract.GetCheckpointResponseObject, error) {
	if v.Witnesses == nil {
		return nil, errNotWitnessed
	}
	note, err := v.Witnesses.Enough(ctx)
	switch {
	case err != nil:
		return nil, err
	case note == nil:
		return nil, errNotWitnessed
	}
	return contract.GetCheckpoint200TextResponse(note), nil
}

// lastCheckpoint returns the last checkpoint and its note.
func (v *Vault) lastCheckpoint(ctx context.Context) (string, proof.Checkpoint, error) {
	if v.Proof == nil {
		return "", proof.Checkpoint{}, errNoCheckpoint
	}
	note, err := v.Proof.Last(ctx)
	switch {
	case err != nil:
		return "", proof.Checkpoint{}, err
	case note == nil:
		return "", proof.Checkpoint{}, errNoCheckpoint
	}
	c, err := proof.Peek(note)
	return string(note), c, err
}

// ProveInclusion implements GET /log/proof/inclusion.
func (v *Vault) ProveInclusion(ctx context.Context, r contract.ProveInclusionRequestObject) (contract.ProveInclusionResponseObject, error) {
	note, size, err := v.provable(ctx, r.Params.Size)
	if err != nil {
		return nil, err
	}
	if r.Params.Leaf >= size {
		return nil, edge.At(contract.IssueLocationQuery, "leaf", errNotInTree)
	}
	path, err := proof.ProveInclusion(ctx, v.Proof.Tree, r.Params.Leaf, size)
	if err != nil {
		return nil, err
	}
	return contract.ProveInclusion200JSONResponse{Leaf: r.Params.Leaf, Size: size, Hashes: hashItems(path), Checkpoint: note}, nil
}

// ProveConsistency implements GET /log/proof/consistency.
func (v *Vault) ProveConsistency(ctx context.Context, r contract.ProveConsistencyRequestObject) (contract.ProveConsistencyResponseObject, error) {
	note, size, err := v.provable(ctx, r.Params.Size)
	if err != nil {
		return nil, err
	}
	if r.Params.Former > size {
		return nil, edge.At(contract.IssueLocationQuery, "former", errNotInTree)
	}
	path, err := proof.ProveConsistency(ctx, v.Proof.Tree, r.Params.Former, size)
	if err != nil {
		return nil, err
	}
	return contract.ProveConsistency200JSONResponse{Former: r.Params.Former, Size: size, Hashes: hashItems(path), Checkpoint: note}, nil
}

// provable returns the last checkpoint, and the size that a proof is about.
func (v *Vault) provable(ctx context.Context, asked *int64) (note string, size int64, err error) {
	note, c, err := v.lastCheckpoint(ctx)
	if err != nil {
		return "", 0, err
	}
	if size = c.Size; asked != nil {
		size = *asked
	}
	if size > c.Size {
		return "", 0, edge.At(contract.IssueLocationQuery, "size", errNotCovered)
	}
	return note, size, nil
}

func hashItems(path []proof.Hash) contract.Hashes {
	items := make(contract.Hashes, len(path))
	for i, h := range path {
		items[i] = h[:]
	}
	return items
}

// Tile returns the hashes of a tile by its path in the form of C2SP tlog-tiles, such as
// 0/x001/234 or 1/000.p/17. It returns edge.ErrNoResource for one that the last checkpoint
// does not cover.
func (v *Vault) Tile(ctx context.Context, path string) ([]byte, error) {
	tile, ok := proof.ParseTile(path)
	if !ok {
		return nil, edge.ErrNoResource
	}
	_, c, err := v.lastCheckpoint(ctx)
	if errors.Is(err, errNoCheckpoint) {
		return nil, edge.ErrNoResource
	} else if err != nil {
		return nil, err
	}
	if !tile.Within(c.Size) {
		return nil, edge.ErrNoResource
	}
	hashes, err := v.Proof.Tree.Nodes(ctx, tile.Level, tile.First, tile.Width)
	if errors.Is(err, projections.ErrNotReady) {
		return nil, err
	} else if err != nil {
		return nil, fmt.Errorf("tile: %w", err)
	}
	return proof.Join(hashes), nil
}

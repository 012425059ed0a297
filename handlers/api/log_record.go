package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coffre/eventstore/proof"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/projections"
)

// inLog returns the proof that a record is in the log, for receipts: under the last checkpoint,
// and the zero proof until that covers the record.
func (v *Vault) inLog(ctx context.Context, leaf int64) (contract.RecordInLog, error) {
	if v.Proof == nil {
		return contract.RecordInLog{}, nil
	}
	note, err := v.Proof.Covered(ctx, leaf)
	if err != nil || note == nil {
		return contract.RecordInLog{}, err
	}
	c, err := proof.Peek(note)
	if err != nil {
		return contract.RecordInLog{}, err
	}
	own, err := v.Proof.Tree.Nodes(ctx, 0, leaf, 1)
	if err == nil {
		var path []proof.Hash
		if path, err = proof.ProveInclusion(ctx, v.Proof.Tree, leaf, c.Size); err == nil {
			return contract.RecordInLog{Leaf: leaf, LeafHash: own[0][:], Size: c.Size, Hashes: hashItems(path), Checkpoint: string(note)}, nil
		}
	}
	if errors.Is(err, projections.ErrNotReady) { // it is being exchanged just now
		return contract.RecordInLog{}, nil
	}
	return contract.RecordInLog{}, fmt.Errorf("proof of a record: %w", err)
}

// receiptWait bounds how long an answer waits for the checkpoint that covers what it tells; one is
// signed each second in which something happens.
const receiptWait = 5 * time.Second

// awaitInLog returns the proof that a record is in the log as inLog does, once there is one. It
// returns acting.ErrModelsBehind when there is none in time, and the zero proof where the log is
// not signed.
func (v *Vault) awaitInLog(ctx context.Context, leaf int64) (contract.RecordInLog, error) {
	note, err := v.awaitCheckpoint(ctx, leaf)
	if err != nil || note == nil {
		return contract.RecordInLog{}, err
	}
	in, err := v.inLog(ctx, leaf)
	if err == nil && in.Checkpoint == "" { // the tree was exchanged just now
		err = acting.ErrModelsBehind
	}
	return in, err
}

// awaitCheckpoint returns a checkpoint that covers a leaf; nil where the log is not signed. It
// returns acting.ErrModelsBehind when there is none in time.
func (v *Vault) awaitCheckpoint(ctx context.Context, leaf int64) ([]byte, error) {
	if v.Proof == nil {
		return nil, nil
	}
	limited, cancel := context.WithTimeout(ctx, receiptWait)
	defer cancel()
	note, err := v.Proof.Await(limited, leaf)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return nil, acting.ErrModelsBehind
	}
	return note, err
}

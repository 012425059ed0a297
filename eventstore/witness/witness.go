// Package witness is the protocol of C2SP tlog-witness, from both sides: [Witness] cosigns the
// checkpoints of logs, whoever they are, and [Client] asks a witness to.
//
// A cosignature says: this is the largest state of that log that I have seen, and it begins with
// every one that I cosigned before. A log that shows two histories to two auditors gets it for
// one of them only.
//
// Invariant: no two checkpoints of one origin that disagree are ever cosigned under one key. The
// state that forbids it is on the disk, with the key in the same file, before a cosignature
// leaves.
package witness

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"coffre/eventstore/proof"
)

// Refusals of a witness. A checkpoint whose log is unknown is proof.ErrOrigin, one that its log
// did not sign proof.ErrSignature.
var (
	// ErrInconsistent: the proof does not show that the checkpoint begins with what was
	// cosigned before.
	ErrInconsistent = errors.New("witness: the checkpoint is not shown to begin with the one cosigned before")
	// ErrForked: the log signed two checkpoints of one size that disagree.
	ErrForked = errors.New("witness: another checkpoint of that size was cosigned before")
)

// SizeError says that the witness cosigned another size last than the request begins with.
type SizeError struct{ Size int64 }

func (e *SizeError) Error() string {
	return fmt.Sprintf("witness: the checkpoint cosigned last has %d leaves", e.Size)
}

// Witness cosigns checkpoints. Its methods may be called concurrently.
type Witness struct {
	state  *State
	logs   []proof.NamedKey
	now    func() time.Time
	logger *slog.Logger

	mu sync.Mutex // held from the comparison with the state until the state is on the disk
}

// New returns a witness of the logs with these keys; several keys of one name sign one log.
func New(state *State, logs []proof.NamedKey, now func() time.Time, logger *slog.Logger) *Witness {
	return &Witness{state: state, logs: logs, now: now, logger: logger}
}

// Add judges a checkpoint and returns the cosignature of it.
//
//	 the log's signature, the size and the proof are verified
//	(1) → the new size and root take the place of the former ones in the file, synced
//	      crash: nobody has the cosignature; the log asks again, and gets it
//	(2) → the cosignature is made, and leaves
func (w *Witness) Add(r Request) (proof.Cosignature, error) {
	h, err := proof.OpenHead(r.Checkpoint, w.logs)
	if err != nil {
		return proof.Cosignature{}, err
	}
	if r.Old > h.Size {
		return proof.Cosignature{}, ErrRequest
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	last := w.state.last(h.Origin)
	if r.Old != last.Size {
		return proof.Cosignature{}, &SizeError{last.Size}
	}
	switch {
	case last.Size == h.Size && last.Root != h.Root && last.note != "":
		// Both are public: what a log signed twice is evidence for everybody.
		w.logger.Error("a log signed two checkpoints of one size that disagree; keep both: they prove it",
			"origin", h.Origin, "size", h.Size, "cosigned", last.note, "refused", string(r.Checkpoint))
		return proof.Cosignature{}, ErrForked
	case last.Size == h.Size && last.note != "":
		if len(r.Proof) > 0 {
			return proof.Cosignature{}, ErrInconsistent
		}
		return w.cosign(h), nil
	case last.Size == 0 && (len(r.Proof) > 0 || h.Size == 0 && h.Root != new(proof.Frontier).Root()):
		return proof.Cosignature{}, ErrInconsistent
	case last.Size > 0 && proof.CheckConsistency(r.Proof, h.Size, h.Root, last.Size, last.Root) != nil:
		w.logger.Warn("a checkpoint was not shown to begin with the one cosigned before", "origin", h.Origin, "size", h.Size, "cosigned", last.Size)
		return proof.Cosignature{}, ErrInconsistent
	}
	if err := w.state.keep(h, r.Checkpoint); err != nil { // (1)
		return proof.Cosignature{}, err
	}
	return w.cosign(h), nil // (2)
}

func (w *Witness) cosign(h proof.Head) proof.Cosignature {
	return proof.Cosign(h.Text, w.state.name, w.state.private, w.now())
}

// Key returns the witness's public key with its name.
func (w *Witness) Key() proof.NamedKey { return w.state.Key() }

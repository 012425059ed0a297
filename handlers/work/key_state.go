package work

import (
	"context"
	"maps"
	"slices"

	"coffre/eventstore/seal"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// KeyState returns the versions of the key-encryption key, the numbers of keys by state, the
// last backup, how far the rotations of the key-encryption key and of the pepper are, and
// the next step. It never returns a key.
func (work *Worker) KeyState(ctx context.Context) (contract.KeyState, error) {
	s, err := work.Keys.Ledger().Status(ctx)
	if err != nil {
		return contract.KeyState{}, err
	}
	state := contract.KeyState{
		Provider: work.keeper, KeyEncryptionKeys: []contract.KeyEncryptionKey{}, DataKeys: int64(s.Pending + s.Active + s.Erasing),
		ContentKeys: int64(s.Streams), DestroyedKeys: new(int64(s.Destroyed)),
	}
	courses, err := work.Keys.Ledger().Rotations(ctx)
	if err != nil {
		return contract.KeyState{}, err
	}
	course := map[int]seal.Rotation{}
	for _, c := range courses {
		course[c.Version] = c
	}
	// Versions that may still be needed are listed without wraps, too, and so are destroyed ones.
	for version := s.Versions.MinAvailable; version <= s.Versions.Latest; version++ {
		s.ByVersion[version] += 0
	}
	for version := range course {
		s.ByVersion[version] += 0
	}
	made, err := work.Keys.Ledger().Made(ctx)
	if err != nil {
		return contract.KeyState{}, err
	}
	for i, version := range slices.Sorted(maps.Keys(s.ByVersion)) {
		c := course[version]
		if i == 0 && c.Rotated.IsZero() {
			c.Rotated = made
		}
		state.KeyEncryptionKeys = append(state.KeyEncryptionKeys, contract.KeyEncryptionKey{
			Version: version, Current: version == s.Versions.Latest, Wraps: int64(s.ByVersion[version]),
			CreatedAt: c.Rotated, RewrappedAt: c.Rewrapped, RetiredAt: c.Retired, TrimmedAt: c.Trimmed,
		})
	}
	next, err := work.Keys.Ledger().NextStep(ctx)
	if err != nil {
		return contract.KeyState{}, err
	}
	state.NextStep = contract.RotationStep(next)
	backup, found, err := work.Keys.Ledger().LastBackup(ctx)
	if err != nil {
		return contract.KeyState{}, err
	}
	if found {
		state.LastBackup = contract.KeyBackup{TakenAt: backup.Taken, VerifiedAt: backup.Verified, OldestVersion: backup.OldestVersion}
	}
	pepper, err := work.Keys.Ledger().PepperStatus(ctx)
	if err != nil {
		return contract.KeyState{}, err
	}
	state.Pepper = contract.PepperState{
		Version: pepper.Version, Phase: pepperPhases[pepper.Phase],
		ToIndex: new(int64(pepper.Missing)), Waiting: new(int64(pepper.Waiting)), ToDrop: new(int64(pepper.Left)),
	}
	state.Pepper.Rotation, _ = work.repepper.status(work.Now())
	if state.Pepper.Rotation.State == contract.TaskStateFailed {
		state.Pepper.Rotation.Problem = edge.TaskProblem(errRepepper)
	}
	var wrapped int64
	if state.Rotation, wrapped = work.rewrap.status(work.Now()); state.Rotation.State != "" {
		state.RotationDone = &wrapped
	}
	// The ledger knows of work that another process, or this one before it was started anew, began.
	state.Rotation = work.underWay(state.Rotation, next == seal.StepRewrap)
	state.Pepper.Rotation = work.underWay(state.Pepper.Rotation, pepper.Phase != seal.PepperSettled)
	return state, nil
}

// underWay returns how far a rotation is, which the ledger says is not over: never done, and
// failed only where this process saw it fail.
func (work *Worker) underWay(seen contract.TaskProgress, open bool) contract.TaskProgress {
	if !open || seen.State == contract.TaskStateFailed || seen.State == contract.TaskStateProcessing {
		return seen
	}
	return contract.TaskProgress{State: contract.TaskStateProcessing, PollAfter: work.Now().UTC().Add(edge.PollAfter)}
}

var pepperPhases = map[seal.PepperPhase]contract.PepperPhase{
	seal.PepperSettled: contract.PepperPhaseSettled, seal.PepperDoubled: contract.PepperPhaseDoubled,
	seal.PepperSwitched: contract.PepperPhaseSwitched, seal.PepperDropping: contract.PepperPhaseDropping,
}

package seal

import (
	"context"
	"errors"
	"time"

	"coffre/eventstore/seal/keysdb"
)

// Ledger is what a ring has on record beside its keys: the course of rotations,
// verified backups, destroyed keys, public keys that signed something. All methods may
// be called concurrently.
type Ledger struct{ ring *Ring }

// Ledger returns the ring's records.
func (r *Ring) Ledger() Ledger { return Ledger{r} }

// Rotation is the course of one version of the key-encryption key. Times are to the
// microsecond, UTC; zero: not yet, or before the ring kept them.
type Rotation struct {
	Version   int
	Rotated   time.Time // it became the latest
	Rewrapped time.Time // nothing was wrapped by an older one any more
	Retired   time.Time // it opens nothing any more
	Trimmed   time.Time // it is destroyed: at this time or before
}

// Rotations returns what the ring knows of each version of the key-encryption key,
// by version.
func (l Ledger) Rotations(ctx context.Context) ([]Rotation, error) {
	var out []Rotation
	err := l.ring.db.Each(ctx, rotations, `ORDER BY version`, nil, func(e *keysdb.Entry, damage error) error {
		out = append(out, Rotation{int(e.Int("version")), timeOf(e.Int("rotated")), timeOf(e.Int("rewrapped")), timeOf(e.Int("retired")), timeOf(e.Int("trimmed"))})
		return damage
	})
	return out, unavailable(ctx, "read rotations", err)
}

// Made returns when the ring was made, and with it the first version that it knows of the
// key-encryption key: the ring keeps no other time of that one.
func (l Ledger) Made(ctx context.Context) (time.Time, error) {
	rows, err := l.ring.deploymentRows(ctx)
	if err != nil {
		return time.Time{}, unavailable(ctx, "read when the ring was made", err)
	}
	var first int64
	for i, row := range rows {
		if i == 0 || row.Created < first {
			first = row.Created
		}
	}
	return timeOf(first), nil
}

// TrimmedVersion is a version of the key-encryption key that exists no more.
type TrimmedVersion struct {
	Version int
	At      time.Time // it was gone then, perhaps shortly before
}

// Trimmed returns the versions that were destroyed, by version. What a copy of the
// database still has under one of them is readable by nobody, except with a snapshot
// of the keeper from before.
func (l Ledger) Trimmed(ctx context.Context) ([]TrimmedVersion, error) {
	rotations, err := l.Rotations(ctx)
	if err != nil {
		return nil, err
	}
	var out []TrimmedVersion
	for _, rotation := range rotations {
		if !rotation.Trimmed.IsZero() {
			out = append(out, TrimmedVersion{rotation.Version, rotation.Trimmed})
		}
	}
	return out, nil
}

// Step is what a rotation of the key-encryption key waits for.
type Step string

// The steps of a rotation, in order.
const (
	StepRotate Step = "rotate" // nothing is under way
	StepRewrap Step = "rewrap"
	StepBackUp Step = "backUp"
	StepRetire Step = "retire"
	StepTrim   Step = "trim"
)

// NextStep returns the step that the rotation of the key-encryption key waits for. It
// counts the whole ring: seconds for millions of citizens.
func (l Ledger) NextStep(ctx context.Context) (Step, error) {
	versions, err := l.ring.kek.Versions(ctx)
	if err != nil {
		return "", unavailable(ctx, "read versions", err)
	}
	oldest, step := versions.Latest, StepRetire
	switch {
	case versions.MinAvailable == versions.Latest:
		return StepRotate, nil
	case versions.MinDecryption == versions.Latest:
		step = StepTrim
	}
	switch err := l.ring.dispensable(ctx, oldest); {
	case errors.Is(err, ErrNotRewrapped):
		return StepRewrap, nil
	case errors.Is(err, ErrNoBackup):
		return StepBackUp, nil
	case err != nil:
		return "", err
	}
	return step, nil
}

// timeOf returns a time that the database keeps in microseconds; the zero time for 0.
func timeOf(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

package seal

import (
	"context"
	"time"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// Destruction is what is known of a key that was destroyed, for whoever must tell
// when no copy can bring it back (rule E-3).
type Destruction struct {
	At        time.Time // UTC; the last time that it had to be destroyed
	WrappedBy int       // the latest version of the key-encryption key that it can have been wrapped by
	// Oldest is the oldest version of the key-encryption key that is still there.
	// TrimmedAt is when WrappedBy, and all before it, was found to be gone; zero while
	// it is not.
	Oldest    int
	TrimmedAt time.Time
}

// Destructions answers for many keys, with one question to the keeper of the
// key-encryption key. It is as of when it was made.
type Destructions struct {
	ring     *Ring
	versions Versions
	trimmed  map[int]time.Time // when a version was found to be gone
}

// Destructions returns what is known of destroyed keys, after asking which versions of
// the key-encryption key are gone.
func (l Ledger) Destructions(ctx context.Context) (*Destructions, error) {
	versions, err := l.ring.kek.Versions(ctx)
	if err != nil {
		return nil, unavailable(ctx, "read versions", err)
	}
	trimmed, err := l.Trimmed(ctx)
	if err != nil {
		return nil, err
	}
	all := &Destructions{ring: l.ring, versions: versions, trimmed: make(map[int]time.Time, len(trimmed))}
	for _, t := range trimmed {
		all.trimmed[t.Version] = t.At
	}
	return all, nil
}

// Subject returns what is known of a citizen's destroyed key. It returns ErrUnknown
// unless it is destroyed.
func (d *Destructions) Subject(ctx context.Context, citizen domain.CitizenID) (Destruction, error) {
	return d.of(ctx, subjects, `citizen = ? AND state = ?`, citizen.UUID[:], destroyed)
}

// Stream returns what is known of a stream's destroyed content key. While the citizen has
// the data key under which it lies in old copies, no trim reaches it: WrappedBy is then the
// latest version. It returns ErrUnknown unless the key is destroyed.
func (d *Destructions) Stream(ctx context.Context, stream eventstore.Stream) (Destruction, error) {
	// Asked first: who finds it replaced finds it recorded, too.
	exposed, err := d.ring.db.Entry(ctx, exposedStreams, `stream = ?`, string(stream))
	if err != nil {
		return Destruction{}, unavailable(ctx, "read destruction", err)
	}
	known, err := d.of(ctx, streamKeys, `stream = ? AND state = ?`, string(stream), keyDestroyed)
	if err == nil && exposed != nil {
		known.WrappedBy, known.TrimmedAt = max(known.WrappedBy, d.versions.Latest), time.Time{}
	}
	return known, err
}

func (d *Destructions) of(ctx context.Context, t *keysdb.Table, which string, args ...any) (Destruction, error) {
	r := d.ring
	var at int64
	var version int
	e, err := r.db.Entry(ctx, t, which, args...)
	found := err == nil && e != nil
	if found {
		at, version = e.Int("destroyed"), int(e.Int("destroyed_version"))
	}
	if found && version == 0 { // from before this was kept: count from now on
		at, version = r.micros(), d.versions.Latest
		_, err = keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (int64, error) {
			return tx.Update(t, `destroyed_version = 0 AND `+which, args, func(e *keysdb.Entry) {
				e.Set("destroyed", at)
				e.Set("destroyed_version", version)
			})
		})
	}
	switch {
	case err != nil:
		return Destruction{}, unavailable(ctx, "read destruction", err)
	case !found:
		return Destruction{}, ErrUnknown
	}
	known := Destruction{At: timeOf(at), WrappedBy: version, Oldest: d.versions.MinAvailable}
	if known.Oldest > version {
		known.TrimmedAt = d.trimmed[version] // older ones went before, or with it
	}
	return known, nil
}

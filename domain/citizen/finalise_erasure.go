package citizen

import (
	"time"

	"coffre/domain"
)

var (
	ErrNotDestroyed = domain.NewError(domain.Conflict, "erasureNotDone", "the keys are not destroyed yet")
	ErrNotTrimmed   = domain.NewError(domain.Conflict, "keyVersionsKept", "the key-encryption key's former versions are still there")
	ErrCopiesKept   = domain.NewError(domain.Conflict, "copiesKept", "copies made before may still be kept")
)

// Retentions says for how many days copies are kept, by what they are copies of: the
// key ring (backups), its write-ahead log (archives), the keeper of the
// key-encryption key (snapshots). 0 to MaxRetention; 0 is for copies that are never
// made.
type Retentions struct{ Backups, Archives, Snapshots int }

// MaxRetention bounds the days of a retention: a hundred years.
const MaxRetention = 36_525

// Destruction is what the key ring knows of keys that it destroyed.
type Destruction struct {
	At        time.Time // last time that a key lay there which had to be destroyed
	WrappedBy int       // the latest version of the key-encryption key that wrapped it
	// OldestVersion of the key-encryption key that is still there, and when it was found
	// that WrappedBy is not; TrimmedAt is zero while it is.
	OldestVersion int
	TrimmedAt     time.Time
}

// FinaliseErasure is the end of an erasure, long after its keys were destroyed.
type FinaliseErasure struct {
	Erasure     domain.ErasureID
	Destruction Destruction
	Retentions  Retentions
	By          domain.Actor
	At          time.Time
}

// Decide implements the last part of E-3.
func (c FinaliseErasure) Decide(s State) ([]Event, error) {
	_, due, err := s.dueForEraser(c.Erasure, c.By, eraserStep{after: Done, refusal: ErrNotDestroyed, reaches: Final})
	if err != nil || !due {
		return nil, err
	}
	d := c.Destruction
	last, trimmed := FinalAfter(d, c.Retentions)
	switch {
	case !trimmed:
		return nil, ErrNotTrimmed
	case !last.Before(domain.BelgianDate(c.At)):
		return nil, ErrCopiesKept
	}
	backups, archives, snapshots := d.copies(c.Retentions)
	return []Event{ErasureFinalised{Citizen: s.Citizen, Erasure: c.Erasure,
		WrappedBy: d.WrappedBy, OldestVersion: d.OldestVersion, TrimmedAt: d.TrimmedAt,
		Backups: backups, Archives: archives, Snapshots: snapshots, At: c.At}}, nil
}

// FinalAfter returns the last day on which a copy may be kept that could, together
// with the others, bring back what was destroyed. ok is false while a version of the
// key-encryption key that opens it is still there.
func FinalAfter(d Destruction, r Retentions) (last domain.Date, ok bool) {
	if d.At.IsZero() || d.TrimmedAt.IsZero() || d.WrappedBy < 1 || d.OldestVersion <= d.WrappedBy {
		return "", false
	}
	backups, archives, snapshots := d.copies(r)
	return max(backups.Until, archives.Until, snapshots.Until), true
}

// copies says until when each kind is kept. A copy of the keeper that was made just
// before the trim still holds the version that is gone since.
func (d Destruction) copies(r Retentions) (backups, archives, snapshots CopiesGone) {
	destroyed, trimmed := domain.BelgianDate(d.At), domain.BelgianDate(d.TrimmedAt)
	return CopiesGone{r.Backups, destroyed.AddDays(r.Backups)},
		CopiesGone{r.Archives, destroyed.AddDays(r.Archives)},
		CopiesGone{r.Snapshots, trimmed.AddDays(r.Snapshots)}
}

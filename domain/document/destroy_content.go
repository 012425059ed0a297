package document

import (
	"slices"
	"time"

	"coffre/domain"
	"coffre/domain/citizen"
)

var (
	ErrNotEraser  = domain.NewError(domain.Forbidden, "notEraser", "only the vault's destroyer may do this")
	ErrNotAgreed  = domain.NewError(domain.Conflict, "erasureNotStarted", "no started erasure covers this document")
	ErrWrongOwner = domain.NewError(domain.Conflict, "erasureOfAnother", "the erasure is another citizen's")
)

// DestroyContent records that the document's content key is gone.
type DestroyContent struct {
	Citizen    domain.CitizenID // whose erasure it is
	Erasure    citizen.Erasure  // as the citizen's stream has it
	Key        string           // id of the destroyed content key
	Unreadable int64            // events whose personal part can no longer be read
	Digest     []byte           // SHA-256 over their leaf hashes in log order
	By         domain.Actor
	At         time.Time
}

// Decide implements E-1 and E-2 for one document: what was asked, agreed to and
// started is recorded, nothing else.
func (c DestroyContent) Decide(s State) ([]Event, error) {
	e := c.Erasure
	switch {
	case c.By.Role != domain.RoleSystem && c.By.Role != domain.RoleOperator: // E-2
		return nil, ErrNotEraser
	case !s.Exists():
		return nil, ErrNotFound
	case c.Citizen != s.Citizen:
		return nil, ErrWrongOwner
	case s.Erased:
		return nil, nil
	case e.Step < citizen.Started || e.Scope == citizen.OneDocument && e.Document != s.Document: // E-1
		return nil, ErrNotAgreed
	}
	return []Event{ContentDestroyed{Document: s.Document, Erasure: e.ID, Key: c.Key,
		Unreadable: c.Unreadable, Digest: slices.Clone(c.Digest), At: c.At}}, nil
}

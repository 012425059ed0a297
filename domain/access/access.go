// Package access decides which reading is lawful without the citizen's consent,
// records what became of every reading, and counts those that were refused.
// Reading under a consent is decided in the consent's own stream, with the words
// of this package.
//
//	an access: (none) --Authorize…--> authorised --RecordOutcome--> disclosed | withheld | failed
//	              \                       \--the same again within five minutes--> one attempt more
//	               \--refused--> RecordRefusals, in the refusing organisation's stream of the day
//
// Rule A-5, that there is no way around the rules for emergencies, shows in what
// is missing: no command here authorises without a basis, for any role.
//
// Rules of this package's own:
//
//   - A-8 an access is not replayable by its key alone: the same access again is
//     judged anew, answered within five minutes and for the version first
//     authorised, as one attempt more; otherwise it is used up
//   - A-10 what tells presence, state or absence and nothing else is on record as what
//     was told, once per query and before it is told
//   - A-13 a message to a citizen is on record before it leaves, with the organisation that
//     carries it; it goes to living citizens, and says nothing of what is restricted
//   - A-11 that somebody finds a citizen by number is on record before it is told, for the
//     citizen to see; without a case once per organisation, purpose and day
//
// Invariant: the basis is judged before anything about what is held, so that who
// has none learns nothing.
package access

import (
	"fmt"
	"slices"
	"time"

	"coffre/domain"
)

// RepeatWithin is how long the same access may be answered again.
const RepeatWithin = 5 * time.Minute

// maxRemembered bounds how many accesses a state remembers. An older one is
// forgotten, and then refused when it comes again.
const maxRemembered = 64

// Two refusals that are answered as ErrNoBasis, so that a consumer learns of neither from the
// other, nor of one from a document that never was.
var (
	// ErrRestricted refuses a reading that a restriction of processing stops (rule P-5).
	ErrRestricted = fmt.Errorf("%w: processing is restricted", ErrNoBasis)
	// ErrErased refuses a consumer's reading of what was erased (rule E-3).
	ErrErased = fmt.Errorf("%w: %w", ErrNoBasis, ErrDocumentGone)
)

// Restricted is the reason on record of a reading that a restriction of processing stopped.
// The citizen sees it, the consumer does not.
const Restricted domain.ReasonCode = "processingRestricted"

var (
	ErrNoBasis     = domain.NewError(domain.NotFound, "noBasis", "nothing allows this reading, or there is nothing to read; registrations in GET /registry with your token show what your organisation may ask for")
	ErrAlreadyUsed = domain.NewError(domain.Conflict, "accessAlreadyUsed", "this access was answered before and cannot be answered again; ask for a new one")
)

// State remembers one citizen's accesses of a month, as far as rules need them.
type State struct {
	Memory  Memory
	Lookups Lookups
}

// Evolve returns the state after e. It never refuses: e already happened.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Authorized:
		s.Memory = s.Memory.Add(e)
		return s
	case Named:
		s.Lookups = s.Lookups.add(e)
		return s
	case Disclosed, Told:
		return s
	}
	panic("access: event type without a case in Evolve")
}

// Memory remembers the newest accesses of a stream, for rule A-8. It is shared
// and never changed; Add returns another.
type Memory struct{ accesses []remembered }

type remembered struct {
	access     domain.AccessID
	kind       Opened
	document   domain.DocumentID
	attachment domain.AttachmentID
	version    int
	first      time.Time
	attempts   int
}

// Add returns the memory with one authorisation more.
func (m Memory) Add(e Authorized) Memory {
	if i := m.find(e.Access); i >= 0 {
		accesses := slices.Clone(m.accesses)
		accesses[i].attempts = max(accesses[i].attempts, e.Attempt)
		return Memory{accesses}
	}
	accesses := m.accesses
	if len(accesses) >= maxRemembered {
		accesses = accesses[1:]
	}
	accesses = append(slices.Clip(accesses), remembered{e.Access, e.Kind, e.Document, e.Attachment, e.Version, e.At, e.Attempt})
	return Memory{accesses}
}

func (m Memory) find(id domain.AccessID) int {
	return slices.IndexFunc(m.accesses, func(r remembered) bool { return r.access == id })
}

// Attempt implements A-8: it returns which attempt this would be, 1 for an access
// that is new, or ErrAlreadyUsed. Seen says that the access's key was met before,
// wherever that is remembered.
func (m Memory) Attempt(id domain.AccessID, q Question, at time.Time, seen bool) (int, error) {
	i := m.find(id)
	if i < 0 {
		if seen {
			return 0, ErrAlreadyUsed
		}
		return 1, nil
	}
	r := m.accesses[i]
	if at.Sub(r.first) > RepeatWithin || r.kind != q.Kind || r.document != q.Document.Document || r.attachment != q.Attachment || r.version != q.Document.Version {
		return 0, ErrAlreadyUsed
	}
	return r.attempts + 1, nil
}

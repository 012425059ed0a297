// Package citizen decides who is known to the vault, and when everything the
// vault holds of a person may be forgotten.
//
//	(none) --Register--> living --ReportDeath--> deceased
//	                        \                      /
//	                     StartErasure (whole citizen)
//	                                |
//	                             erasing --DestroyKey--> erased
//
//	an erasure: requested --ApproveErasure--> approved --StartErasure--> started --DestroyKey--> done --FinaliseErasure--> final
//	            (of one document: CompleteErasure in place of DestroyKey)
//	                                                                     started --StopErasure--> stopped
//	a correction: proposed --a second person decides--> carried out
//	                 \--nobody did for 30 days--> lapsed
//	a legal hold: placed --LiftHold--> lifted
//	a restriction of processing: standing --LiftRestriction--> lifted
//
// Rules about a person, beside those about an erasure (E-1 to E-4):
//
//   - P-1 a person is registered once; whoever meets a pending key registers them
//   - P-2 a death comes from an authentic source, is not in the future, and stands until
//     it is corrected
//   - P-3 a replaced number comes from an authentic source
//   - P-4 a legal hold is placed and lifted by a privacy officer, with a reason
//   - P-5 a restriction of processing (GDPR art. 18) is asked for by the citizen or a privacy
//     officer, stops every disclosure but those of art. 18(2), keeps what it covers from being
//     erased, and is lifted by the citizen who asked for it, or by a privacy officer who has
//     told the citizen; one that came with a petition ends with its answer (rule Q-6)
//   - P-7 two lives of one person are merged by two persons: from then on both numbers lead to
//     the survivor, whose all of it is; it is undone in the same way
//   - P-8 a citizen chooses for themselves in which language, of what and by which way they
//     hear; the choice is sealed, and the last one counts
//   - P-6 a death reported in error is corrected by two persons: the source or a privacy officer
//     proposes it, another privacy officer decides; what the death ended stays ended
//
// Invariant: no erasure starts while a legal hold or a duty to keep stands, and
// what is erased stays erased.
package citizen

import (
	"slices"
	"time"

	"coffre/domain"
)

// State is what the rules need to remember of one citizen. The zero value is
// nobody. States are shared: Evolve copies what it changes.
type State struct {
	Citizen  domain.CitizenID
	Deceased bool
	Holds    []Hold
	Erasures []Erasure
	// Restrictions are all there ever were, those lifted included.
	Restrictions Restrictions
	Corrections  []Correction
	// MergedInto is the life into which this one was merged; zero: none. Former are the lives
	// that were to be merged into this one: those count whose own stream says so.
	MergedInto domain.CitizenID
	Former     []domain.CitizenID
	// Revived is when the newest death was corrected; zero when none was. Consents and
	// mandates from before have ended (rule P-6).
	Revived time.Time
}

// Hold is a legal hold, standing until it is lifted.
type Hold struct {
	ID     domain.HoldID
	Reason domain.ReasonCode
	Lifted bool
}

// Erasure is one request for erasure and how far it came.
type Erasure struct {
	ID       domain.ErasureID
	Scope    Scope
	Document domain.DocumentID // when Scope is OneDocument
	Reason   domain.ReasonCode
	Step     Step
	// Survivors says that it was asked for and approved in the stream of the life into which
	// this one was merged, and is carried out with it.
	Survivors bool
}

// Step is how far an erasure came. Steps only go up.
type Step int

const (
	Requested Step = iota + 1
	Approved
	Started
	Stopped // nothing was destroyed: a duty to keep stood after all
	Done    // keys are destroyed
	Final   // no copy can bring them back
)

// Standing says in one word what others need to know of a citizen. The zero
// value means that nobody is known, which allows nothing.
type Standing string

const (
	Living  Standing = "living"
	Dead    Standing = "deceased"
	Erasing Standing = "erasing" // new writes fail
	Erased  Standing = "erased"
	// Joined is the standing of a life that was merged into another one, which is asked
	// instead. Only commands on this life's own stream meet it.
	Joined Standing = "merged"
)

// Writable returns ErrErased for a person whose erasure has started: nothing new is
// recorded of them (rule E-4).
func (s Standing) Writable() error {
	switch s {
	case Erasing, Erased:
		return ErrErased
	case Joined:
		return ErrMerged
	}
	return nil
}

var (
	ErrUnknown = domain.NewError(domain.NotFound, "citizenNotFound", "no such citizen")
	ErrMerged  = domain.NewError(domain.Conflict, "citizenMerged", "this person is known under another id by now, to which their numbers lead")
	ErrErased  = domain.NewError(domain.Conflict, "citizenErased", "this person's data was erased, or is being erased; only a new registration on a legal basis can follow")
)

// Standing returns how the citizen stands: their whole history in one word.
func (s State) Standing() Standing {
	for _, e := range s.Erasures {
		if e.Scope == WholeCitizen && e.Step >= Done {
			return Erased
		}
	}
	for _, e := range s.Erasures {
		if e.Scope == WholeCitizen && e.Step == Started {
			return Erasing
		}
	}
	switch {
	case s.Citizen.IsZero():
		return ""
	case !s.MergedInto.IsZero():
		return Joined
	case s.Deceased:
		return Dead
	}
	return Living
}

// writable refuses what may not be written of nobody, or of somebody whose
// erasure has started (rule E-4).
func (s State) writable() error {
	standing := s.Standing()
	if standing == "" {
		return ErrUnknown
	}
	return standing.Writable()
}

// Erasure returns the request for erasure with that id, if there is one.
func (s State) Erasure(id domain.ErasureID) (Erasure, bool) {
	i := slices.IndexFunc(s.Erasures, func(e Erasure) bool { return e.ID == id })
	if i < 0 {
		return Erasure{}, false
	}
	return s.Erasures[i], true
}

// Waiting returns the erasure of the citizen, or of that document, which was asked for and
// waits to be approved; false when none does.
func (s State) Waiting(scope Scope, document *domain.DocumentID) (Erasure, bool) {
	i := slices.IndexFunc(s.Erasures, func(e Erasure) bool {
		return e.Step == Requested && !e.Survivors && e.Scope == scope && (document == nil || e.Document == *document)
	})
	if i < 0 {
		return Erasure{}, false
	}
	return s.Erasures[i], true
}

// Closed reports whether an erasure that covers the document has started: nothing
// more may be attested in it (rule E-4).
func (s State) Closed(d domain.DocumentID) bool {
	return slices.ContainsFunc(s.Erasures, func(e Erasure) bool {
		return e.Step >= Started && e.Step != Stopped && e.covers(d)
	})
}

// holds returns the legal holds that stand: those not lifted.
func (s State) holds() []Hold {
	var standing []Hold
	for _, h := range s.Holds {
		if !h.Lifted {
			standing = append(standing, h)
		}
	}
	return standing
}

// OnHold reports whether a legal hold stands.
func (s State) OnHold() bool { return len(s.holds()) > 0 }

// underWay reports whether some erasure has started and is not done.
func (s State) underWay() bool {
	return slices.ContainsFunc(s.Erasures, func(e Erasure) bool { return e.Step == Started })
}

// Evolve returns the state after e. It never refuses: e already happened. It
// copes with any order, because holds and requests are appended whatever came
// between.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Registered:
		s.Citizen = e.Citizen
		return s
	case Deceased:
		s.Deceased = true
		return s
	case DeathCorrectionProposed:
		return s.propose(Correction{ID: e.Correction, Kind: DeathInError, ProposedAt: e.At})
	case DeathCorrected:
		s.Deceased, s.Revived = false, e.At
		return s.decided(e.Correction, e.At)
	case MergeProposed:
		return s.propose(Correction{ID: e.Correction, Kind: Merge, Survivor: e.Survivor, ProposedAt: e.At})
	case Merged:
		if !slices.Contains(s.Former, e.Former) {
			s.Former = append(slices.Clip(s.Former), e.Former)
		}
		return s
	case MergedInto:
		s.MergedInto = e.Survivor
		return s.decided(e.Correction, e.At)
	case SeparationProposed:
		return s.propose(Correction{ID: e.Correction, Kind: Separation, ProposedAt: e.At})
	case Separated:
		s.MergedInto = domain.CitizenID{}
		return s.decided(e.Correction, e.At)
	case SSINReplaced, PreferencesSet:
		return s
	case LegalHoldPlaced:
		if slices.ContainsFunc(s.Holds, func(h Hold) bool { return h.ID == e.Hold }) {
			return s
		}
		s.Holds = append(slices.Clip(s.Holds), Hold{ID: e.Hold, Reason: e.Reason})
		return s
	case LegalHoldLifted:
		s.Holds = slices.Clone(s.Holds)
		for i := range s.Holds {
			if s.Holds[i].ID == e.Hold {
				s.Holds[i].Lifted = true
			}
		}
		return s
	case ProcessingRestricted:
		return s.restricted(e)
	case RestrictionLifted:
		return s.unrestricted(e)
	case ErasureRequested:
		if _, known := s.Erasure(e.Erasure); known {
			return s
		}
		s.Erasures = append(slices.Clip(s.Erasures), Erasure{ID: e.Erasure, Scope: e.Scope, Document: e.Document, Reason: e.Reason, Step: Requested})
		return s
	case ErasureApproved:
		return s.step(e.Erasure, Approved)
	case ErasureStarted:
		if _, known := s.Erasure(e.Erasure); !known && !s.MergedInto.IsZero() { // the survivor's
			s.Erasures = append(slices.Clip(s.Erasures), Erasure{ID: e.Erasure, Scope: WholeCitizen, Survivors: true})
		}
		return s.step(e.Erasure, Started)
	case KeyDestroyed:
		return s.step(e.Erasure, Done)
	case ErasureCompleted:
		return s.step(e.Erasure, Done)
	case ErasureStopped:
		return s.step(e.Erasure, Stopped)
	case ErasureFinalised:
		return s.step(e.Erasure, Final)
	}
	panic("citizen: event type without a case in Evolve")
}

// step moves an erasure forward, never back.
func (s State) step(id domain.ErasureID, to Step) State {
	s.Erasures = slices.Clone(s.Erasures)
	for i := range s.Erasures {
		if s.Erasures[i].ID == id {
			s.Erasures[i].Step = max(s.Erasures[i].Step, to)
		}
	}
	return s
}

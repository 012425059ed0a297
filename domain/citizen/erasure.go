package citizen

import (
	"time"

	"coffre/domain"
)

var (
	ErrNoErasure  = domain.NewError(domain.NotFound, "erasureNotFound", "no such request for erasure")
	ErrNotEraser  = domain.NewError(domain.Forbidden, "notEraser", "only the vault's destroyer may do this")
	ErrNotStarted = domain.NewError(domain.Conflict, "erasureNotStarted", "this erasure has not started")
)

// eraserStep is the place of one of the destroyer's commands among the steps of an
// erasure.
type eraserStep struct {
	scope   Scope         // the only scope that has the step; "" is any
	after   Step          // the step that must have been reached
	refusal *domain.Error // the answer while it has not
	reaches Step          // an erasure this far has nothing left to do for the command
}

// dueForEraser implements the part of E-2 and E-3 that every command of the destroyer
// begins with: who may give it, and the order of the steps. due is false, without a
// refusal, when the step was made before.
func (s State) dueForEraser(id domain.ErasureID, by domain.Actor, step eraserStep) (e Erasure, due bool, err error) {
	if !isEraser(by) {
		return Erasure{}, false, ErrNotEraser
	}
	e, known := s.Erasure(id)
	switch {
	case !known:
		return e, false, ErrNoErasure
	case step.scope != "" && e.Scope != step.scope:
		return e, false, ErrScope
	case e.Step >= step.reaches:
		return e, false, nil
	case e.Step < step.after:
		return e, false, step.refusal
	}
	return e, true, nil
}

// isEraser implements E-2's part in the rules: the destroyer acts as Coffre
// itself or as an operator, never as who asks or approves.
func isEraser(by domain.Actor) bool {
	return by.Role == domain.RoleSystem || by.Role == domain.RoleOperator
}

// mayErase implements what E-1 judges at approval and again at the start: the
// person's data is not being erased already, and no legal hold, restriction of
// processing or duty to keep stands. A single document must be among those given: what is not known is
// not judged.
func (s State) mayErase(e Erasure, others []State, documents []RetainedDocument, at time.Time) error {
	if err := s.erasable(e.Scope); err != nil {
		return err
	}
	o := s.obstacles(e.Scope, e.Document, others)
	o.Duties = e.duties(documents, domain.BelgianDate(at))
	switch {
	case len(o.Holds)+len(o.Duties)+len(o.Restrictions) > 0:
		return o
	case !e.coversAny(documents):
		return ErrNothingToErase
	}
	return nil
}

// noHold implements what E-1 says of legal holds and of restrictions of processing: while a
// hold stands nothing may be erased, and while a restriction does nothing that it covers.
func (s State) noHold(scope Scope, d domain.DocumentID, others []State) error {
	o := s.obstacles(scope, d, others)
	if len(o.Holds)+len(o.Restrictions) > 0 {
		return o
	}
	return nil
}

// obstacles returns the holds and restrictions of all lives of a person that stand in the way
// of an erasure. Others are the lives beside this one.
func (s State) obstacles(scope Scope, d domain.DocumentID, others []State) *Obstacles {
	o := &Obstacles{Holds: s.holds(), Restrictions: s.Restrictions.overlap(scope, d)}
	for _, other := range others {
		o.Holds = append(o.Holds, other.holds()...)
		o.Restrictions = append(o.Restrictions, other.Restrictions.overlap(scope, d)...)
	}
	return o
}

// erasable refuses to erase what may not be written any more. One document of a merged life
// is erased in that life's own stream.
func (s State) erasable(scope Scope) error {
	if scope == OneDocument && s.Standing() == Joined {
		return nil
	}
	return s.writable()
}

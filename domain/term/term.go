// Package term decides what is told of terms that come to their end: the validity of a document,
// a consent, the time in which a petition is to be answered.
//
//	(none) --Announce--> announced --Announce--> announced, of a nearer step or of another end
//
// An announcement is a notice and nothing else. Whether a document is valid, a consent holds or a
// petition is overdue is computed whenever it is asked, by other packages, and none of them looks
// here: a clock that stands still or runs ahead changes no decision.
//
// Its rules:
//
//   - N-1 a document is announced 90 and 30 days before its last day and on it, a consent when it
//     is over, a petition on the day after its deadline; days are those of Belgium
//   - N-2 each step is announced once; of several that passed meanwhile the nearest one only, and
//     none that had passed when the end became known, or whose term has been over for a month
//   - N-3 a term is announced while it runs its course, to a living citizen: not of what was
//     revoked, erased, withdrawn or answered before, and not to somebody who is being erased
//
// Invariant: no event of this package has a personal part, or a date that its subject's own events
// do not have in clear.
package term

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
)

// Kind is what a term is the end of.
type Kind string

const (
	Document Kind = "document" // its validity
	Consent  Kind = "consent"
	Petition Kind = "petition" // the time to answer it
)

// Late is how long after its end a term is still announced.
const Late = 31 * 24 * time.Hour

// Since is how long before now the due moment of a step lies at most that may still be announced.
const Since = Late + 91*24*time.Hour

// documentSteps are the days before a document's last day on which it is announced, and step 0
// that day.
var documentSteps = []int{90, 30, 0}

// Term is the end of something, as its own stream has it.
type Term struct {
	Kind         Kind
	Subject      uuid.UUID // of the document, consent or petition
	Citizen      domain.CitizenID
	Type         domain.DocumentType // of a document
	Organisation domain.Organisation // its issuer, the consumer, who is to answer; absent: a privacy officer of the vault
	Purpose      domain.Purpose      // of a consent
	Ends         domain.Date         // its last day
	Over         time.Time           // the moment from which it is over
	Known        time.Time           // when its end was recorded
}

// steps returns the steps of a kind, the earliest first.
func (k Kind) steps() []int {
	if k == Document {
		return documentSteps
	}
	return []int{0}
}

// due returns the moment from which a step is announced.
func (t Term) due(step int) time.Time {
	if t.Kind == Document {
		return domain.BelgianMidnight(t.Ends.AddDays(-step))
	}
	return t.Over
}

// Reached returns the nearest step that may be announced at a moment (rules N-1, N-2).
func (t Term) Reached(at time.Time) (step int, ok bool) {
	if t.Ends.IsZero() || !at.Before(t.Over.Add(Late)) {
		return 0, false
	}
	for _, step := range slices.Backward(t.Kind.steps()) {
		if due := t.due(step); !at.Before(due) {
			return step, due.After(t.Known)
		}
	}
	return 0, false
}

// Next returns when the first step falls due that is nearer than a former one; ok is false when
// none is left. A former step below 0 is none.
func (t Term) Next(former int) (due time.Time, ok bool) {
	for _, step := range t.Kind.steps() {
		if due = t.due(step); due.After(t.Known) && (former < 0 || step < former) {
			return due, true
		}
	}
	return time.Time{}, false
}

// ID returns the id of the announcement of a step, the same whoever makes it and however often.
func (t Term) ID(step int) uuid.UUID {
	return uuid.NewSHA1(t.Subject, append([]byte("term "+t.Kind+" "+Kind(t.Ends)+" "), byte(step)))
}

// State is what the rules need to remember of the terms of one subject. States are shared: Evolve
// copies what it changes.
type State struct{ Told []Step }

// Step is a step of an end that was announced.
type Step struct {
	Ends   domain.Date
	Before int
}

// Evolve returns the state after e. It never refuses: e already happened.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Announced:
		return State{append(slices.Clip(s.Told), Step{e.Ends, e.Before})}
	}
	panic("term: event type without a case in Evolve")
}

// told reports whether a step of an end was announced, or a nearer one.
func (s State) told(ends domain.Date, step int) bool {
	return slices.ContainsFunc(s.Told, func(t Step) bool { return t.Ends == ends && t.Before <= step })
}

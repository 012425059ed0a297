// Package petition decides what a citizen asks of an organisation about their own data, until
// when it has to be answered, and who answers it.
//
//	(none) --Dispute--> open --Answer--> answered (upheld | rejected)
//	      \--Request--/    |
//	                       \--Extend--> open, until two months later
//
// A petition is a dispute of one entry of the citizen's access log, a request to the issuer of
// a document to rectify it (GDPR art. 16), or an objection to what an organisation does with
// the citizen's data for a purpose (art. 21). That an answer is overdue is no fact: it is
// computed from the deadline whenever it is asked for.
//
// Its rules:
//
//   - Q-1 a petition is the citizen's own, or in their name by Q-8, about something of theirs that is on record, and has
//     a text, which is sealed
//   - Q-2 it is answered by the organisation that it is addressed to; where no organisation
//     read, or one was refused, by a privacy officer of the vault
//   - Q-3 it has to be answered within a month (GDPR art. 12(3)), and is overdue from then on
//   - Q-4 an entry is disputed once; a petition is answered once
//   - Q-5 a rectification is upheld with the version that followed it; what is rejected says why
//   - Q-6 a petition for rectification or an objection may restrict processing until it is
//     answered; an objection that is upheld lets the restriction stand
//   - Q-7 whoever answers may take two further months, once, and tells the citizen why within the
//     first one (GDPR art. 12(3))
//   - Q-8 a representative petitions in the citizen's name under a mandate in force that lets them
//     decide and covers what it is about, and restricts nothing
//
// Invariant: no fact here holds the words of anybody in clear.
package petition

import (
	"time"

	"coffre/domain"
)

// Kind is what a petition asks.
type Kind string

const (
	Disputes      Kind = "dispute"       // an access looks wrong
	Rectification Kind = "rectification" // a document is not right
	Objection     Kind = "objection"     // an organisation is to stop
)

// Outcome is how a petition was answered.
type Outcome string

const (
	Upheld   Outcome = "upheld"   // the citizen is right
	Rejected Outcome = "rejected" // it stays as it is, for the reason in the answer
)

// MaxText is how many characters the text of a petition or of an answer has at most.
const MaxText = 4000

// State is what the rules need to remember of one petition. The zero value is none.
type State struct {
	Petition domain.PetitionID
	Citizen  domain.CitizenID
	Kind     Kind
	// Organisation answers; "" is a privacy officer of the vault.
	Organisation domain.Organisation
	Entry        domain.EntryID    // that is disputed
	Access       domain.AccessID   // likewise; zero for a refusal
	Document     domain.DocumentID // to rectify
	Version      int               // likewise, when it was asked
	Purpose      domain.Purpose    // of an objection
	Restricts    bool              // processing is restricted until the answer
	Mandate      domain.MandateID  // of the representative who petitioned; zero: the citizen did
	At           time.Time
	Deadline     domain.Date
	ExtendedAt   time.Time // zero: the deadline is the first one

	Outcome    Outcome // "" while it is open
	Rectified  int     // the version that followed
	AnsweredAt time.Time
}

// Open reports whether the petition waits for an answer.
func (s State) Open() bool { return !s.Petition.IsZero() && s.Outcome == "" }

// Overdue reports whether a petition waits for an answer after the deadline, on a day.
func (s State) Overdue(today domain.Date) bool { return s.Open() && s.Deadline.Before(today) }

// Deadline returns the last day on which a petition of a moment is answered in time: a month
// later, and where that month has no such day, its last (Regulation 1182/71, art. 3(2)(c)).
func Deadline(at time.Time) domain.Date { return domain.BelgianDate(at).AddMonths(1) }

// Refusals of a petition.
var (
	ErrNotYours    = domain.NewError(domain.Forbidden, "notYourPetition", "a citizen disputes and asks in their own name, or in that of whom they represent under a mandate that lets them decide about it")
	ErrText        = domain.NewError(domain.Invalid, "petitionText", "a petition says what is wrong, and a rejection why, in 1 to 4000 characters of printable text")
	ErrKind        = domain.NewError(domain.Invalid, "petitionKind", "a request to rectify names a document; an objection an organisation and a purpose")
	ErrDisputed    = domain.NewError(domain.Conflict, "alreadyDisputed", "this access is disputed already; the petition and its answer are in the list of yours")
	ErrUnknown     = domain.NewError(domain.NotFound, "petitionNotFound", "no such petition")
	ErrNotAnswerer = domain.NewError(domain.Forbidden, "notYourAnswer", "a petition is answered by the organisation that it is addressed to, or else by a privacy officer of the vault")
	ErrAnswered    = domain.NewError(domain.Conflict, "petitionAnswered", "the petition was answered already")
	ErrOutcome     = domain.NewError(domain.Invalid, "petitionOutcome", "a petition is upheld or rejected")
	ErrExtended    = domain.NewError(domain.Conflict, "petitionExtended", "whoever answers takes two further months once, and they were taken already")
	ErrTooLate     = domain.NewError(domain.Conflict, "petitionOverdue", "the citizen is told within the first month that the answer takes longer, and why; that month is over")
	ErrVersion     = domain.NewError(domain.Conflict, "notRectified", "a rectification is upheld once the document was updated or revoked since it was asked for")
)

// Evolve returns the state after e. It never refuses: e already happened.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Disputed:
		return State{Petition: e.Petition, Citizen: e.Citizen, Kind: Disputes, Organisation: e.Organisation, Entry: e.Entry, Access: e.Access, Mandate: e.Mandate, At: e.At, Deadline: e.Deadline}
	case Requested:
		return State{Petition: e.Petition, Citizen: e.Citizen, Kind: e.Kind, Organisation: e.Organisation, Document: e.Document, Version: e.Version, Purpose: e.Purpose, Restricts: e.Restricts, Mandate: e.Mandate, At: e.At, Deadline: e.Deadline}
	case Extended:
		s.Deadline, s.ExtendedAt = e.Deadline, e.At
		return s
	case DisputeAnswered:
		s.Outcome, s.AnsweredAt = e.Outcome, e.At
		return s
	case Answered:
		s.Outcome, s.Rectified, s.AnsweredAt = e.Outcome, e.Rectified, e.At
		return s
	}
	panic("petition: event type without a case in Evolve")
}

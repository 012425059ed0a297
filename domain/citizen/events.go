package citizen

import (
	"time"

	"coffre/domain"
)

// Event is one of the facts of a citizen's stream, citizen-{id}.
type Event interface{ CitizenEvent() }

// Registered records that the vault knows a person from now on. NewLife marks the
// lawful registration of a person who was erased before; it has no link to the former
// id (rule E-4) and names its basis.
type Registered struct {
	Citizen domain.CitizenID  `json:"citizen"`
	NewLife bool              `json:"newLife,omitempty"`
	Basis   domain.LegalBasis `json:"basis,omitempty"`
	At      time.Time         `json:"at"`
}

// Deceased records that the authentic source reported the death. Mandates and consents
// end.
type Deceased struct {
	Citizen domain.CitizenID `json:"citizen"`
	At      time.Time        `json:"at"`

	Personal *DeceasedPersonal `json:"-"`
}

// DeceasedPersonal is sealed under the citizen's key.
type DeceasedPersonal struct {
	Date domain.Date `json:"date"`
}

// DeathCorrectionProposed records that the authentic source or a privacy officer says that
// a death was reported in error.
type DeathCorrectionProposed struct {
	Citizen    domain.CitizenID    `json:"citizen"`
	Correction domain.CorrectionID `json:"correction"`
	At         time.Time           `json:"at"`

	Personal *CorrectionPersonal `json:"-"`
}

// CorrectionPersonal is sealed under the citizen's key.
type CorrectionPersonal struct {
	CaseReference string `json:"caseReference"`
}

// DeathCorrected records that a second person agreed: the citizen lives. What the death
// ended stays ended.
type DeathCorrected struct {
	Citizen    domain.CitizenID    `json:"citizen"`
	Correction domain.CorrectionID `json:"correction"`
	At         time.Time           `json:"at"`
}

// MergeProposed records, in the stream of a former life, that the authentic source or a
// privacy officer says that it is of the same person as another one.
type MergeProposed struct {
	Citizen    domain.CitizenID    `json:"citizen"`
	Correction domain.CorrectionID `json:"correction"`
	Survivor   domain.CitizenID    `json:"survivor"`
	At         time.Time           `json:"at"`

	Personal *CorrectionPersonal `json:"-"`
}

// Merged records, in the stream of the surviving life, that another one is about to be merged
// into it. It counts once MergedInto stands in the other's stream.
type Merged struct {
	Citizen    domain.CitizenID    `json:"citizen"`
	Former     domain.CitizenID    `json:"former"`
	Correction domain.CorrectionID `json:"correction"`
	At         time.Time           `json:"at"`
}

// MergedInto records, in the stream of a former life, that a second person agreed: from here
// on the person is the survivor, and what stands under this id is theirs.
type MergedInto struct {
	Citizen    domain.CitizenID    `json:"citizen"`
	Survivor   domain.CitizenID    `json:"survivor"`
	Correction domain.CorrectionID `json:"correction"`
	At         time.Time           `json:"at"`
}

// SeparationProposed records that a privacy officer says that a merge joined two persons.
type SeparationProposed struct {
	Citizen    domain.CitizenID    `json:"citizen"`
	Correction domain.CorrectionID `json:"correction"`
	At         time.Time           `json:"at"`

	Personal *CorrectionPersonal `json:"-"`
}

// Separated records that a second person agreed: what stands under this id is another person's
// again than the survivor's. What was recorded under the survivor's id meanwhile stays there.
type Separated struct {
	Citizen    domain.CitizenID    `json:"citizen"`
	Survivor   domain.CitizenID    `json:"survivor"`
	Correction domain.CorrectionID `json:"correction"`
	At         time.Time           `json:"at"`
}

// SSINReplaced records that the National Register gave the person another number.
type SSINReplaced struct {
	Citizen domain.CitizenID `json:"citizen"`
	At      time.Time        `json:"at"`

	Personal *SSINReplacedPersonal `json:"-"`
}

// SSINReplacedPersonal is sealed under the citizen's key. Digits in clear: never
// print it.
type SSINReplacedPersonal struct {
	Former string `json:"former"`
	Now    string `json:"now"`
}

// LegalHoldPlaced records that nothing of the citizen may be erased until the hold is
// lifted.
type LegalHoldPlaced struct {
	Citizen domain.CitizenID  `json:"citizen"`
	Hold    domain.HoldID     `json:"hold"`
	Reason  domain.ReasonCode `json:"reason"`
	At      time.Time         `json:"at"`

	Personal *LegalHoldPersonal `json:"-"`
}

// LegalHoldPersonal is sealed under the citizen's key.
type LegalHoldPersonal struct {
	CaseReference string `json:"caseReference"`
}

// LegalHoldLifted records that a hold no longer stands.
type LegalHoldLifted struct {
	Citizen domain.CitizenID `json:"citizen"`
	Hold    domain.HoldID    `json:"hold"`
	At      time.Time        `json:"at"`
}

// ProcessingRestricted records that from here on what the vault holds of the citizen, or
// of one document, is kept and not disclosed but as the law lists (GDPR art. 18).
type ProcessingRestricted struct {
	Citizen     domain.CitizenID     `json:"citizen"`
	Restriction domain.RestrictionID `json:"restriction"`
	Document    domain.DocumentID    `json:"document,omitzero"` // zero: everything
	Reason      domain.ReasonCode    `json:"reason"`
	AskedBy     domain.Role          `json:"askedBy"` // the citizen or a privacy officer
	At          time.Time            `json:"at"`
}

// RestrictionLifted records that a restriction no longer stands.
type RestrictionLifted struct {
	Citizen     domain.CitizenID     `json:"citizen"`
	Restriction domain.RestrictionID `json:"restriction"`
	// Informed is the day on which a privacy officer who lifts it had told the citizen (GDPR
	// art. 18(3)); absent when the citizen lifts it.
	Informed domain.Date `json:"informed,omitempty"`
	At       time.Time   `json:"at"`
}

// Scope says how much an erasure covers.
type Scope string

const (
	WholeCitizen Scope = "citizen"  // the DEK: everything of the citizen
	OneDocument  Scope = "document" // one content key
)

// ErasureRequested records that the citizen or the law asks that something be forgotten.
type ErasureRequested struct {
	Citizen  domain.CitizenID  `json:"citizen"`
	Erasure  domain.ErasureID  `json:"erasure"`
	Scope    Scope             `json:"scope"`
	Document domain.DocumentID `json:"document,omitzero"`
	Reason   domain.ReasonCode `json:"reason"`
	At       time.Time         `json:"at"`
}

// ErasureApproved records that a second person agreed to an erasure (rule E-1).
type ErasureApproved struct {
	Citizen domain.CitizenID `json:"citizen"`
	Erasure domain.ErasureID `json:"erasure"`
	At      time.Time        `json:"at"`
}

// ErasureStarted records the start of an erasure: from here holds are refused and new
// writes for the citizen fail.
type ErasureStarted struct {
	Citizen domain.CitizenID `json:"citizen"`
	Erasure domain.ErasureID `json:"erasure"`
	At      time.Time        `json:"at"`
}

// KeyDestroyed records that everything of the citizen is erased; no live process can
// decrypt what their key sealed.
type KeyDestroyed struct {
	Citizen domain.CitizenID `json:"citizen"`
	Erasure domain.ErasureID `json:"erasure"`
	// Keys are the ids of the destroyed content keys.
	Keys []string `json:"keys"`
	// Unreadable counts the events whose personal part can no longer be read;
	// Digest is SHA-256 over the leaf hashes of those events in log order.
	Unreadable int64     `json:"unreadable"`
	Digest     []byte    `json:"digest"`
	At         time.Time `json:"at"`
}

// ErasureCompleted records that the erasure of one document is over;
// document.content-destroyed in the document's stream says what was destroyed. It is a
// fact of its own, and not a KeyDestroyed, so that nobody takes one document for the
// whole citizen.
type ErasureCompleted struct {
	Citizen domain.CitizenID `json:"citizen"`
	Erasure domain.ErasureID `json:"erasure"`
	At      time.Time        `json:"at"`
}

// ErasureStopped records that an erasure had started, and then it was found that the
// law obliges to keep a document, one that was being issued or changed while the
// erasure was judged. Nothing was destroyed, and everything is as it was before.
type ErasureStopped struct {
	Citizen domain.CitizenID `json:"citizen"`
	Erasure domain.ErasureID `json:"erasure"`
	// Duties names the documents to keep, with the rules that say so. No dates: they
	// may be personal.
	Duties []StandingDuty `json:"duties"`
	At     time.Time      `json:"at"`
}

// StandingDuty is a duty to keep as it is on record.
type StandingDuty struct {
	Document domain.DocumentID   `json:"document"`
	Type     domain.DocumentType `json:"type"`
	Rule     domain.ReasonCode   `json:"rule"`
}

// ErasureFinalised records that no copy of a key, wherever it was kept, brings back
// what was erased (rule E-3): the versions of the key-encryption key that could open
// it are destroyed, and every copy made before is past its stated retention.
type ErasureFinalised struct {
	Citizen domain.CitizenID `json:"citizen"`
	Erasure domain.ErasureID `json:"erasure"`
	// WrappedBy is the latest version of the key-encryption key that ever wrapped what
	// was destroyed; OldestVersion, the oldest one that is still there, is younger. It
	// was found to be so at TrimmedAt.
	WrappedBy     int       `json:"wrappedBy"`
	OldestVersion int       `json:"oldestVersion"`
	TrimmedAt     time.Time `json:"trimmedAt"`
	// Copies, by what they are: of the key ring, of its write-ahead log, of the
	// keeper of the key-encryption key.
	Backups   CopiesGone `json:"backups"`
	Archives  CopiesGone `json:"archives"`
	Snapshots CopiesGone `json:"snapshots"`
	At        time.Time  `json:"at"`
}

// CopiesGone says that copies of one kind are kept for Days, so that the last one
// that matters was gone after the day Until.
type CopiesGone struct {
	Days  int         `json:"days"`
	Until domain.Date `json:"until"`
}

// PreferencesSet records what a citizen chose to hear of, in which language and by which way.
// The last one counts.
type PreferencesSet struct {
	Citizen domain.CitizenID `json:"citizen"`
	At      time.Time        `json:"at"`

	Personal *Preferences `json:"-"` // sealed under the citizen's key
}

func (Registered) CitizenEvent()       {}
func (Deceased) CitizenEvent()         {}
func (SSINReplaced) CitizenEvent()     {}
func (LegalHoldPlaced) CitizenEvent()  {}
func (LegalHoldLifted) CitizenEvent()  {}
func (ErasureRequested) CitizenEvent() {}

func (DeathCorrectionProposed) CitizenEvent() {}
func (DeathCorrected) CitizenEvent()          {}
func (MergeProposed) CitizenEvent()           {}
func (Merged) CitizenEvent()                  {}
func (MergedInto) CitizenEvent()              {}
func (SeparationProposed) CitizenEvent()      {}
func (Separated) CitizenEvent()               {}

func (PreferencesSet) CitizenEvent() {}

func (ProcessingRestricted) CitizenEvent() {}
func (RestrictionLifted) CitizenEvent()    {}

func (ErasureApproved) CitizenEvent()  {}
func (ErasureStarted) CitizenEvent()   {}
func (KeyDestroyed) CitizenEvent()     {}
func (ErasureCompleted) CitizenEvent() {}
func (ErasureStopped) CitizenEvent()   {}
func (ErasureFinalised) CitizenEvent() {}

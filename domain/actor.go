package domain

import "slices"

// Role is what a caller's token lets them be. A caller acts in one role at a time.
type Role string

const (
	RoleIssuer         Role = "issuer"         // an authentic source
	RoleConsumer       Role = "consumer"       // an administration that reads
	RoleCitizen        Role = "citizen"        // a person, for themselves
	RoleRepresentative Role = "representative" // a person, for another under a mandate
	RoleAuditor        Role = "auditor"
	RolePrivacyOfficer Role = "privacyOfficer"
	RoleOperator       Role = "operator"
	RoleSystem         Role = "system" // Coffre itself: a reactor, a resumed erasure
)

// Actor says who did something, in words that may stay in clear for ever: a
// role, an organisation, a citizen's pseudonym where the citizen acted, and for
// anybody else a keyed hash of the token's subject.
type Actor struct {
	Role         Role         `json:"role"`
	Organisation Organisation `json:"org,omitempty"`
	Citizen      CitizenID    `json:"citizen,omitzero"`
	Subject      string       `json:"sub,omitempty"` // HMAC under the rotating audit key, base64url; never the subject itself
	// Door is the way in, where it is not the HTTP API. Why and Case say for what work
	// the caller came through it; Case is an HMAC of the reference, as Subject is.
	Door Door       `json:"door,omitempty"`
	Why  WorkReason `json:"why,omitempty"`
	Case string     `json:"case,omitempty"`
}

// Door is a way into the vault.
type Door string

// ControlSocket is the door of commands that run on the vault's own machine. Who comes
// through it is an account of the operating system.
const ControlSocket Door = "controlSocket"

// KurrentPort is the door of KurrentDB's clients, through which the log is read. Who comes
// through it shows a name and password of its own, or is on the vault's machine.
const KurrentPort Door = "kurrentPort"

// WorkReason says why somebody works on the vault from its own machine. The words are
// fixed, so that they may stand in clear and need no published registry.
type WorkReason string

// WorkReasons lists every reason for work on the vault's own machine.
var WorkReasons = []WorkReason{"maintenance", "incident", "inspection", "legalOrder", "migration", "exercise"}

// IsSelf reports whether the actor is the citizen with that id, acting for themselves.
func (a Actor) IsSelf(c CitizenID) bool {
	return a.Role == RoleCitizen && !c.IsZero() && a.Citizen == c
}

// SecondPerson reports whether by is another person than asked. Aliases are the names that
// by may have where asked is named, and comparable says that asked would be among them.
// What cannot be compared counts as the same person (rule E-1).
func SecondPerson(asked, by Actor, aliases []string, comparable bool) bool {
	if !comparable || by.Subject == "" || asked.Subject == "" && asked.Citizen.IsZero() {
		return false
	}
	if !asked.Citizen.IsZero() && asked.Citizen == by.Citizen {
		return false
	}
	return asked.Subject != by.Subject && (asked.Subject == "" || !slices.Contains(aliases, asked.Subject))
}

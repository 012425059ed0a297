package audit

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
)

// Provider says which OpenID provider vouches for the vault's callers, and what of its
// tokens makes somebody a citizen, an officer or an organisation.
type Provider struct {
	Issuer   string `json:"issuer"` // its URL, letter by letter as in its tokens
	Audience string `json:"audience,omitempty"`
	// Settings are those that decide who somebody is, each as NAME=VALUE, in order.
	Settings []string `json:"settings,omitempty"`
}

// IsZero reports whether the provider is none.
func (p Provider) IsZero() bool { return p.Issuer == "" }

// Equal reports whether both are the same provider with the same settings.
func (p Provider) Equal(q Provider) bool {
	return p.Issuer == q.Issuer && p.Audience == q.Audience && slices.Equal(p.Settings, q.Settings)
}

// ProviderReason is why another provider, or other settings of it, are to count.
type ProviderReason string

// The reasons for a change. With the last two nobody whom the provider on record vouches
// for can agree, so the change is a recovery (rule I-4).
const (
	ProviderReplaced    ProviderReason = "replaced"    // another provider takes its place
	ProviderRemapped    ProviderReason = "remapped"    // its tokens are read in another way
	ProviderCompromised ProviderReason = "compromised" // it is not to be trusted any more
	ProviderGone        ProviderReason = "gone"        // it is away for good
	ProviderRestored    ProviderReason = "restored"    // the vault was restored from before a change
)

// ProviderReasons lists every reason.
var ProviderReasons = []ProviderReason{ProviderReplaced, ProviderRemapped, ProviderCompromised, ProviderGone, ProviderRestored}

// Recovers reports whether nobody whom the provider on record vouches for can agree.
func (r ProviderReason) Recovers() bool { return r == ProviderGone || r == ProviderRestored }

// ProviderEvent is a fact about who vouches for callers. Each carries a proof, made with a
// key of the vault, over itself, its actor and the proof before it, so that who can write
// to the log and has no key cannot make one.
type ProviderEvent interface {
	Event
	Proven() []byte
	WithProof(proof []byte) ProviderEvent
}

// ProviderNamed records that from here on an OpenID provider vouches for the callers of
// the vault, so that it is no longer one for trying out.
type ProviderNamed struct {
	Provider
	Change    uuid.UUID `json:"change,omitzero"`     // that allowed it; zero for the vault's first one
	Recovered bool      `json:"recovered,omitempty"` // the change was a recovery
	Proof     []byte    `json:"proof,omitempty"`     // absent in events from before there were proofs
	At        time.Time `json:"at"`
}

// ProviderChangeProposed records that somebody proposed another provider, or other settings.
type ProviderChangeProposed struct {
	Provider
	Change uuid.UUID      `json:"change"`
	Reason ProviderReason `json:"reason"`
	Proof  []byte         `json:"proof"`
	At     time.Time      `json:"at"`
}

// ProviderChangeApproved records that another person agreed.
type ProviderChangeApproved struct {
	Change uuid.UUID `json:"change"`
	Proof  []byte    `json:"proof"`
	At     time.Time `json:"at"`
}

// ProviderConfirmed records that a privacy officer whom the provider vouches for confirmed
// it after a recovery.
type ProviderConfirmed struct {
	Change uuid.UUID `json:"change"`
	Proof  []byte    `json:"proof"`
	At     time.Time `json:"at"`
}

func (ProviderNamed) AuditEvent()          {}
func (ProviderChangeProposed) AuditEvent() {}
func (ProviderChangeApproved) AuditEvent() {}
func (ProviderConfirmed) AuditEvent()      {}

// Proven implements ProviderEvent.
func (e ProviderNamed) Proven() []byte { return e.Proof }

// WithProof implements ProviderEvent.
func (e ProviderNamed) WithProof(proof []byte) ProviderEvent { e.Proof = proof; return e }

// Proven implements ProviderEvent.
func (e ProviderChangeProposed) Proven() []byte { return e.Proof }

// WithProof implements ProviderEvent.
func (e ProviderChangeProposed) WithProof(proof []byte) ProviderEvent { e.Proof = proof; return e }

// Proven implements ProviderEvent.
func (e ProviderChangeApproved) Proven() []byte { return e.Proof }

// WithProof implements ProviderEvent.
func (e ProviderChangeApproved) WithProof(proof []byte) ProviderEvent { e.Proof = proof; return e }

// Proven implements ProviderEvent.
func (e ProviderConfirmed) Proven() []byte { return e.Proof }

// WithProof implements ProviderEvent.
func (e ProviderConfirmed) WithProof(proof []byte) ProviderEvent { e.Proof = proof; return e }

// Providers is what the stream of providers says.
type Providers struct {
	Provider Provider  // on record; zero when none ever vouched
	Since    time.Time // it is on record
	// Former is the provider before the last lawful change, with which a process may be
	// started until FormerUntil (rule I-5).
	Former      Provider
	FormerUntil time.Time
	Change      ProviderChange // proposed last; zero when none waits
	// Recovery is the recovery that nobody has confirmed; zero when none waits for it.
	Recovery uuid.UUID
	Proof    []byte // of the last event
}

// ProviderChange is another provider that was proposed.
type ProviderChange struct {
	ID         uuid.UUID
	Provider   Provider
	Reason     ProviderReason
	ProposedAt time.Time
	ApprovedAt time.Time // zero: it is not
}

// Until returns when the change counts no more unless it is approved, or taken up.
func (c ProviderChange) Until() time.Time {
	if c.ApprovedAt.IsZero() {
		return c.ProposedAt.Add(ProposalLifetime)
	}
	return c.ApprovedAt.Add(ApprovalLifetime)
}

const (
	// ProposalLifetime is the time within which a change of the provider is approved.
	ProposalLifetime = 7 * 24 * time.Hour
	// ApprovalLifetime is the time within which a process is started with an approved change.
	ApprovalLifetime = 30 * 24 * time.Hour
	// FormerLifetime is how long the former provider may be started with after a change, so
	// that processes are replaced one after the other.
	FormerLifetime = 24 * time.Hour
)

func evolveProviders(s Providers, e ProviderEvent) Providers {
	s.Proof = e.Proven()
	switch e := e.(type) {
	case ProviderNamed:
		s.Former, s.FormerUntil = Provider{}, time.Time{}
		if e.Change != uuid.Nil && !e.Recovered {
			s.Former, s.FormerUntil = s.Provider, e.At.Add(FormerLifetime)
		}
		s.Provider, s.Since, s.Recovery = e.Provider, e.At, uuid.Nil
		if e.Recovered {
			s.Recovery = e.Change
		}
		if e.Change == s.Change.ID {
			s.Change = ProviderChange{}
		}
		return s
	case ProviderChangeProposed:
		s.Change = ProviderChange{ID: e.Change, Provider: e.Provider, Reason: e.Reason, ProposedAt: e.At}
		return s
	case ProviderChangeApproved:
		s.Change.ApprovedAt = e.At
		return s
	case ProviderConfirmed:
		s.Recovery = uuid.Nil
		return s
	}
	panic("audit: event type without a case in evolveProviders")
}

// ErrOtherProvider refuses a start with another provider than the one on record.
var ErrOtherProvider = domain.NewError(domain.Forbidden, "otherIdentityProvider", "another identity provider is on record")

// NameProvider says that a process is started with an OpenID provider.
type NameProvider struct {
	Provider Provider
	At       time.Time
}

// Decide implements I-1, I-3 and I-5. The first provider of a vault is believed, as are
// settings where those before were not on record.
func (c NameProvider) Decide(s State) ([]Event, error) {
	switch change := s.Providers.Change; {
	case s.Providers.Provider.Equal(c.Provider):
		return nil, nil
	case s.Providers.Provider.IsZero(), s.Providers.Provider.Audience == "" && s.Providers.Provider.Issuer == c.Provider.Issuer:
		return []Event{ProviderNamed{Provider: c.Provider, At: c.At}}, nil
	case change.Provider.Equal(c.Provider) && !change.ApprovedAt.IsZero() && c.At.Before(change.Until()):
		return []Event{ProviderNamed{Provider: c.Provider, Change: change.ID, Recovered: change.Reason.Recovers(), At: c.At}}, nil
	case s.Providers.Former.Equal(c.Provider) && c.At.Before(s.Providers.FormerUntil):
		return nil, nil
	}
	return nil, ErrOtherProvider
}

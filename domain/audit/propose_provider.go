package audit

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
)

// Refusals of a change of the provider.
var (
	ErrNoProvider       = domain.NewError(domain.Conflict, "noIdentityProvider", "no identity provider vouches for the callers of this vault; the first one is put on record by starting with it")
	ErrSameProvider     = domain.NewError(domain.Conflict, "sameIdentityProvider", "that identity provider, with those settings, is on record already")
	ErrMayNotChange     = domain.NewError(domain.Forbidden, "mayNotChangeProvider", "another identity provider is proposed by an operator or a privacy officer, and approved by a privacy officer")
	ErrRecoveryPlace    = domain.NewError(domain.Forbidden, "recoveryOnTheMachine", "a provider that is gone is replaced by two accounts of the vault's own machine (--data)")
	ErrProviderReason   = domain.NewError(domain.Invalid, "providerReason", "the reason is replaced, remapped, compromised, gone or restored")
	ErrNoSuchChange     = domain.NewError(domain.NotFound, "resourceNotFound", "no such change waits: a later proposal took its place, or it was taken up")
	ErrProviderSecond   = domain.NewError(domain.Forbidden, "secondPersonNeeded", "who proposed a change of the identity provider cannot approve it, nor can anybody where that cannot be told any more: then it is proposed anew")
	ErrChangeLapsed     = domain.NewError(domain.Conflict, "providerChangeLapsed", "the proposal is older than seven days; propose the change anew")
	ErrNothingToConfirm = domain.NewError(domain.Conflict, "providerConfirmed", "no recovery of the identity provider waits for a confirmation")
	ErrMayNotConfirm    = domain.NewError(domain.Forbidden, "mayNotConfirmProvider", "a recovered identity provider is confirmed by a privacy officer for whom it vouches")
)

// ProposeProvider is the first of two persons who change the provider (rule I-2).
type ProposeProvider struct {
	Change   uuid.UUID
	Provider Provider
	Reason   ProviderReason
	By       domain.Actor
	At       time.Time
}

// Decide implements I-2 and I-4. A proposal takes the place of the one before it (rule I-3).
func (c ProposeProvider) Decide(state State) ([]Event, error) {
	s := state.Providers
	switch {
	case c.By.Role != domain.RoleOperator && c.By.Role != domain.RolePrivacyOfficer:
		return nil, ErrMayNotChange
	case !slices.Contains(ProviderReasons, c.Reason):
		return nil, ErrProviderReason
	case c.Reason.Recovers() && c.By.Door != domain.ControlSocket:
		return nil, ErrRecoveryPlace
	case s.Provider.IsZero():
		return nil, ErrNoProvider
	case s.Change.ID == c.Change:
		return nil, nil
	case s.Provider.Equal(c.Provider):
		return nil, ErrSameProvider
	}
	return []Event{ProviderChangeProposed{Change: c.Change, Provider: c.Provider, Reason: c.Reason, At: c.At}}, nil
}

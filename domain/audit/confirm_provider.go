package audit

import (
	"time"

	"github.com/google/uuid"

	"coffre/domain"
)

// ConfirmProvider is a privacy officer's word, given under a provider that was recovered,
// that it is the right one (rule I-4).
type ConfirmProvider struct {
	By domain.Actor
	At time.Time
}

// Decide implements I-4.
func (c ConfirmProvider) Decide(state State) ([]Event, error) {
	switch {
	case c.By.Role != domain.RolePrivacyOfficer:
		return nil, ErrMayNotConfirm
	case state.Providers.Recovery == uuid.Nil:
		return nil, ErrNothingToConfirm
	}
	return []Event{ProviderConfirmed{Change: state.Providers.Recovery, At: c.At}}, nil
}

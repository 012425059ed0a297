package audit

import "time"

// NameProvider says that an OpenID provider vouches for the callers of the vault.
type NameProvider struct {
	Issuer string
	At     time.Time
}

// Decide records a provider that is not the one of now.
func (c NameProvider) Decide(s State) ([]Event, error) {
	if s.Issuer == c.Issuer {
		return nil, nil
	}
	return []Event{ProviderNamed(c)}, nil
}

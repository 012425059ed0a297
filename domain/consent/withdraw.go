package consent

import (
	"time"

	"coffre/domain"
	"coffre/domain/mandate"
)

// Reasons of a withdrawal.
const (
	ByCitizen domain.ReasonCode = "citizen" // also by their representative
	ByDeath   domain.ReasonCode = "death"
	ByRenewal domain.ReasonCode = "renewed" // another consent takes its place (rule C-8)
)

// Withdraw ends a consent at once. It judges permission only and is appended
// whatever came between, so it is never busy (rule C-6); it needs no key.
type Withdraw struct {
	Mandate mandate.InForce // when a representative acts
	Renewed bool            // the same person gives another consent in its place
	By      domain.Actor    // RoleSystem: the citizen died
	At      time.Time
}

// Decide implements C-1, C-4 and C-6. Withdrawing twice is no error. To
// strangers there is no such consent.
func (c Withdraw) Decide(s State) ([]Event, error) {
	reason := ByCitizen
	under, ok := agent(c.By, s.Citizen, c.Mandate, s.Terms.Types)
	switch {
	case c.By.Role == domain.RoleSystem:
		reason, ok = ByDeath, true
	case c.Renewed:
		reason = ByRenewal
	}
	if s.Phase == None || !ok {
		return nil, ErrNotFound
	}
	switch s.Phase {
	case IsWithdrawn:
		return nil, nil
	case IsGranted:
		return []Event{Withdrawn{Consent: s.Consent, Mandate: under, Reason: reason, At: c.At}}, nil
	}
	return nil, ErrNotGranted
}

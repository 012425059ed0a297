package disclosure

import (
	"context"
	"errors"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/eventstore/quotas"
	"coffre/handlers/acting"
	"coffre/handlers/edge"
)

// ClaimQuota counts a citizen among those whom the calling organisation names today, or
// refuses with access.ErrQuota (rule A-7). Known or not, they count until the day is over,
// whatever the organisation is told then. An issuer without a quota in the registry has
// access.IssuerQuota.
func (dis *Discloser) ClaimQuota(ctx context.Context, in acting.Intent, citizen domain.CitizenID) error {
	return dis.claimQuota(ctx, in, citizen, nil)
}

// ClaimQuotaOnce does the same for somebody who is free as well if unknown was counted that
// day: the id that stood for the person before the vault knew them.
func (dis *Discloser) ClaimQuotaOnce(ctx context.Context, in acting.Intent, citizen, unknown domain.CitizenID) error {
	return dis.claimQuota(ctx, in, citizen, unknown.UUID[:])
}

func (dis *Discloser) claimQuota(ctx context.Context, in acting.Intent, citizen domain.CitizenID, also []byte) error {
	quota := quotaOf(in)
	err := dis.Quotas.Count(ctx, quotas.Naming{
		Organisation: in.Actor.Organisation, Person: citizen.UUID[:], Also: also, Quota: quota, Operation: in.Call.Operation, At: in.At,
		Judge: func(today int, already bool) error { return access.WithinQuota(today, quota, already) },
		Floor: dis.floorOf(in, citizen),
	})
	if errors.Is(err, access.ErrQuota) {
		return edge.RetryAfter(err, domain.BelgianMidnight(domain.BelgianDate(in.At).AddDays(1)).Sub(in.At))
	}
	return err
}

// floorOf returns how the log tells whom an organisation has reached today. What an issuer
// writes is none of it, and does not wait until the access log can be read.
func (dis *Discloser) floorOf(in acting.Intent, citizen domain.CitizenID) func(context.Context) (int, error) {
	if in.Actor.Role == domain.RoleIssuer && len(acting.BudgetsOf[in.Call.Operation]) > 0 {
		return nil
	}
	return func(ctx context.Context) (int, error) {
		reached, _, err := dis.AccessLog.Reach(ctx, in.Actor.Organisation, in.At, citizen)
		return reached, err
	}
}

// CheckRefusals refuses with access.ErrTooManyRefusals the call of an organisation that was
// refused too often in this minute, in all processes, so that nothing is looked up for it
// (rule A-7). Whoever is named, the answer is the same.
func (dis *Discloser) CheckRefusals(ctx context.Context, in acting.Intent) error {
	if in.Actor.Role != domain.RoleConsumer && in.Actor.Role != domain.RoleIssuer {
		return nil
	}
	refusals, err := dis.Quotas.Refusals(ctx, in.Actor.Organisation, in.At)
	if err != nil {
		return err
	}
	if err := access.WithinRefusals(refusals, quotaOf(in)); err != nil {
		dis.Quotas.Slowed(in.Actor.Organisation, in.Call.Operation)
		return edge.RetryAfter(err, untilNextMinute(in.At))
	}
	return nil
}

func quotaOf(in acting.Intent) int {
	quota := in.Words.Quota(in.Actor.Organisation)
	if quota == 0 && in.Actor.Role == domain.RoleIssuer {
		return access.IssuerQuota
	}
	return quota
}

// untilNextMinute returns how long it is from a time to the beginning of the next minute.
func untilNextMinute(at time.Time) time.Duration {
	return at.Truncate(time.Minute).Add(time.Minute).Sub(at)
}

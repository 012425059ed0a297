package access

import "coffre/domain"

// Refusals of organisations that name more people, or are refused more often, than they may.
var (
	ErrQuota = domain.NewError(domain.TooMany, "dailyQuotaExceeded", "this organisation has named as many people as it may in one day")
	// ErrTooManyRefusals answers every call of an organisation that was refused too often,
	// before anything is looked up.
	ErrTooManyRefusals = domain.NewError(domain.TooMany, "tooManyFailedRequests", "this organisation was refused too often; nothing is looked up for it for a while")
)

const (
	// IssuerQuota is the daily quota of an issuer for which the registry has none.
	IssuerQuota = 10_000

	leastRefusals = 60 // in a minute, for the smallest quota
	refusalsShare = 100
)

// WithinQuota implements A-7: an organisation names at most quota distinct citizens a
// day. Today counts those it named so far; one it already named today is free.
func WithinQuota(today, quota int, alreadySeen bool) error {
	if !alreadySeen && today >= quota {
		return ErrQuota
	}
	return nil
}

// WithinRefusals implements A-7 for those who are refused: an organisation is refused at most
// 60 times a minute, or for a hundredth of its daily quota if that is more; after that it
// is not judged.
func WithinRefusals(thisMinute, quota int) error {
	if thisMinute >= max(leastRefusals, quota/refusalsShare) {
		return ErrTooManyRefusals
	}
	return nil
}

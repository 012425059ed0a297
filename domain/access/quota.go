package access

import "coffre/domain"

var ErrQuota = domain.NewError(domain.TooMany, "dailyQuotaExceeded", "this organisation has read as many citizens as it may in one day")

// WithinQuota implements A-7: a consumer reads at most quota distinct citizens a
// day. Today counts those it read so far; one it already read today is free.
func WithinQuota(today, quota int, alreadySeen bool) error {
	if !alreadySeen && today >= quota {
		return ErrQuota
	}
	return nil
}

package contract

import (
	"coffre/domain/consent"
)

// LimitsOf converts the limits of a consent from the contract's type to the domain's. A
// limit that the request leaves out is 0: no limit.
func LimitsOf(l ConsentLimits) consent.Limits {
	return consent.Limits{
		Uses: l.Uses, DataLife: l.DataLife,
		Frequency: consent.Frequency{Uses: l.Frequency.Uses, Per: consent.Period(l.Frequency.Per)},
	}
}

// LimitsShown converts the limits of a consent from the domain's type to the contract's.
func LimitsShown(l consent.Limits) ConsentLimits {
	return ConsentLimits{
		Uses: l.Uses, DataLife: l.DataLife,
		Frequency: Frequency{Uses: l.Frequency.Uses, Per: FrequencyPeriod(l.Frequency.Per)},
	}
}

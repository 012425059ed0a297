package contract

import (
	"coffre/domain/consent"
)

// LimitsOf returns the limits of a consent as the rules have them; a limit that the
// request leaves out is 0, which stands for none.
func LimitsOf(l ConsentLimits) consent.Limits {
	return consent.Limits{
		Uses: l.Uses, DataLife: l.DataLife,
		Frequency: consent.Frequency{Uses: l.Frequency.Uses, Per: consent.Period(l.Frequency.Per)},
	}
}

// LimitsShown returns the limits of a consent in the contract's words.
func LimitsShown(l consent.Limits) ConsentLimits {
	return ConsentLimits{
		Uses: l.Uses, DataLife: l.DataLife,
		Frequency: Frequency{Uses: l.Frequency.Uses, Per: FrequencyPeriod(l.Frequency.Per)},
	}
}

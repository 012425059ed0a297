package contract

import (
	"coffre/domain/consent"
)

// limits of the contract are those of the rules.
func LimitsOf(l ConsentLimits) consent.Limits {
	return consent.Limits{
		Uses: l.Uses, DataLife: l.DataLife,
		Frequency: consent.Frequency{Uses: l.Frequency.Uses, Per: consent.Period(l.Frequency.Per)},
	}
}

func LimitsShown(l consent.Limits) ConsentLimits {
	return ConsentLimits{
		Uses: l.Uses, DataLife: l.DataLife,
		Frequency: Frequency{Uses: l.Frequency.Uses, Per: FrequencyPeriod(l.Frequency.Per)},
	}
}

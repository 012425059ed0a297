package acting

import (
	"context"
	"fmt"

	"coffre/domain/audit"
)

// Provided reports whether an OpenID provider has ever vouched for the vault's callers. The
// log tells, so that it holds for every process, every data directory and every copy of
// the vault.
func (rec *Recorder) Provided(ctx context.Context) (bool, error) {
	state, _, err := Audits.Load(ctx, rec.Log, ProviderStream)
	if err != nil {
		return false, fmt.Errorf("who vouches for callers: %w", err)
	}
	return state.Issuer != "", nil
}

// NameProvider records that the provider with that issuer URL vouches for the vault's
// callers, unless it is on record as the one that does.
func (rec *Recorder) NameProvider(ctx context.Context, issuer string) error {
	_, err := Audits.Transact(ctx, rec.Log, rec.SystemWrite(ProviderStream), audit.NameProvider{Issuer: issuer, At: rec.Timestamp()})
	if err != nil {
		return fmt.Errorf("record who vouches for callers: %w", err)
	}
	return nil
}

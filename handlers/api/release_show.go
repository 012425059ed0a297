package api

import (
	"context"

	"coffre/domain/release"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// GetRelease implements GET /releases/{id}.
func (v *Vault) GetRelease(ctx context.Context, r contract.GetReleaseRequestObject) (contract.GetReleaseResponseObject, error) {
	state, _, err := acting.Releases.Load(ctx, v.Log, acting.ReleaseStream(r.ReleaseID))
	switch {
	case err != nil:
		return nil, err
	case state.Release.IsZero():
		return nil, release.ErrUnknown
	}
	return contract.GetRelease200JSONResponse(releaseItem(state)), nil
}

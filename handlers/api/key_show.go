package api

import (
	"context"
	"maps"
	"slices"
)

// GetKeys implements GET /keys: which keys there are, never a key.
func (v *Vault) GetKeys(ctx context.Context, _ GetKeysRequestObject) (GetKeysResponseObject, error) {
	state, err := v.keyState(ctx)
	if err != nil {
		return nil, err
	}
	return GetKeys200JSONResponse(state), nil
}

func (v *Vault) keyState(ctx context.Context) (KeyState, error) {
	s, err := v.Keys.Status(ctx)
	if err != nil {
		return KeyState{}, err
	}
	state := KeyState{
		Provider: v.Keeper, KeyEncryptionKeys: []KeyEncryptionKey{}, DataKeys: int64(s.Pending + s.Active + s.Erasing),
		ContentKeys: int64(s.Streams), DestroyedKeys: int64(s.Destroyed),
	}
	if _, listed := s.ByVersion[s.Versions.Latest]; !listed {
		s.ByVersion[s.Versions.Latest] = 0
	}
	for _, version := range slices.Sorted(maps.Keys(s.ByVersion)) {
		state.KeyEncryptionKeys = append(state.KeyEncryptionKeys, KeyEncryptionKey{
			Version: version, Current: version == s.Versions.Latest, Wraps: int64(s.ByVersion[version]),
		})
	}
	state.Rotation, state.RotationDone = v.rewrap.status(v.Now())
	return state, nil
}

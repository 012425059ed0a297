package api

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"coffre/eventstore/seal"
	"coffre/handlers/contract"
)

// GetSigningKeys implements GET /signingKeys: every public key that ever signed for
// this vault. While the keepers of the keys are unavailable it does not tell which of
// them sign now.
func (v *Vault) GetSigningKeys(ctx context.Context, _ contract.GetSigningKeysRequestObject) (contract.GetSigningKeysResponseObject, error) {
	current, err := v.CurrentSigningKeys(ctx)
	if err != nil {
		return nil, err
	}
	all, err := v.Keys.Ledger().SigningKeys(ctx)
	if err != nil {
		return nil, err
	}
	page := contract.SigningKeys{Self: contract.Base + "/signingKeys", Keys: []contract.SigningKey{}}
	for _, k := range all {
		page.Keys = append(page.Keys, contract.SigningKey{
			SigningKeyID: k.ID, Purpose: contract.SigningPurpose(k.Purpose), Algorithm: contract.SignatureAlgorithmEd25519, PublicKey: k.Public,
			Current: slices.ContainsFunc(current, func(c seal.SigningKey) bool {
				return c.Purpose == k.Purpose && c.ID == k.ID && bytes.Equal(c.Public, k.Public)
			}),
		})
	}
	slices.SortStableFunc(page.Keys, func(a, b contract.SigningKey) int { return cmp.Compare(a.Purpose, b.Purpose) })
	return contract.GetSigningKeys200JSONResponse(page), nil
}

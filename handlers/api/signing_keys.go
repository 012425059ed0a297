package api

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal"
	"coffre/handlers/contract"
)

// notedKeys are the signing keys that are on record, so that each is noted once. The
// zero value is empty; it may be used concurrently.
type notedKeys struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (n *notedKeys) has(id string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ids[id]
}

func (n *notedKeys) add(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ids == nil {
		n.ids = make(map[string]bool)
	}
	n.ids[id] = true
}

// signingKey returns the key that a signer uses now, having noted it for whoever
// verifies later.
func (v *Vault) signingKey(ctx context.Context, purpose contract.SigningPurpose, s seal.Signer) (seal.SigningKey, error) {
	public, id, err := s.PublicKey(ctx, "")
	if err != nil {
		return seal.SigningKey{}, err
	}
	k := seal.SigningKey{Purpose: string(purpose), ID: id, Public: public}
	if name := k.Purpose + " " + id; !v.signing.has(name) {
		if err := v.Keys.Ledger().NoteSigningKey(ctx, k); err != nil {
			return seal.SigningKey{}, err
		}
		v.signing.add(name)
	}
	return k, nil
}

// noteSigningKeys remembers what signs now. What cannot be asked is asked later.
func (v *Vault) noteSigningKeys(ctx context.Context) error {
	_, err := v.currentKeys(ctx)
	return err
}

// currentKeys returns the keys that sign now, as far as their keepers can be asked.
func (v *Vault) currentKeys(ctx context.Context) ([]seal.SigningKey, error) {
	var all []seal.SigningKey
	for _, one := range []struct {
		purpose contract.SigningPurpose
		signer  seal.Signer
	}{{contract.SigningPurposeErasure, v.CertificateSigner}, {contract.SigningPurposeLog, v.Signer}} {
		if one.signer == nil {
			continue
		}
		k, err := v.signingKey(ctx, one.purpose, one.signer)
		switch {
		case errors.Is(err, eventstore.ErrKeysUnavailable):
		case err != nil:
			return nil, err
		default:
			all = append(all, k)
		}
	}
	return all, nil
}

// GetSigningKeys implements GET /signingKeys: every public key that ever signed for
// this vault. It works, without saying which sign now, while their keepers are away.
func (v *Vault) GetSigningKeys(ctx context.Context, _ contract.GetSigningKeysRequestObject) (contract.GetSigningKeysResponseObject, error) {
	current, err := v.currentKeys(ctx)
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
			SigningKeyID: k.ID, Purpose: contract.SigningPurpose(k.Purpose), Algorithm: contract.SigningKeyAlgorithmEd25519, PublicKey: k.Public,
			Current: slices.ContainsFunc(current, func(c seal.SigningKey) bool {
				return c.Purpose == k.Purpose && c.ID == k.ID && bytes.Equal(c.Public, k.Public)
			}),
		})
	}
	slices.SortStableFunc(page.Keys, func(a, b contract.SigningKey) int { return cmp.Compare(a.Purpose, b.Purpose) })
	return contract.GetSigningKeys200JSONResponse(page), nil
}

// errNoDestroyer: nothing here can sign that something was erased (rule E-2).
var errNoDestroyer = domain.NewError(domain.Unavailable, "destroyerMissing", "this vault has no destroyer, which is an identity of its own; an operator has to configure it")

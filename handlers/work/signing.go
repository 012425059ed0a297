package work

import (
	"context"
	"errors"
	"sync"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal"
	"coffre/handlers/certificate"
	"coffre/handlers/contract"
)

// notedKeys is the set of signing keys that are on record, so that each is noted once. The
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

// signingKey returns the public key that a signer uses now, and puts it on record for later
// verification.
func (work *Worker) signingKey(ctx context.Context, purpose contract.SigningPurpose, s seal.Signer) (seal.SigningKey, error) {
	public, id, err := s.PublicKey(ctx, "")
	if err != nil {
		return seal.SigningKey{}, err
	}
	k := seal.SigningKey{Purpose: string(purpose), ID: id, Public: public}
	if name := k.Purpose + " " + id; !work.signing.has(name) {
		if err := work.Keys.Ledger().NoteSigningKey(ctx, k); err != nil {
			return seal.SigningKey{}, err
		}
		work.signing.add(name)
	}
	return k, nil
}

// noteSigningKeys puts the current signing keys on record. A signer that is unavailable is
// asked again at a later call.
func (work *Worker) noteSigningKeys(ctx context.Context) error {
	_, err := work.CurrentSigningKeys(ctx)
	return err
}

// CurrentSigningKeys returns the public keys of the signers in use, and puts them on record.
// A signer whose keys are unavailable is left out.
func (work *Worker) CurrentSigningKeys(ctx context.Context) ([]seal.SigningKey, error) {
	var all []seal.SigningKey
	for _, one := range []struct {
		purpose contract.SigningPurpose
		signer  seal.Signer
	}{{contract.SigningPurposeErasure, work.certifier}, {contract.SigningPurposeLog, work.logSigner}} {
		if one.signer == nil {
			continue
		}
		k, err := work.signingKey(ctx, one.purpose, one.signer)
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

// SignReceipt returns a receipt of a consent, which has inLog, signed with the key of the log. The
// key is on record before the receipt is handed out.
func (work *Worker) SignReceipt(ctx context.Context, receipt []byte) ([]byte, error) {
	if _, err := work.signingKey(ctx, contract.SigningPurposeLog, work.logSigner); err != nil {
		return nil, err
	}
	return certificate.SignReceipt(ctx, receipt, work.logSigner)
}

// ErrNoDestroyer refuses an erasure or a certificate in a vault where nothing can sign
// certificates of erasure (rule E-2).
var ErrNoDestroyer = domain.NewError(domain.Unavailable, "destroyerMissing", "this vault has no destroyer, which is an identity of its own; an operator has to configure it")

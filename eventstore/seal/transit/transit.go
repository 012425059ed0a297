// Package transit keeps the key-encryption key and the signing keys in HashiCorp
// Vault's Transit engine: they are made there, used there and never leave.
//
// Three identities, each with a login and a policy of its own (deploy/vault): the
// application wraps, unwraps and signs checkpoints; the rotator makes, retires and
// destroys versions and moves wrapped keys to the latest one without seeing them; the
// destroyer signs certificates of erasure. [Open] refuses an identity that may do
// more than that.
//
// Invariant: whatever Vault answers, nothing is wrapped by a key that was made for
// the occasion, and an error never holds a token, a key, a ciphertext or a body.
//
// The use of a key is bound to its wrapped form as the context of a derived key,
// and not as associated_data: Vault's rewrap takes no associated data.
package transit

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"

	"coffre/eventstore"
	"coffre/eventstore/seal"
)

// Names of the keys under the mount. They are for ever.
const (
	kekKey     = "kek"     // aes256-gcm96, derived
	logKey     = "log"     // ed25519, signs checkpoints
	erasureKey = "erasure" // ed25519, signs certificates of erasure
)

// Keeper implements seal.KEK, seal.KEKRotator and seal.Signer (for checkpoints of the
// log) over one mount of Vault. What it has no identity for answers an error that
// wraps seal.ErrNoIdentity and eventstore.ErrKeysUnavailable.
type Keeper struct {
	application, rotator, destroyer *client // the last two may be nil
}

var (
	_ seal.KEK        = (*Keeper)(nil)
	_ seal.KEKRotator = (*Keeper)(nil)
	_ seal.Signer     = (*Keeper)(nil)
)

// Open logs in every configured identity and checks what it may do and which keys
// there are. It needs Vault at once; afterwards Vault may come and go.
func Open(ctx context.Context, cfg Config) (_ *Keeper, err error) {
	cfg, err = cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	k := &Keeper{}
	defer func() {
		if err != nil {
			err = errors.Join(err, k.Close())
		}
	}()
	for _, one := range []struct {
		role  role
		login Login
		to    **client
	}{
		{application, cfg.Application, &k.application}, {rotator, cfg.Rotator, &k.rotator}, {destroyer, cfg.Destroyer, &k.destroyer},
	} {
		if one.login == nil {
			continue
		}
		if *one.to, err = newClient(cfg, one.role, one.login); err != nil {
			return nil, err
		}
		if err := (*one.to).start(ctx); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// Close gives the tokens back. Every call after it answers that the keys are
// unavailable.
func (k *Keeper) Close() error {
	for _, c := range k.clients() {
		c.close()
	}
	return nil
}

func (k *Keeper) clients() (all []*client) {
	for _, c := range []*client{k.application, k.rotator, k.destroyer} {
		if c != nil {
			all = append(all, c)
		}
	}
	return all
}

// missing is the answer of an identity that was not configured.
func missing(r role) error {
	return fmt.Errorf("vault: no login for the %s: %w: %w", r, seal.ErrNoIdentity, eventstore.ErrKeysUnavailable)
}

// Wrap implements seal.KEK.
func (k *Keeper) Wrap(ctx context.Context, items []seal.WrapItem) ([]seal.Wrapped, error) {
	return k.application.wrap(ctx, items)
}

// Unwrap implements seal.KEK.
func (k *Keeper) Unwrap(ctx context.Context, items []seal.UnwrapItem) ([]seal.Unwrapped, error) {
	return k.application.unwrap(ctx, items)
}

// Rewrap implements seal.KEK, by the rotator.
func (k *Keeper) Rewrap(ctx context.Context, items []seal.UnwrapItem) ([]seal.Wrapped, error) {
	if k.rotator == nil {
		return nil, missing(rotator)
	}
	return k.rotator.rewrap(ctx, items)
}

// Versions implements seal.KEK.
func (k *Keeper) Versions(ctx context.Context) (seal.Versions, error) {
	return k.application.versions(ctx)
}

// Rotate implements seal.KEKRotator.
func (k *Keeper) Rotate(ctx context.Context) (int, error) {
	if k.rotator == nil {
		return 0, missing(rotator)
	}
	return k.rotator.rotate(ctx)
}

// SetMinDecryption implements seal.KEKRotator.
func (k *Keeper) SetMinDecryption(ctx context.Context, oldest int) error {
	if k.rotator == nil {
		return missing(rotator)
	}
	return k.rotator.setMinDecryption(ctx, oldest)
}

// Trim implements seal.KEKRotator.
func (k *Keeper) Trim(ctx context.Context, oldest int) error {
	if k.rotator == nil {
		return missing(rotator)
	}
	return k.rotator.trim(ctx, oldest)
}

// Sign implements seal.Signer with the key for checkpoints of the log.
func (k *Keeper) Sign(ctx context.Context, message []byte) ([]byte, string, error) {
	return k.application.sign(ctx, message)
}

// PublicKey implements seal.Signer for the key that [Keeper.Sign] uses.
func (k *Keeper) PublicKey(ctx context.Context, keyID string) (ed25519.PublicKey, string, error) {
	return k.application.publicKey(ctx, keyID)
}

// Certificates returns the signer of certificates of erasure, the destroyer's; nil
// when there is none.
func (k *Keeper) Certificates() seal.Signer {
	if k.destroyer == nil {
		return nil
	}
	return certificates{k.destroyer}
}

type certificates struct{ *client }

func (c certificates) Sign(ctx context.Context, message []byte) ([]byte, string, error) {
	return c.sign(ctx, message)
}

func (c certificates) PublicKey(ctx context.Context, keyID string) (ed25519.PublicKey, string, error) {
	return c.publicKey(ctx, keyID)
}

// State tells how one identity stands with Vault, without a call.
type State struct {
	Identity string // application, rotator, destroyer
	LoggedIn bool   // it has a token that has not ended
	Open     bool   // the circuit breaker lets no call through for now
}

// Well reports whether calls are sent and may be answered.
func (s State) Well() bool { return s.LoggedIn && !s.Open }

// States lists the configured identities, the application first.
func (k *Keeper) States() []State {
	var all []State
	for _, c := range k.clients() {
		all = append(all, c.state())
	}
	return all
}

// Missing lists the identities without a login: what needs them is refused.
func (k *Keeper) Missing() (names []string) {
	if k.rotator == nil {
		names = append(names, rotator.String())
	}
	if k.destroyer == nil {
		names = append(names, destroyer.String())
	}
	return names
}

package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/localkek"
	"coffre/eventstore/seal/transit"
)

// Keeper holds the key-encryption key and the signing keys: Vault, or a file beside the
// data.
type Keeper struct {
	seal.KEK
	rotator   seal.KEKRotator
	signer    seal.Signer     // of the log
	certifier seal.Signer     // of certificates of erasure; nil: there is none
	name      string          // as operators read it
	transit   *transit.Keeper // nil: a file
	Close     func() error
}

// Errors of a directory whose keys are elsewhere. Nothing was changed.
var (
	ErrKeysInFile    = errors.New("the keys of this data directory lie in its file " + KEKFile + ", and a Vault is configured: unset COFFRE_VAULT_ADDR, or take another directory")
	ErrKeysInTransit = errors.New("the keys of this data directory lie in Vault: set COFFRE_VAULT_ADDR and what goes with it (deploy/vault/README.md)")
	// ErrNoKeyFile says that neither the key file nor Vault's mark lies beside a key ring.
	ErrNoKeyFile = errors.New("the key file " + KEKFile + " of this data directory is missing: put back the copy that is kept apart (deploy/runbooks/backup.md); if the keys of this vault lie in Vault, set COFFRE_VAULT_ADDR")
	// ErrKeyFileOfAnother says that the keys in a shared database were made under a
	// key-encryption key that neither this directory nor a configured Vault has.
	ErrKeyFileOfAnother = errors.New("the key database holds keys already, and this data directory has no key file " + KEKFile + ": copy it from a process that has it, as every process needs the same; if the keys of this vault lie in Vault, set COFFRE_VAULT_ADDR")
)

// openKeeperOf opens the keeper of a directory whose keys lie in db. A key file is made for
// the first process of a shared database only: that of a later one would open none of its keys.
func openKeeperOf(ctx context.Context, dir DataDir, vault *TransitConfig, db *keysdb.DB, logger *slog.Logger) (Keeper, error) {
	if vault != nil {
		return OpenKeeper(ctx, dir, vault, logger)
	}
	for _, name := range []string{KEKFile, TransitMark} { // OpenKeeper says what these mean
		if there, err := isThere(dir.File(name)); err != nil || there {
			return OpenKeeper(ctx, dir, vault, logger)
		}
	}
	if made, err := seal.HasKeys(ctx, db); err != nil {
		return Keeper{}, err
	} else if made {
		return Keeper{}, ErrKeyFileOfAnother
	}
	return OpenKeeper(ctx, dir, vault, logger)
}

// OpenKeeper opens Vault where one is configured, else the key file. A directory
// keeps the keeper it was made with.
func OpenKeeper(ctx context.Context, dir DataDir, vault *TransitConfig, logger *slog.Logger) (Keeper, error) {
	inFile, err := isThere(dir.File(KEKFile))
	if err != nil {
		return Keeper{}, err
	}
	if vault != nil {
		if inFile {
			return Keeper{}, ErrKeysInFile
		}
		return openTransitKeeper(ctx, dir, *vault, logger)
	}
	marked, err := isThere(dir.File(TransitMark))
	if err != nil {
		return Keeper{}, err
	}
	ring, err := isThere(dir.File(KeysFile))
	if err != nil {
		return Keeper{}, err
	}
	switch {
	case marked:
		return Keeper{}, ErrKeysInTransit
	case ring && !inFile:
		return Keeper{}, ErrNoKeyFile
	}
	kek, err := localkek.Open(dir.File(KEKFile))
	if err != nil {
		return Keeper{}, err
	}
	return Keeper{KEK: kek, rotator: kek, signer: kek, certifier: kek, name: "a file beside the data", Close: kek.Close}, nil
}

// ErrKeeperAway is wrapped by the error of a vault that did not open because Vault is sealed,
// slow or out of reach: it opens when Vault answers.
var ErrKeeperAway = transit.ErrAway

func openTransitKeeper(ctx context.Context, dir DataDir, vault TransitConfig, logger *slog.Logger) (Keeper, error) {
	cfg := vault.Adapter()
	cfg.Logger = logger
	k, err := transit.Open(ctx, cfg)
	if err != nil {
		return Keeper{}, err
	}
	if err := os.WriteFile(dir.File(TransitMark), []byte("The keys of this directory lie in Vault.\n"), 0o600); err != nil {
		return Keeper{}, errors.Join(fmt.Errorf("data directory: %w", err), k.Close())
	}
	for _, missing := range k.Missing() {
		if vault.shared {
			break
		}
		logger.WarnContext(ctx, "no login at Vault is configured: what needs it is answered 503", "identity", missing)
	}
	return Keeper{KEK: k, rotator: k, signer: k, certifier: k.Certificates(), name: "Vault", transit: k, Close: k.Close}, nil
}

func isThere(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("data directory: %w", err)
	}
	return true, nil
}

// states tells how the keeper's logins stand; none for a file.
func (k Keeper) states() []transit.State {
	if k.transit == nil {
		return nil
	}
	return k.transit.States()
}

// well reports whether keys can be used now, by asking; the breaker sees to it that
// this costs little while Vault is away.
func (k Keeper) well(ctx context.Context) bool {
	if k.transit == nil {
		return true
	}
	if _, err := k.Versions(ctx); err != nil {
		return false
	}
	for _, s := range k.states() {
		if !s.Well() {
			return false
		}
	}
	return true
}

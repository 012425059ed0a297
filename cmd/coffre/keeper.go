package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"coffre/eventstore/seal"
	"coffre/eventstore/seal/localkek"
	"coffre/eventstore/seal/transit"
)

// keeper is who keeps the key-encryption key and the signing keys.
type keeper struct {
	seal.KEK
	rotator   seal.Rotator
	signer    seal.Signer     // of the log
	destroyer seal.Signer     // of certificates of erasure; nil: there is none
	name      string          // as operators read it
	vault     *transit.Keeper // nil: a file
	close     func() error
}

// Errors of a directory whose keys are elsewhere. Nothing was changed.
var (
	errKeysInFile  = errors.New("the keys of this data directory lie in its file " + kekFile + ", and a Vault is configured: unset COFFRE_VAULT_ADDR, or take another directory")
	errKeysInVault = errors.New("the keys of this data directory lie in Vault: set COFFRE_VAULT_ADDR and what goes with it (deploy/vault/README.md)")
)

// openKeeper opens Vault where one is configured, else the key file. A directory
// keeps the keeper it was made with.
func openKeeper(ctx context.Context, dir dataDir, vault *VaultConfig, logger *slog.Logger) (keeper, error) {
	inFile, err := isThere(dir.file(kekFile))
	if err != nil {
		return keeper{}, err
	}
	if vault != nil {
		if inFile {
			return keeper{}, errKeysInFile
		}
		return openVaultKeeper(ctx, dir, *vault, logger)
	}
	marked, err := isThere(dir.file(vaultMark))
	if err != nil {
		return keeper{}, err
	}
	ring, err := isThere(dir.file("keys.db"))
	if err != nil {
		return keeper{}, err
	}
	if marked || ring && !inFile {
		return keeper{}, errKeysInVault
	}
	kek, err := localkek.Open(dir.file(kekFile))
	if err != nil {
		return keeper{}, err
	}
	return keeper{KEK: kek, rotator: kek, signer: kek, destroyer: kek, name: "a file beside the data", close: kek.Close}, nil
}

func openVaultKeeper(ctx context.Context, dir dataDir, vault VaultConfig, logger *slog.Logger) (keeper, error) {
	cfg := vault.keeper()
	cfg.Logger = logger
	k, err := transit.Open(ctx, cfg)
	if err != nil {
		return keeper{}, err
	}
	if err := os.WriteFile(dir.file(vaultMark), []byte("The keys of this directory lie in Vault.\n"), 0o600); err != nil {
		return keeper{}, errors.Join(fmt.Errorf("data directory: %w", err), k.Close())
	}
	for _, missing := range k.Missing() {
		logger.WarnContext(ctx, "no login at Vault is configured: what needs it is answered 503", "identity", missing)
	}
	return keeper{KEK: k, rotator: k, signer: k, destroyer: k.Certificates(), name: "Vault", vault: k, close: k.Close}, nil
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
func (k keeper) states() []transit.State {
	if k.vault == nil {
		return nil
	}
	return k.vault.States()
}

// well reports whether keys can be used now, by asking; the breaker sees to it that
// this costs little while Vault is away.
func (k keeper) well(ctx context.Context) bool {
	if k.vault == nil {
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

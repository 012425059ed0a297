// Package vaulttest runs HashiCorp's Vault server for tests: the real one, sealed
// until it is unsealed, on raft storage, over TLS with an authority of its own,
// prepared by deploy/vault as an operator would. It can be sealed, killed, restarted,
// slowed down, cut off and set back to a snapshot.
//
// The binary is built from the module in vaultserver, once per version, and kept in the
// user's cache folder. To build it ahead of the tests, which takes some minutes:
//
//	go test -run TestServerIsBuilt -timeout 30m ./eventstore/seal/transit/vaulttest
package vaulttest

// Package disclosure opens what is personal, and is the only part of the program that
// does: consumers' readings under a basis, what issuers and holders read of a document,
// files, sealed dates that a decision needs, and parts that read models keep sealed. It
// records who was told no, counts whom a consumer reaches in a day, and records what
// became of each access.
//
// Invariant: no byte of a consumer's, an issuer's or a representative's reading is opened
// before the access is on record, durably, and everything it relies on was read again
// (rule A-1).
package disclosure

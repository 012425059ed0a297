// Package disclosure opens personal data, and is the only part of the program that does:
// documents and files for consumers, issuers, holders and representatives, sealed dates
// that a decision needs, and sealed parts that read models keep. It records refusals and
// the outcome of each access, and counts the citizens a consumer reads in a day.
//
// Invariant: no byte of a consumer's, an issuer's or a representative's reading is opened
// before the access is on record, durably, and everything it relies on was read again
// (rule A-1).
package disclosure

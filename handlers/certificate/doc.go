// Package certificate verifies certificates of erasure and exports for a court or an auditor: the
// signature, the completeness of its content, and whether the log holds the events that
// it states. It needs the contract and a public key, and neither a vault nor a network.
//
// Invariant: what is verified are the bytes that were signed, in the form of RFC 8785.
package certificate

// Package seal encrypts the personal parts of events and keeps the keys that
// open them, so that erasing a person means destroying a key.
//
// Three levels: a key-encryption key that never leaves its keeper (port [KEK]); a
// data key (DEK) of 32 random bytes per citizen, wrapped by the KEK; a content key
// of 32 random bytes per stream, wrapped under the DEK. A citizen gets another DEK when one
// of their content keys is destroyed: old copies have that one under the former DEK.
//
// A [Ring] keeps the keys. What may be done with them is told by type: a [Sealer]
// seals, an [Opener] opens, and the ring's one [Destroyer] and one [Rotator] are
// taken by the wiring.
//
// Invariant: nothing is sealed with a key that is not durable, and once a key is
// destroyed nothing opens with it again: in this process at once, in any other
// when its lease ends, after any restart or restored copy.
package seal

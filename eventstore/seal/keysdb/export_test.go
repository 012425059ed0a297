package keysdb

// MACOf returns the MAC that a row was read with.
func MACOf(e *Entry) []byte { return e.mac }

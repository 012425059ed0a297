package contract

import (
	"encoding/base64"
	"encoding/binary"

	"coffre/domain"
)

// LeafToken returns a leaf number as an opaque position or cursor, which ParseLeafToken
// reads.
func LeafToken(leaf int64) string {
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, uint64(leaf)))
}

// ErrUnknownPosition refuses a position or a cursor that the vault did not write.
var ErrUnknownPosition = domain.NewError(domain.Invalid, "unknownPosition", "positions and cursors come only from an answer of the vault")

// ParseLeafToken returns the leaf number of a token made by LeafToken, and
// ErrUnknownPosition for any other text.
func ParseLeafToken(token string) (int64, error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != 8 || b[0]&0x80 != 0 {
		return 0, ErrUnknownPosition
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}

package edge

import (
	"fmt"

	"coffre/handlers/contract"
)

// ETag returns a document's version as an entity tag.
func ETag(version int) contract.EntityTag { return fmt.Sprintf(`"%d"`, version) }

// VersionOf returns the version in an entity tag made by ETag; -1, which is no version, for
// any other tag.
func VersionOf(tag contract.EntityTag) int {
	var n int
	if _, err := fmt.Sscanf(tag, `"%d"`, &n); err != nil || n < 1 || ETag(n) != tag {
		return -1
	}
	return n
}

package edge

import (
	"fmt"

	"coffre/handlers/contract"
)

// ETag is a document's version as an entity tag.
func ETag(version int) contract.EntityTag { return fmt.Sprintf(`"%d"`, version) }

// VersionOf reads what etag wrote; anything else matches no version.
func VersionOf(tag contract.EntityTag) int {
	var n int
	if _, err := fmt.Sscanf(tag, `"%d"`, &n); err != nil || n < 1 || ETag(n) != tag {
		return -1
	}
	return n
}

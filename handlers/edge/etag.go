package edge

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"coffre/handlers/contract"
)

// ETag returns a document's version as an entity tag.
func ETag(version int) contract.EntityTag { return fmt.Sprintf(`"%d"`, version) }

// StateTag returns an entity tag of an answer that changes with more than the version:
// digest, of which 8 bytes count, stands for the rest. VersionOf reads the version.
func StateTag(version int, digest [32]byte) contract.EntityTag {
	return fmt.Sprintf(`"%d-%s"`, version, hex.EncodeToString(digest[:8]))
}

// VersionOf returns the version in an entity tag made by ETag or StateTag; -1, which is no
// version, for any other tag.
func VersionOf(tag contract.EntityTag) int {
	text := strings.TrimSuffix(strings.TrimPrefix(tag, `"`), `"`)
	number, digest, more := strings.Cut(text, "-")
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || strconv.Itoa(n) != number || tag != `"`+text+`"` {
		return -1
	}
	if b, err := hex.DecodeString(digest); more && (err != nil || len(b) != 8) {
		return -1
	}
	return n
}

// EntityTags is the value of an If-Match or If-None-Match header.
type EntityTags struct {
	Any  bool     // the header is "*"
	List []string // tags with their quotes, without the mark of weakness
}

var errTags = errors.New("no list of entity tags")

// ParseEntityTags reads an If-Match or If-None-Match header, of which several lines are joined
// by commas (RFC 9110, sections 5.6.1, 8.8.3 and 13.1). Whether a tag was weak is not kept:
// our tags name versions, which a proxy that changes the bytes of an answer does not change.
func ParseEntityTags(header string) (EntityTags, error) {
	if strings.Trim(header, " \t") == "*" {
		return EntityTags{Any: true}, nil
	}
	var tags EntityTags
	for rest := header; ; {
		if rest = strings.TrimLeft(rest, " \t,"); rest == "" {
			break
		}
		text, opened := strings.CutPrefix(strings.TrimPrefix(rest, "W/"), `"`)
		end := strings.IndexByte(text, '"')
		if !opened || end < 0 || strings.ContainsFunc(text[:end], func(c rune) bool { return c <= ' ' || c == 0x7f }) {
			return EntityTags{}, errTags
		}
		tags.List = append(tags.List, `"`+text[:end]+`"`)
		if rest = strings.TrimLeft(text[end+1:], " \t"); rest != "" && rest[0] != ',' {
			return EntityTags{}, errTags
		}
	}
	if len(tags.List) == 0 {
		return EntityTags{}, errTags
	}
	return tags, nil
}

// matches reports whether one of the tags is that of an answer, by their texts alone; "*"
// matches every answer that has a tag.
func (t EntityTags) matches(tag string) bool {
	return tag != "" && (t.Any || slices.Contains(t.List, strings.TrimPrefix(tag, "W/")))
}

// checkTags accepts the value of an If-Match header.
func checkTags(v string) error {
	_, err := ParseEntityTags(v)
	return err
}

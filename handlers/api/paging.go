package api

import (
	"encoding/base64"
	"encoding/binary"
	"maps"
	"net/url"
	"strconv"
	"time"

	"coffre/domain"
	"coffre/handlers/contract"
)

const (
	defaultPage = 50
	maxPage     = 200

	// scanned bounds the records one call looks at, so that a rare type costs many
	// short calls instead of one endless one; next leads on from there.
	scanned = 20_000
)

// pageSize is how many items a caller gets at most.
func pageSize(asked contract.PageSize) int {
	if asked == 0 {
		return defaultPage
	}
	return min(int(asked), maxPage)
}

// pageLinks are the addresses of a list's pages: all have its path and what was asked
// of it, and each a cursor of its own.
type pageLinks struct {
	path  string
	asked url.Values
}

// linksTo returns the links of the list at a path, of which nothing was asked yet.
func linksTo(path string) pageLinks { return pageLinks{path, url.Values{}} }

// at returns the address of the page behind a cursor, which is "" for the first.
func (l pageLinks) at(cursor contract.Cursor) contract.Href {
	q := l.asked
	if cursor != "" {
		q = maps.Clone(q)
		q.Set("after", cursor)
	}
	if len(q) == 0 {
		return l.path
	}
	return l.path + "?" + q.Encode()
}

// text adds a parameter, unless its value is "".
func (l pageLinks) text(name, value string) pageLinks {
	if value != "" {
		l.asked.Set(name, value)
	}
	return l
}

// texts adds a parameter once for each of its values.
func (l pageLinks) texts(name string, values []string) pageLinks {
	for _, value := range values {
		l.asked.Add(name, value)
	}
	return l
}

// number adds a parameter, unless its value is 0.
func (l pageLinks) number(name string, value int32) pageLinks {
	if value != 0 {
		l.asked.Set(name, strconv.Itoa(int(value)))
	}
	return l
}

// id adds a parameter that is an identifier, unless it is the zero one.
func (l pageLinks) id(name string, value interface {
	IsZero() bool
	String() string
}) pageLinks {
	if !value.IsZero() {
		l.asked.Set(name, value.String())
	}
	return l
}

// time adds a parameter that is a moment, unless it is the zero one.
func (l pageLinks) time(name string, value time.Time) pageLinks {
	if !value.IsZero() {
		l.asked.Set(name, value.Format(time.RFC3339Nano))
	}
	return l
}

// asStrings returns codes as the strings they are.
func asStrings[T ~string](codes []T) []string {
	all := make([]string, len(codes))
	for i, c := range codes {
		all[i] = string(c)
	}
	return all
}

// leafFrom returns the leaf that a cursor stands for; first when there is no cursor,
// which asks for the first page.
func leafFrom(cursor contract.Cursor, first int64) (int64, error) {
	if cursor == "" {
		return first, nil
	}
	return leafOf(cursor)
}

// leafToken writes a leaf as a position or a cursor that only leafOf reads.
func leafToken(leaf int64) string {
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, uint64(leaf)))
}

var errBadToken = domain.NewError(domain.Invalid, "unknownPosition", "positions and cursors come only from an answer of the vault")

// leafOf reads what leafToken wrote.
func leafOf(token string) (int64, error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != 8 || b[0]&0x80 != 0 {
		return 0, errBadToken
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}

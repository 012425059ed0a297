package edge

import (
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"time"

	"coffre/handlers/contract"
)

const (
	defaultPage = 50
	// MaxPage bounds the items of one page.
	MaxPage = 200

	// MaxScanned bounds the records that one call reads, so that a search for a rare type
	// takes many short calls instead of one endless call; the link next leads on.
	MaxScanned = 20_000
)

// PageSize returns the largest number of items on a page: the number that the caller asked
// for, at most MaxPage; 50 when asked is 0.
func PageSize(asked contract.PageSize) int {
	if asked == 0 {
		return defaultPage
	}
	return min(int(asked), MaxPage)
}

// PageLinks builds the addresses of a list's pages, which share a path and the query's
// parameters and differ in their cursor. It must not be used concurrently.
type PageLinks struct {
	path  string
	query url.Values
}

// LinksTo returns the links of the list at a path, without parameters.
func LinksTo(path string) PageLinks { return PageLinks{path, url.Values{}} }

// At returns the address of the page after a cursor; "" stands for the first page.
func (l PageLinks) At(cursor contract.Cursor) contract.Href {
	q := l.query
	if cursor != "" {
		q = maps.Clone(q)
		q.Set("after", cursor)
	}
	if len(q) == 0 {
		return l.path
	}
	return l.path + "?" + q.Encode()
}

// Next returns the address and the cursor of the page after a cursor, which is not "".
func (l PageLinks) Next(cursor contract.Cursor) (contract.Href, contract.Cursor) {
	return l.At(cursor), cursor
}

// Text adds a parameter, unless its value is "".
func (l PageLinks) Text(name, value string) PageLinks {
	if value != "" {
		l.query.Set(name, value)
	}
	return l
}

// Texts adds a parameter once for each of its values.
func (l PageLinks) Texts(name string, values []string) PageLinks {
	for _, value := range values {
		l.query.Add(name, value)
	}
	return l
}

// Number adds a parameter, unless its value is 0.
func (l PageLinks) Number(name string, value int32) PageLinks {
	if value != 0 {
		l.query.Set(name, strconv.Itoa(int(value)))
	}
	return l
}

// Time adds a parameter that is a time, in RFC 3339, unless it is nil.
func (l PageLinks) Time(name string, value *time.Time) PageLinks {
	if value != nil {
		l.query.Set(name, value.Format(time.RFC3339Nano))
	}
	return l
}

// AddID adds a parameter that is an identifier, unless it is nil.
func AddID[T fmt.Stringer](l PageLinks, name string, value *T) PageLinks {
	if value != nil {
		l.query.Set(name, (*value).String())
	}
	return l
}

// AsStrings converts codes to strings.
func AsStrings[T ~string](codes []T) []string {
	all := make([]string, len(codes))
	for i, c := range codes {
		all[i] = string(c)
	}
	return all
}

// LeafFrom returns the leaf number of a cursor; first for "", which asks for the first
// page. A cursor that the vault did not write is contract.ErrUnknownPosition.
func LeafFrom(cursor contract.Cursor, first int64) (int64, error) {
	if cursor == "" {
		return first, nil
	}
	return contract.ParseLeafToken(cursor)
}

package api

import (
	"bytes"
	"encoding/json"

	"coffre/domain"
	"coffre/domain/document"
)

// personalPart holds the members of the personal part of document.issued or document.updated
// that a wallet shows. content shares the memory it was read from.
type personalPart struct {
	content                              []byte
	attachments                          []document.Attachment
	effectiveFrom, validFrom, validUntil domain.Date
	keyDestroyed                         bool // the other members are empty
}

// splitPersonal reads a personal part without decoding the content, which is JSON
// that the vault itself wrote. ok is false for anything but an object with the
// known members.
func splitPersonal(b []byte) (p personalPart, ok bool) {
	if len(b) < 2 || b[0] != '{' {
		return p, false
	}
	b = b[1:]
	for len(b) > 0 {
		n, ok := stringEnd(b)
		if !ok || n >= len(b) || b[n] != ':' {
			return p, false
		}
		name := b[1 : n-1]
		b = b[n+1:]
		if n, ok = valueEnd(b); !ok {
			return p, false
		}
		value := b[:n]
		switch string(name) {
		case "content":
			if value[0] != '{' {
				return p, false
			}
			p.content = value
		case "attachments":
			ok = json.Unmarshal(value, &p.attachments) == nil
		case "effectiveFrom":
			p.effectiveFrom, ok = dateIn(value)
		case "validFrom":
			p.validFrom, ok = dateIn(value)
		case "validUntil":
			p.validUntil, ok = dateIn(value)
		case "sourceReference":
		default:
			return p, false
		}
		if !ok {
			return p, false
		}
		switch b = b[n:]; {
		case len(b) == 1 && b[0] == '}':
			return p, p.content != nil
		case len(b) == 0 || b[0] != ',':
			return p, false
		}
		b = b[1:]
	}
	return p, false
}

// stringEnd returns the index behind the JSON string that b begins with.
func stringEnd(b []byte) (int, bool) {
	if len(b) == 0 || b[0] != '"' {
		return 0, false
	}
	for i := 1; i < len(b); {
		j := bytes.IndexByte(b[i:], '"')
		if j < 0 {
			return 0, false
		}
		slashes := 0
		for k := i + j - 1; k >= i && b[k] == '\\'; k-- {
			slashes++
		}
		if i += j + 1; slashes%2 == 0 {
			return i, true
		}
	}
	return 0, false
}

// valueEnd returns the index behind the JSON string, object or array that b begins
// with.
func valueEnd(b []byte) (int, bool) {
	if len(b) == 0 || b[0] == '"' {
		return stringEnd(b)
	}
	if b[0] != '{' && b[0] != '[' {
		return 0, false
	}
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			n, ok := stringEnd(b[i:])
			if !ok {
				return 0, false
			}
			i += n - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1, true
			}
		}
	}
	return 0, false
}

func dateIn(value []byte) (domain.Date, bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	d, err := domain.ParseDate(string(value[1 : len(value)-1]))
	return d, err == nil
}

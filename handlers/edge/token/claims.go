package token

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// claims are the claims of a verified token by name. Numbers, texts and lists are judged when
// they are asked for.
type claims map[string]jsontext.Value

// readClaims reads a payload: one JSON object in UTF-8, in which no name stands twice.
func readClaims(payload []byte) (claims, error) {
	var c claims
	if json.Unmarshal(payload, &c) != nil || c == nil { // the error would carry claims
		return nil, reject("claims", "are not one JSON object in UTF-8 in which each name stands once")
	}
	return c, nil
}

// find returns what a name or a JSON Pointer leads to; false where there is nothing, or null.
func (c claims) find(name string) (jsontext.Value, bool) {
	if !strings.HasPrefix(name, "/") {
		v, found := c[name]
		return v, found && v.Kind() != 'n'
	}
	object, steps := c, strings.Split(name[1:], "/")
	for i, step := range steps {
		v, found := object[strings.NewReplacer("~1", "/", "~0", "~").Replace(step)]
		if !found || v.Kind() == 'n' {
			return nil, false
		}
		if i == len(steps)-1 {
			return v, true
		}
		object = nil
		if v.Kind() != '{' || json.Unmarshal(v, &object) != nil {
			return nil, false
		}
	}
	return nil, false
}

// text returns a claim that is a text; false where there is none.
func (c claims) text(name string) (string, bool, error) {
	v, found := c.find(name)
	if !found {
		return "", false, nil
	}
	var one string
	if v.Kind() != '"' || json.Unmarshal(v, &one) != nil {
		return "", false, reject(name, "is not a text")
	}
	return one, true, nil
}

// single returns a claim that is a text or, as providers write what may have several values,
// a list of one text; false where there is none. check is how a rejection calls it.
func (c claims) single(check, name string) (string, bool, error) {
	all, found, err := c.list(check, name)
	switch {
	case err != nil || !found:
		return "", false, err
	case len(all) != 1:
		return "", false, reject(check, "is neither a text nor a list of one text")
	}
	return all[0], true, nil
}

// list returns a claim that is a list of texts, or one text; false where there is none.
func (c claims) list(check, name string) ([]string, bool, error) {
	v, found := c.find(name)
	if !found {
		return nil, false, nil
	}
	var one string
	if v.Kind() == '"' && json.Unmarshal(v, &one) == nil {
		return []string{one}, true, nil
	}
	var many []string
	if v.Kind() != '[' || json.Unmarshal(v, &many) != nil {
		return nil, false, reject(check, "is neither a text nor a list of texts")
	}
	return many, true, nil
}

// words returns a claim of words: a text with blanks between them, or a list.
func (c claims) words(check, name string) ([]string, error) {
	all, _, err := c.list(check, name)
	if err != nil {
		return nil, err
	}
	var words []string
	for _, text := range all {
		words = append(words, strings.Fields(text)...)
	}
	return words, nil
}

// lastSecond is 9999-12-31T23:59:59Z.
const lastSecond = 253402300799

// moment returns a claim that is a NumericDate, seconds since 1970 and perhaps a fraction
// (RFC 7519, section 2), up to the year 9999; false where there is none.
func (c claims) moment(name string) (time.Time, bool, error) {
	v, found := c.find(name)
	if !found {
		return time.Time{}, false, nil
	}
	var f float64
	if v.Kind() != '0' || json.Unmarshal(v, &f) != nil || math.IsNaN(f) || f < 0 || f > lastSecond {
		return time.Time{}, false, reject(name, "is not a number of seconds since 1970, up to the year 9999")
	}
	return time.Unix(int64(f), 0), true, nil
}

// otherKind returns what a token is by its claims, if that is no access token: where typ is
// only JWT, a provider's other tokens look the same.
func (c claims) otherKind() string {
	switch {
	case c.has("at_hash"), c.has("c_hash"), c.has("nonce"):
		return "an ID token"
	case c.has("events"):
		return "a token about a logout or another event"
	}
	if kind, _, err := c.text("typ"); err == nil && slices.Contains([]string{"ID", "Refresh", "Offline", "Logout"}, kind) {
		return "an ID, refresh or logout token"
	}
	return ""
}

func (c claims) has(name string) bool { _, found := c[name]; return found }

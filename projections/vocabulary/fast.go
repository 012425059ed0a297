package vocabulary

import (
	"bytes"
	"cmp"
	"fmt"
	"math/big"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"coffre/domain"
)

// formats are the formats of JSON Schema that are asserted, each with its check. Both
// ways to judge a content use them; the schema library would ignore a format it does
// not know, so others are refused.
var formats = map[string]func(string) bool{
	"date": func(s string) bool {
		_, err := domain.ParseDate(s)
		return err == nil
	},
	"incomplete-date": func(s string) bool { // as Belgif calls it: the day, or day and month, may be unknown
		_, _, err := domain.ParseSpan(s)
		return err == nil
	},
	"date-time": func(s string) bool {
		_, err := domain.ParseTime(s)
		return err == nil
	},
	"email": func(s string) bool {
		local, host, ok := strings.Cut(s, "@")
		return ok && local != "" && len(local) <= 64 && host != "" && !strings.ContainsAny(s, " \t\r\n<>()\",;:\\") &&
			!strings.Contains(host, "@") && !strings.HasPrefix(host, ".") && !strings.HasSuffix(host, ".")
	},
	"uri": func(s string) bool {
		u, err := url.Parse(s)
		return err == nil && u.IsAbs() && !strings.ContainsAny(s, " \t\r\n")
	},
	"uuid": func(s string) bool {
		_, err := uuid.Parse(s)
		return err == nil && len(s) == 36
	},
}

// acceptor is one schema, made ready to accept content in the form of RFC 8785
// without decoding it. It is the fast way to "yes": what an acceptor accepts, the
// schema library accepts (a test compares them). What it does not accept, for
// whatever reason, holds judges and explains.
type acceptor struct {
	types      string // first bytes of the JSON types allowed, 'i' for integer; "" allows all
	values     [][]byte
	ref        *acceptor
	anyOf      []*acceptor
	oneOf      []*acceptor
	properties map[string]*acceptor
	object     bool // properties or required are judged
	closed     bool
	required   []string
	items      *acceptor
	minItems   int
	maxItems   int
	unique     bool
	minLength  int
	maxLength  int
	pattern    *regexp.Regexp
	format     func(string) bool
	minimum    *float64
	maximum    *float64
	undecided  bool // uses what only the library judges

	// What only holds, which explains, has a use for.
	constants  []constants
	dependents map[string][]string
	names      []string       // of properties, in order
	schema     map[string]any // says what is wanted at a keyword
	opaque     *bool          // shared by all of a schema: it refers to what is no definition
}

// constants is the list of values of a const or an enum.
type constants struct {
	keyword string
	values  []any
}

// maxAcceptDepth ends references that run in circles.
const maxAcceptDepth = 4 * MaxDepth

// compileAcceptor makes the acceptor of a schema that compileType accepted.
func compileAcceptor(root any) *acceptor {
	c := acceptorCompiler{defs: make(map[string]*acceptor), opaque: new(bool)}
	all, _ := root.(map[string]any)
	defs, _ := all["$defs"].(map[string]any)
	for name := range defs { // first, so that definitions can refer to each other
		c.defs["#/$defs/"+name] = new(acceptor)
	}
	for name, def := range defs {
		c.fill(c.defs["#/$defs/"+name], def)
	}
	r := new(acceptor)
	c.fill(r, root)
	return r
}

type acceptorCompiler struct {
	defs   map[string]*acceptor
	opaque *bool
}

func (c *acceptorCompiler) acceptor(schema any) *acceptor {
	r := new(acceptor)
	c.fill(r, schema)
	return r
}

func (c *acceptorCompiler) fill(r *acceptor, schema any) {
	s, _ := schema.(map[string]any)
	r.maxItems, r.maxLength, r.opaque, r.schema = MaxContent, MaxContent, c.opaque, s
	for key, value := range s {
		switch key {
		case "type":
			r.types = typesOf(value)
		case "const":
			r.values = append(r.values, c.literal(r, value))
			r.constants = append(r.constants, constants{key, []any{value}})
		case "enum":
			list, _ := value.([]any)
			r.constants = append(r.constants, constants{key, list})
			for _, v := range list {
				r.values = append(r.values, c.literal(r, v))
			}
		case "$ref":
			name, _ := value.(string)
			r.ref = c.defs[name]
			if r.ref == nil {
				r.undecided, *c.opaque = true, true
			}
		case "anyOf":
			r.anyOf = c.list(value)
		case "oneOf":
			r.oneOf = c.list(value)
		case "properties":
			r.object, r.properties = true, make(map[string]*acceptor)
			members, _ := value.(map[string]any)
			for name, sub := range members {
				r.properties[name] = c.acceptor(sub)
				r.names = append(r.names, name)
			}
			slices.Sort(r.names)
		case "required":
			r.object = true
			list, _ := value.([]any)
			for _, name := range list {
				text, _ := name.(string)
				r.required = append(r.required, text)
			}
		case "additionalProperties":
			r.object, r.closed = true, true
		case "items":
			r.items = c.acceptor(value)
		case "minItems":
			r.minItems = count(value)
		case "maxItems":
			r.maxItems = count(value)
		case "uniqueItems":
			r.unique = value == true
		case "minLength":
			r.minLength = count(value)
		case "maxLength":
			r.maxLength = count(value)
		case "pattern":
			text, _ := value.(string)
			r.pattern = regexp.MustCompile(text) // the library compiled it the same way
		case "format":
			name, _ := value.(string)
			r.format = formats[name]
		case "minimum":
			r.minimum = bound(value)
		case "maximum":
			r.maximum = bound(value)
		case "dependentRequired":
			r.undecided, r.dependents = true, make(map[string][]string)
			members, _ := value.(map[string]any)
			for name, others := range members {
				list, _ := others.([]any)
				for _, other := range list {
					text, _ := other.(string)
					r.dependents[name] = append(r.dependents[name], text)
				}
			}
		}
	}
	// A value in two lists at once, or two of const and enum, are rare enough.
	_, both := s["const"]
	if _, enum := s["enum"]; both && enum || r.unique && r.items == nil {
		r.undecided = true
	}
}

func (c *acceptorCompiler) list(value any) []*acceptor {
	subs, _ := value.([]any)
	acceptors := make([]*acceptor, len(subs))
	for i, sub := range subs {
		acceptors[i] = c.acceptor(sub)
	}
	return acceptors
}

// literal returns a constant as it stands in canonical content.
func (c *acceptorCompiler) literal(r *acceptor, v any) []byte {
	switch v := v.(type) {
	case nil:
		return []byte("null")
	case bool:
		return strconv.AppendBool(nil, v)
	case float64:
		return jsontext.AppendFloat(nil, v, 64)
	case string:
		if b, err := jsontext.AppendQuote(nil, v); err == nil {
			return b
		}
	}
	r.undecided = true
	return nil
}

var typeNames = []string{"null", "boolean", "number", "integer", "string", "array", "object"}

// wanted says what a schema has at a keyword that is a bound or a form; "" for any other.
func wanted(keyword string, value any) string {
	if value == nil { // the schema does not have the keyword
		return ""
	}
	switch keyword {
	case "type", "enum":
		list, ok := value.([]any)
		if !ok {
			list = []any{value}
		}
		var texts []string
		for _, v := range list {
			if text, ok := v.(string); ok {
				texts = append(texts, text)
			}
		}
		if keyword == "type" {
			slices.SortFunc(texts, func(a, b string) int { // as the schema library has them
				return cmp.Compare(slices.Index(typeNames, a), slices.Index(typeNames, b))
			})
			return strings.Join(texts, " or ")
		}
		return strings.Join(texts, ", ")
	case "format", "pattern", "minLength", "maxLength", "minItems", "maxItems":
		return fmt.Sprint(value)
	case "minimum", "maximum":
		if limit, ok := new(big.Rat).SetString(fmt.Sprint(value)); ok {
			return limit.RatString()
		}
	}
	return ""
}

func typesOf(value any) string {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	var types []byte
	for _, t := range list {
		switch t {
		case "object":
			types = append(types, '{')
		case "array":
			types = append(types, '[')
		case "string":
			types = append(types, '"')
		case "number":
			types = append(types, '0')
		case "integer":
			types = append(types, 'i')
		case "boolean":
			types = append(types, 't')
		case "null":
			types = append(types, 'n')
		}
	}
	return string(types)
}

func count(value any) int {
	f, _ := value.(float64)
	return int(f)
}

func bound(value any) *float64 {
	f, _ := value.(float64)
	return &f
}

// check returns raw in the form of RFC 8785 when it is surely a content of the
// schema within the limits.
func (r *acceptor) check(raw []byte) (domain.JSON, bool) {
	if len(raw) > MaxContent || !plain(raw) {
		return nil, false
	}
	canonical, err := canonicalize(raw)
	if err != nil {
		return nil, false
	}
	if unprintable(canonical) {
		return nil, false
	}
	left := maxSteps
	rest, ok := r.accepts(canonical, 0, &left)
	return canonical, ok && len(rest) == 0
}

// unprintable reports whether content in the form of RFC 8785 may hold a character that
// domain.Unprintable knows. That form escapes control characters of ASCII, and nothing else
// but quotes and backslashes.
func unprintable(canonical []byte) bool {
	for i := 0; i < len(canonical); i++ {
		switch c := canonical[i]; {
		case c == '\\':
			i++
			if strings.IndexByte("bfu", canonical[i]) >= 0 {
				return true
			}
		case c == 0x7f:
			return true
		case c == 0xc2 && canonical[i+1] < 0xa0, c == 0xe2 && (canonical[i+1] == 0x80 || canonical[i+1] == 0x81): // U+0080 to U+009F, U+2000 to U+207F
			if c, _ := utf8.DecodeRune(canonical[i:]); domain.Unprintable(string(c)) {
				return true
			}
		}
	}
	return false
}

// plain reports whether raw, if it is JSON at all, is nowhere too deep and has
// only numbers that keep their digits: up to 15, without exponent.
func plain(raw []byte) bool {
	depth, number := 0, 0
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '"':
			i += stringEnd(raw[i:]) - 1
			number = 0
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return false
			}
			number = 0
		case c == '}' || c == ']':
			depth--
			number = 0
		case c >= '0' && c <= '9' || c == '-' || c == '.':
			if number++; number > 15 {
				return false
			}
		case (c == 'e' || c == 'E') && number > 0:
			return false
		default:
			number = 0
		}
	}
	return true
}

// accepts judges one canonical value at the beginning of b in at most left steps and
// returns what follows it. ok is false when the schema does not hold or the acceptor cannot tell.
func (r *acceptor) accepts(b []byte, depth int, left *int) (rest []byte, ok bool) {
	if *left--; r.undecided || depth > maxAcceptDepth || len(b) == 0 || *left < 0 {
		return nil, false
	}
	kind := b[0]
	switch {
	case kind == 'f':
		kind = 't'
	case kind == '-' || kind >= '0' && kind <= '9':
		kind = '0'
	}
	switch kind {
	case '{':
		rest, ok = r.acceptsObject(b[1:], depth, left)
	case '[':
		rest, ok = r.acceptsArray(b[1:], depth, left)
	case '"':
		rest, ok = r.acceptsString(b)
	case '0':
		rest, kind, ok = r.acceptsNumber(b)
	default: // true, false, null
		end := bytes.IndexAny(b, ",]}")
		if end < 0 {
			end = len(b)
		}
		rest, ok = b[end:], true
	}
	if !ok || r.types != "" && strings.IndexByte(r.types, kind) < 0 && (kind != 'i' || strings.IndexByte(r.types, '0') < 0) {
		return nil, false
	}
	value := b[:len(b)-len(rest)]
	if r.values != nil && !slices.ContainsFunc(r.values, func(v []byte) bool { return bytes.Equal(v, value) }) {
		return nil, false
	}
	if r.ref != nil {
		if _, ok := r.ref.accepts(value, depth+1, left); !ok {
			return nil, false
		}
	}
	if r.anyOf != nil && matches(r.anyOf, value, depth, left) == 0 {
		return nil, false
	}
	if r.oneOf != nil && !r.exactlyOne(value, depth, left) {
		return nil, false
	}
	return rest, true
}

func matches(acceptors []*acceptor, value []byte, depth int, left *int) (n int) {
	for _, r := range acceptors {
		if _, ok := r.accepts(value, depth+1, left); ok {
			n++
		}
	}
	return n
}

// exactlyOne is careful: a "no" of an acceptor may mean that it cannot tell, so the
// others must be of types that the value does not have.
func (r *acceptor) exactlyOne(value []byte, depth int, left *int) bool {
	for _, sub := range r.oneOf {
		if sub.undecided || sub.ref != nil || sub.anyOf != nil || sub.oneOf != nil || sub.object || sub.items != nil || sub.pattern != nil {
			return false
		}
	}
	return matches(r.oneOf, value, depth, left) == 1
}

func (r *acceptor) acceptsObject(b []byte, depth int, left *int) (rest []byte, ok bool) {
	found := 0
	for len(b) > 0 && b[0] != '}' {
		if b[0] == ',' {
			b = b[1:]
		}
		end := stringEnd(b)
		name := b[1 : end-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			return nil, false // no schema of ours has such a name
		}
		b = b[end+1:] // and the colon
		sub := r.properties[string(name)]
		switch {
		case sub != nil:
			if b, ok = sub.accepts(b, depth+1, left); !ok {
				return nil, false
			}
		case r.closed:
			return nil, false
		default:
			b = skip(b)
		}
		for _, n := range r.required {
			if n == string(name) {
				found++
				break
			}
		}
	}
	if len(b) == 0 || found != len(r.required) {
		return nil, false
	}
	return b[1:], true
}

func (r *acceptor) acceptsArray(b []byte, depth int, left *int) (rest []byte, ok bool) {
	var items [][]byte
	n := 0
	for len(b) > 0 && b[0] != ']' {
		if b[0] == ',' {
			b = b[1:]
		}
		item := b
		if r.items == nil {
			b = skip(b)
		} else if b, ok = r.items.accepts(b, depth+1, left); !ok {
			return nil, false
		}
		n++
		if r.unique {
			item = item[:len(item)-len(b)]
			if n > 64 || slices.ContainsFunc(items, func(o []byte) bool { return bytes.Equal(o, item) }) {
				return nil, false
			}
			items = append(items, item)
		}
	}
	if len(b) == 0 || n < r.minItems || n > r.maxItems {
		return nil, false
	}
	return b[1:], true
}

func (r *acceptor) acceptsString(b []byte) (rest []byte, ok bool) {
	end := stringEnd(b)
	if r.minLength == 0 && r.maxLength == MaxContent && r.pattern == nil && r.format == nil {
		return b[end:], true
	}
	text := b[1 : end-1]
	if bytes.IndexByte(text, '\\') >= 0 {
		var err error
		if text, err = jsontext.AppendUnquote(nil, b[:end]); err != nil {
			return nil, false
		}
	}
	if n := utf8.RuneCount(text); n < r.minLength || n > r.maxLength {
		return nil, false
	}
	if r.pattern != nil && !r.pattern.Match(text) || r.format != nil && !r.format(string(text)) {
		return nil, false
	}
	return b[end:], true
}

// acceptsNumber also says what kind of number it is: 'i' or '0'.
func (r *acceptor) acceptsNumber(b []byte) (rest []byte, kind byte, ok bool) {
	end := 0
	kind = 'i'
	for end < len(b) && b[end] != ',' && b[end] != ']' && b[end] != '}' {
		if b[end] == '.' || b[end] == 'e' {
			kind = '0'
		}
		end++
	}
	if kind == '0' && strings.IndexByte(r.types, 'i') >= 0 {
		return nil, kind, false // 1e21 is an integer too: the library tells
	}
	if r.minimum != nil || r.maximum != nil {
		f, err := strconv.ParseFloat(string(b[:end]), 64)
		if err != nil || r.minimum != nil && f < *r.minimum || r.maximum != nil && f > *r.maximum {
			return nil, kind, false
		}
	}
	return b[end:], kind, true
}

// stringEnd returns where the string that b begins with ends, its quotes included.
func stringEnd(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// skip returns what follows the value that b begins with.
func skip(b []byte) []byte {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i += stringEnd(b[i:]) - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth == 0 {
				return b[i:]
			}
			depth--
		case ',', ':':
			if depth == 0 {
				return b[i:]
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return b[i+1:]
		}
	}
	return nil
}

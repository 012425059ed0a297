package vocabulary

import (
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"coffre/domain"
)

// maxSteps bounds what judging one content costs, whatever its schema: it is the number of
// times that a schema is held against a value.
const maxSteps = 1 << 20

// judgement is one content being judged by an acceptor, with what is wrong in it. It says the
// same as the schema library, tells at most maxIssues, and ends after maxSteps.
type judgement struct {
	issues []Issue
	left   int // steps
	quiet  int // alternatives around what is judged: one that does not hold is no issue
}

// place is where in the content a value stands; nil is the whole content.
type place struct {
	around *place
	name   string // one that the schema declares, or an index
}

func (p *place) pointer() string {
	var steps []string
	for ; p != nil; p = p.around {
		steps = append(steps, p.name)
	}
	slices.Reverse(steps)
	return pointer(steps)
}

// explain returns what breaks the schema in a decoded content; none when it holds.
func (r *acceptor) explain(content any) []Issue {
	j := judgement{left: maxSteps}
	if !r.holds(&j, content, nil, 0) && len(j.issues) == 0 {
		return []Issue{{Keyword: "schema"}}
	}
	return j.issues
}

// no notes that a value breaks its schema, and returns false.
func (r *acceptor) no(j *judgement, at *place, keyword string) bool {
	return j.add(at, Issue{Keyword: keyword, Want: wanted(keyword, r.schema[keyword])})
}

// add notes an issue at a place, unless an alternative is judged, and returns false.
func (j *judgement) add(at *place, i Issue) bool {
	if j.quiet == 0 && len(j.issues) < maxIssues {
		i.Pointer = at.pointer()
		j.issues = append(j.issues, i)
	}
	return false
}

// over reports whether there is no use in going on after something did not hold.
func (j *judgement) over() bool { return j.quiet > 0 || len(j.issues) >= maxIssues }

// holds judges one value. depth counts the schemas around it, references followed.
func (r *acceptor) holds(j *judgement, v any, at *place, depth int) bool {
	if j.left--; j.left < 0 || depth > maxAcceptDepth {
		return r.no(j, at, "schema")
	}
	if r.types != "" && !r.hasType(v) {
		return r.no(j, at, "type")
	}
	ok := true
	for _, list := range r.constants {
		if !slices.ContainsFunc(list.values, func(c any) bool { return reflect.DeepEqual(c, v) }) {
			ok = r.no(j, at, list.keyword)
		}
	}
	if r.ref != nil && !r.ref.holds(j, v, at, depth+1) {
		ok = false
	}
	if r.anyOf != nil && r.held(j, r.anyOf, 1, v, at, depth) == 0 {
		ok = r.no(j, at, "anyOf")
	}
	if r.oneOf != nil && r.held(j, r.oneOf, 2, v, at, depth) != 1 {
		ok = r.no(j, at, "oneOf")
	}
	if !ok && j.over() {
		return false
	}
	switch v := v.(type) {
	case map[string]any:
		return r.holdsObject(j, v, at, depth) && ok
	case []any:
		return r.holdsArray(j, v, at, depth) && ok
	case string:
		return r.holdsText(j, v, at) && ok
	case float64:
		if r.minimum != nil && v < *r.minimum {
			ok = r.no(j, at, "minimum")
		}
		if r.maximum != nil && v > *r.maximum {
			ok = r.no(j, at, "maximum")
		}
	}
	return ok
}

func (r *acceptor) hasType(v any) bool {
	kind := byte('n')
	switch v := v.(type) {
	case map[string]any:
		kind = '{'
	case []any:
		kind = '['
	case string:
		kind = '"'
	case bool:
		kind = 't'
	case float64:
		kind = '0'
		if v == math.Trunc(v) && strings.IndexByte(r.types, 'i') >= 0 {
			kind = 'i'
		}
	}
	return strings.IndexByte(r.types, kind) >= 0
}

// held counts the alternatives that hold, up to most.
func (r *acceptor) held(j *judgement, alternatives []*acceptor, most int, v any, at *place, depth int) (n int) {
	j.quiet++
	defer func() { j.quiet-- }()
	for _, sub := range alternatives {
		if sub.holds(j, v, at, depth+1) {
			if n++; n == most {
				break
			}
		}
	}
	return n
}

func (r *acceptor) holdsObject(j *judgement, v map[string]any, at *place, depth int) bool {
	ok := true
	for _, name := range r.required {
		if _, has := v[name]; !has {
			ok = r.no(j, &place{at, name}, "required")
		}
	}
	for name, others := range r.dependents {
		if _, has := v[name]; !has {
			continue
		}
		for _, other := range others {
			if _, has := v[other]; !has {
				ok = r.no(j, at, "dependentRequired")
			}
		}
	}
	known := 0
	for _, name := range r.names {
		value, has := v[name]
		if !has {
			continue
		}
		known++
		if !r.properties[name].holds(j, value, &place{at, name}, depth+1) {
			if ok = false; j.over() {
				return false
			}
		}
	}
	if r.closed && known < len(v) {
		if ok = false; j.over() {
			return false
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if r.properties[name] == nil {
				j.add(at, Issue{Keyword: "additionalProperties", Undeclared: name})
			}
		}
	}
	return ok
}

func (r *acceptor) holdsArray(j *judgement, v []any, at *place, depth int) bool {
	ok := true
	if len(v) < r.minItems {
		ok = r.no(j, at, "minItems")
	}
	if len(v) > r.maxItems {
		ok = r.no(j, at, "maxItems")
	}
	if r.items != nil {
		for n, item := range v {
			if !r.items.holds(j, item, &place{at, strconv.Itoa(n)}, depth+1) {
				if ok = false; j.over() {
					return false
				}
			}
		}
	}
	if r.unique && !distinct(v) {
		ok = r.no(j, at, "uniqueItems")
	}
	return ok
}

// distinct reports whether no two values are equal.
func distinct(values []any) bool {
	seen := make(map[string]bool, len(values))
	for _, v := range values {
		b, err := json.Marshal(v, json.Deterministic(true))
		if err != nil || seen[string(b)] {
			return false
		}
		seen[string(b)] = true
	}
	return true
}

func (r *acceptor) holdsText(j *judgement, v string, at *place) bool {
	if domain.Unprintable(v) {
		return r.no(j, at, "text")
	}
	n := utf8.RuneCountInString(v)
	switch {
	case n < r.minLength:
		return r.no(j, at, "minLength")
	case n > r.maxLength:
		return r.no(j, at, "maxLength")
	}
	ok := true
	if r.pattern != nil && !r.pattern.MatchString(v) {
		ok = r.no(j, at, "pattern")
	}
	if r.format != nil && !r.format(v) {
		ok = r.no(j, at, "format")
	}
	return ok
}

package vocabulary

import (
	"errors"
	"fmt"
	"maps"
	"regexp/syntax"
	"slices"
	"strings"

	"coffre/domain/registry"
)

// Limits of a schema that is published from now on, so that judging a content costs little
// whatever it holds. A schema that is in force already is served as it is; see maxSteps.
const (
	// MaxSchemaDepth bounds the schemas within each other, references followed.
	MaxSchemaDepth = 64
	// MaxVisits bounds how often one value of a content may be judged. Alternatives and
	// references judge the same value again, so alternatives within alternatives multiply.
	MaxVisits = 32
	// MaxPatternSize bounds a pattern by the instructions of the program that it becomes.
	MaxPatternSize = 1000
)

// CheckSchemas returns what keeps the schemas of a registry from being published although they
// could be served: references that are no definition of the schema, or that run in circles, and
// what is over the limits. Mistakes are joined and match ErrSchema.
func CheckSchemas(r registry.Registry) error {
	var mistakes []error
	for _, t := range r.DocumentTypes {
		raw, err := decode(t.Schema)
		root, isObject := raw.(map[string]any)
		if err != nil || !isObject {
			continue // Compile told
		}
		b := bounds{known: make(map[string]extent), add: func(format string, args ...any) {
			mistakes = append(mistakes, typeMistake{t.Name, fmt.Sprintf(format, args...)})
		}}
		b.defs, _ = root["$defs"].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(b.defs)) {
			b.definition(name, "#/$defs/"+name)
		}
		whole := b.measure(root, "#")
		if whole.depth > MaxSchemaDepth {
			b.add("schema: is more than %d deep, references followed", MaxSchemaDepth)
		}
		if whole.visits > MaxVisits {
			b.add("schema: judges a value up to %d times, more than %d: alternatives and references within each other", whole.visits, MaxVisits)
		}
	}
	return errors.Join(mistakes...)
}

// extent is how deep a schema is, and how often at most it judges one value.
type extent struct{ depth, visits int }

// enough ends counting: what is beyond the limits stays beyond them.
const enough = 1 << 20

// bounds measures the schemas of one type.
type bounds struct {
	defs  map[string]any
	known map[string]extent
	open  []string // definitions being measured, outermost first
	add   func(string, ...any)
}

// definition measures a definition, once; at is where the reference to it stands.
func (b *bounds) definition(name, at string) extent {
	if e, ok := b.known[name]; ok {
		return e
	}
	if i := slices.Index(b.open, name); i >= 0 {
		b.add("schema %s: refers to itself, by way of %s", at, strings.Join(b.open[i:], ", "))
		return extent{}
	}
	b.open = append(b.open, name)
	e := b.measure(b.defs[name], "#/$defs/"+name)
	b.open = b.open[:len(b.open)-1]
	b.known[name] = e
	return e
}

// measure measures a schema. Its members and items judge parts of a value, of which no two are
// the same; its alternatives and its reference judge the value itself, once each.
func (b *bounds) measure(schema any, at string) extent {
	s, _ := schema.(map[string]any)
	parts, again := extent{visits: 1}, extent{}
	part := func(e extent) { parts = extent{max(parts.depth, e.depth), max(parts.visits, e.visits)} }
	same := func(e extent) {
		again = extent{max(again.depth, e.depth), min(again.visits+e.visits, enough)}
	}
	for _, key := range slices.Sorted(maps.Keys(s)) {
		value, at := s[key], at+"/"+key
		switch key {
		case "properties":
			members, _ := value.(map[string]any)
			for _, name := range slices.Sorted(maps.Keys(members)) {
				part(b.measure(members[name], at+"/"+name))
			}
		case "items":
			part(b.measure(value, at))
		case "anyOf", "oneOf":
			list, _ := value.([]any)
			for i, sub := range list {
				same(b.measure(sub, fmt.Sprintf("%s/%d", at, i)))
			}
		case "$ref":
			to, _ := value.(string)
			name, ours := strings.CutPrefix(to, "#/$defs/")
			if _, defined := b.defs[name]; !ours || !defined {
				b.add("schema %s: is no definition of the schema, #/$defs/NAME", at)
				continue
			}
			same(b.definition(name, at))
		case "$defs":
			if at != "#/$defs" {
				b.add("schema %s: definitions stand at the root", at)
			}
		case "pattern":
			if text, _ := value.(string); patternSize(text) > MaxPatternSize {
				b.add("schema %s: becomes a program of more than %d instructions", at, MaxPatternSize)
			}
		}
	}
	return extent{1 + max(parts.depth, again.depth), min(parts.visits+again.visits, enough)}
}

// patternSize returns the instructions of a pattern's program; 0 for one that is no pattern,
// which Compile tells.
func patternSize(pattern string) int {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return 0
	}
	return len(program.Inst)
}

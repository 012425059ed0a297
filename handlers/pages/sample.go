package pages

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp/syntax"
	"slices"
	"strings"
)

// sample returns a small content that a type's JSON Schema allows, as JSON on several lines; "" where
// the schema cannot be read. It has the members that must be there, and of alternatives the first.
func sample(schema []byte) string {
	read := json.NewDecoder(bytes.NewReader(schema))
	read.UseNumber()
	var root map[string]any
	if read.Decode(&root) != nil {
		return ""
	}
	return exampleText(sampler{root}.value(root, 0))
}

// sampler makes values for the schemas of one document.
type sampler struct{ root map[string]any }

// maxSampleDepth bounds what a schema that refers to itself leads to.
const maxSampleDepth = 12

func (s sampler) value(schema map[string]any, depth int) any {
	if depth > maxSampleDepth {
		return nil
	}
	if ref, ok := schema["$ref"].(string); ok {
		return s.value(s.at(ref), depth+1)
	}
	if fixed, ok := schema["const"]; ok {
		return fixed
	}
	if values, ok := schema["enum"].([]any); ok && len(values) > 0 {
		return values[0]
	}
	first := map[string]any{} // of the alternatives
	for _, word := range []string{"anyOf", "oneOf"} {
		if all, ok := schema[word].([]any); ok && len(all) > 0 {
			first, _ = all[0].(map[string]any)
		}
	}
	kind, _ := schema["type"].(string)
	if kinds, ok := schema["type"].([]any); ok && len(kinds) > 0 {
		kind, _ = kinds[0].(string)
	}
	switch kind {
	case "object":
		return s.object(schema, first, depth)
	case "array":
		item, _ := schema["items"].(map[string]any)
		list := []any{}
		for range max(1, count(schema["minItems"])) {
			list = append(list, s.value(item, depth+1))
		}
		return list
	case "string":
		return text(schema)
	case "integer", "number":
		if least, ok := schema["minimum"].(json.Number); ok {
			return least
		}
		return 1
	case "boolean":
		return true
	case "":
		if len(first) > 0 {
			return s.value(first, depth+1)
		}
	}
	return nil
}

func (s sampler) object(schema, first map[string]any, depth int) map[string]any {
	members, _ := schema["properties"].(map[string]any)
	out := make(map[string]any)
	for _, of := range []map[string]any{schema, first} {
		names, _ := of["required"].([]any)
		for _, name := range names {
			if member, ok := members[name.(string)].(map[string]any); ok {
				out[name.(string)] = s.value(member, depth+1)
			}
		}
	}
	if len(out) == 0 { // nothing must be there: the first says more than {}
		for _, name := range slices.Sorted(maps.Keys(members)) {
			if member, ok := members[name].(map[string]any); ok {
				return map[string]any{name: s.value(member, depth+1)}
			}
		}
	}
	return out
}

// at returns the schema that a reference within the document names; none for any other.
func (s sampler) at(ref string) map[string]any {
	at := s.root
	for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		at, _ = at[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)].(map[string]any)
	}
	return at
}

func count(v any) int {
	n, _ := v.(json.Number)
	i, _ := n.Int64()
	return int(i)
}

// text returns a text that fits the form, the pattern and the length that a schema asks for.
func text(schema map[string]any) string {
	switch schema["format"] {
	case "date":
		return "2026-03-01"
	case "incomplete-date":
		return "1984-02"
	case "date-time":
		return "2026-03-01T10:00:00+01:00"
	case "email":
		return "name@example.be"
	case "uri", "iri":
		return "https://example.be/"
	case "uuid":
		return "0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44"
	}
	if schema["contentEncoding"] == "base64" {
		return "AAAA"
	}
	if pattern, ok := schema["pattern"].(string); ok {
		if tree, err := syntax.Parse(pattern, syntax.Perl); err == nil {
			return matching(tree.Simplify())
		}
	}
	said := "text"
	for len(said) < count(schema["minLength"]) {
		said += "x"
	}
	if most := count(schema["maxLength"]); most > 0 && len(said) > most {
		said = said[:most]
	}
	return said
}

// matching returns a short text that an expression matches.
func matching(e *syntax.Regexp) string {
	switch e.Op {
	case syntax.OpLiteral:
		return string(e.Rune)
	case syntax.OpCharClass:
		for i := 0; i+1 < len(e.Rune); i += 2 { // a letter or a digit before a sign
			if r := e.Rune[i]; r >= '0' {
				return string(r)
			}
		}
		return string(e.Rune[0])
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return "x"
	case syntax.OpCapture, syntax.OpPlus:
		return matching(e.Sub[0])
	case syntax.OpRepeat:
		return strings.Repeat(matching(e.Sub[0]), max(1, e.Min))
	case syntax.OpAlternate:
		return matching(e.Sub[0])
	case syntax.OpConcat:
		var out strings.Builder
		for _, sub := range e.Sub {
			out.WriteString(matching(sub))
		}
		return out.String()
	}
	return "" // an anchor, or what may be left out
}

package vocabulary

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"coffre/domain"
	"coffre/domain/registry"
)

// keywords is the part of JSON Schema that a document type may use. It is small
// on purpose: whatever is written with it describes closed content, so nothing
// undeclared enters the vault, and where content is refused the place can be
// told without quoting a name that came with the content.
var keywords = []string{
	"$schema", "$defs", "$ref", "$comment", "title", "description",
	"type", "const", "enum", "anyOf", "oneOf",
	"properties", "required", "additionalProperties", "dependentRequired",
	"items", "minItems", "maxItems", "uniqueItems",
	"minLength", "maxLength", "pattern", "format", "contentEncoding",
	"minimum", "maximum",
}

const schemaDialect = "https://json-schema.org/draft/2020-12/schema"

// contentSchema is a type's schema, compiled.
type contentSchema struct {
	compiled *jsonschema.Schema
	fast     *acceptor
}

// typeMistake is what is wrong with a type's schema or what refers to it. It
// unwraps to ErrSchema.
type typeMistake struct {
	name domain.DocumentType
	what string
}

func (m typeMistake) Error() string {
	return fmt.Sprintf("%s %q: %s: %s", registry.ListDocumentTypes, m.name, m.what, ErrSchema.Slug)
}

func (m typeMistake) Unwrap() error { return ErrSchema }

// compileType compiles a type's schema and checks that every field the type
// names elsewhere is declared by it. All mistakes are joined and match ErrSchema.
func compileType(t *registry.DocumentType) (*contentSchema, error) {
	raw, err := decode(t.Schema)
	if err != nil {
		return nil, typeMistake{t.Name, "schema is not JSON"}
	}
	var mistakes []error
	add := func(format string, args ...any) {
		mistakes = append(mistakes, typeMistake{t.Name, fmt.Sprintf(format, args...)})
	}
	root, _ := raw.(map[string]any)
	if root["type"] != "object" || root["$schema"] != schemaDialect {
		add("schema: is not of type object in the dialect %s", schemaDialect)
	}
	closed(raw, "#", add)
	declared, _ := root["properties"].(map[string]any)
	if _, ok := declared[string(registry.Attachments)]; ok {
		add("schema: the member %q stands for a document's files and may not be declared", registry.Attachments)
	}
	for _, m := range t.Minimum {
		for _, f := range m.Fields {
			if _, ok := declared[string(f)]; !ok && f != registry.Attachments {
				add("minimum for %q: field %q is not in the schema", m.Purpose, f)
			}
		}
	}
	for _, p := range t.Predicates {
		if !isDate(declared[string(p.AgeAtLeast.Field)]) {
			add("predicate %q: field %q is not a date in the schema", p.Name, p.AgeAtLeast.Field)
		}
	}
	if len(mistakes) > 0 {
		slices.SortFunc(mistakes, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) }) // maps have no order
		return nil, errors.Join(mistakes...)
	}
	compiled, err := compileSchema(raw)
	if err != nil {
		return nil, typeMistake{t.Name, fmt.Sprintf("schema: %v", err)} // the library's text; a schema holds nothing of a person
	}
	return &contentSchema{compiled, compileAcceptor(raw)}, nil
}

func compileSchema(raw any) (*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(noLoader{})
	for name, ok := range formats {
		c.RegisterFormat(&jsonschema.Format{Name: name, Validate: func(v any) error {
			if s, isText := v.(string); isText && !ok(s) {
				return errFormat
			}
			return nil
		}})
	}
	const url = "schema:content" // schemas have no names; references stay within
	if err := c.AddResource(url, raw); err != nil {
		return nil, err
	}
	return c.Compile(url)
}

var errFormat = errors.New("format")

// noLoader keeps schemas from reaching files or the network.
type noLoader struct{}

func (noLoader) Load(string) (any, error) { return nil, errors.New("a schema refers to itself only") }

// closed reports what is not allowed in a schema (see keywords) or leaves
// content open: a schema that says nothing, an object without its list of members.
// An alternative of an object that lists its members may say only which of them
// it requires.
func closed(schema any, at string, add func(string, ...any)) {
	s, ok := schema.(map[string]any)
	if !ok {
		add("schema %s: is not an object", at)
		return
	}
	says := false
	for key, value := range s {
		if !slices.Contains(keywords, key) {
			add("schema %s: %q is not allowed", at, key)
		}
		at := at + "/" + key
		switch key {
		case "type", "const", "enum", "$ref":
			says = true
		case "anyOf", "oneOf":
			says = true
			list, _ := value.([]any)
			_, lists := s["properties"]
			for i, sub := range list {
				if !lists || !requiresOnly(sub) {
					closed(sub, fmt.Sprintf("%s/%d", at, i), add)
				}
			}
		case "properties", "$defs":
			subs, _ := value.(map[string]any)
			for name, sub := range subs {
				closed(sub, at+"/"+name, add)
			}
		case "items":
			closed(value, at, add)
		case "format":
			if name, _ := value.(string); formats[name] == nil {
				add("schema %s: is none of those that are asserted", at)
			}
		}
	}
	if !says {
		add("schema %s: allows anything", at)
	}
	_, lists := s["properties"]
	if open := s["additionalProperties"] != false; open && (lists || mentions(s["type"], "object")) {
		add("schema %s: lacks additionalProperties false", at)
	}
	if _, has := s["items"]; !has && mentions(s["type"], "array") {
		add("schema %s: lacks items", at)
	}
	for _, key := range []string{"const", "enum"} { // these compare values; objects in them are of no use
		if list, isList := s[key].([]any); isList && slices.ContainsFunc(list, func(v any) bool { _, m := v.(map[string]any); return m }) {
			add("schema %s: %s holds an object", at, key)
		}
	}
}

// requiresOnly reports whether a schema says nothing but which members an object has.
func requiresOnly(schema any) bool {
	s, _ := schema.(map[string]any)
	_, requires := s["required"]
	return requires && len(s) == 1
}

// isDate reports whether what a schema describes is a date, whole or known in part.
func isDate(schema any) bool {
	s, _ := schema.(map[string]any)
	return s["type"] == "string" && (s["format"] == "date" || s["format"] == "incomplete-date")
}

// mentions reports whether a schema's type is, or may be, name.
func mentions(types any, name string) bool {
	if list, ok := types.([]any); ok {
		return slices.Contains(list, any(name))
	}
	return types == name
}

package pages

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"coffre/domain"
	"coffre/handlers/contract"
)

// portalDoc is the contract as the pages for developers show it. All of its texts are the
// contract's own, in English.
type portalDoc struct {
	version    string
	intro      []paragraph
	tags       []portalTag
	operations map[string]*portalOperation
	schemas    map[string]*portalSchema
}

// portalTag is a group of operations, in the order of the contract.
type portalTag struct {
	name, about string
	operations  []*portalOperation
}

// portalOperation is one operation.
type portalOperation struct {
	id, method, path, summary, tag string // path begins with contract.Base
	about                          []paragraph
	roles                          []domain.Role // none: everybody
	scope                          string        // "": it needs no token
	parameters                     []portalParameter
	media                          []string // of the body; none: it takes none
	must                           bool     // there has to be a body
	body                           portalUse
	example                        string // of the body; "": none, or it is a file
	answers                        []portalAnswer
}

// portalParameter is one parameter of a request, or one header of an answer.
type portalParameter struct {
	name, in, about, example string
	must                     bool
	use                      portalUse
}

// portalAnswer is one answer of an operation.
type portalAnswer struct {
	status  string // "default": every other
	about   string
	media   []string
	use     portalUse
	headers []portalParameter
}

// portalUse is what stands for a value: words, and the schema that they end with.
type portalUse struct {
	words  string
	schema string // "": the words say it
}

// portalSchema is one schema of the contract.
type portalSchema struct {
	name    string
	about   []paragraph
	words   string
	members []portalMember
	choices []string // of which exactly one is there
	item    portalUse
	example string
}

// portalMember is one member of an object.
type portalMember struct {
	name, about string
	must        bool
	use         portalUse
}

// paragraph is running text with pieces in other type.
type paragraph []piece

// piece is text of one kind: "" for plain, "code", "strong".
type piece struct{ kind, text string }

// source is what the pages show of openapi.yaml, as it stands there. A name says what the key of
// that name holds; a value with a Ref stands among the components.
type source struct {
	Info struct{ Version, Description string }
	Tags []struct{ Name, Description string }
	// Paths hold two methods: the contract has no others.
	Paths map[string]struct {
		Get, Post  *operationSource
		Parameters []parameterSource
	}
	Components struct {
		Parameters map[string]parameterSource
		Headers    map[string]parameterSource
		Responses  map[string]answerSource
		Schemas    map[string]*schemaSource
	}
}

type operationSource struct {
	ID                   string `yaml:"operationId"`
	Summary, Description string
	Tags                 []string
	Roles                []domain.Role         `yaml:"x-roles"`
	Security             []map[string][]string // scopes, by the scheme that grants them
	Parameters           []parameterSource
	Body                 *struct {
		Required bool
		Content  map[string]mediaSource
	} `yaml:"requestBody"`
	Responses map[string]answerSource
}

type parameterSource struct {
	Ref                   string `yaml:"$ref"`
	Name, In, Description string
	Required              bool
	Schema                *schemaSource
}

type answerSource struct {
	Ref         string `yaml:"$ref"`
	Description string
	Content     map[string]mediaSource
	Headers     map[string]parameterSource
}

type mediaSource struct{ Schema *schemaSource }

type schemaSource struct {
	Ref                                string `yaml:"$ref"`
	Type, Format, Pattern, Description string
	MinLength                          uint64   `yaml:"minLength"`
	MaxLength                          *uint64  `yaml:"maxLength"`
	MinItems                           uint64   `yaml:"minItems"`
	MaxItems                           *uint64  `yaml:"maxItems"`
	Min                                *float64 `yaml:"minimum"`
	Max                                *float64 `yaml:"maximum"`
	Enum                               []string
	Default, Example                   yaml.Node
	Properties                         map[string]*schemaSource
	Required                           []string
	Items                              *schemaSource
	Choices                            [][][]string `yaml:"x-exactly-one-of"`
}

// named is the last step of a reference; the contract refers to its own components alone.
func named(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

// found returns what a reference names, or v itself where there is none.
func found[V any](ref string, v V, among map[string]V) V {
	if ref == "" {
		return v
	}
	return among[named(ref)]
}

// theContract returns the contract, read once; nobody changes it.
var theContract = sync.OnceValue(func() *portalDoc {
	var doc source
	if err := yaml.Unmarshal(contract.YAML(), &doc); err != nil { // a broken program
		panic(fmt.Errorf("openapi.yaml: %w", err))
	}
	out := &portalDoc{version: doc.Info.Version, intro: prose(doc.Info.Description), operations: make(map[string]*portalOperation), schemas: make(map[string]*portalSchema)}
	for name, in := range doc.Components.Schemas {
		out.schemas[name] = schemaOf(name, in)
	}
	for path, item := range doc.Paths {
		for method, in := range map[string]*operationSource{"GET": item.Get, "POST": item.Post} {
			if in != nil {
				in.Parameters = slices.Concat(item.Parameters, in.Parameters)
				out.operations[in.ID] = doc.operationOf(method, path, in)
			}
		}
	}
	for _, tag := range doc.Tags {
		group := portalTag{name: tag.Name, about: tag.Description}
		for _, op := range out.operations {
			if op.tag == tag.Name {
				group.operations = append(group.operations, op)
			}
		}
		slices.SortFunc(group.operations, func(a, b *portalOperation) int {
			return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.method, b.method))
		})
		out.tags = append(out.tags, group)
	}
	return out
})

func (doc *source) operationOf(method, path string, in *operationSource) *portalOperation {
	op := &portalOperation{id: in.ID, method: method, path: contract.Base + path, summary: in.Summary, tag: in.Tags[0], about: prose(in.Description), roles: in.Roles}
	for _, need := range in.Security {
		if scopes := need["CoffreOauth"]; len(scopes) > 0 {
			op.scope = scopes[0]
		}
	}
	for _, one := range in.Parameters {
		p := found(one.Ref, one, doc.Components.Parameters)
		of := found(p.Schema.Ref, p.Schema, doc.Components.Schemas)
		op.parameters = append(op.parameters, portalParameter{name: p.Name, in: p.In, about: oneLine(p.Description), example: exampleText(written(of.Example)), must: p.Required, use: useOf(p.Schema)})
	}
	if in.Body != nil {
		op.must = in.Body.Required
		op.media = slices.Sorted(maps.Keys(in.Body.Content))
		if media, ok := in.Body.Content["application/json"]; ok {
			op.body = useOf(media.Schema)
			op.example = cmp.Or(exampleText(written(found(media.Schema.Ref, media.Schema, doc.Components.Schemas).Example)), "{}")
		}
	}
	for _, status := range slices.Sorted(maps.Keys(in.Responses)) {
		r := found(in.Responses[status].Ref, in.Responses[status], doc.Components.Responses)
		a := portalAnswer{status: status, about: oneLine(r.Description), media: slices.Sorted(maps.Keys(r.Content))}
		for _, kind := range []string{"application/json", "application/problem+json", "text/plain"} {
			if media := r.Content[kind]; media.Schema != nil && a.use == (portalUse{}) {
				a.use = useOf(media.Schema)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
			h := found(r.Headers[name].Ref, r.Headers[name], doc.Components.Headers)
			a.headers = append(a.headers, portalParameter{name: name, about: oneLine(h.Description), use: useOf(h.Schema)})
		}
		op.answers = append(op.answers, a)
	}
	return op
}

func schemaOf(name string, in *schemaSource) *portalSchema {
	out := &portalSchema{name: name, about: prose(in.Description), words: wordsOf(in), example: exampleText(written(in.Example))}
	for _, member := range slices.Sorted(maps.Keys(in.Properties)) {
		of := in.Properties[member]
		one := portalMember{name: member, must: slices.Contains(in.Required, member), use: useOf(of)}
		if of.Ref == "" {
			one.about = oneLine(of.Description)
		}
		out.members = append(out.members, one)
	}
	slices.SortStableFunc(out.members, func(a, b portalMember) int {
		switch {
		case a.must == b.must:
			return 0
		case a.must:
			return -1
		}
		return 1
	})
	if in.Items != nil {
		out.item = useOf(in.Items)
	}
	for _, choice := range in.Choices {
		var groups []string
		for _, names := range choice {
			groups = append(groups, strings.Join(names, " + "))
		}
		out.choices = append(out.choices, strings.Join(groups, " | "))
	}
	return out
}

// useOf says what stands for a value of a schema.
func useOf(in *schemaSource) portalUse {
	switch {
	case in.Ref != "":
		return portalUse{schema: named(in.Ref)}
	case in.Type == "array" && in.Items != nil:
		inner := useOf(in.Items)
		words := "array" + within(in.MinItems, in.MaxItems, "items") + " of"
		return portalUse{strings.TrimSpace(words + " " + inner.words), inner.schema}
	}
	return portalUse{words: wordsOf(in)}
}

// wordsOf says in the words of JSON Schema what a value has to be.
func wordsOf(in *schemaSource) string {
	words := cmp.Or(in.Type, "any")
	if in.Format != "" {
		words += " (" + in.Format + ")"
	}
	words += within(in.MinLength, in.MaxLength, "characters")
	if in.Min != nil {
		words += ", at least " + number(*in.Min)
	}
	if in.Max != nil {
		words += ", at most " + number(*in.Max)
	}
	if in.Pattern != "" {
		words += ", matching " + in.Pattern
	}
	if len(in.Enum) > 0 {
		words += ": " + strings.Join(in.Enum, ", ")
	}
	if !in.Default.IsZero() {
		words += ", by default " + exampleText(written(in.Default))
	}
	return words
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func within(least uint64, most *uint64, of string) string {
	switch {
	case most != nil:
		return fmt.Sprintf(" of %d to %d %s", least, *most, of)
	case least > 0:
		return fmt.Sprintf(" of at least %d %s", least, of)
	}
	return ""
}

// written returns what stands at a place of the contract; nil where nothing does.
func written(at yaml.Node) (v any) {
	if err := asWritten(&at).Decode(&v); err != nil {
		return nil
	}
	return v
}

// exampleText returns an example as a request holds it: JSON on several lines, or the bare text
// of a value; "" for none.
func exampleText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	var out bytes.Buffer
	write := json.NewEncoder(&out)
	write.SetEscapeHTML(false)
	write.SetIndent("", "  ")
	if err := write.Encode(v); err != nil {
		return ""
	}
	return strings.TrimSpace(out.String())
}

// asWritten returns a node whose days and moments are texts, as they are in JSON.
func asWritten(in *yaml.Node) *yaml.Node {
	if in.Kind == yaml.AliasNode {
		return asWritten(in.Alias)
	}
	out := *in
	if out.ShortTag() == "!!timestamp" {
		out.Tag = "!!str"
	}
	out.Content = nil
	for _, member := range in.Content {
		out.Content = append(out.Content, asWritten(member))
	}
	return &out
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// prose reads the little Markdown that the contract is written in: paragraphs, `code`, **strong**.
func prose(text string) (all []paragraph) {
	for block := range strings.SplitSeq(text, "\n\n") {
		if block = oneLine(block); block == "" {
			continue
		}
		all = append(all, inline(block))
	}
	return all
}

// inline reads one paragraph. Every second part between two marks is marked.
func inline(text string) (out paragraph) {
	for i, part := range strings.Split(text, "`") {
		if i%2 == 1 {
			out = append(out, piece{"code", part})
			continue
		}
		for j, run := range strings.Split(part, "**") {
			kind := ""
			if j%2 == 1 {
				kind = "strong"
			}
			if run != "" {
				out = append(out, piece{kind, run})
			}
		}
	}
	return out
}

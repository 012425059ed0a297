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

	"github.com/getkin/kin-openapi/openapi3"

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

// theContract returns the contract, read once; nobody changes it.
var theContract = sync.OnceValue(func() *portalDoc {
	doc, err := openapi3.NewLoader().LoadFromData(contract.YAML())
	if err != nil { // a broken program
		panic(fmt.Errorf("openapi.yaml: %w", err))
	}
	out := &portalDoc{version: doc.Info.Version, intro: prose(doc.Info.Description), operations: make(map[string]*portalOperation), schemas: make(map[string]*portalSchema)}
	for name, ref := range doc.Components.Schemas {
		out.schemas[name] = schemaOf(name, ref.Value)
	}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths.Map())) {
		item := doc.Paths.Value(path)
		for _, method := range slices.Sorted(maps.Keys(item.Operations())) {
			op := operationOf(method, path, item, item.Operations()[method])
			out.operations[op.id] = op
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

func operationOf(method, path string, item *openapi3.PathItem, in *openapi3.Operation) *portalOperation {
	op := &portalOperation{id: in.OperationID, method: method, path: contract.Base + path, summary: in.Summary, tag: in.Tags[0], about: prose(in.Description)}
	roles, _ := in.Extensions["x-roles"].([]any)
	for _, role := range roles {
		op.roles = append(op.roles, domain.Role(fmt.Sprint(role)))
	}
	if in.Security != nil {
		for _, need := range *in.Security {
			if scopes := need["CoffreOauth"]; len(scopes) > 0 {
				op.scope = scopes[0]
			}
		}
	}
	for _, ref := range slices.Concat(item.Parameters, in.Parameters) {
		p := ref.Value
		op.parameters = append(op.parameters, portalParameter{name: p.Name, in: p.In, about: oneLine(p.Description), example: exampleText(p.Schema.Value.Example), must: p.Required, use: useOf(p.Schema)})
	}
	if in.RequestBody != nil {
		op.must = in.RequestBody.Value.Required
		op.media = slices.Sorted(maps.Keys(in.RequestBody.Value.Content))
		if media := in.RequestBody.Value.Content["application/json"]; media != nil {
			op.body = useOf(media.Schema)
			op.example = cmp.Or(exampleText(media.Schema.Value.Example), "{}")
		}
	}
	for _, status := range slices.Sorted(maps.Keys(in.Responses.Map())) {
		r := in.Responses.Value(status).Value
		a := portalAnswer{status: status, media: slices.Sorted(maps.Keys(r.Content))}
		if r.Description != nil {
			a.about = oneLine(*r.Description)
		}
		for _, kind := range []string{"application/json", "application/problem+json", "text/plain"} {
			if media := r.Content[kind]; media != nil && media.Schema != nil && a.use == (portalUse{}) {
				a.use = useOf(media.Schema)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
			h := r.Headers[name].Value
			a.headers = append(a.headers, portalParameter{name: name, about: oneLine(h.Description), use: useOf(h.Schema)})
		}
		op.answers = append(op.answers, a)
	}
	return op
}

func schemaOf(name string, in *openapi3.Schema) *portalSchema {
	out := &portalSchema{name: name, about: prose(in.Description), words: wordsOf(in), example: exampleText(in.Example)}
	for _, member := range slices.Sorted(maps.Keys(in.Properties)) {
		ref := in.Properties[member]
		one := portalMember{name: member, must: slices.Contains(in.Required, member), use: useOf(ref)}
		if ref.Ref == "" {
			one.about = oneLine(ref.Value.Description)
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
	choices, _ := in.Extensions["x-exactly-one-of"].([]any)
	for _, choice := range choices {
		var groups []string
		all, _ := choice.([]any)
		for _, group := range all {
			var names []string
			members, _ := group.([]any)
			for _, name := range members {
				names = append(names, fmt.Sprint(name))
			}
			groups = append(groups, strings.Join(names, " + "))
		}
		out.choices = append(out.choices, strings.Join(groups, " | "))
	}
	return out
}

// useOf says what stands for a value of a schema.
func useOf(ref *openapi3.SchemaRef) portalUse {
	switch {
	case ref.Ref != "":
		return portalUse{schema: ref.Ref[strings.LastIndexByte(ref.Ref, '/')+1:]}
	case ref.Value.Type.Is("array") && ref.Value.Items != nil:
		inner := useOf(ref.Value.Items)
		words := "array" + within(ref.Value.MinItems, ref.Value.MaxItems, "items") + " of"
		return portalUse{strings.TrimSpace(words + " " + inner.words), inner.schema}
	}
	return portalUse{words: wordsOf(ref.Value)}
}

// wordsOf says in the words of JSON Schema what a value has to be.
func wordsOf(in *openapi3.Schema) string {
	words := "any"
	if in.Type != nil {
		words = strings.Join(in.Type.Slice(), " or ")
	}
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
		values := make([]string, len(in.Enum))
		for i, v := range in.Enum {
			values[i] = fmt.Sprint(v)
		}
		words += ": " + strings.Join(values, ", ")
	}
	if in.Default != nil {
		words += ", by default " + exampleText(in.Default)
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

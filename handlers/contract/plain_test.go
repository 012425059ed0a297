package contract

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v3"
)

// extensions are those of the served contract, each explained in its head or by the
// validator that reads it.
var extensions = []string{"x-roles", "x-exactly-one-of", "x-form", "x-webhooks", "x-max-body-bytes", "x-ignore-rules"}

// eachNode calls do for a node and every node below it.
func eachNode(n *yaml.Node, do func(*yaml.Node)) {
	do(n)
	for _, below := range n.Content {
		eachNode(below, do)
	}
}

// plainFaults returns what a reader of the contract could stumble on, in its own words, with
// the line.
func plainFaults(document []byte) map[string]int {
	var root yaml.Node
	if err := yaml.Unmarshal(document, &root); err != nil {
		return map[string]int{err.Error(): 0}
	}
	faults := make(map[string]int)
	eachNode(&root, func(n *yaml.Node) {
		switch {
		case n.Kind == yaml.AliasNode:
			faults["an alias"] = n.Line
		case n.Anchor != "":
			faults["an anchor"] = n.Line
		case n.Style&yaml.FlowStyle != 0 && len(n.Content) > 0:
			faults["braces"] = n.Line
		case ambiguous(n):
			faults["text that YAML 1.1 reads as something else"] = n.Line
		case n.Kind == yaml.MappingNode:
			for i := 0; i < len(n.Content); i += 2 {
				if key := n.Content[i].Value; strings.HasPrefix(key, "x-") && !slices.Contains(extensions, key) {
					faults["extension "+key] = n.Content[i].Line
				} else if key == "<<" {
					faults["a merge"] = n.Content[i].Line
				}
			}
		}
	})
	return faults
}

// The served contract is plain YAML that names nothing of our code.
func TestF19TheServedContractIsPlain(t *testing.T) {
	for fault, line := range plainFaults(Plain()) {
		t.Errorf("line %d: %s", line, fault)
	}
	for fault, source := range map[string]string{
		"an anchor": "a: &b 1\n", "an alias": "a: &b 1\nc: *b\n", "braces": "a: {b: 1}\n", "a merge": "a: &b\n  c: 1\nd:\n  <<: *b\n",
		"extension x-go-type": "a:\n  x-go-type: b\n", "text that YAML 1.1 reads as something else": "a: off\n",
	} {
		if _, found := plainFaults([]byte(source))[fault]; !found {
			t.Errorf("%q: %s is not found", source, fault)
		}
		plain, err := makePlain([]byte(source))
		if err != nil {
			t.Fatal(err)
		}
		for left := range plainFaults(plain) {
			if left != "a merge" { // none stands in the contract
				t.Errorf("%q became %q, with %s", source, plain, left)
			}
		}
	}
}

// The served contract says what its source says, but for the types of Go.
func TestTheServedContractMeansTheSame(t *testing.T) {
	read := func(b []byte) (value any) {
		if err := yaml.Unmarshal(b, &value); err != nil {
			t.Fatal(err)
		}
		return value
	}
	source, served := read(YAML()), read(Plain())
	if reflect.DeepEqual(source, served) {
		t.Error("the source has no types of Go: this test compares nothing")
	}
	if !reflect.DeepEqual(withoutGo(source), served) {
		t.Error("the served contract says something else than its source")
	}
	if doc, err := openapi3.NewLoader().LoadFromData(Plain()); err != nil || doc.Validate(t.Context(), openapi3.EnableExamplesValidation()) != nil {
		t.Errorf("the served contract is not valid: %v", err)
	}
}

func withoutGo(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any)
		for key, below := range v {
			if !strings.HasPrefix(key, "x-go-") {
				out[key] = withoutGo(below)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = withoutGo(v[i])
		}
		return out
	}
	return value
}

// Names of schemas and parameters are free in the languages that clients are generated in,
// on file systems that do not tell cases apart too, and within their own class.
func TestF42NamesAreFree(t *testing.T) {
	doc := readContract(t)
	files, err := filepath.Glob("testdata/taken/*.txt")
	if err != nil || len(files) != 4 {
		t.Fatalf("%d languages, %v", len(files), err)
	}
	taken := make(map[string]string)
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for name := range strings.FieldsSeq(string(b)) {
			taken[strings.ToLower(name)] = file + " has " + name
		}
	}
	if len(taken) < 1000 || taken["taskstatus"] == "" || taken["documenttype"] == "" {
		t.Fatalf("%d names are taken", len(taken))
	}
	seen := make(map[string]string)
	for name, s := range doc.Components.Schemas {
		lower := strings.ToLower(name)
		if taken[lower] != "" || seen[lower] != "" {
			t.Errorf("schema %s: %s%s", name, taken[lower], seen[lower])
		}
		seen[lower] = "another schema has the name " + name
		for property := range s.Value.Properties {
			if strings.EqualFold(property, name) { // C# allows no member with the name of its class
				t.Errorf("%s has the property %s", name, property)
			}
		}
	}
	for name := range doc.Components.Parameters {
		if taken[strings.ToLower(name)] != "" {
			t.Errorf("parameter %s: %s", name, taken[strings.ToLower(name)])
		}
	}
	for _, tag := range doc.Tags {
		if strings.ContainsAny(tag.Name, " -") {
			t.Errorf("tag %q is no name of a class", tag.Name)
		}
	}
}

// Every enum has a name of its own, which generated code takes, and no format has a pattern
// beside it, which generated code would hold against the parsed value.
func TestF42EnumsHaveNamesAndFormatsNoPattern(t *testing.T) {
	var root yaml.Node
	if err := yaml.Unmarshal(Plain(), &root); err != nil {
		t.Fatal(err)
	}
	schemas := below(below(root.Content[0], "components"), "schemas")
	named := make(map[*yaml.Node]bool)
	for i := 1; i < len(schemas.Content); i += 2 {
		named[schemas.Content[i]] = true
	}
	enums, formats := 0, 0
	eachNode(&root, func(n *yaml.Node) {
		if n.Kind != yaml.MappingNode || below(n, "type") == nil || below(n, "type").Kind != yaml.ScalarNode {
			return
		}
		if below(n, "enum") != nil {
			enums++
			if !named[n] {
				t.Errorf("line %d: an enum without a name", n.Line)
			}
		}
		if format := below(n, "format"); format != nil {
			formats++
			if below(n, "pattern") != nil {
				t.Errorf("line %d: a pattern beside format: %s", n.Line, format.Value)
			}
		}
	})
	if enums < 30 || formats < 100 {
		t.Errorf("only %d enums and %d formats", enums, formats)
	}
}

// below returns the value of a mapping's key, nil when there is none.
func below(n *yaml.Node, key string) *yaml.Node {
	for i := 0; n != nil && n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// Whoever reads a list gets on with what the client generated for them: the cursor of the
// next page stands beside its address, wherever there are pages, and after takes it.
func TestF42PagesNameTheCursorOfTheNext(t *testing.T) {
	doc, pages := readContract(t), 0
	eachOperation(t, doc, func(_, _ string, _ *openapi3.PathItem, op *openapi3.Operation) {
		takes := op.Parameters.GetByInAndName("query", "after") != nil
		if takes {
			pages++
		}
		ok := op.Responses.Status(200)
		if ok == nil || ok.Value.Content["application/json"] == nil {
			return
		}
		members := ok.Value.Content["application/json"].Schema.Value.Properties
		if (members["next"] != nil) != takes || (members["nextCursor"] != nil) != takes {
			t.Errorf("%s: after %t, next %t, nextCursor %t", op.OperationID, takes, members["next"] != nil, members["nextCursor"] != nil)
		}
		if c := members["nextCursor"]; c != nil && c.Ref != op.Parameters.GetByInAndName("query", "after").Schema.Ref {
			t.Errorf("%s: nextCursor is a %s", op.OperationID, c.Ref)
		}
	})
	if pages < 8 {
		t.Errorf("only %d lists have pages", pages)
	}
}

// What a client puts into a header is text: openapi-python-client hands a value of any other
// type to a library that refuses it.
func TestF42HeadersOfRequestsAreText(t *testing.T) {
	doc, headers := readContract(t), 0
	eachOperation(t, doc, func(_, _ string, item *openapi3.PathItem, op *openapi3.Operation) {
		for _, p := range slices.Concat(item.Parameters, op.Parameters) {
			if p.Value.In == "header" {
				if headers++; !p.Value.Schema.Value.Type.Is("string") || p.Value.Schema.Value.Format != "" {
					t.Errorf("%s: %s is a %v in the format %s", op.OperationID, p.Value.Name, p.Value.Schema.Value.Type, p.Value.Schema.Value.Format)
				}
			}
		}
	})
	if headers < 50 {
		t.Errorf("only %d headers", headers)
	}
}

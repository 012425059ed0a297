package contract

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"coffre/domain"
	"coffre/handlers/contract/brief"
)

var update = flag.Bool("update", false, "write brief/brief.json anew")

// The form that requests are checked by says what the contract says.
func TestTheBriefFormIsTheContract(t *testing.T) {
	want := briefly(t, readContract(t))
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	text = append(bytes.ReplaceAll(text, []byte(`},{"id"`), []byte("},\n{\"id\"")), '\n')
	text = bytes.ReplaceAll(text, []byte(`},{"type"`), []byte("},\n{\"type\""))
	if *update {
		if err := os.WriteFile("brief/brief.json", text, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	written, err := os.ReadFile("brief/brief.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(written, text) {
		t.Error("brief.json is not what openapi.yaml says: go generate ./handlers/contract")
	}
	if got := brief.Read(); !reflect.DeepEqual(got, want) {
		t.Error("brief.json is read as something else than what was written")
	}
}

// briefing turns schemas into their brief form, each once.
type briefing struct {
	t    testing.TB
	seen map[*openapi3.Schema]int
	out  brief.Contract
}

func briefly(t testing.TB, doc *openapi3.T) brief.Contract {
	t.Helper()
	b := &briefing{t: t, seen: make(map[*openapi3.Schema]int)}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths.Map())) {
		item := doc.Paths.Value(path)
		of := item.Operations()
		for _, method := range slices.Sorted(maps.Keys(of)) {
			b.out.Operations = append(b.out.Operations, b.operation(method, path, item, of[method]))
		}
	}
	return b.out
}

func (b *briefing) operation(method, path string, item *openapi3.PathItem, op *openapi3.Operation) brief.Operation {
	b.t.Helper()
	public := op.Security != nil && (len(*op.Security) == 0 || slices.ContainsFunc(*op.Security, func(need openapi3.SecurityRequirement) bool { return len(need) == 0 }))
	o := brief.Operation{ID: op.OperationID, Method: method, Path: path, Summary: op.Summary, Public: public, Invites: public && len(*op.Security) > 0}
	for status := range op.Responses.Map() {
		if n, err := strconv.Atoi(status); err == nil && n < 300 && (o.Success == 0 || n < o.Success) {
			o.Success = n
		}
	}
	for _, role := range texts(b.t, op.Extensions["x-roles"]) {
		o.Roles = append(o.Roles, domain.Role(role))
	}
	if !public {
		o.Scope = (*op.Security)[0]["CoffreOauth"][0]
	}
	if n, ok := op.Extensions["x-max-body-bytes"].(float64); ok {
		o.MaxBody = int64(n)
	}
	for _, ref := range slices.Concat(item.Parameters, op.Parameters) {
		o.Parameters = append(o.Parameters, brief.Parameter{Name: ref.Value.Name, In: ref.Value.In, Required: ref.Value.Required, Schema: b.schema(ref.Value.Schema)})
	}
	if op.RequestBody == nil {
		return o
	}
	if media := op.RequestBody.Value.Content["application/json"]; media != nil {
		n := b.schema(media.Schema)
		o.Body = &n
	} else {
		o.Files = slices.Sorted(maps.Keys(op.RequestBody.Value.Content))
	}
	return o
}

func (b *briefing) schema(ref *openapi3.SchemaRef) int {
	b.t.Helper()
	in := ref.Value
	if n, known := b.seen[in]; known {
		return n
	}
	n := len(b.out.Schemas)
	b.seen[in] = n
	b.out.Schemas = append(b.out.Schemas, brief.Schema{})
	if in.Type == nil || len(*in.Type) != 1 || len(in.AllOf)+len(in.OneOf)+len(in.AnyOf) > 0 || in.Not != nil || in.Nullable || in.MultipleOf != nil || in.UniqueItems {
		b.t.Fatalf("a schema of a kind that the brief form does not know: %s", cmp.Or(ref.Ref, in.Title, in.Description))
	}
	s := brief.Schema{
		Type: (*in.Type)[0], Open: in.AdditionalProperties.Has != nil && *in.AdditionalProperties.Has, Required: in.Required,
		MinItems: int64(in.MinItems), MaxItems: bound(in.MaxItems), MinLength: int64(in.MinLength), MaxLength: bound(in.MaxLength), Min: whole(in.Min), Max: whole(in.Max),
		Enum: texts(b.t, in.Enum), Format: in.Format, Pattern: in.Pattern,
	}
	s.GoType, _ = in.Extensions["x-go-type"].(string)
	s.Form, _ = in.Extensions["x-form"].(string)
	s.Example, _ = in.Example.(string)
	for _, name := range slices.Sorted(maps.Keys(in.Properties)) {
		if s.Members == nil {
			s.Members = make(map[string]int)
		}
		s.Members[name] = b.schema(in.Properties[name])
	}
	choices, _ := in.Extensions["x-exactly-one-of"].([]any)
	for _, groups := range choices {
		var choice [][]string
		for _, group := range groups.([]any) {
			choice = append(choice, texts(b.t, group))
		}
		s.Choices = append(s.Choices, choice)
	}
	if in.Items != nil {
		s.Items = b.schema(in.Items)
	}
	b.out.Schemas[n] = s
	return n
}

func bound(n *uint64) *int64 {
	if n == nil {
		return nil
	}
	return new(int64(*n))
}

func whole(n *float64) *int64 {
	if n == nil {
		return nil
	}
	return new(int64(*n))
}

// texts returns a list of texts that the contract holds; nil for none.
func texts(t testing.TB, list any) []string {
	t.Helper()
	all, _ := list.([]any)
	var out []string
	for _, one := range all {
		text, ok := one.(string)
		if !ok {
			t.Fatal("a list in openapi.yaml holds what is no text")
		}
		out = append(out, text)
	}
	return out
}
